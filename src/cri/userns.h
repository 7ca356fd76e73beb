/* userns.h: the user namespace of a pod (hostUsers: false), as the kubelet asked for it.
 *
 * CRI: NamespaceOption.userns_options, mode POD with the mappings that the kubelet chose for the pod, or NODE. The pod's
 * monitor makes and holds it (pod/namespaces.h); here is what serve needs to know of it.
 */
#ifndef CRISP_CRI_USERNS_H
#define CRISP_CRI_USERNS_H

#include "base/arena.h"
#include "pod/client.h"
#include "store/pods.h"

/* ERR_INVALID says what of the request cannot be: a mode that is neither, mappings that are missing, too many or
 * overlap, no root, namespaces of the node that a user namespace has no rights in. */
struct err *userns_check(const Runtime__V1__NamespaceOption *ns) _must_check_;
bool userns_wanted(const struct pod *p);

/* The mappings for the monitor, in *a*; none: n 0. */
void userns_maps(struct arena *a, const struct pod *p, struct pod_start *ret);

/* Whom the container's root is on the node; 0 and 0 without a user namespace. */
void userns_root(const struct pod *p, uint32_t *ret_uid, uint32_t *ret_gid);

/* ERR_INVALID: a user or group of *c* has no place in the pod's mappings. */
struct err *userns_check_user(const struct container *c) _must_check_;

/* What is not mapped becomes the container's root. */
void userns_clip(const struct pod *p, uint32_t *uid, uint32_t *gid);

/* The last group, counted from 0, of those that are mapped without a gap. */
uint32_t userns_last_group(const struct pod *p);

/* A descriptor of the namespace, for idmapped mounts; -1: the pod has none. */
struct err *userns_open(const struct pod *p, int *ret_fd) _must_check_;

#endif
