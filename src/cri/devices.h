/* devices.h: the node's device nodes that a container gets. */
#ifndef CRISP_DEVICES_H
#define CRISP_DEVICES_H

#include "cri/config.h"
#include "spec/spec.h"
#include "store/pods.h"

#define DEVICES_MAX 4096    /* of one container */

/* Fills in->devices: what the kubelet lists, whose host path may be a link or a directory of devices, and for a
 * privileged container everything below /dev.
 *
 * *listed_only* (or the configuration): nothing besides what is listed.
 *
 * Owner and mode are the node's, for listed ones those of the security context if the configuration says so. In a pod
 * with a user namespace listed ones keep the numbers, which are then the container's users; of all others a privileged
 * container gets, as binds among in->mounts, those that everybody on the node may open: it is nobody there. */
struct err *devices_collect(struct arena *a, const struct config *settings, bool listed_only,
			    const struct pod *p, const Runtime__V1__ContainerConfig *config, struct spec_input *in) _must_check_;

#endif
