/* layout.h: the table of contents of an archive: index.json of an OCI image layout (image-spec, image-layout.md), which the
 * role `archive` also makes of a docker archive's manifest.json.
 *
 * Names are annotations: containerd's full name, else org.opencontainers.image.ref.name, which is a full name or,
 * as image-spec means it, no more than a tag, and then nobody knows of which repository. Hostile bytes: bounded, fuzzed.
 */
#ifndef CRISP_IMAGE_LAYOUT_H
#define CRISP_IMAGE_LAYOUT_H

#include "base/sha256.h"
#include "image/manifest.h"

#define LAYOUT_FULL_NAME "io.containerd.image.name"
#define LAYOUT_REF_NAME  "org.opencontainers.image.ref.name"
/* Of an entry that the role made up: its digest is known nowhere else. */
#define LAYOUT_MADE_UP   "crisp.made-up"

/* One image of the archive, under all the names that its entries give it. */
struct layout_image {           /* all memory from the arena given to the parser */
	const char *digest;
	const char *ref;        /* ref.name as it stands, "" if none: what oci:DIR:TAG asks for */
	char **tags;            /* host/repository:tag, NULL-terminated */
	char **digest_refs;     /* host/repository@digest */
	size_t n_tags, n_digest_refs;
	bool made_up;           /* its digest is the role's, not a registry's */
};

struct layout {
	struct layout_image *images;    /* in the order of their first entries */
	size_t n_images;
	size_t n_foreign;               /* entries for other platforms, left out */
};

struct err *layout_parse(struct arena *a, const char *json, size_t len, const struct platform *p,
			 struct layout *ret) _must_check_;

/* The image with that name: by ref.name, or by a whole reference. NULL if there is none. */
const struct layout_image *layout_find(const struct layout *l, const char *name);

#endif
