/* pull.h: PullImage: a reference becomes layers and an image in the store. Runs in serve.
 *
 *   fetch (unprivileged, network) ─pipe→ serve: SHA-256 ─pipe→ unpack (unprivileged, no network) → EROFS file
 *
 * The same pull by many callers is one pull; a pull whose last caller went away ends. Layers of one image come
 * several at once. On error nothing is left but whole layers, which a retry uses and a sweep removes.
 */
#ifndef CRISP_PULL_H
#define CRISP_PULL_H

#include "base/str.h"
#include "image/fetch.h"

struct images;
struct layers;
struct platform;
struct puller;

struct puller_options {
	struct images *images;
	struct layers *layers;
	const char *root;                       /* of the store: for its free space */
	struct hosts_paths hosts;
	const char *auth_file;
	uid_t fetch_uid, unpack_uid;            /* 0: stay (tests) */
	int64_t progress_timeout_ns;            /* a pull without a byte for so long fails */
	uint64_t image_max;                     /* bytes uncompressed of one image */
	unsigned parallel;                      /* pulls at once */
	const struct platform *platform;        /* NULL: this node's */
	int64_t pulled_ns;                      /* what records say; 0: the time of day */
};
struct err *puller_new(const struct puller_options *o, struct puller **ret) _must_check_;
void puller_free(struct puller *p);

/* What a pull did, and since when (clock_mono_ns). */
#define PULL_STEPS_MAX 8
struct pull_steps {
	const char *stage[PULL_STEPS_MAX];      /* static words */
	int64_t began_ns[PULL_STEPS_MAX], end_ns;
	unsigned n;
	uint64_t bytes;                         /* that came over the network */
};

/* An image of an archive: no registry is asked. */
struct pull_archive {
	struct fetch *from;                     /* of fetch_start_archive(); borrowed until the pull's end, which its failure ends too */
	const char *digest;                     /* of its manifest or index there */
	const char *const *tags, *const *digest_refs;   /* NULL-terminated: what it is called */
};

struct pull_request {
	const char *reference;                  /* from an archive: what to call it in errors */
	const struct pull_archive *archive;     /* NULL: from a registry. Else no deadline and no cancel_fd */
	const struct reference *named;          /* from a registry: what it is called here; NULL: as the reference */
	const struct fetch_auth *auth;          /* or NULL */
	int64_t deadline_ns;
	int cancel_fd;                          /* readable when the caller went away, -1: none */
	struct pull_steps *ret_steps;           /* NULL: nobody asks; filled also when the pull failed */
};
/* *ret_id: the image's ID, as ListImages says it. */
struct err *puller_pull(struct puller *p, const struct pull_request *q, char ret_id[72]) _must_check_;

/* Digests of the layers that pulls in flight have or will have: a sweep must keep them. */
void puller_layers(struct puller *p, struct strv *ret);

/* Operations in flight, for `status` and metrics: reference, stage in words, bytes, age. */
struct pull_progress { char *reference; const char *stage; uint64_t bytes, total; int64_t age_ns; };
size_t puller_progress(struct puller *p, struct pull_progress **ret);

#endif
