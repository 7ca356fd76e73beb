/* registry.h: one image's registry, spoken to from the role `fetch`: manifests and blobs by distribution-spec 1.1,
 * from mirrors and the registry itself, with credentials, redirects, retries and resumption.
 *
 * Several threads may call at once. Nothing that comes is checked against a digest here: serve does that.
 * Errors say which endpoint, which path, which status, and what the registry itself said.
 */
#ifndef CRISP_REGISTRY_H
#define CRISP_REGISTRY_H

#include "base/buf.h"
#include "image/registry_config.h"

#define REGISTRY_REDIRECTS_MAX   5
#define REGISTRY_ROUNDS_MAX      5     /* tries at all endpoints, without a byte gained between */
#define REGISTRY_BLOB_TRIES_MAX  100   /* resumptions of one blob, however much each gained */
#define REGISTRY_RETRY_AFTER_MAX 30    /* seconds that a Retry-After can make us wait */

struct registry;

/* Takes *c* over. */
struct registry *registry_new(struct registry_config *c);
void registry_free(struct registry *r);

/* For tests: the first back-off, instead of half a second. */
void registry_set_backoff(struct registry *r, int64_t ns);

struct err *registry_manifest(struct registry *r, const char *tag_or_digest, int64_t deadline_ns, struct buf *ret_body,
			      char **ret_type) _must_check_;

struct registry_blob {
	const char *digest;
	uint64_t size;
	int to;                      /* written to in order; not closed */
	int64_t idle_timeout_ns;     /* so long without a byte is a cut */
};
struct err *registry_blob(struct registry *r, const struct registry_blob *b) _must_check_;

#endif
