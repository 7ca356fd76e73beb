/* cdi.h: Container Device Interface (CDI 0.3 to 1.x, SPEC.md): what a device's vendor wants changed in a container's spec.
 *
 * Pure: the files are read, and device nodes looked at, by the caller (cri/cdi.c). Only CRI's cdi_devices name devices,
 * never annotations (CVE-2026-53492): an annotation may be the pod author's.
 */
#ifndef CRISP_CDI_H
#define CRISP_CDI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "spec/spec.h"

#define CDI_FILE_MAX    (1u << 20)
#define CDI_DEVICES_MAX 4096     /* of one file */
#define CDI_EDITS_MAX   1024     /* members of one list of edits */
#define CDI_NAME_MAX    256      /* bytes of VENDOR/CLASS=NAME */

struct yyjson_val;

struct cdi_spec {
	const char *kind;                        /* VENDOR/CLASS */
	const struct yyjson_val *edits;          /* for each container that gets any of its devices; NULL: none */
	struct cdi_device {
		const char *name;
		const struct yyjson_val *edits;
	} *devices;
	size_t n_devices;
};

/* One file, checked whole: names, paths, types, counts. All memory is the arena's. */
struct err *cdi_parse(struct arena *a, const char *json, size_t len, struct cdi_spec *ret) _must_check_;

/* "VENDOR/CLASS=NAME" by CDI's rules. *ret_kind and *ret_name are the arena's. */
struct err *cdi_split_name(struct arena *a, const char *full, const char **ret_kind, const char **ret_name) _must_check_;

/* What a device node of the node is: type, numbers. */
typedef struct err *cdi_look(const char *host_path, struct spec_device *ret);

/* The runtime spec *json* with each of *edits* made, in order. Hooks become the spec's hooks. */
struct err *cdi_apply(const char *json, size_t len, const struct yyjson_val *const *edits, size_t n, cdi_look *look,
		      struct buf *ret) _must_check_;

#endif
