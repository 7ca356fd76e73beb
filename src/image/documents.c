#include "image/documents.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* How long one manifest may take. */
#define DOCUMENT_NS  (60 * NS_PER_S)
#define THREAD_STACK KIB(128)

static struct err *check_digest(const struct buf *b, const char *want, char ret_got[DIGEST_TEXT_LEN + 1])
{
	sha256_text(buf_text(b), b->len, ret_got);
	if (!str_empty(want) && strcmp(want, ret_got))
		return err_new(ERR_CORRUPT, "what came is %s, not %s", ret_got, want);
	return NULL;
}

static const struct platform *platform_of(const struct documents_want *w)
{
	return w->platform ? w->platform : &platform_host;
}

void documents_done(struct documents *d)
{
	buf_done(&d->index);
	buf_done(&d->manifest_text);
	buf_done(&d->config_text);
	arena_done(&d->arena);
}

struct err *documents_get_manifest(const struct documents_want *w, struct documents *d)
{
	const char *by = *w->ref->digest ? w->ref->digest : w->ref->tag;
	_free_ char *type = NULL;
	struct manifest index;
	const struct manifest_entry *entry;

	arena_init(&d->arena);
	TRY(fetch_manifest(w->fetch, by, clock_mono_ns() + DOCUMENT_NS, &d->manifest_text, &type));
	TRY(check_digest(&d->manifest_text, w->ref->digest, d->asked_digest));
	TRY_WRAP(manifest_parse(&d->arena, d->manifest_text.data, d->manifest_text.len, type, &d->manifest), "manifest");
	memcpy(d->manifest_digest, d->asked_digest, sizeof(d->manifest_digest));
	if (!d->manifest.is_index)
		return NULL;
	index = d->manifest;
	TRY(manifest_choose(&index, platform_of(w), &entry));
	d->index = d->manifest_text;
	d->manifest_text = (struct buf)BUF_INIT;
	free(TAKE(type));
	TRY(fetch_manifest(w->fetch, entry->d.digest, clock_mono_ns() + DOCUMENT_NS, &d->manifest_text, &type));
	if (d->manifest_text.len != entry->d.size)
		return err_new(ERR_CORRUPT, "manifest %s has %zu bytes, the index says %llu", entry->d.digest, d->manifest_text.len,
			       (unsigned long long)entry->d.size);
	TRY(check_digest(&d->manifest_text, entry->d.digest, d->manifest_digest));
	TRY_WRAP(manifest_parse(&d->arena, d->manifest_text.data, d->manifest_text.len, type, &d->manifest), "manifest");
	if (d->manifest.is_index)
		return err_new(ERR_INVALID, "an index that names an index is not an image");
	return NULL;
}

struct config_fetch {
	const struct documents_want *want;
	const struct descriptor *d;
	int pipe;
	struct err *error;
};

static void *config_thread(void *arg)
{
	struct config_fetch *c = arg;

	c->error = fetch_blob(c->want->fetch, c->d->digest, c->d->size, c->pipe, c->want->idle_timeout_ns);
	return NULL;
}

/* An index was chosen from by platform; an image that stands alone says its own. */
static struct err *check_platform(const struct image_config *c, const struct documents_want *w)
{
	const struct platform *p = platform_of(w);

	if ((str_empty(c->os) || str_eq(c->os, p->os)) &&
	    (str_empty(c->architecture) || str_eq(c->architecture, p->architecture)))
		return NULL;
	return err_new(ERR_NOT_FOUND, "the image is for %s/%s, %s is %s/%s", c->os, c->architecture,
		       w->platform ? "what is wanted" : "this node", p->os, p->architecture);
}

static struct err *check_config(const struct documents_want *w, struct documents *d)
{
	char got[DIGEST_TEXT_LEN + 1];

	TRY(check_digest(&d->config_text, d->manifest.config.digest, got));
	TRY(image_config_parse(&d->arena, buf_text(&d->config_text), d->config_text.len, &d->config));
	TRY(check_platform(&d->config, w));
	if (d->config.n_diff_ids == d->manifest.n_layers)
		return NULL;
	return err_new(ERR_INVALID, "it lists %zu layers, the manifest %zu", d->config.n_diff_ids, d->manifest.n_layers);
}

struct err *documents_use_config(const struct documents_want *w, struct documents *d, const char *text, size_t len)
{
	buf_append(&d->config_text, text, len);
	return err_wrap(check_config(w, d), "configuration");
}

struct err *documents_get_config(const struct documents_want *w, struct documents *d)
{
	struct config_fetch c = { .want = w, .d = &d->manifest.config };
	pthread_t thread;
	int fds[2];

	if (d->manifest.config.size > IMAGE_CONFIG_MAX)
		return err_new(ERR_EXHAUSTED, "configuration of %llu bytes: more than the limit of %u",
			       (unsigned long long)d->manifest.config.size, IMAGE_CONFIG_MAX);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	_close_ int from = fds[0];

	c.pipe = fds[1];
	struct err *e = thread_start(&thread, THREAD_STACK, config_thread, &c);

	if (e) {
		close(fds[1]);
		return e;
	}
	e = file_read_fd(from, IMAGE_CONFIG_MAX, &d->config_text);
	base_close_p(&from);
	pthread_join(thread, NULL);
	if (c.error) {
		err_free(e);
		return err_wrap(c.error, "configuration");
	}
	return err_wrap(e ? e : check_config(w, d), "configuration");
}
