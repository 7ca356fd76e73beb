/* run.h: the last steps of init and of an exec's process: stdio, limits, user, capabilities, seccomp, execve(2).
 *
 * run_prepare() may fail in words to whoever made the container; after it the process holds only its
 * stdio, start_fd, error_fd and sync_fd. run_exec() fails by writing to *error_fd*.
 */
#ifndef CRISP_RUN_H
#define CRISP_RUN_H

#include "box/hooks.h"
#include "box/oci.h"
#include "box/seccomp.h"

struct run {
	const struct oci_process *process;
	const struct seccomp_program *seccomp;  /* n 0: none */
	uint32_t seccomp_flags;
	int proc_fd;                            /* for LSM labels */
	int stdio[3];                           /* what becomes 0, 1, 2 */
	bool terminal;                          /* stdio[0] is a terminal to be ours */
	int start_fd;                           /* -1: do not wait */
	int error_fd;
	int sync_fd;                            /* to the maker; -1: none */
	unsigned preserve_fds;                  /* 3 to 2 + this stay as they are */
	const struct oci_spec *spec;            /* for startContainer hooks; NULL: none */
	struct hooks_state state;
};

struct err *run_prepare(struct run *r) _must_check_;
/* Waits for the start byte, then runs the program. End of file: exits. */
_noreturn_ void run_exec(struct run *r);

/* Says *e* on error_fd and ends. */
_noreturn_ void run_fail(const struct run *r, const struct err *e);

#endif
