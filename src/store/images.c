#include "store/images.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "store/images_state.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* ---- the table (lock held) ------------------------------------------------------------------- */

struct image_entry *images_by_id(struct images *im, const char *id)
{
	list_each(it, &im->all) {
		struct image_entry *e = container_of(it, struct image_entry, link);

		if (!strcmp(e->id, id))
			return e;
	}
	return NULL;
}

struct image_entry *images_by_name(struct images *im, const char *name)
{
	list_each(it, &im->all) {
		struct image_entry *e = container_of(it, struct image_entry, link);

		if (strv_has(&e->names, name))
			return e;
	}
	return NULL;
}

struct image_entry *images_by_baked_name(struct images *im, const char *name)
{
	list_each(it, &im->all) {
		struct image_entry *e = container_of(it, struct image_entry, link);

		if (strv_has(&e->baked_names, name))
			return e;
	}
	return NULL;
}

/* "sha256:HEX", "HEX" or a prefix of at least 4 digits that fits one image only. */
static struct image_entry *by_prefix(struct images *im, const char *ref)
{
	struct image_entry *hit = NULL;
	const char *hex = str_starts(ref, "sha256:") ? ref + strlen("sha256:") : ref;
	size_t n = strlen(hex);

	if (n < 4 || n > 64 || hex[strspn(hex, "0123456789abcdef")])
		return NULL;
	list_each(it, &im->all) {
		struct image_entry *e = container_of(it, struct image_entry, link);

		if (strncmp(e->id + strlen("sha256:"), hex, n))
			continue;
		if (hit)
			return NULL;
		hit = e;
	}
	return hit;
}

static struct image_entry *look_up(struct images *im, const char *ref)
{
	struct image_entry *e = images_by_name(im, ref);

	return e ? e : by_prefix(im, ref);
}

void image_drop_name(struct image_entry *e, const char *name)
{
	for (size_t i = 0; i < e->names.len; i++)
		if (!strcmp(e->names.items[i], name)) {
			free(e->names.items[i]);
			memmove(e->names.items + i, e->names.items + i + 1,
				(e->names.len - i) * sizeof(*e->names.items));
			e->names.len--;
			return;
		}
}

void image_entry_free(struct image_entry *e)
{
	list_remove(&e->link);
	image_record_done(&e->record);
	strv_done(&e->names);
	strv_done(&e->baked_names);
	free(e);
}

void images_set_pinned(struct images *im, const char *const *pinned)
{
	pthread_mutex_lock(&im->lock);
	strv_done(&im->pinned);
	for (size_t i = 0; pinned && pinned[i]; i++)
		strv_push(&im->pinned, pinned[i]);
	pthread_mutex_unlock(&im->lock);
}

void images_set_held(struct images *im, const struct strv *ids)
{
	pthread_mutex_lock(&im->lock);
	strv_done(&im->held);
	for (size_t i = 0; i < ids->len; i++)
		strv_push(&im->held, ids->items[i]);
	pthread_mutex_unlock(&im->lock);
}

static bool pinned_name(const struct images *im, const char *name)
{
	for (size_t i = 0; i < im->pinned.len; i++)
		if (!fnmatch(im->pinned.items[i], name, FNM_NOESCAPE))
			return true;
	return false;
}

static struct image *copy_out(struct images *im, const struct image_entry *e)
{
	struct image *i = base_alloc(sizeof(*i));

	snprintf(i->id, sizeof(i->id), "%s", e->id);
	i->pinned = e->store > 0 || strv_has(&im->held, e->id);
	i->size = e->bytes;
	i->pulled_ns = e->record.pulled_ns;
	i->manifest_digest = base_strdup(e->record.manifest_digest);
	i->user = base_strdup(e->record.user);
	for (size_t k = 0; k < e->names.len; k++) {
		const char *name = e->names.items[k];

		strv_push(strchr(name, '@') ? &i->digests : &i->tags, name);
		i->pinned = i->pinned || pinned_name(im, name);
	}
	for (size_t k = 0; k < e->record.layers.len; k++) {
		strv_push(&i->layers, e->record.layers.items[k]);
		i->size += layers_size(im->layers, e->record.layers.items[k]);
	}
	return i;
}

void image_free(struct image *i)
{
	if (!i)
		return;
	strv_done(&i->tags);
	strv_done(&i->digests);
	strv_done(&i->layers);
	free(i->manifest_digest);
	free(i->user);
	free(i->config_json);
	free(i);
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct err *images_find(struct images *im, const char *ref, struct image **ret)
{
	_image_ struct image *copy = NULL;
	_buf_ struct buf config = BUF_INIT;
	int store = 0;

	pthread_mutex_lock(&im->lock);
	struct image_entry *e = look_up(im, ref);

	if (e) {
		copy = copy_out(im, e);
		store = e->store;
	}
	pthread_mutex_unlock(&im->lock);
	if (!copy)
		return err_new(ERR_NOT_FOUND, "image \"%.200s\" is not on this node", ref);
	TRY_WRAP(images_disk_config(im->stores[store].images, copy->id + strlen("sha256:"), &config), "image %.19s",
		 copy->id);
	copy->config_len = config.len;
	copy->config_json = buf_take(&config);
	*ret = TAKE(copy);
	return NULL;
}

struct err *images_list(struct images *im, struct image ***ret, size_t *ret_n)
{
	size_t n = 0;

	pthread_mutex_lock(&im->lock);
	list_each(it, &im->all)
		n++;
	struct image **list = base_calloc(n + 1, sizeof(*list));

	n = 0;
	list_each(it, &im->all)
		list[n++] = copy_out(im, container_of(it, struct image_entry, link));
	pthread_mutex_unlock(&im->lock);
	*ret = list;
	*ret_n = n;
	return NULL;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* Lock held. On disk first, then in the table; the file of a moved name is replaced, not removed. */
static struct err *give_name(struct images *im, struct image_entry *e, const char *name)
{
	struct image_entry *old;

	if (!name || strv_has(&e->names, name))
		return NULL;
	old = images_by_baked_name(im, name);
	TRY(names_disk_write(im->stores[0].names, name, e->id, old ? old->id : NULL));
	old = images_by_name(im, name);
	if (old)
		image_drop_name(old, name);
	strv_push(&e->names, name);
	return NULL;
}

static struct err *add_entry(struct images *im, const struct images_add *a, const char *id, struct image_entry **ret)
{
	struct image_entry *e = images_by_id(im, id);

	*ret = e;
	if (e)
		return NULL;
	for (size_t i = 0; i < a->layers->len; i++)
		if (!layers_have(im->layers, a->layers->items[i]))
			return err_new(ERR_UNAVAILABLE, "layer %s was removed in the meantime", a->layers->items[i]);
	int64_t now = a->pulled_ns ? a->pulled_ns : clock_wall_ns();

	TRY(images_disk_write(im->stores[0].images, id + strlen("sha256:"), a, now));
	e = base_alloc(sizeof(*e));
	snprintf(e->id, sizeof(e->id), "%s", id);
	e->bytes = a->manifest_len + a->config_len;
	e->record.manifest_digest = base_strdup(a->manifest_digest);
	e->record.user = base_strdup(a->user ? a->user : "");
	e->record.pulled_ns = now;
	for (size_t i = 0; i < a->layers->len; i++)
		strv_push(&e->record.layers, a->layers->items[i]);
	list_push_back(&im->all, &e->link);
	*ret = e;
	return NULL;
}

/* The lock is held across the few fsyncs: pulls end one at a time, lists wait some milliseconds. */
struct err *images_add(struct images *im, const struct images_add *a, char ret_id[72])
{
	struct image_entry *entry = NULL;
	char id[DIGEST_TEXT_LEN + 1];

	sha256_text(a->config, a->config_len, id);
	pthread_mutex_lock(&im->lock);
	struct err *e = add_entry(im, a, id, &entry);

	if (!e)
		e = give_name(im, entry, a->digest_ref);
	if (!e)
		e = give_name(im, entry, a->tag);
	pthread_mutex_unlock(&im->lock);
	if (e)
		return e;
	snprintf(ret_id, 72, "%s", id);
	return NULL;
}

/* Of the images, then of their users. */
static void keep_layers(struct images *im, const struct strv *in_use, struct strv *ret)
{
	list_each(it, &im->all) {
		struct image_entry *e = container_of(it, struct image_entry, link);

		for (size_t i = 0; i < e->record.layers.len; i++)
			strv_push(ret, e->record.layers.items[i]);
	}
	im->owes_sweep = false;
	for (size_t i = 0; in_use && i < in_use->len; i++) {
		if (strv_has(ret, in_use->items[i]))
			continue;
		im->owes_sweep = true;
		strv_push(ret, in_use->items[i]);
	}
}

void images_sweep(struct images *im, const struct strv *layers_in_use)
{
	_strv_ struct strv keep = { 0 };

	pthread_mutex_lock(&im->lock);
	keep_layers(im, layers_in_use, &keep);
	uint64_t freed = layers_sweep(im->layers, &keep);

	pthread_mutex_unlock(&im->lock);
	if (freed)
		log_info("removed layers that nothing needs: %llu bytes", (unsigned long long)freed);
}

bool images_owe_sweep(struct images *im)
{
	pthread_mutex_lock(&im->lock);
	bool owes = im->owes_sweep;

	pthread_mutex_unlock(&im->lock);
	return owes;
}

/* Names that our own image had taken from a baked one are that one's again. */
static void give_back(struct images *im, const struct strv *names)
{
	for (size_t i = 0; i < names->len; i++) {
		struct image_entry *baked = images_by_baked_name(im, names->items[i]);

		if (baked && !strv_has(&baked->names, names->items[i]))
			strv_push(&baked->names, names->items[i]);
	}
}

/* Names first, then the directory: a cut in between leaves an image without names, which RemoveImage by ID
 * still removes. */
static struct err *remove_entry(struct images *im, struct image_entry *e)
{
	if (e->store)
		return err_new(ERR_PRECONDITION, "image %.19s is part of the OS image (a read-only store): it cannot be removed",
			       e->id);
	for (size_t i = 0; i < e->names.len; i++)
		names_disk_remove(im->stores[0].names, e->names.items[i]);
	TRY(images_disk_remove(im->stores[0].images, e->id + strlen("sha256:")));
	_strv_ struct strv names = e->names;

	e->names = (struct strv){ 0 };
	image_entry_free(e);
	give_back(im, &names);
	return NULL;
}

struct err *images_remove(struct images *im, const char *ref, const struct strv *layers_in_use)
{
	pthread_mutex_lock(&im->lock);
	struct image_entry *entry = look_up(im, ref);
	struct err *e = entry ? remove_entry(im, entry) : NULL;

	pthread_mutex_unlock(&im->lock);
	if (!e && entry)
		images_sweep(im, layers_in_use);
	return e;
}
