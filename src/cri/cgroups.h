/* cgroups.h: where pods, containers and monitors are in the cgroup tree, by the configured driver.
 *
 * Paths are below /sys/fs/cgroup with either driver. With systemd a pod is a slice, which the kubelet made; each
 * container, monitor and init of a shared PID namespace is a scope. What was made by one driver is found and removed
 * after the configuration has changed to the other: paths say what they are. Names are as cAdvisor wants them where it is
 * answered (cadvisor.h).
 */
#ifndef CRISP_CGROUPS_H
#define CRISP_CGROUPS_H

#include "cri/serve.h"

bool cgroups_systemd(const struct serve *s);

/* The node's hierarchy, systemd where it is needed, and the monitors' cgroup. */
struct err *cgroups_open(struct serve *s) _must_check_;

/* ERR_INVALID where the kubelet's cgroup parent is the other driver's. */
struct err *cgroups_check_parent(const struct serve *s, const char *parent) _must_check_;

/* The pod's cgroup: the kubelet's, else one of ours. Owned by the caller. */
char *cgroups_of_pod(const struct serve *s, const struct pod *p);
/* What is in the pod's: a container's, by its ID; that of the init of a shared PID namespace. Owned by the caller. */
char *cgroups_of_container(const struct serve *s, const struct pod *p, const char *id);
char *cgroups_of_init(const struct serve *s, const struct pod *p);
/* cgroupsPath of the runtime spec for the container's cgroup. Owned by the caller. */
char *cgroups_spec_path(const char *cgroup);

/* True where the pod's cgroup is not the kubelet's but was made, and is removed, with the pod. */
bool cgroups_owns_pod(const struct pod *p);
struct err *cgroups_make_pod(struct serve *s, struct pod *p) _must_check_;
/* Where cAdvisor is answered, the one by which it finds the counters of the pod's network; once the pod is nearly made,
 * since it asks about the pod at once. */
struct err *cgroups_make_counters(struct serve *s, struct pod *p) _must_check_;
/* The init's, cAdvisor's, and the pod's where it is ours. */
struct err *cgroups_remove_pod(struct serve *s, struct pod *p, int64_t deadline_ns) _must_check_;

#endif
