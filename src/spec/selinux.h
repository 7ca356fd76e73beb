/* selinux.h: SELinux contexts of a container and of its mounts: "user:role:type:level", from what the kubelet asks for,
 * the node's policy and the pod's level. Pure: words in, words out.
 *
 * Pods are kept apart by a level with two categories (MCS), "s0:c12,c345", that no other pod of the node has; the
 * containers of a pod share it, and so can share volumes.
 */
#ifndef CRISP_SELINUX_H
#define CRISP_SELINUX_H

#include "base/arena.h"
#include "base/err.h"
#include "cri/api.pb-c.h"

#define SELINUX_LABEL_MAX      512      /* bytes of a context */
#define SELINUX_CATEGORIES     1024     /* what policies with MCS declare */
#define SELINUX_PAIRS          (SELINUX_CATEGORIES * (SELINUX_CATEGORIES - 1) / 2)
#define SELINUX_CONTEXTS_MAX   65536    /* bytes of a policy's lxc_contexts */

/* The parts of a context but for the level. */
struct selinux_type {
	char user[64], role[64], type[128];
};

/* What the node's policy wants for containers; where it says nothing, what container-selinux has. */
struct selinux_policy {
	struct selinux_type process, file;
};

/* *text* of the policy's contexts/lxc_contexts: lines of `process = "user:role:type:level"`, `file = …`; "" for none. */
void selinux_policy_init(struct selinux_policy *ret, const char *text);
/* SELINUXTYPE of /etc/selinux/config: the directory of the policy; false if there is none that is a name. */
bool selinux_policy_name(const char *config, char *ret, size_t size);

/* Pair number *n* of all SELINUX_PAIRS as a level, "s0:c1,c2", c1 < c2. */
#define SELINUX_LEVEL_MAX 32
void selinux_pair(uint32_t n, char ret[SELINUX_LEVEL_MAX]);

struct selinux_input {
	const struct selinux_policy *policy;
	const Runtime__V1__SELinuxOption *container, *pod;  /* NULL: nothing said. The pod's count where the container's do not */
	const char *level;                                  /* the pod's */
	bool privileged;                                    /* spc_t, unless a type is asked for */
};

/* *ret_mount* has the process's level, so that the process may use what carries it. ERR_INVALID names a part with
 * characters that none has. */
struct err *selinux_labels(struct arena *a, const struct selinux_input *in, const char **ret_process,
			   const char **ret_mount) _must_check_;

#endif
