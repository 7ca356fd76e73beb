/* The working thread: one archive after another into the store (import.h). */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "image/archive_images.h"
#include "image/import_protocol.h"
#include "image/import_state.h"
#include "store/images.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void import_job_free(struct import_job *j)
{
	base_close_p(&j->fd);
	base_close_p(&j->sock);
	free(j->path);
	free(j->name);
	free(j->pick);
	free(j);
}

/* ---- handed over ------------------------------------------------------------------------------ */

static struct err *tell_image(void *ctx, const char *id, const char *const *tags)
{
	const struct import_job *j = ctx;
	_free_ struct message *m = base_alloc(sizeof(*m));

	message_init(m, IMPORT_IMAGE, 0);
	message_put_str(m, IMPORT_TAG_ID, id);
	for (size_t i = 0; tags[i]; i++)
		message_put_str(m, IMPORT_TAG_NAME, tags[i]);
	/* Who asked may be gone: what was asked for is done all the same. */
	err_ignore(message_send(j->sock, m));
	return NULL;
}

static void do_job(struct importer *im, struct import_job *j)
{
	_free_ struct message *m = base_alloc(sizeof(*m));
	const struct archive_take take = {
		.puller = im->o.puller,
		.uid = im->o.uid,
		.pick = j->pick,
		.name = j->name,
		.go_on = true,
		.on_image = tell_image,
		.ctx = j,
	};
	struct err *e = archive_take_images(j->fd, &take);

	if (e)
		log_warn("import %s: %s", j->path, err_text(e));
	else
		log_info("import %s: done", j->path);
	message_init(m, IMPORT_DONE, 0);
	if (e)
		message_put_err(m, e);
	err_ignore(message_send(j->sock, m));
	err_free(e);
}

/* ---- of a watched directory ------------------------------------------------------------------- */

struct work {
	struct importer *im;
	struct import_file *file;       /* stays while it is IMPORT_WORKING */
	struct strv images;
};

/* Pinned as it comes: whatever collects images shall not be faster. */
static struct err *note_image(void *ctx, const char *id, const char *const *tags)
{
	struct work *w = ctx;

	log_info("import %s: %.19s %s", w->file->r.path, id, tags[0] ? tags[0] : "(no name: only its ID)");
	strv_push(&w->images, id);
	pthread_mutex_lock(&w->im->lock);
	strv_push(&w->file->r.images, id);
	importer_pin(w->im);
	pthread_mutex_unlock(&w->im->lock);
	return NULL;
}

/* An image that a list names: here, or pulled. */
static struct err *take_name(struct work *w, const char *name)
{
	_reference_ struct reference ref = { 0 };
	_image_ struct image *image = NULL;
	char id[72];

	TRY(reference_parse(name, &ref));
	_free_ char *stored = *ref.digest ? reference_digested(&ref, ref.digest) : reference_tagged(&ref);
	struct err *e = images_find(w->im->o.images, stored, &image);

	if (err_is(e, ERR_NOT_FOUND)) {
		const struct pull_request q = { .reference = name, .deadline_ns = CLOCK_NEVER, .cancel_fd = -1 };

		err_free(e);
		TRY(puller_pull(w->im->o.puller, &q, id));
	} else {
		TRY(e);
		memcpy(id, image->id, sizeof(id));
	}
	return note_image(w, id, (const char *const[]){ stored, NULL });
}

/* The first error is told; the other lines count. */
static struct err *take_list(struct work *w, int fd)
{
	_buf_ struct buf text = BUF_INIT;
	struct err *first = NULL;
	char *save = NULL;
	size_t n = 0;

	TRY(file_read_fd(fd, IMPORT_LIST_MAX, &text));
	if (!text.len || memchr(text.data, '\0', text.len))
		return err_new(ERR_INVALID, "not a list of images");
	for (char *line = strtok_r(text.data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		line += strspn(line, " \t");
		line[strcspn(line, " \t")] = '\0';
		if (!*line || *line == '#')
			continue;
		struct err *e = ++n > IMPORT_NAMES_MAX ? err_new(ERR_EXHAUSTED, "more than %d images", IMPORT_NAMES_MAX)
						       : take_name(w, line);

		if (first)
			err_free(e);
		else
			first = e;
		if (n > IMPORT_NAMES_MAX)
			break;
	}
	return first;
}

static struct err *take_file(struct work *w, const char *path, int fd)
{
	const struct archive_take take = {
		.puller = w->im->o.puller,
		.uid = w->im->o.uid,
		.go_on = true,
		.on_image = note_image,
		.ctx = w,
	};

	return str_ends(path, ".txt") ? take_list(w, fd) : archive_take_images(fd, &take);
}

/* What the file itself is the cause of will be no better the next time. */
static bool is_the_files_fault(const struct err *e)
{
	return err_is(e, ERR_INVALID) || err_is(e, ERR_CORRUPT) || err_is(e, ERR_UNIMPLEMENTED) || err_is(e, ERR_NOT_FOUND);
}

/* Lock held. */
static void settle(struct work *w, const struct import_sign *sign, const struct err *e)
{
	struct import_file *f = w->file;

	strv_done(&f->r.images);
	f->r.images = w->images;
	w->images = (struct strv){ 0 };
	f->r.sign = *sign;
	free(f->r.error);
	f->r.error = e ? base_strdup(err_text(e)) : NULL;
	f->state = e ? IMPORT_FAILED : IMPORT_OK;
	if (e && !is_the_files_fault(e)) {
		import_record_remove(w->im->records, f->r.path);
	} else {
		struct err *bad = import_record_write(w->im->records, &f->r);

		if (bad)
			log_warn("import %s: %s", f->r.path, err_text(bad));
		err_free(bad);
	}
	importer_pin(w->im);
}

static void do_file(struct importer *im, struct import_file *f)
{
	struct work w = { .im = im, .file = f };
	_close_ int fd = -1, again = -1;
	struct import_sign sign = { 0 }, after = { 0 };
	struct err *e = import_open_file(f->r.path, &fd, &sign);

	if (!e && fd >= 0)
		e = take_file(&w, f->r.path, fd);
	bool taken = e || fd >= 0;
	struct err *lost = import_open_file(f->r.path, &again, &after);
	/* Changed meanwhile: once more, if it is whole now; if not, its writer's end is heard of. */
	bool same = taken && import_sign_eq(&sign, &after) && (again >= 0 || lost);

	err_free(lost);
	if (e && same)
		log_error("import %s: %s", f->r.path, err_text(e));
	pthread_mutex_lock(&im->lock);
	f->state = IMPORT_WAITING;
	f->complete = again >= 0;
	if (f->gone)
		importer_drop(im, f);
	else if (same)
		settle(&w, &sign, e);
	importer_pin(im);
	pthread_mutex_unlock(&im->lock);
	strv_done(&w.images);
	err_free(e);
}

/* ---- the thread ------------------------------------------------------------------------------- */

/* Lock held. */
static struct import_file *next_file(struct importer *im)
{
	list_each(it, &im->files) {
		struct import_file *f = container_of(it, struct import_file, link);

		if (f->state == IMPORT_WAITING && f->complete)
			return f;
	}
	return NULL;
}

void *import_work_thread(void *arg)
{
	struct importer *im = arg;

	for (;;) {
		struct import_job *job = NULL;
		struct import_file *file = NULL;

		pthread_mutex_lock(&im->lock);
		while (list_empty(&im->jobs) && !(file = next_file(im)))
			pthread_cond_wait(&im->work, &im->lock);
		if (!list_empty(&im->jobs)) {
			job = container_of(im->jobs.next, struct import_job, link);
			list_remove(&job->link);
			im->n_jobs--;
		} else {
			file->state = IMPORT_WORKING;
		}
		pthread_mutex_unlock(&im->lock);
		if (job) {
			do_job(im, job);
			import_job_free(job);
		} else {
			do_file(im, file);
		}
	}
	return NULL;
}
