/* manifest.h: OCI and Docker schema 2 manifests and indexes: parsed, checked, one platform chosen.
 *
 * CVE-2021-41190: what a document is follows from its mediaType, which must agree with its members;
 * one that has both `manifests` and `layers` is refused.
 */
#ifndef CRISP_MANIFEST_H
#define CRISP_MANIFEST_H

#include "base/arena.h"
#include "base/err.h"

#define MANIFEST_MAX  (4u << 20)       /* bytes, as distribution-spec asks registries to accept */
#define MANIFEST_ENTRIES_MAX 1024      /* manifests of an index */

enum layer_kind { LAYER_TAR, LAYER_GZIP, LAYER_ZSTD };

struct descriptor {
	const char *media_type;
	const char *digest;            /* grammar-checked */
	uint64_t size;
	enum layer_kind kind;          /* layers only */
};

struct manifest {
	bool is_index;
	const char *media_type;
	/* an image */
	struct descriptor config;
	struct descriptor *layers;
	size_t n_layers;
	/* an index */
	struct manifest_entry {
		struct descriptor d;
		const char *os, *architecture, *variant;
	} *entries;
	size_t n_entries;
};

/* *content_type* is the HTTP header (may be NULL when from a layout). OCI artifacts (config type that
 * is not an image's) are refused in words. */
struct err *manifest_parse(struct arena *a, const char *json, size_t len, const char *content_type,
			   struct manifest *ret) _must_check_;

struct platform { const char *os, *architecture, *variant; };
extern const struct platform platform_host;   /* linux/amd64, linux/arm64/v8 … as built */

/* The best entry for *p* (exact variant, then compatible older ones); ERR_NOT_FOUND lists what is
 * there. */
struct err *manifest_choose(const struct manifest *index, const struct platform *p,
			    const struct manifest_entry **ret) _must_check_;

#endif
