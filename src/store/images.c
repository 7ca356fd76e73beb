#include "store/images.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sha256.h"
#include "store/images_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct entry {
	struct list link;
	char id[DIGEST_TEXT_LEN + 1];
	int store;                  /* 0: our own, else a baked one */
	struct image_record record;
	uint64_t bytes;             /* manifest and configuration */
	struct strv names;          /* tags and digest references, as stored */
};

struct store_dirs {
	int images, names;
};

struct images {
	pthread_mutex_t lock;
	struct list all;
	struct layers *layers;
	struct store_dirs *stores;
	size_t n_stores;
	struct strv pinned;
	char *quarantine;
};

/* ---- the table (lock held) ------------------------------------------------------------------- */

static struct entry *by_id(struct images *im, const char *id)
{
	list_each(it, &im->all) {
		struct entry *e = container_of(it, struct entry, link);

		if (!strcmp(e->id, id))
			return e;
	}
	return NULL;
}

static struct entry *by_name(struct images *im, const char *name)
{
	list_each(it, &im->all) {
		struct entry *e = container_of(it, struct entry, link);

		if (strv_has(&e->names, name))
			return e;
	}
	return NULL;
}

/* "sha256:HEX", "HEX" or a prefix of at least 4 digits that fits one image only. */
static struct entry *by_prefix(struct images *im, const char *ref)
{
	struct entry *hit = NULL;
	const char *hex = str_starts(ref, "sha256:") ? ref + strlen("sha256:") : ref;
	size_t n = strlen(hex);

	if (n < 4 || n > 64 || hex[strspn(hex, "0123456789abcdef")])
		return NULL;
	list_each(it, &im->all) {
		struct entry *e = container_of(it, struct entry, link);

		if (strncmp(e->id + strlen("sha256:"), hex, n))
			continue;
		if (hit)
			return NULL;
		hit = e;
	}
	return hit;
}

static struct entry *look_up(struct images *im, const char *ref)
{
	struct entry *e = by_name(im, ref);

	return e ? e : by_prefix(im, ref);
}

static void drop_name(struct entry *e, const char *name)
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

static void entry_free(struct entry *e)
{
	list_remove(&e->link);
	image_record_done(&e->record);
	strv_done(&e->names);
	free(e);
}

static bool pinned_name(const struct images *im, const char *name)
{
	for (size_t i = 0; i < im->pinned.len; i++) {
		const char *p = im->pinned.items[i];
		size_t n = strlen(p);

		if (n && p[n - 1] == '*' ? !strncmp(p, name, n - 1) : !strcmp(p, name))
			return true;
	}
	return false;
}

static struct image *copy_out(struct images *im, const struct entry *e)
{
	struct image *i = base_alloc(sizeof(*i));

	snprintf(i->id, sizeof(i->id), "%s", e->id);
	i->pinned = e->store > 0;
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

/* ---- opening --------------------------------------------------------------------------------- */

static void set_aside(struct images *im, int store, const char *hex, struct err *e)
{
	_free_ char *to = base_printf("%s/image-%s", im->quarantine, hex);

	log_error("image %.12s: %s; %s", hex, err_text(e), store ? "ignored" : "set aside in quarantine");
	err_free(e);
	if (store)
		return;
	err_ignore(file_make_dirs(im->quarantine, 0700));
	if (renameat(im->stores[0].images, hex, AT_FDCWD, to) < 0)
		err_ignore(file_remove_tree(im->stores[0].images, hex));
}

static struct err *have_layers(struct images *im, const struct image_record *r)
{
	for (size_t i = 0; i < r->layers.len; i++)
		if (!layers_have(im->layers, r->layers.items[i]))
			return err_new(ERR_CORRUPT, "layer %s is missing", r->layers.items[i]);
	return NULL;
}

static void admit(struct images *im, int store, const char *hex)
{
	struct image_record r = { 0 };
	uint64_t bytes = 0;
	char id[DIGEST_TEXT_LEN + 1];

	snprintf(id, sizeof(id), "sha256:%s", hex);
	if (by_id(im, id))
		return; /* the same image in two stores counts once */
	struct err *e = images_disk_read(im->stores[store].images, hex, &r, &bytes);

	if (!e)
		e = have_layers(im, &r);
	if (e) {
		image_record_done(&r);
		set_aside(im, store, hex, e);
		return;
	}
	struct entry *n = base_alloc(sizeof(*n));

	memcpy(n->id, id, sizeof(n->id));
	n->store = store;
	n->record = r;
	n->bytes = bytes;
	list_push_back(&im->all, &n->link);
}

static void admit_name(struct images *im, int store, const char *file)
{
	_free_ char *name = NULL;
	char id[72];
	struct err *e = names_disk_read(im->stores[store].names, file, &name, id);
	struct entry *n = e ? NULL : by_id(im, id);

	/* Our own names come last and may move a baked tag to a newer image. */
	if (n) {
		struct entry *old = by_name(im, name);

		if (old)
			drop_name(old, name);
		strv_push(&n->names, name);
		return;
	}
	if (e)
		log_warn("name file %s: %s; removed", file, err_text(e));
	err_free(e);
	if (store == 0)
		unlinkat(im->stores[0].names, file, 0);
}

static struct err *each_file(int dir, struct images *im, int store, void (*take)(struct images *, int, const char *))
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	_strv_ struct strv names = { 0 };
	struct dirent *ent;

	if (!d)
		return err_errno(errno, "read directory");
	while ((ent = readdir(d)))
		if (str_is_hex(ent->d_name, 64))
			strv_push(&names, ent->d_name);
		else if (store == 0 && str_starts(ent->d_name, FILE_TMP_PREFIX))
			err_ignore(file_remove_tree(dir, ent->d_name));
	closedir(d);
	for (size_t i = 0; i < names.len; i++)
		take(im, store, names.items[i]);
	return NULL;
}

static struct err *open_store(struct images *im, const char *root, bool own)
{
	_close_ int dir = -1;
	struct store_dirs *s = &im->stores[im->n_stores];
	struct err *e;

	if (own)
		TRY(file_make_dirs(root, 0711));
	e = file_open_dir(AT_FDCWD, root, false, 0, &dir);
	if (!e)
		e = file_open_dir(dir, "images", own, 0700, &s->images);
	if (!e)
		e = file_open_dir(dir, "names", own, 0700, &s->names);
	if (!own && err_is(e, ERR_NOT_FOUND)) {
		base_close_p(&s->images);
		err_free(e);
		return NULL;
	}
	im->n_stores += !e;
	return e;
}

struct err *images_open(const struct images_options *o, struct layers *l, struct images **ret)
{
	struct images *im = base_alloc(sizeof(*im));
	size_t n = 0;
	struct err *e;

	while (o->baked && o->baked[n])
		n++;
	pthread_mutex_init(&im->lock, NULL);
	list_init(&im->all);
	im->layers = l;
	im->stores = base_calloc(n + 1, sizeof(*im->stores));
	for (size_t i = 0; i <= n; i++)
		im->stores[i] = (struct store_dirs){ -1, -1 };
	im->quarantine = base_printf("%s/quarantine", o->root);
	for (size_t i = 0; o->pinned && o->pinned[i]; i++)
		strv_push(&im->pinned, o->pinned[i]);
	e = open_store(im, o->root, true);
	for (size_t i = 0; !e && i < n; i++)
		e = open_store(im, o->baked[i], false);
	/* Baked stores first, our own (index 0) last. */
	for (size_t i = 1; !e && i <= im->n_stores; i++) {
		size_t store = i % im->n_stores;

		e = each_file(im->stores[store].images, im, (int)store, admit);
		if (!e)
			e = each_file(im->stores[store].names, im, (int)store, admit_name);
	}
	if (e) {
		images_close(im);
		return err_wrap(e, "image store");
	}
	*ret = im;
	return NULL;
}

void images_close(struct images *im)
{
	if (!im)
		return;
	list_each(it, &im->all)
		entry_free(container_of(it, struct entry, link));
	for (size_t i = 0; i < im->n_stores; i++) {
		base_close_p(&im->stores[i].images);
		base_close_p(&im->stores[i].names);
	}
	free(im->stores);
	strv_done(&im->pinned);
	free(im->quarantine);
	pthread_mutex_destroy(&im->lock);
	free(im);
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct err *images_find(struct images *im, const char *ref, struct image **ret)
{
	_image_ struct image *copy = NULL;
	_buf_ struct buf config = BUF_INIT;
	int store = 0;

	pthread_mutex_lock(&im->lock);
	struct entry *e = look_up(im, ref);

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
		list[n++] = copy_out(im, container_of(it, struct entry, link));
	pthread_mutex_unlock(&im->lock);
	*ret = list;
	*ret_n = n;
	return NULL;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* Lock held. On disk first, then in the table; the file of a moved name is replaced, not removed. */
static struct err *give_name(struct images *im, struct entry *e, const char *name)
{
	struct entry *old;

	if (!name || strv_has(&e->names, name))
		return NULL;
	TRY(names_disk_write(im->stores[0].names, name, e->id));
	old = by_name(im, name);
	if (old)
		drop_name(old, name);
	strv_push(&e->names, name);
	return NULL;
}

static struct err *add_entry(struct images *im, const struct images_add *a, const char *id, struct entry **ret)
{
	struct entry *e = by_id(im, id);

	*ret = e;
	if (e)
		return NULL;
	int64_t now = clock_wall_ns();

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
	struct entry *entry = NULL;
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

static void keep_layers(struct images *im, const struct strv *in_use, struct strv *ret)
{
	for (size_t i = 0; in_use && i < in_use->len; i++)
		strv_push(ret, in_use->items[i]);
	list_each(it, &im->all) {
		struct entry *e = container_of(it, struct entry, link);

		for (size_t i = 0; i < e->record.layers.len; i++)
			strv_push(ret, e->record.layers.items[i]);
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

/* Names first, then the directory: a cut in between leaves an image without names, which RemoveImage by ID
 * still removes. */
static struct err *remove_entry(struct images *im, struct entry *e)
{
	if (e->store)
		return err_new(ERR_PRECONDITION, "image %.19s is part of the OS image (a read-only store): it cannot be removed",
			       e->id);
	for (size_t i = 0; i < e->names.len; i++)
		names_disk_remove(im->stores[0].names, e->names.items[i]);
	TRY(file_remove_tree(im->stores[0].images, e->id + strlen("sha256:")));
	entry_free(e);
	return NULL;
}

struct err *images_remove(struct images *im, const char *ref, const struct strv *layers_in_use)
{
	pthread_mutex_lock(&im->lock);
	struct entry *entry = look_up(im, ref);
	struct err *e = entry ? remove_entry(im, entry) : NULL;

	pthread_mutex_unlock(&im->lock);
	if (!e && entry)
		images_sweep(im, layers_in_use);
	return e;
}
