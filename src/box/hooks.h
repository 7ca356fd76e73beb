/* hooks.h: OCI hooks (runtime-spec config.md, "POSIX-platform Hooks"): programs of the node's that the spec names, run at
 * points of a container's life with its state as JSON on standard input.
 *
 * prestart and createRuntime run in the node's namespaces, which the maker leaves when it joins the container's: a process
 * forked before that waits to run them. createContainer runs in init before the pivot, startContainer right before the
 * program. poststart and poststop are their callers' (box_run_hooks()).
 */
#ifndef CRISP_HOOKS_H
#define CRISP_HOOKS_H

#include "box/oci.h"

#define HOOKS_TIMEOUT_S 60   /* of a hook that names none */

struct hooks_state {
	const char *id, *bundle, *status;   /* "creating", "created", "running", "stopped" */
	pid_t pid;
};

/* All of one kind, in order. The first that fails ends it: its words are in the error. */
struct err *hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const struct hooks_state *state) _must_check_;

/* The process that will run prestart and createRuntime; *ret_fd speaks with it. Nothing to run: -1. */
struct err *hooks_start_runner(const struct oci_spec *spec, const struct hooks_state *state, int *ret_fd) _must_check_;
/* Has it run them for *pid* and waits. */
struct err *hooks_have_run(int fd, pid_t pid) _must_check_;

#endif
