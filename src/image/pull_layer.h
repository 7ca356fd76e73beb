/* pull_layer.h: one layer on its way: fetch → SHA-256 → unpack → the store.
 *
 * serve hashes between two processes that it does not trust: what the digest vouches for is what unpack was given.
 */
#ifndef CRISP_PULL_LAYER_H
#define CRISP_PULL_LAYER_H

#include "image/fetch.h"
#include "image/manifest.h"
#include "store/layers.h"

#include <stdatomic.h>

struct pull_layer {
	struct fetch *fetch;
	struct layers *layers;
	const struct descriptor *blob;
	const char *diff_id;                /* of the uncompressed tar, as the configuration says */
	uid_t unpack_uid;
	uint64_t max_bytes;                 /* uncompressed */
	int64_t timeout_ns;                 /* without progress */
	int cancel_fd;                      /* readable once the pull is given up: then unpack is killed at once */
	_Atomic uint64_t *bytes;            /* counts what has come, for progress */
};

/* Makes sure that the layer is in the store; returns at once if it is there. *ret_uncompressed: 0 then. */
struct err *pull_layer(const struct pull_layer *p, uint64_t *ret_uncompressed) _must_check_;

#endif
