/* container_spec.h: gathers what spec_build() needs from the node: the user from the image's files, host paths,
 * image volumes, devices, profiles. */
#ifndef CRISP_CONTAINER_SPEC_H
#define CRISP_CONTAINER_SPEC_H

#include "base/buf.h"
#include "cri/serve.h"

/* The OCI runtime spec of *c*, whose root is mounted. Sets the user it runs as. */
struct err *container_spec(struct rpc *r, struct container *c, const struct image *image, struct buf *ret_spec) _must_check_;

#endif
