/* devices.h: the node's device nodes that a container gets. */
#ifndef CRISP_DEVICES_H
#define CRISP_DEVICES_H

#include "spec/spec.h"

#define DEVICES_MAX 4096    /* of one container */

/* Fills in->devices: for a privileged container everything below /dev, else what the kubelet lists. A host path may
 * be a link or a directory of devices. */
struct err *devices_collect(struct arena *a, const Runtime__V1__ContainerConfig *config, struct spec_input *in) _must_check_;

#endif
