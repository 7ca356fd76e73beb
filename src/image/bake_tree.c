#include "image/bake.h"

#include "base/file.h"
#include "base/sha256.h"
#include "base/str.h"
#include "store/erofs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DIR_MODE  0755
#define FILE_MODE 0644
#define CHUNK     KIB(256)
/* What an image has besides its files' bytes: a block at most for the end of each, and for directories. */
#define SLACK     MIB(64)

/* ---- going through a store -------------------------------------------------------------------- */

struct visitor {
	struct err *(*file)(struct visitor *v, int dirfd, const char *name, const char *path);
	/* After what is in it, if *after*, else before. */
	struct err *(*dir)(struct visitor *v, int fd, const char *path, bool after);
	int64_t mtime;
	uint64_t bytes;         /* counted */
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct err *list_names(int dirfd, struct strv *ret)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;

	if (!d)
		return err_errno(errno, "read directory");
	while ((ent = readdir(d)))
		if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, ".."))
			strv_push(ret, ent->d_name);
	closedir(d);
	if (ret->len)
		qsort(ret->items, ret->len, sizeof(*ret->items), compare);
	return NULL;
}

/* In the order of names: the same tree, the same walk. *depth*: a store has three levels. */
static struct err *visit(struct visitor *v, int dirfd, const char *path, int depth)
{
	_strv_ struct strv names = { 0 };

	TRY(v->dir(v, dirfd, path, false));
	TRY(list_names(dirfd, &names));
	for (size_t i = 0; i < names.len; i++) {
		_free_ char *below = base_printf("%s%s%s", path, *path ? "/" : "", names.items[i]);
		_close_ int fd = -1;
		struct stat st;

		if (fstatat(dirfd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(errno, "%s", below);
		if (S_ISREG(st.st_mode)) {
			TRY_WRAP(v->file(v, dirfd, names.items[i], below), "%s", below);
		} else {
			if (!S_ISDIR(st.st_mode) || depth == 0)
				return err_new(ERR_INTERNAL, "%s is no part of a store", below);
			TRY(file_open_dir(dirfd, names.items[i], false, 0, &fd));
			TRY(visit(v, fd, below, depth - 1));
		}
	}
	return v->dir(v, dirfd, path, true);
}

/* ---- a directory ------------------------------------------------------------------------------ */

static struct err *settle_fd(int fd, mode_t mode, int64_t mtime)
{
	const struct timespec times[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };

	if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
		return err_errno(errno, "set mode and time");
	return NULL;
}

static struct err *settle_file(struct visitor *v, int dirfd, const char *name, const char *path)
{
	_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	(void)path;
	return fd < 0 ? err_errno(errno, "open") : settle_fd(fd, FILE_MODE, v->mtime);
}

static struct err *settle_dir(struct visitor *v, int fd, const char *path, bool after)
{
	(void)path;
	return after ? settle_fd(fd, DIR_MODE, v->mtime) : NULL;
}

struct err *bake_tree_settle(int dirfd, int64_t mtime)
{
	struct visitor v = { settle_file, settle_dir, mtime, 0 };

	return visit(&v, dirfd, "", 2);
}

/* ---- one image -------------------------------------------------------------------------------- */

struct imager {
	struct visitor v;
	struct erofs_writer *w;
	struct sha256 hash;     /* of all that is in it, for the UUID */
	unsigned char *chunk;
};

static struct erofs_attr attr_of(const struct visitor *v, uint32_t mode)
{
	return (struct erofs_attr){ .mode = mode, .mtime = v->mtime };
}

static struct err *copy_file(struct imager *m, int fd)
{
	for (;;) {
		ssize_t n = read(fd, m->chunk, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(errno, "read");
		if (n == 0)
			return erofs_file_end(m->w);
		sha256_update(&m->hash, m->chunk, (size_t)n);
		TRY(erofs_file_data(m->w, m->chunk, (size_t)n));
	}
}

static struct err *image_file(struct visitor *v, int dirfd, const char *name, const char *path)
{
	struct imager *m = (struct imager *)v;
	struct erofs_attr attr = attr_of(v, FILE_MODE);
	_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(errno, "open");
	sha256_update(&m->hash, path, strlen(path) + 1);
	TRY(erofs_file_begin(m->w, path, &attr, (uint64_t)st.st_size, NULL, 0));
	return copy_file(m, fd);
}

static struct err *image_dir(struct visitor *v, int fd, const char *path, bool after)
{
	struct erofs_attr attr = attr_of(v, DIR_MODE);

	(void)fd;
	return after ? NULL : erofs_add_dir(((struct imager *)v)->w, path, &attr);
}

static struct err *count_file(struct visitor *v, int dirfd, const char *name, const char *path)
{
	struct stat st;

	(void)path;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(errno, "stat");
	v->bytes += (uint64_t)st.st_size + 2 * 4096;
	return NULL;
}

static struct err *count_dir(struct visitor *v, int fd, const char *path, bool after)
{
	(void)v, (void)fd, (void)path, (void)after;
	return NULL;
}

static struct err *write_image(struct imager *m, int dirfd, uint64_t *ret_size)
{
	unsigned char digest[SHA256_LEN];

	TRY(visit(&m->v, dirfd, "", 2));
	sha256_final(&m->hash, digest);
	/* A UUID of content: RFC 9562, version 8. */
	digest[6] = (digest[6] & 0x0f) | 0x80;
	digest[8] = (digest[8] & 0x3f) | 0x80;
	return erofs_finish(m->w, digest, ret_size);
}

struct err *bake_tree_erofs(int dirfd, int64_t mtime, int image_fd, uint64_t *ret_size)
{
	struct visitor count = { count_file, count_dir, 0, 0 };
	struct imager m = { .v = { image_file, image_dir, mtime, 0 } };
	_erofs_writer_ struct erofs_writer *w = NULL;
	_free_ unsigned char *chunk = base_alloc(CHUNK);

	TRY(visit(&count, dirfd, "", 2));
	TRY(erofs_writer_new(image_fd, count.bytes + SLACK, &w));
	m.w = w;
	m.chunk = chunk;
	sha256_init(&m.hash);
	return write_image(&m, dirfd, ret_size);
}
