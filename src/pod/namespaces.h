/* namespaces.h: the pod's namespaces, made in a disposable process that ends afterwards.
 *
 * The namespaces live on in the descriptors that are handed to the monitor. The user namespace comes first,
 * so that it owns the others; its maps are written by a child that stays outside.
 */
#ifndef CRISP_NAMESPACES_H
#define CRISP_NAMESPACES_H

#include "pod/protocol.h"

struct namespaces_made {
	int fds[MONITOR_NEW_N];   /* in the order of enum monitor_new, those that were asked for, without PID */
	size_t n_fds;
	pid_t init;               /* of the PID namespace, 0: none; our sibling */
};

/* *in* is START_POD, *wanted* its enum monitor_new. Whatever is half-made at an error ends with the process. */
struct err *mon_namespaces_make(const struct message *in, unsigned wanted, const char *pod_cgroup,
			    struct namespaces_made *ret) _must_check_;

/* The init of a PID namespace that containers share: reaps, and nothing else, in an empty read-only root, without
 * capabilities. Started as our sibling, in *cgroup_fd* (or -1). Returns when it is confined. */
struct err *mon_pod_init_start(int cgroup_fd, pid_t *ret_pid) _must_check_;

#endif
