#include "cri/failures.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "cri/pack.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#define TEXT_MAX 768    /* bytes of one text that are kept */

static const char *const names[FAILURE_TEXTS] = {
	[FAILURE_METHOD] = "method",	     [FAILURE_KIND] = "kind",	[FAILURE_SUBJECT] = "subject",
	[FAILURE_POD_ID] = "podId",	     [FAILURE_POD] = "pod",	[FAILURE_NAMESPACE] = "namespace",
	[FAILURE_CONTAINER] = "container", [FAILURE_STAGE] = "stage", [FAILURE_ERROR] = "error",
};

struct failure {
	char *text[FAILURE_TEXTS];          /* "" where not known */
	int64_t at_ns, first_ns, took_ns;
	uint64_t count;
};

struct failures {
	pthread_mutex_t lock;
	char *path;
	struct failure list[FAILURES_MAX];  /* oldest first */
	size_t n, lines;                    /* lines: of the file */
};

static void failure_done(struct failure *x)
{
	for (int i = 0; i < FAILURE_TEXTS; i++)
		free(x->text[i]);
}

static struct failure take_out(struct failures *f, size_t i)
{
	struct failure x = f->list[i];

	memmove(&f->list[i], &f->list[i + 1], (--f->n - i) * sizeof(x));
	return x;
}

static bool same(const struct failure *a, const struct failure *b)
{
	for (int i = 0; i < FAILURE_TEXTS; i++)
		if (strcmp(a->text[i], b->text[i]))
			return false;
	return true;
}

/* Takes *x* over. */
static void add(struct failures *f, struct failure x)
{
	for (size_t i = 0; i < f->n; i++) {
		if (!same(&f->list[i], &x))
			continue;
		struct failure old = take_out(f, i);

		x.first_ns = old.first_ns;
		x.count += old.count;
		failure_done(&old);
		break;
	}
	if (f->n == FAILURES_MAX) {
		struct failure oldest = take_out(f, 0);

		failure_done(&oldest);
	}
	f->list[f->n++] = x;
}

/* At most TEXT_MAX bytes; what is no text (a plugin's output) is marked, since JSON would refuse it. */
static char *keep_text(const char *s)
{
	size_t left = s ? strnlen(s, TEXT_MAX) : 0;
	struct buf b = BUF_INIT;

	while (left > 0) {
		size_t good = pack_text_len(s, left);

		buf_append(&b, s, good);
		if (good < left)
			buf_putc(&b, '?');
		good += good < left;
		s += good;
		left -= good;
	}
	return buf_take(&b);
}

static void add_time(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, int64_t wall_ns)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(wall_ns, text);
	yyjson_mut_obj_add_strcpy(doc, o, key, text);
}

static void add_texts(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct failure *x)
{
	for (int i = 0; i < FAILURE_TEXTS; i++)
		if (*x->text[i])
			yyjson_mut_obj_add_strcpy(doc, o, names[i], x->text[i]);
}

/* For people: times as RFC 3339, seconds. */
static yyjson_mut_val *tree(yyjson_mut_doc *doc, const struct failure *x)
{
	yyjson_mut_val *o = yyjson_mut_obj(doc);

	add_time(doc, o, "time", x->at_ns);
	add_texts(doc, o, x);
	yyjson_mut_obj_add_real(doc, o, "seconds", (double)(x->took_ns / 1000) / 1e6);
	if (x->count > 1) {
		yyjson_mut_obj_add_uint(doc, o, "count", x->count);
		add_time(doc, o, "first", x->first_ns);
	}
	return o;
}

/* For the file: nanoseconds. */
static yyjson_mut_val *exact_tree(yyjson_mut_doc *doc, const struct failure *x)
{
	yyjson_mut_val *o = yyjson_mut_obj(doc);

	yyjson_mut_obj_add_int(doc, o, "time", x->at_ns);
	yyjson_mut_obj_add_int(doc, o, "first", x->first_ns);
	yyjson_mut_obj_add_uint(doc, o, "count", x->count);
	yyjson_mut_obj_add_int(doc, o, "took", x->took_ns);
	add_texts(doc, o, x);
	return o;
}

static void put_line(const struct failure *x, struct buf *ret)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	_free_ char *line = yyjson_mut_val_write(exact_tree(doc, x), YYJSON_WRITE_NOFLAG, NULL);

	yyjson_mut_doc_free(doc);
	if (line) /* text that is no UTF-8 is not written */
		buf_printf(ret, "%s\n", line);
}

static void read_line(struct failures *f, const char *line, size_t n)
{
	yyjson_doc *doc = yyjson_read(line, n, YYJSON_READ_NOFLAG);
	yyjson_val *o = yyjson_doc_get_root(doc);
	struct failure x = { .at_ns = yyjson_get_sint(yyjson_obj_get(o, "time")),
			     .first_ns = yyjson_get_sint(yyjson_obj_get(o, "first")),
			     .took_ns = yyjson_get_sint(yyjson_obj_get(o, "took")),
			     .count = yyjson_get_uint(yyjson_obj_get(o, "count")) };

	if (yyjson_is_obj(o) && yyjson_obj_get(o, "method")) {
		for (int i = 0; i < FAILURE_TEXTS; i++)
			x.text[i] = keep_text(yyjson_get_str(yyjson_obj_get(o, names[i])));
		add(f, x);
	}
	yyjson_doc_free(doc);
}

struct failures *failures_open(const char *path)
{
	struct failures *f = base_alloc(sizeof(*f));
	_buf_ struct buf text = BUF_INIT;

	pthread_mutex_init(&f->lock, NULL);
	f->path = base_strdup(path);
	err_ignore(file_read_at(AT_FDCWD, path, FAILURES_FILE_MAX, &text));
	for (const char *p = buf_text(&text); *p;) {
		size_t n = strcspn(p, "\n");

		read_line(f, p, n);
		f->lines++;
		p += n + (p[n] == '\n');
	}
	/* There from the start: what is new in the directory is then somebody's leak. */
	_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return f;
}

void failures_free(struct failures *f)
{
	if (!f)
		return;
	while (f->n) {
		struct failure x = take_out(f, f->n - 1);

		failure_done(&x);
	}
	pthread_mutex_destroy(&f->lock);
	free(f->path);
	free(f);
}

/* One line more, or all of them anew where the file holds too much that is over. */
static struct err *store(struct failures *f, const struct failure *x)
{
	_buf_ struct buf b = BUF_INIT;

	if (f->lines >= (size_t)2 * FAILURES_MAX) {
		for (size_t i = 0; i < f->n; i++)
			put_line(&f->list[i], &b);
		put_line(x, &b);
		f->lines = f->n + 1;
		return file_replace_at(AT_FDCWD, f->path, b.data, b.len, 0600, FILE_VOLATILE);
	}
	_close_ int fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_new(ERR_INTERNAL, "%s: %m", f->path);
	put_line(x, &b);
	f->lines++;
	return file_write_fd(fd, buf_text(&b), b.len);
}

void failures_note(struct failures *f, const struct failure_note *n)
{
	struct failure x = { .at_ns = n->at_ns, .first_ns = n->at_ns, .took_ns = n->took_ns, .count = 1 };

	for (int i = 0; i < FAILURE_TEXTS; i++)
		x.text[i] = keep_text(n->text[i]);
	pthread_mutex_lock(&f->lock);
	/* The line is of this time alone: reading adds the counts up again. */
	err_ignore(store(f, &x));
	add(f, x);
	pthread_mutex_unlock(&f->lock);
}

static bool about(const struct failure *x, const char *pod_id, const char *pod, const char *namespace)
{
	if (!pod_id || !strcmp(x->text[FAILURE_POD_ID], pod_id))
		return true;
	return *x->text[FAILURE_POD] && str_eq(x->text[FAILURE_POD], pod) &&
	       str_eq(x->text[FAILURE_NAMESPACE], namespace);
}

yyjson_mut_val *failures_tree(struct failures *f, yyjson_mut_doc *doc, const char *pod_id, const char *pod,
			      const char *namespace)
{
	yyjson_mut_val *a = yyjson_mut_arr(doc);

	if (!f)
		return a;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n; i++)
		if (about(&f->list[i], pod_id, pod, namespace))
			yyjson_mut_arr_append(a, tree(doc, &f->list[i]));
	pthread_mutex_unlock(&f->lock);
	return a;
}
