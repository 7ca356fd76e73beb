/* box.h: an OCI runtime spec becomes a running container (the built-in executor).
 *
 * box_create() and box_exec() run in a disposable single-threaded process (the monitor's fork, or the OCI command line):
 * they may allocate, leave descriptors open, and fail half-way. Then no process of the container runs any more; the caller
 * reaps (clone_parent makes them its children) and removes the cgroup (cgroup_kill(), cgroup_remove()).
 *
 *   monitor ── fork ──> maker: box_create(): cgroup + limits + device program, clone3
 *      └── (CLONE_PARENT) ── init: namespaces, mounts, pivot_root, credentials, seccomp; waits; exec
 *
 * The init process says on `error_fd` what failed (text, then exit) and closes it by exec: end of
 * file there without a byte means that the program runs.
 */
#ifndef CRISP_BOX_H
#define CRISP_BOX_H

#include "base/err.h"

struct box_create {
	const char *id;
	const char *spec;          /* config.json's bytes: OCI runtime-spec 1.2, already checked JSON or not */
	size_t spec_len;
	const char *bundle;        /* directory that a relative root.path is below */
	int stdio[3];              /* without process.terminal; -1: /dev/null */
	int console_socket;        /* with process.terminal: where the master goes (SCM_RIGHTS), or -1 */
	int start_fd;              /* read end: init execs after one byte; end of file: it exits */
	int error_fd;              /* write end, see above */
	bool clone_parent;         /* the new process becomes a child of our parent */
	bool systemd_cgroup;       /* cgroupsPath is slice:prefix:name */
	const char *default_cgroup; /* taken where the spec names none; NULL: the container then has none of its own */
	unsigned preserve_fds;     /* descriptors 3 to 2 + this are the program's too */
	int bare_fd;               /* what the container's mount namespace is copied from (box/bare.h); -1: from ours */
};

/* Makes the container up to waiting at start_fd. Returns when init is set up (or failed: the error
 * is what init said). *ret_pidfd may be -1 when the caller has no use for it. */
struct err *box_create(const struct box_create *c, pid_t *ret_pid, int *ret_pidfd) _must_check_;

struct box_exec {
	const char *process;       /* OCI `process` object as JSON */
	size_t process_len;
	pid_t target;              /* the container's init */
	int target_pidfd;          /* the same, proof against reuse */
	const char *cgroup;        /* the container's directory below /sys/fs/cgroup */
	int stdio[3];
	int console_socket;
	int error_fd;
	bool clone_parent;
	unsigned preserve_fds;
};

/* A further process in the container's namespaces; runs at once. */
struct err *box_exec(const struct box_exec *x, pid_t *ret_pid, int *ret_pidfd) _must_check_;

/* The spec's poststart or poststop hooks, run by who sees to the container's life. */
enum box_hook { BOX_POSTSTART, BOX_POSTSTOP };
struct err *box_run_hooks(const char *spec, size_t spec_len, enum box_hook kind, const char *id, const char *bundle,
			  pid_t pid) _must_check_;

/* The cgroup v2 path (below /sys/fs/cgroup) that the spec names, for *id*. Owned by the caller. */
struct err *box_cgroup_path(const char *spec, size_t spec_len, const char *id, bool systemd_cgroup,
			    char **ret_path) _must_check_;

#endif
