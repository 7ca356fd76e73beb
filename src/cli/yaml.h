/* yaml.h: YAML that people write, as JSON text: for the configurations that crictl takes and for its own.
 *
 * YAML 1.1 as Kubernetes' tools read it: plain scalars are null, booleans (yes and on too), numbers (0644 is octal) or
 * text; keys are text. One document. Not taken, with an error that says so: anchors and aliases (a few lines could stand
 * for gigabytes), merge keys, tags but !!str. Nesting is bounded by YAML_DEPTH_MAX, the text by the caller.
 */
#ifndef CRISP_YAML_H
#define CRISP_YAML_H

#include "base/buf.h"
#include "base/err.h"

#define YAML_DEPTH_MAX 64

/* Errors begin with "line N: ". */
struct err *yaml_to_json(const char *text, size_t len, struct buf *ret_json) _must_check_;

#endif
