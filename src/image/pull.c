#include "image/pull.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sha256.h"
#include "image/config.h"
#include "image/pull_layer.h"
#include "store/images.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>

#define THREAD_STACK KIB(256)
/* How long one manifest or configuration may take. */
#define DOCUMENT_NS  (60 * NS_PER_S)

struct pull {
	struct list link;           /* (lock) */
	struct puller *puller;
	char *key;                  /* reference and who asks: the same is one pull */
	struct reference ref;
	char *text;                 /* the reference as asked */
	struct fetch_auth auth;     /* copies */
	bool has_auth;
	unsigned callers;           /* (lock) */
	unsigned refs;              /* (lock) callers and the thread */
	bool cancelled;             /* (lock) */
	struct fetch *fetch;        /* (lock) for cancelling */
	int done_fd;                /* eventfd, readable for ever once the pull is over */
	struct err *error;          /* after done */
	char id[72];
	_Atomic(const char *) stage;
	struct pull_steps steps;    /* (lock) */
	_Atomic uint64_t bytes;
	uint64_t total;
	int64_t started_ns;
	struct strv layers;         /* (lock) */
	/* the layers' threads */
	const struct manifest *manifest;
	const struct image_config *config;
	size_t next;                /* (lock) */
	uint64_t uncompressed;      /* (lock) */
	struct err *layer_error;    /* (lock) the first one */
};

struct puller {
	struct puller_options o;
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct list pulls;
	unsigned running;
};

static void set_stage(struct pull *p, const char *stage)
{
	struct pull_steps *s = &p->steps;

	p->stage = stage;
	pthread_mutex_lock(&p->puller->lock);
	if (s->n < PULL_STEPS_MAX) {
		s->stage[s->n] = stage;
		s->began_ns[s->n++] = clock_mono_ns();
	}
	pthread_mutex_unlock(&p->puller->lock);
}

struct err *puller_new(const struct puller_options *o, struct puller **ret)
{
	struct puller *p = base_alloc(sizeof(*p));

	p->o = *o;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->room, NULL);
	list_init(&p->pulls);
	*ret = p;
	return NULL;
}

void puller_free(struct puller *p)
{
	if (!p)
		return;
	pthread_cond_destroy(&p->room);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- one pull's memory ------------------------------------------------------------------------ */

static char *dup_or_null(const char *s)
{
	return s ? base_strdup(s) : NULL;
}

static void forget(const char *s)
{
	if (s)
		explicit_bzero((char *)s, strlen(s));
	free((char *)s);
}

static void pull_free(struct pull *p)
{
	forget(p->auth.username);
	forget(p->auth.password);
	forget(p->auth.auth);
	forget(p->auth.identity_token);
	forget(p->auth.registry_token);
	free(p->key);
	free(p->text);
	reference_done(&p->ref);
	strv_done(&p->layers);
	err_free(p->error);
	err_free(p->layer_error);
	base_close_p(&p->done_fd);
	free(p);
}

/* Lock held. */
static void pull_unref(struct pull *p)
{
	if (--p->refs)
		return;
	list_remove(&p->link);
	pull_free(p);
}

/* The same reference with the same credentials; those only as a digest, so that no secret is a key. */
static char *make_key(const struct pull_request *q)
{
	const struct fetch_auth none = { 0 }, *a = q->auth ? q->auth : &none;
	const char *parts[] = { a->username, a->password, a->auth, a->identity_token, a->registry_token };
	struct sha256 h;
	char digest[DIGEST_TEXT_LEN + 1];

	sha256_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		sha256_update(&h, parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) + 1 : 1);
	sha256_final_text(&h, digest);
	return base_printf("%s %s", q->reference, digest);
}

/* ---- documents -------------------------------------------------------------------------------- */

static bool is_cancelled(struct pull *p)
{
	pthread_mutex_lock(&p->puller->lock);
	bool yes = p->cancelled;

	pthread_mutex_unlock(&p->puller->lock);
	return yes;
}

static struct err *check_digest(const struct buf *b, const char *want, char ret_got[DIGEST_TEXT_LEN + 1])
{
	sha256_text(buf_text(b), b->len, ret_got);
	if (!str_empty(want) && strcmp(want, ret_got))
		return err_new(ERR_CORRUPT, "the registry sent %s for %s", ret_got, want);
	return NULL;
}

struct documents {
	struct arena arena;
	struct buf index, manifest_text, config_text;
	struct manifest manifest;
	struct image_config config;
	char asked_digest[DIGEST_TEXT_LEN + 1];     /* of what the reference named: an index perhaps */
	char manifest_digest[DIGEST_TEXT_LEN + 1];
};

static void documents_done(struct documents *d)
{
	buf_done(&d->index);
	buf_done(&d->manifest_text);
	buf_done(&d->config_text);
	arena_done(&d->arena);
}

static struct err *get_manifest(struct pull *p, struct documents *d)
{
	const char *by = *p->ref.digest ? p->ref.digest : p->ref.tag;
	_free_ char *type = NULL;
	struct manifest index;
	const struct manifest_entry *entry;

	set_stage(p, "fetching the manifest");
	TRY(fetch_manifest(p->fetch, by, clock_mono_ns() + DOCUMENT_NS, &d->manifest_text, &type));
	TRY(check_digest(&d->manifest_text, p->ref.digest, d->asked_digest));
	TRY_WRAP(manifest_parse(&d->arena, d->manifest_text.data, d->manifest_text.len, type, &d->manifest), "manifest");
	memcpy(d->manifest_digest, d->asked_digest, sizeof(d->manifest_digest));
	if (!d->manifest.is_index)
		return NULL;
	index = d->manifest;
	TRY(manifest_choose(&index, &platform_host, &entry));
	d->index = d->manifest_text;
	d->manifest_text = (struct buf)BUF_INIT;
	free(TAKE(type));
	TRY(fetch_manifest(p->fetch, entry->d.digest, clock_mono_ns() + DOCUMENT_NS, &d->manifest_text, &type));
	TRY(check_digest(&d->manifest_text, entry->d.digest, d->manifest_digest));
	TRY_WRAP(manifest_parse(&d->arena, d->manifest_text.data, d->manifest_text.len, type, &d->manifest), "manifest");
	if (d->manifest.is_index)
		return err_new(ERR_INVALID, "an index that names an index is not an image");
	return NULL;
}

struct config_fetch {
	struct pull *pull;
	int pipe;
	struct err *error;
};

static void *config_thread(void *arg)
{
	struct config_fetch *c = arg;
	const struct descriptor *d = &c->pull->manifest->config;

	c->error = fetch_blob(c->pull->fetch, d->digest, d->size, c->pipe, c->pull->puller->o.progress_timeout_ns);
	return NULL;
}

static struct err *start_thread(pthread_t *t, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	int n = pthread_create(t, &attr, run, arg);

	pthread_attr_destroy(&attr);
	return n ? err_errno(n, "start a thread") : NULL;
}

/* An index was chosen from by platform; an image that stands alone says its own. */
static struct err *check_platform(const struct image_config *c)
{
	if ((str_empty(c->os) || str_eq(c->os, platform_host.os)) &&
	    (str_empty(c->architecture) || str_eq(c->architecture, platform_host.architecture)))
		return NULL;
	return err_new(ERR_NOT_FOUND, "the image is for %s/%s, this node is %s/%s", c->os, c->architecture,
		       platform_host.os, platform_host.architecture);
}

static struct err *get_config(struct pull *p, struct documents *d)
{
	struct config_fetch c = { .pull = p };
	char got[DIGEST_TEXT_LEN + 1];
	pthread_t thread;
	int fds[2];

	set_stage(p, "fetching the configuration");
	if (d->manifest.config.size > IMAGE_CONFIG_MAX)
		return err_new(ERR_EXHAUSTED, "configuration of %llu bytes: more than the limit of %u",
			       (unsigned long long)d->manifest.config.size, IMAGE_CONFIG_MAX);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	_close_ int from = fds[0];

	c.pipe = fds[1];
	p->manifest = &d->manifest;
	struct err *e = start_thread(&thread, config_thread, &c);

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
	if (!e)
		e = check_digest(&d->config_text, d->manifest.config.digest, got);
	if (!e)
		e = image_config_parse(&d->arena, buf_text(&d->config_text), d->config_text.len, &d->config);
	if (!e)
		e = check_platform(&d->config);
	if (!e && d->config.n_diff_ids != d->manifest.n_layers)
		e = err_new(ERR_INVALID, "it lists %zu layers, the manifest %zu", d->config.n_diff_ids,
			    d->manifest.n_layers);
	return err_wrap(e, "configuration");
}

/* ---- layers ----------------------------------------------------------------------------------- */

/* The index of the next layer, or -1: none left, or the pull is over. */
static ssize_t next_layer(struct pull *p, uint64_t *ret_room)
{
	pthread_mutex_lock(&p->puller->lock);
	bool stop = p->cancelled || p->layer_error || p->next >= p->manifest->n_layers;
	ssize_t i = stop ? -1 : (ssize_t)p->next++;

	*ret_room = p->puller->o.image_max > p->uncompressed ? p->puller->o.image_max - p->uncompressed : 1;
	pthread_mutex_unlock(&p->puller->lock);
	return i;
}

static void *layers_thread(void *arg)
{
	struct pull *p = arg;
	uint64_t room;
	ssize_t i;

	while ((i = next_layer(p, &room)) >= 0) {
		const struct descriptor *blob = &p->manifest->layers[i];
		const struct pull_layer one = {
			.fetch = p->fetch,
			.layers = p->puller->o.layers,
			.blob = blob,
			.diff_id = p->config->diff_ids[i],
			.unpack_uid = p->puller->o.unpack_uid,
			.max_bytes = room,
			.timeout_ns = p->puller->o.progress_timeout_ns,
			.bytes = &p->bytes,
		};
		uint64_t got = 0;
		struct err *e = pull_layer(&one, &got);

		pthread_mutex_lock(&p->puller->lock);
		p->uncompressed += got;
		if (e && !p->layer_error) {
			p->layer_error = err_wrap(e, "layer %zd of %zu (%.19s)", i + 1, p->manifest->n_layers,
						  blob->digest);
			fetch_cancel(p->fetch);
			e = NULL;
		}
		pthread_mutex_unlock(&p->puller->lock);
		err_free(e);
	}
	return NULL;
}

static struct err *check_room(struct pull *p)
{
	struct statvfs fs;
	const char *root = p->puller->o.root;
	uint64_t need = 0;

	for (size_t i = 0; i < p->manifest->n_layers; i++)
		if (!layers_have(p->puller->o.layers, p->manifest->layers[i].digest))
			need += p->manifest->layers[i].size;
	p->total = need;
	if (statvfs(root, &fs) == 0 && need > (uint64_t)fs.f_bavail * fs.f_frsize)
		return err_new(ERR_EXHAUSTED, "no room: the layers have %llu MiB compressed, %s has %llu MiB free",
			       (unsigned long long)(need >> 20), root,
			       (unsigned long long)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
	return NULL;
}

static struct err *get_layers(struct pull *p)
{
	pthread_t threads[FETCH_PARALLEL];
	size_t n = 0;
	struct err *e = NULL;

	set_stage(p, "fetching and unpacking layers");
	TRY(check_room(p));
	while (!e && n < MIN((size_t)FETCH_PARALLEL, p->manifest->n_layers)) {
		e = start_thread(&threads[n], layers_thread, p);
		n += !e;
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	if (n) {
		err_free(e);
		e = TAKE(p->layer_error);
	}
	return e;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static struct err *record(struct pull *p, struct documents *d)
{
	_free_ char *tag = *p->ref.tag && !*p->ref.digest ? reference_tagged(&p->ref) : NULL;
	_free_ char *digest_ref = reference_digested(&p->ref, d->asked_digest);
	const struct images_add add = {
		.manifest = d->manifest_text.data,
		.manifest_len = d->manifest_text.len,
		.config = d->config_text.data,
		.config_len = d->config_text.len,
		.manifest_digest = d->manifest_digest,
		.user = d->config.user,
		.layers = &p->layers,
		.tag = tag,
		.digest_ref = digest_ref,
	};

	set_stage(p, "recording");
	return images_add(p->puller->o.images, &add, p->id);
}

static void expect_layers(struct pull *p, const struct manifest *m)
{
	pthread_mutex_lock(&p->puller->lock);
	for (size_t i = 0; i < m->n_layers; i++)
		strv_push(&p->layers, m->layers[i].digest);
	pthread_mutex_unlock(&p->puller->lock);
}

static struct err *fetch_all(struct pull *p)
{
	_cleanup_(documents_done) struct documents d = { 0 };

	arena_init(&d.arena);
	TRY(get_manifest(p, &d));
	expect_layers(p, &d.manifest);
	TRY(get_config(p, &d));
	p->config = &d.config;
	TRY(get_layers(p));
	return record(p, &d);
}

static struct err *run(struct pull *p)
{
	const struct puller_options *o = &p->puller->o;
	const struct fetch_options fo = {
		.certs_dir = o->certs_dir,
		.auth_file = o->auth_file,
		.auth = p->has_auth ? &p->auth : NULL,
		.uid = o->fetch_uid,
	};
	struct fetch *f = NULL;

	set_stage(p, "starting");
	TRY(fetch_start(&p->ref, &fo, &f));
	pthread_mutex_lock(&p->puller->lock);
	p->fetch = f;
	pthread_mutex_unlock(&p->puller->lock);
	struct err *e = is_cancelled(p) ? err_new(ERR_CANCELLED, "nobody waits for it any more") : fetch_all(p);

	pthread_mutex_lock(&p->puller->lock);
	p->fetch = NULL;
	pthread_mutex_unlock(&p->puller->lock);
	fetch_stop(f);
	return e;
}

static void *pull_thread(void *arg)
{
	struct pull *p = arg;
	struct puller *all = p->puller;

	set_stage(p, "waiting for other pulls");
	pthread_mutex_lock(&all->lock);
	while (all->running >= all->o.parallel && !p->cancelled)
		pthread_cond_wait(&all->room, &all->lock);
	all->running++;
	pthread_mutex_unlock(&all->lock);
	struct err *e = err_wrap(run(p), "pull %s", p->text);

	pthread_mutex_lock(&all->lock);
	all->running--;
	pthread_cond_broadcast(&all->room);
	p->error = e;
	/* From here on the same reference is a new pull. */
	list_remove(&p->link);
	if (eventfd_write(p->done_fd, 1) < 0)
		log_error("pull %s: eventfd: %s", p->text, strerror(errno));
	pull_unref(p);
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* Lock held. */
static struct pull *find(struct puller *all, const char *key)
{
	list_each(it, &all->pulls) {
		struct pull *p = container_of(it, struct pull, link);

		if (!strcmp(p->key, key) && !p->cancelled)
			return p;
	}
	return NULL;
}

static struct err *start(struct puller *all, const struct pull_request *q, const char *key, struct pull **ret)
{
	struct pull *p = base_alloc(sizeof(*p));
	pthread_t thread;

	list_init(&p->link);
	p->puller = all;
	p->done_fd = eventfd(0, EFD_CLOEXEC);
	p->key = base_strdup(key);
	p->text = base_strdup(q->reference);
	p->started_ns = clock_mono_ns();
	p->has_auth = q->auth != NULL;
	if (q->auth)
		p->auth = (struct fetch_auth){ dup_or_null(q->auth->username), dup_or_null(q->auth->password),
					       dup_or_null(q->auth->auth), dup_or_null(q->auth->identity_token),
					       dup_or_null(q->auth->registry_token) };
	struct err *e = p->done_fd < 0 ? err_errno(errno, "eventfd") : reference_parse(q->reference, &p->ref);

	p->refs = 1; /* the thread's */
	if (!e)
		e = start_thread(&thread, pull_thread, p);
	if (e) {
		pull_free(p);
		return e;
	}
	pthread_detach(thread);
	list_push_back(&all->pulls, &p->link);
	*ret = p;
	return NULL;
}

/* Waits for the end, the deadline or the caller's going away. */
static struct err *wait(struct pull *p, const struct pull_request *q)
{
	for (;;) {
		struct pollfd fds[] = { { p->done_fd, POLLIN, 0 }, { q->cancel_fd, POLLIN, 0 } };
		int n = poll(fds, 2, clock_ms_until(q->deadline_ns));

		if (n < 0 && errno != EINTR)
			return err_errno(errno, "wait for the pull");
		if (fds[0].revents && n > 0)
			return NULL;
		if (fds[1].revents && n > 0)
			return err_new(ERR_CANCELLED, "pull %s: the caller went away while %s", p->text, p->stage);
		if (n == 0 && clock_ms_until(q->deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "pull %s: timed out while %s (%llu of %llu bytes)", p->text,
				       p->stage, (unsigned long long)p->bytes, (unsigned long long)p->total);
	}
}

struct err *puller_pull(struct puller *all, const struct pull_request *q, char ret_id[72])
{
	_free_ char *key = make_key(q);
	struct pull *p;
	struct err *e = NULL;

	pthread_mutex_lock(&all->lock);
	p = find(all, key);
	if (!p)
		e = start(all, q, key, &p);
	if (e) {
		pthread_mutex_unlock(&all->lock);
		return err_wrap(e, "pull %.300s", q->reference);
	}
	p->callers++;
	p->refs++;
	pthread_mutex_unlock(&all->lock);
	e = wait(p, q);
	pthread_mutex_lock(&all->lock);
	if (--p->callers == 0 && e) {
		p->cancelled = true;
		if (p->fetch)
			fetch_cancel(p->fetch);
		pthread_cond_broadcast(&all->room);
	}
	if (!e && p->error)
		e = err_new(err_kind(p->error), "%s", err_text(p->error));
	if (!e)
		memcpy(ret_id, p->id, sizeof(p->id));
	if (q->ret_steps) {
		*q->ret_steps = p->steps;
		q->ret_steps->bytes = p->bytes;
		q->ret_steps->end_ns = clock_mono_ns();
	}
	pull_unref(p);
	pthread_mutex_unlock(&all->lock);
	return e;
}

void puller_layers(struct puller *all, struct strv *ret)
{
	pthread_mutex_lock(&all->lock);
	list_each(it, &all->pulls) {
		struct pull *p = container_of(it, struct pull, link);

		for (size_t i = 0; i < p->layers.len; i++)
			strv_push(ret, p->layers.items[i]);
	}
	pthread_mutex_unlock(&all->lock);
}

size_t puller_progress(struct puller *all, struct pull_progress **ret)
{
	size_t n = 0;

	pthread_mutex_lock(&all->lock);
	list_each(it, &all->pulls)
		n++;
	struct pull_progress *list = base_calloc(n, sizeof(*list));

	n = 0;
	list_each(it, &all->pulls) {
		struct pull *p = container_of(it, struct pull, link);

		list[n++] = (struct pull_progress){ base_strdup(p->text), p->stage, p->bytes, p->total,
						    clock_mono_ns() - p->started_ns };
	}
	pthread_mutex_unlock(&all->lock);
	*ret = list;
	return n;
}
