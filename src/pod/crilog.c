#include "pod/crilog.h"

#include "base/clock.h"
#include "base/file.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define BATCH_IOV  512
#define HEAD_MAX   (CLOCK_TEXT_MAX + 16)
#define NOTE_MAX   256

/* Entries on their way into one writev(2). All of them carry the time of the read that brought them. */
struct batch {
	struct crilog *log;
	size_t n;
	size_t head_len;
	uint64_t noted;          /* of log->lost, by the note at the front */
	char full[HEAD_MAX], part[HEAD_MAX];
	char note[NOTE_MAX];
	struct iovec iov[BATCH_IOV];
};

static void batch_push(struct batch *b, const char *p, size_t n)
{
	if (n)
		b->iov[b->n++] = (struct iovec){ (void *)p, n };
}

static void batch_begin(struct batch *b, struct crilog *l, const char *stream)
{
	char now[CLOCK_TEXT_MAX];

	b->log = l;
	b->n = 0;
	b->noted = 0;
	clock_format(clock_wall_ns(), now);
	b->head_len = (size_t)snprintf(b->full, sizeof(b->full), "%s %s F ", now, stream);
	memcpy(b->part, b->full, b->head_len + 1);
	b->part[b->head_len - 2] = 'P';
	if (l->torn)
		batch_push(b, "\n", 1);
	if (!l->lost)
		return;
	int n = snprintf(b->note, sizeof(b->note),
			 "%s stderr F crisp: %llu bytes of this log could not be written: %s\n", now,
			 (unsigned long long)l->lost, strerror(l->error));

	batch_push(b, b->note, MIN((size_t)n, sizeof(b->note) - 1));
	b->noted = l->lost;
}

/* Drops the first *did* bytes of what *iov* describes; returns the last of them. */
static char advance(struct iovec **iov, size_t *n, size_t did)
{
	char last = '\n';

	while (did > 0) {
		struct iovec *v = *iov;
		size_t part = MIN(did, v->iov_len);

		last = ((char *)v->iov_base)[part - 1];
		v->iov_base = (char *)v->iov_base + part;
		v->iov_len -= part;
		did -= part;
		if (v->iov_len == 0) {
			++*iov;
			--*n;
		}
	}
	return last;
}

static void batch_flush(struct batch *b)
{
	struct crilog *l = b->log;
	struct iovec *iov = b->iov;
	size_t n = b->n;

	b->n = 0;
	while (n > 0) {
		ssize_t did = writev(l->fd, iov, (int)n);

		if (did < 0 && errno == EINTR)
			continue;
		if (did > 0) {
			l->torn = advance(&iov, &n, (size_t)did) != '\n';
			continue;
		}
		l->error = did < 0 ? errno : ENOSPC;
		for (size_t i = 0; i < n; i++) {
			l->lost += iov[i].iov_len;
			l->lost_total += iov[i].iov_len;
		}
		b->noted = 0;
		return;
	}
	l->lost -= b->noted;
	b->noted = 0;
}

/* One entry: what is held, then *p*. *end*: "\n" where *p* does not bring its own. */
static void batch_entry(struct batch *b, const char *head, struct crilog_stream *s, const char *p, size_t n,
			const char *end)
{
	if (b->n + 4 > BATCH_IOV)
		batch_flush(b);
	batch_push(b, head, b->head_len);
	batch_push(b, s->held, s->n_held);
	batch_push(b, p, n);
	batch_push(b, end, strlen(end));
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
			batch_entry(&b, b.full, s, p, (size_t)(end + 1 - p), "");
			n -= (size_t)(end + 1 - p);
			p = end + 1;
		} else if (n > room) {
			batch_entry(&b, b.part, s, p, room, "\n");
			p += room;
			n -= room;
		} else {
			break;
		}
	}
	/* Before the rest is held: what was held may still be part of the batch. */
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
	batch_entry(&b, b.part, s, NULL, 0, "\n");
	batch_flush(&b);
}

void crilog_note(struct crilog *l, const char *text)
{
	struct batch b;
	struct crilog_stream s = { .name = "stderr" };

	if (l->fd < 0)
		return;
	batch_begin(&b, l, s.name);
	batch_push(&b, b.full, b.head_len);
	batch_push(&b, "crisp: ", 7);
	batch_push(&b, text, strlen(text));
	batch_push(&b, "\n", 1);
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
