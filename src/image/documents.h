/* documents.h: an image's manifest and configuration: fetched, checked against their digests, parsed, the node's
 * platform chosen. In serve. */
#ifndef CRISP_IMAGE_DOCUMENTS_H
#define CRISP_IMAGE_DOCUMENTS_H

#include "base/sha256.h"
#include "image/config.h"
#include "image/fetch.h"
#include "image/manifest.h"

struct documents {
	struct arena arena;
	struct buf index, manifest_text, config_text;
	struct manifest manifest;
	struct image_config config;
	char asked_digest[DIGEST_TEXT_LEN + 1];     /* of what the reference named: an index perhaps */
	char manifest_digest[DIGEST_TEXT_LEN + 1];
};

struct documents_want {
	struct fetch *fetch;
	const struct reference *ref;
	int64_t idle_timeout_ns;                    /* without a byte of the configuration */
	const struct platform *platform;            /* NULL: this node's */
};

/* One after the other; documents_done() is owed on success and failure alike. */
struct err *documents_get_manifest(const struct documents_want *w, struct documents *d) _must_check_;
struct err *documents_get_config(const struct documents_want *w, struct documents *d) _must_check_;
/* In the place of the second: the configuration is here already. Not to be followed by it. */
struct err *documents_use_config(const struct documents_want *w, struct documents *d, const char *text, size_t len) _must_check_;
void documents_done(struct documents *d);

#endif
