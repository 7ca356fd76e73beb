/* dev.h: device nodes and links of /dev (runtime-spec, "Default Devices", "Devices"). */
#ifndef CRISP_DEV_H
#define CRISP_DEV_H

#include "box/oci.h"

/* The default devices, the spec's below /dev, the links, into *dev_fd*: the root of a tmpfs nobody else sees, or
 * /dev of a container's root, which may be hostile: every path is resolved below it (rule R1).
 * Needs the node's CAP_MKNOD. */
struct err *dev_populate(int dev_fd, const struct oci_spec *spec) _must_check_;

/* The spec's devices outside /dev, below *root_fd*. */
struct err *dev_populate_outside(int root_fd, const struct oci_spec *spec) _must_check_;

/* The same, of a container with a user namespace, where setup.c has made them: an error if a mount hides one. */
struct err *dev_check_outside(int root_fd, const struct oci_spec *spec) _must_check_;

#endif
