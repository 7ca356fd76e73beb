/* Opening the image store (images.h): what is whole comes into the table, the rest is set aside. */
#include "base/file.h"
#include "base/log.h"
#include "store/images_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void image_set_aside(struct images *im, int store, const char *hex, struct err *e)
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

static void name_set_aside(struct images *im, const char *file, struct err *e)
{
	_free_ char *to = base_printf("%s/name-%s", im->quarantine, file);

	log_error("name file %s: %s; set aside in quarantine", file, err_text(e));
	err_free(e);
	err_ignore(file_make_dirs(im->quarantine, 0700));
	if (renameat(im->stores[0].names, file, AT_FDCWD, to) < 0)
		unlinkat(im->stores[0].names, file, 0);
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
	if (images_by_id(im, id))
		return; /* the same image in two stores counts once */
	struct err *e = images_disk_read(im->stores[store].images, hex, &r, &bytes);

	if (!e)
		e = have_layers(im, &r);
	if (e) {
		image_record_done(&r);
		image_set_aside(im, store, hex, e);
		return;
	}
	struct image_entry *n = base_alloc(sizeof(*n));

	memcpy(n->id, id, sizeof(n->id));
	n->store = store;
	n->record = r;
	n->bytes = bytes;
	list_push_back(&im->all, &n->link);
}

static void take_name(struct images *im, struct image_entry *e, const char *name)
{
	struct image_entry *old = images_by_name(im, name);

	if (old == e)
		return;
	if (old)
		image_drop_name(old, name);
	strv_push(&e->names, name);
}

/* The first baked store that has the name gives it. */
static void admit_baked_name(struct images *im, int store, const char *file)
{
	_free_ char *name = NULL;
	char id[72], over[72];
	struct err *e = names_disk_read(im->stores[store].names, file, &name, id, over);
	struct image_entry *n = e ? NULL : images_by_id(im, id);

	if (e)
		log_warn("name file %s of a read-only store: %s; ignored", file, err_text(e));
	err_free(e);
	if (!n || images_by_baked_name(im, name))
		return;
	strv_push(&n->baked_names, name);
	take_name(im, n, name);
}

/* Ours come last. Where the baked stores say something else than they did when ours was written, the OS image has been
 * updated since: its word is the later one. */
static void admit_own_name(struct images *im, const char *file)
{
	_free_ char *name = NULL;
	char id[72], over[72] = "";
	struct err *e = names_disk_read(im->stores[0].names, file, &name, id, over);
	struct image_entry *n = e ? NULL : images_by_id(im, id), *baked = e ? NULL : images_by_baked_name(im, name);

	if (n && (!baked || baked == n || !strcmp(baked->id, over))) {
		take_name(im, n, name);
		return;
	}
	if (e) {
		name_set_aside(im, file, e);
		return;
	}
	if (n)
		log_info("%s is %.19s now, as the OS image has it, no longer %.19s", name, baked->id, id);
	unlinkat(im->stores[0].names, file, 0);
}

static void admit_name(struct images *im, int store, const char *file)
{
	if (store)
		admit_baked_name(im, store, file);
	else
		admit_own_name(im, file);
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
	/* A link to a baked store is fine: the configuration names it. */
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	e = dir < 0 ? err_errno(errno, "open directory %s", root) : NULL;
	if (!e)
		e = file_open_dir(dir, "images", own, 0700, &s->images);
	if (!e)
		e = file_open_dir(dir, "names", own, 0700, &s->names);
	im->n_stores += !e;
	if (own || !e)
		return e;
	base_close_p(&s->images);
	*s = (struct store_dirs){ -1, -1 };
	if (!err_is(e, ERR_NOT_FOUND))
		log_error("image store %s: %s; ignored", root, err_text(e));
	err_free(e);
	return NULL;
}

static struct err *scan(struct images *im, int store)
{
	TRY(each_file(im->stores[store].images, im, store, admit));
	return each_file(im->stores[store].names, im, store, admit_name);
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
		int store = (int)(i % im->n_stores);

		e = scan(im, store);
		if (e && store) {
			log_error("read-only image store: %s; what is left of it is ignored", err_text(e));
			err_free(TAKE(e));
		}
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
		image_entry_free(container_of(it, struct image_entry, link));
	for (size_t i = 0; i < im->n_stores; i++) {
		base_close_p(&im->stores[i].images);
		base_close_p(&im->stores[i].names);
	}
	free(im->stores);
	strv_done(&im->pinned);
	strv_done(&im->held);
	free(im->quarantine);
	pthread_mutex_destroy(&im->lock);
	free(im);
}
