/* spawn.h: how serve makes processes: posix_spawn's way (CLONE_VM|CLONE_VFORK), safe in a threaded
 * process, then exec. One of the two files that make processes; the other is box/process.c.
 *
 * The child gets exactly the descriptors listed, an empty signal mask, default handlers,
 * PR_SET_PDEATHSIG if asked. Everything else is close-on-exec (rule R2).
 */
#ifndef CRISP_SPAWN_H
#define CRISP_SPAWN_H

#include "base/err.h"

#define SPAWN_FDS_MAX 8

struct spawn {
	const char *path;        /* executable; NULL: this binary (see spawn_self_fd) */
	char *const *argv;       /* NULL-terminated; argv[0] included */
	char *const *envp;       /* NULL: empty environment */
	/* Descriptor i of the child is fds[i]; -1: /dev/null for 0-2, closed otherwise. */
	int fds[SPAWN_FDS_MAX];
	size_t n_fds;
	bool new_session;        /* setsid(2) */
	bool die_with_parent;    /* PR_SET_PDEATHSIG SIGKILL */
};

/* *ret_pidfd is close-on-exec; the caller waits with spawn_wait(). An exec that fails is an error
 * here, not an exit status. */
struct err *spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd) _must_check_;

/* Waits for the end until *deadline_ns* (monotonic, CLOCK_NEVER allowed): ERR_TIMEOUT leaves it
 * running. *ret_status* is as of waitpid(2). */
struct err *spawn_wait(int pidfd, int64_t deadline_ns, int *ret_status) _must_check_;

/* SIGKILL, then reaps. For undo: never fails. */
void spawn_kill(int pidfd);

/* "exit status 3", "killed by signal 9 (Killed)": for errors people read. Room for 64. */
void spawn_describe(int status, char ret_text[64]);

/* A descriptor of this program's file for execveat(2): /proc/self/exe where it lies on a read-only
 * file system, else one sealed memfd made at first call (rule R3, CVE-2019-5736). Process-wide,
 * borrowed. */
struct err *spawn_self_fd(int *ret_fd) _must_check_;

/* For a role that people start by its path and that then becomes part of a container: executes *argv* anew from that
 * descriptor, unless this process runs from it already (rule R3). Returns only then, or with an error. */
struct err *spawn_protect_self(char *const *argv) _must_check_;

#endif
