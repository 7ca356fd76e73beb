#include "pod/crilog.h"

#include "base/clock.h"
#include "base/file.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OUT_MAX  KIB(32)    /* bytes in one write(2) */
#define HEAD_MAX (CLOCK_TEXT_MAX + 16)

/* Entries on their way to the file; all of them carry the time of the read that brought them. They are
 * copied together: for lines of the usual length that is half the cost of a writev(2) of their parts. */
_Static_assert(OUT_MAX >= HEAD_MAX + CRILOG_PIECE_MAX + 1, "an entry fits");

struct batch {
	struct crilog *log;
	size_t head_len;
	uint64_t noted;          /* of log->lost, by the note at the front */
	char full[HEAD_MAX], part[HEAD_MAX];
};

/* The monitor's only one, and empty between calls. */
static char out[OUT_MAX];
static size_t n_out;

static void batch_flush(struct batch *b)
{
	struct crilog *l = b->log;
	size_t at = 0;

	while (at < n_out) {
		ssize_t did = write(l->fd, out + at, n_out - at);

		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0) {
			l->error = did < 0 ? errno : ENOSPC;
			l->lost += n_out - at;
			l->lost_total += n_out - at;
			b->noted = 0;
			break;
		}
		at += (size_t)did;
		l->torn = out[at - 1] != '\n';
	}
	n_out = 0;
	l->lost -= b->noted;
	b->noted = 0;
}

static void batch_put(struct batch *b, const char *p, size_t n)
{
	if (n > OUT_MAX - n_out)
		batch_flush(b);
	if (n)
		memcpy(out + n_out, p, n);
	n_out += n;
}

static void batch_begin(struct batch *b, struct crilog *l, const char *stream)
{
	char now[CLOCK_TEXT_MAX];

	b->log = l;
	b->noted = 0;
	clock_format(clock_wall_ns(), now);
	b->head_len = (size_t)snprintf(b->full, sizeof(b->full), "%s %s F ", now, stream);
	memcpy(b->part, b->full, b->head_len + 1);
	b->part[b->head_len - 2] = 'P';
	if (l->torn)
		batch_put(b, "\n", 1);
	if (!l->lost)
		return;
	n_out += (size_t)snprintf(out + n_out, OUT_MAX - n_out,
				  "%s stderr F crisp: %llu bytes of this log could not be written: %s\n", now,
				  (unsigned long long)l->lost, strerror(l->error));
	b->noted = l->lost;
}

/* One entry: what is held, then *p*. *end*: a newline where *p* does not bring its own. */
static void batch_entry(struct batch *b, const char *head, struct crilog_stream *s, const char *p, size_t n, bool end)
{
	if (b->head_len + s->n_held + n + 1 > OUT_MAX - n_out)
		batch_flush(b);
	char *to = out + n_out;

	memcpy(to, head, b->head_len);
	to += b->head_len;
	if (s->n_held)
		memcpy(to, s->held, s->n_held);
	to += s->n_held;
	if (n)
		memcpy(to, p, n);
	to += n;
	if (end)
		*to++ = '\n';
	n_out = (size_t)(to - out);
	s->n_held = 0;
}

void crilog_write(struct crilog *l, struct crilog_stream *s, const char *p, size_t n)
{
	struct batch b;

	if (l->fd < 0)
		return;
	batch_begin(&b, l, s->name);
	for (;;) {
		size_t room = CRILOG_PIECE_MAX - s->n_held;
		const char *end = n ? memchr(p, '\n', MIN(n, room + 1)) : NULL;

		if (end) {
			batch_entry(&b, b.full, s, p, (size_t)(end + 1 - p), false);
			n -= (size_t)(end + 1 - p);
			p = end + 1;
		} else if (n > room) {
			batch_entry(&b, b.part, s, p, room, true);
			p += room;
			n -= room;
		} else {
			break;
		}
	}
	batch_flush(&b);
	if (n)
		memcpy(s->held + s->n_held, p, n);
	s->n_held += (uint32_t)n;
}

void crilog_flush(struct crilog *l, struct crilog_stream *s)
{
	struct batch b;

	if (l->fd < 0 || s->n_held == 0)
		return;
	batch_begin(&b, l, s->name);
	batch_entry(&b, b.part, s, NULL, 0, true);
	batch_flush(&b);
}

void crilog_note(struct crilog *l, const char *text)
{
	struct batch b;
	struct crilog_stream s = { .name = "stderr" };

	if (l->fd < 0)
		return;
	batch_begin(&b, l, s.name);
	batch_put(&b, b.full, b.head_len);
	batch_put(&b, "crisp: ", 7);
	batch_put(&b, text, MIN(strlen(text), CRILOG_PIECE_MAX));
	batch_put(&b, "\n", 1);
	batch_flush(&b);
}

/* The directory that the last component of *path* is in; *ret_name* points into *path*. */
static struct err *open_parent(int dirfd, const char *path, const char **ret_name, int *ret_fd)
{
	_close_ int dir = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);

	if (dir < 0)
		return err_errno(errno, "log directory");
	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		char name[256];
		size_t n = (size_t)(slash - path);
		int next = -1;

		if (n >= sizeof(name))
			return err_new(ERR_INVALID, "a directory name of %zu bytes", n);
		memcpy(name, path, n);
		name[n] = '\0';
		if (!file_name_ok(name))
			return err_new(ERR_INVALID, "it must be names below the log directory");
		if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			return err_errno(errno, "make directory %s", name);
		TRY(path_open_beneath(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &next));
		close(dir);
		dir = next;
	}
	*ret_name = path;
	*ret_fd = TAKE_FD(dir);
	return NULL;
}

struct err *crilog_open(int dirfd, const char *path, int *ret_fd)
{
	_close_ int dir = -1, fd = -1;
	const char *name;
	struct stat st;

	TRY_WRAP(open_parent(dirfd, path, &name, &dir), "log %s", path);
	if (!file_name_ok(name))
		return err_new(ERR_INVALID, "log %s: it must be names below the log directory", path);
	/* O_NONBLOCK: a FIFO in its place must not hold the monitor up. */
	TRY_WRAP(path_open_beneath(dir, name,
				   O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640, &fd),
		 "log");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "log %s: not a regular file", path);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}
