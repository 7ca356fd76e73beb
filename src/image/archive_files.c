#include "image/archive_files.h"

#include "base/file.h"
#include "base/str.h"
#include "image/archive_tar.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK KIB(256)

struct archive {
	int fd;
	struct archive_alive alive;
	struct archive_tar *tar;        /* NULL: a directory */
	unsigned char chunk[CHUNK];
};

struct err *archive_open(int fd, struct archive_alive alive, struct archive **ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(errno, "archive");
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "neither a file nor a directory");
	struct archive *a = base_alloc(sizeof(*a));

	a->fd = fd;
	a->alive = alive;
	struct err *e = S_ISDIR(st.st_mode) ? NULL : archive_tar_open(fd, (uint64_t)st.st_size, alive, &a->tar);

	if (e) {
		archive_free(a);
		return e;
	}
	*ret = a;
	return NULL;
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	archive_tar_free(a->tar);
	free(a);
}

/* ---- a directory ------------------------------------------------------------------------------ */

static struct err *open_file(const struct archive *a, const char *name, int *ret_fd, uint64_t *ret_size)
{
	_close_ int fd = -1;
	struct stat st;

	TRY(path_open_beneath(a->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd));
	if (fstat(fd, &st) < 0)
		return err_errno(errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "%s: not a regular file", name);
	*ret_fd = TAKE_FD(fd);
	*ret_size = (uint64_t)st.st_size;
	return NULL;
}

static struct err *stream_file(struct archive *a, const char *name, struct archive_sink sink)
{
	_close_ int fd = -1;
	uint64_t size;

	TRY(open_file(a, name, &fd, &size));
	for (;;) {
		ssize_t n = read(fd, a->chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(errno, "read %s", name);
		if (n == 0)
			return NULL;
		TRY(sink.take(sink.ctx, a->chunk, (size_t)n));
		a->alive.tell(a->alive.ctx);
	}
}

/* ---- either ----------------------------------------------------------------------------------- */

struct err *archive_find(struct archive *a, const char *name, uint64_t *ret_size)
{
	_close_ int fd = -1;

	if (!a->tar)
		return open_file(a, name, &fd, ret_size);
	if (archive_tar_find(a->tar, name, ret_size))
		return NULL;
	return err_new(ERR_NOT_FOUND, "%.300s is not in the archive", name);
}

bool archive_head_is_compressed(const unsigned char h[ARCHIVE_HEAD])
{
	return (h[0] == 0x1f && h[1] == 0x8b) || !memcmp(h, "\x28\xb5\x2f\xfd", 4) ||
	       ((h[0] & 0xf0) == 0x50 && !memcmp(h + 1, "\x2a\x4d\x18", 3));
}

bool archive_is_compressed(struct archive *a, const char *name)
{
	unsigned char head[ARCHIVE_HEAD] = { 0 };
	_close_ int fd = -1;
	uint64_t size;

	if (a->tar)
		return archive_tar_head(a->tar, name, head) && archive_head_is_compressed(head);
	struct err *e = open_file(a, name, &fd, &size);
	bool read_it = !e && read(fd, head, sizeof(head)) == (ssize_t)sizeof(head);

	err_free(e);
	return read_it && archive_head_is_compressed(head);
}

uint64_t archive_distance(struct archive *a, const char *name)
{
	return a->tar ? archive_tar_distance(a->tar, name) : 0;
}

struct err *archive_stream(struct archive *a, const char *name, struct archive_sink sink)
{
	return a->tar ? archive_tar_stream(a->tar, name, sink) : stream_file(a, name, sink);
}

static struct err *append(void *ctx, const void *p, size_t n)
{
	struct buf *b = ctx;

	buf_append(b, p, n);
	return b->over ? err_new(ERR_EXHAUSTED, "larger than the limit of %zu bytes", b->max) : NULL;
}

struct err *archive_read(struct archive *a, const char *name, size_t max, struct buf *ret)
{
	struct buf b = { .max = max };
	struct err *e = archive_stream(a, name, (struct archive_sink){ append, &b });

	if (e) {
		buf_done(&b);
		return err_wrap(e, "%s", name);
	}
	b.max = 0;
	*ret = b;
	return NULL;
}
