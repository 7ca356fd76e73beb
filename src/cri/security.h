/* security.h: AppArmor and SELinux as the daemon uses them: found at start, levels of pods, labels of containers. */
#ifndef CRISP_SECURITY_H
#define CRISP_SECURITY_H

#include "cri/serve.h"

/* What the node has and the configuration wants: sets serve's apparmor and selinux; loads our AppArmor profile. */
struct err *security_open(struct serve *s) _must_check_;

/* The pod's SELinux level: the kubelet's, or one that no other pod in the table has. It is free again when the pod is
 * dropped from the table. Nothing where SELinux is off. */
struct err *security_add_pod(struct serve *s, struct pod *p) _must_check_;
/* The label of the pod's own files and shared memory, in *a*; NULL where SELinux is off. */
struct err *security_pod_label(struct serve *s, struct arena *a, const struct pod *p, const char **ret) _must_check_;
/* Sets the container's labels. */
struct err *security_add_container(struct serve *s, struct container *c) _must_check_;

#endif
