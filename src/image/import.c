#include "image/import.h"

#include "base/file.h"
#include "base/log.h"
#include "image/import_state.h"
#include "store/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define STACK KIB(128)

/* ---- the table (lock held) -------------------------------------------------------------------- */

struct import_file *importer_find(struct importer *im, const char *path)
{
	list_each(it, &im->files) {
		struct import_file *f = container_of(it, struct import_file, link);

		if (!strcmp(f->r.path, path))
			return f;
	}
	return NULL;
}

struct import_file *importer_add(struct importer *im, struct import_record *r)
{
	struct import_file *f = base_alloc(sizeof(*f));

	f->r = *r;
	*r = (struct import_record){ 0 };
	list_push_back(&im->files, &f->link);
	im->n_files++;
	return f;
}

void importer_drop(struct importer *im, struct import_file *f)
{
	import_record_remove(im->records, f->r.path);
	list_remove(&f->link);
	im->n_files--;
	import_record_done(&f->r);
	free(f);
}

void importer_pin(struct importer *im)
{
	_strv_ struct strv ids = { 0 };

	list_each(it, &im->files) {
		const struct import_file *f = container_of(it, struct import_file, link);

		for (size_t i = 0; i < f->r.images.len; i++)
			strv_push(&ids, f->r.images.items[i]);
	}
	images_set_held(im->o.images, &ids);
}

/* ---- records ---------------------------------------------------------------------------------- */

static bool images_are_here(struct importer *im, const struct import_record *r)
{
	for (size_t i = 0; i < r->images.len; i++) {
		_image_ struct image *image = NULL;
		struct err *e = images_find(im->o.images, r->images.items[i], &image);

		err_free(e);
		if (e)
			return false;
	}
	return true;
}

/* What a record says holds while the file is as it was and its images are here. */
static void take_record(struct importer *im, const char *file)
{
	struct import_record r = { 0 };
	struct err *e = import_record_read(im->records, file, &r);

	if (e || im->n_files == IMPORT_FILES_MAX) {
		log_warn("imports/%s: %s; removed", file, e ? err_text(e) : "one too many");
		err_free(e);
		import_record_done(&r);
		unlinkat(im->records, file, 0);
		return;
	}
	bool here = images_are_here(im, &r);
	struct import_file *f = importer_add(im, &r);

	f->state = f->r.error ? IMPORT_FAILED : IMPORT_OK;
	if (!here)
		f->r.sign = (struct import_sign){ 0 };
}

static struct err *read_records(struct importer *im)
{
	_free_ char *path = base_printf("%s/imports", im->o.root);
	_strv_ struct strv names = { 0 };
	struct dirent *ent;

	TRY(file_open_dir(AT_FDCWD, path, true, 0700, &im->records));
	int copy = openat(im->records, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d)
		return err_errno(errno, "read %s", path);
	while ((ent = readdir(d)))
		if (str_is_hex(ent->d_name, 64))
			strv_push(&names, ent->d_name);
		else if (str_starts(ent->d_name, FILE_TMP_PREFIX))
			unlinkat(im->records, ent->d_name, 0);
	closedir(d);
	for (size_t i = 0; i < names.len; i++)
		take_record(im, names.items[i]);
	return NULL;
}

struct err *importer_start(const struct importer_options *o, struct importer **ret)
{
	struct importer *im = base_alloc(sizeof(*im));

	im->o = *o;
	im->records = im->inotify = im->listener = -1;
	pthread_mutex_init(&im->lock, NULL);
	pthread_cond_init(&im->work, NULL);
	list_init(&im->files);
	list_init(&im->jobs);
	TRY_WRAP(read_records(im), "imports");
	TRY_WRAP(import_watch_open(im), "imports");
	pthread_mutex_lock(&im->lock);
	import_watch_scan(im);
	pthread_mutex_unlock(&im->lock);
	TRY(thread_start(NULL, STACK, import_watch_thread, im));
	TRY(thread_start(NULL, STACK, import_work_thread, im));
	*ret = im;
	return NULL;
}

/* ---- asking ----------------------------------------------------------------------------------- */

size_t importer_list(struct importer *im, struct import_status **ret)
{
	static const char *const words[] = {
		[IMPORT_WAITING] = "waiting", [IMPORT_WORKING] = "importing", [IMPORT_OK] = "imported", [IMPORT_FAILED] = "failed",
	};
	size_t n = 0;

	pthread_mutex_lock(&im->lock);
	struct import_status *list = base_calloc(im->n_files + 1, sizeof(*list));

	list_each(it, &im->files) {
		const struct import_file *f = container_of(it, struct import_file, link);
		struct import_status *s = &list[n++];

		s->path = base_strdup(f->r.path);
		s->state = f->state == IMPORT_WAITING && !f->complete ? "being written" : words[f->state];
		s->error = f->r.error ? base_strdup(f->r.error) : NULL;
		for (size_t i = 0; i < f->r.images.len; i++)
			strv_push(&s->images, f->r.images.items[i]);
	}
	pthread_mutex_unlock(&im->lock);
	*ret = list;
	return n;
}

void import_status_done(struct import_status *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].path);
		free(list[i].error);
		strv_done(&list[i].images);
	}
	free(list);
}
