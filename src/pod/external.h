/* external.h: another OCI runtime (runc, crun …) in box's place: its command line, run by the monitor's jobs.
 *
 * The container's init, and each exec's program, is left by the runtime as an orphan, and becomes the monitor's child (a
 * subreaper): logs, exit codes and attach are then no different. The bundle is BUNDLE of CREATE, with the config.json that
 * serve wrote there. Nothing that an image says chooses a program or an option here.
 */
#ifndef CRISP_EXTERNAL_H
#define CRISP_EXTERNAL_H

#include "base/err.h"

#define EXTERNAL_WAIT_S 120   /* one run of the runtime */

struct external {
	const char *path;      /* the program */
	const char *root;      /* its --root */
	const char *bundle, *id;
	bool systemd_cgroup;
};

/* *stdio* as box_create has it; *console*: where the terminal's master goes, -1: no terminal. */
struct err *external_create(const struct external *x, const int stdio[3], int console, pid_t *ret_pid) _must_check_;
struct err *external_start(const struct external *x) _must_check_;
/* *process_fd*: a file with the OCI process object. */
struct err *external_exec(const struct external *x, int process_fd, const int stdio[3], int console,
			  pid_t *ret_pid) _must_check_;
/* With --force: from any state, and none. */
struct err *external_delete(const struct external *x) _must_check_;

/* The last error in a log of --log-format json, or NULL. Owned by the caller. */
char *external_read_log(const char *text, size_t len);

#endif
