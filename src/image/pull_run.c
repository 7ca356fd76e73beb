/* One pull, on a thread of its own (pull_state.h). */
#include "image/pull_state.h"

#include "base/clock.h"
#include "base/log.h"
#include "image/documents.h"
#include "image/pull_layer.h"
#include "store/images.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>

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

static bool is_cancelled(struct pull *p)
{
	pthread_mutex_lock(&p->puller->lock);
	bool yes = p->cancelled;

	pthread_mutex_unlock(&p->puller->lock);
	return yes;
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
			.cancel_fd = p->cancel_fd,
			.bytes = &p->bytes,
		};
		uint64_t got = 0;
		struct err *e = pull_layer(&one, &got);

		pthread_mutex_lock(&p->puller->lock);
		p->uncompressed += got;
		if (e && !p->layer_error) {
			p->layer_error = err_wrap(e, "layer %zd of %zu (%.19s)", i + 1, p->manifest->n_layers,
						  blob->digest);
			pull_give_up(p);
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
		e = thread_start(&threads[n], PULL_STACK, layers_thread, p);
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

static struct err *add_names(struct pull *p, const struct images_add *image)
{
	struct images_add add = *image;

	TRY(images_add(p->puller->o.images, &add, p->id));
	for (size_t i = 0; i < MAX(p->tags.len, p->digest_refs.len); i++) {
		add.tag = i < p->tags.len ? p->tags.items[i] : NULL;
		add.digest_ref = i < p->digest_refs.len ? p->digest_refs.items[i] : NULL;
		TRY(images_add(p->puller->o.images, &add, p->id));
	}
	return NULL;
}

static struct err *record(struct pull *p, struct documents *d)
{
	const struct reference *name = p->named.host ? &p->named : &p->ref;
	_free_ char *tag = *name->tag && !*name->digest ? reference_tagged(name) : NULL;
	_free_ char *digest_ref = p->archive ? NULL : reference_digested(name, d->asked_digest);
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
		.pulled_ns = p->puller->o.pulled_ns,
	};

	set_stage(p, "recording");
	return add_names(p, &add);
}

static void expect_layers(struct pull *p, const struct manifest *m)
{
	pthread_mutex_lock(&p->puller->lock);
	for (size_t i = 0; i < m->n_layers; i++)
		strv_push(&p->layers, m->layers[i].digest);
	pthread_mutex_unlock(&p->puller->lock);
}

/* An image that is here may have come with its layers packed otherwise: those will do. Between our looking for it or for
 * a layer and our naming the image a RemoveImage may have taken it: once more, then. */
static struct err *layers_and_record(struct pull *p, struct documents *d, bool here)
{
	if (!here)
		TRY(get_layers(p));
	struct err *e = record(p, d);

	if (!err_is(e, ERR_UNAVAILABLE))
		return e;
	log_info("pull %s: %s", p->text, err_text(e));
	err_free(e);
	p->next = 0;
	TRY(get_layers(p));
	return record(p, d);
}

/* An image that is here needs no blob at all. */
static struct err *get_config(struct pull *p, const struct documents_want *want, struct documents *d, bool *ret_here)
{
	_image_ struct image *here = NULL;
	struct err *e = images_find(p->puller->o.images, d->manifest.config.digest, &here);

	*ret_here = !e && !strcmp(here->id, d->manifest.config.digest);
	if (*ret_here)
		return documents_use_config(want, d, here->config_json, here->config_len);
	err_free(e);
	set_stage(p, "fetching the configuration");
	return documents_get_config(want, d);
}

static struct err *fetch_all(struct pull *p)
{
	_cleanup_(documents_done) struct documents d = { 0 };
	const struct documents_want want = { p->fetch, &p->ref, p->puller->o.progress_timeout_ns, p->puller->o.platform };

	bool here = false;

	set_stage(p, "fetching the manifest");
	TRY(documents_get_manifest(&want, &d));
	expect_layers(p, &d.manifest);
	TRY(get_config(p, &want, &d, &here));
	p->manifest = &d.manifest;
	p->config = &d.config;
	return layers_and_record(p, &d, here);
}

static struct err *start_fetch(struct pull *p, struct fetch **ret)
{
	const struct puller_options *o = &p->puller->o;
	const struct fetch_options fo = {
		.hosts = o->hosts,
		.auth_file = o->auth_file,
		.auth = p->has_auth ? &p->auth : NULL,
		.uid = o->fetch_uid,
	};

	set_stage(p, "starting");
	return fetch_start(&p->ref, &fo, ret);
}

static struct err *run(struct pull *p)
{
	struct fetch *own = NULL;

	if (!p->archive)
		TRY(start_fetch(p, &own));
	pthread_mutex_lock(&p->puller->lock);
	p->fetch = own ? own : p->archive;
	pthread_mutex_unlock(&p->puller->lock);
	struct err *e = is_cancelled(p) ? err_new(ERR_CANCELLED, "nobody waits for it any more") : fetch_all(p);

	pthread_mutex_lock(&p->puller->lock);
	p->fetch = NULL;
	pthread_mutex_unlock(&p->puller->lock);
	fetch_stop(own);
	return e;
}

void *pull_thread(void *arg)
{
	struct pull *p = arg;
	struct puller *all = p->puller;

	set_stage(p, "waiting for other pulls");
	pthread_mutex_lock(&all->lock);
	while (all->running >= all->o.parallel && !p->cancelled)
		pthread_cond_wait(&all->room, &all->lock);
	all->running++;
	pthread_mutex_unlock(&all->lock);
	struct err *e = err_wrap(run(p), "%s %s", p->archive ? "image" : "pull", p->text);

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
