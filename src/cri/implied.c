#include "cri/implied.h"

#include "base/file.h"
#include "store/erofs.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

struct layer {
	int fd;
	size_t len;
	char list[EROFS_IMPLIED_MAX];
};

static bool lists(const struct layer *l, const char *path)
{
	for (const char *s = l->list; s < l->list + l->len; s += strlen(s) + 1)
		if (!strcmp(s, path))
			return true;
	return false;
}

enum look { NOTHING, UNSAID, SAID, END };

/* What *l* has at *path*; END: something that hides what is below. A link of the image stays in it (rule R1). */
static enum look look_up(const struct layer *l, const char *path, struct stat *ret)
{
	char link[PATH_FD_MAX], opaque = 0;
	_close_ int fd = -1;
	struct err *e = path_open_root(l->fd, path, O_PATH | O_NOFOLLOW, &fd);

	if (e) {
		err_free(e);
		return NOTHING;
	}
	if (fstat(fd, ret) < 0 || !S_ISDIR(ret->st_mode))
		return END;
	if (!lists(l, path))
		return SAID;
	return getxattr(path_of_fd(fd, link), "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y' ? END : UNSAID;
}

/* *path* in the overlay becomes as *st* says; the kernel copies it up with all it has. */
static struct err *change(int root, const char *path, const struct stat *st)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	char link[PATH_FD_MAX];
	_close_ int fd = -1;

	TRY(path_open_root(root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, &fd));
	if (fchownat(fd, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0 ||
	    chmod(path_of_fd(fd, link), st->st_mode & 07777) < 0 || utimensat(AT_FDCWD, link, times, 0) < 0)
		return err_errno(errno, "owner and mode of %s", path);
	return NULL;
}

static struct err *repair_one(int root, const struct layer *layers, size_t n, size_t i, const char *path)
{
	struct stat st;

	/* A layer further up has the last word, or has had its turn. */
	for (size_t k = 0; k < i; k++)
		if (look_up(&layers[k], path, &st) != NOTHING)
			return NULL;
	for (size_t k = i; k < n; k++)
		switch (look_up(&layers[k], path, &st)) {
		case SAID:
			return change(root, path, &st);
		case END:
			return NULL;
		default:
			break;
		}
	return NULL;
}

static struct err *repair_all(int root, const struct layer *layers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (const char *s = layers[i].list; s < layers[i].list + layers[i].len; s += strlen(s) + 1)
			TRY(repair_one(root, layers, n, i, s));
	return NULL;
}

/* False: none of them implies anything, as is the rule. */
static bool read_lists(struct layer *layers, const struct strv *paths)
{
	bool any = false;

	for (size_t i = 0; i < paths->len; i++) {
		ssize_t n = lgetxattr(paths->items[i], EROFS_IMPLIED_NAME, layers[i].list, sizeof(layers[i].list));

		/* Of this node's own making, but a file all the same: it ends where a path ends. */
		if (n > 0 && layers[i].list[n - 1] == '\0') {
			layers[i].len = (size_t)n;
			any = true;
		}
	}
	return any;
}

struct err *implied_repair(const char *root, const struct strv *paths)
{
	struct layer *layers = base_calloc(paths->len + 1, sizeof(*layers));
	_close_ int root_fd = -1;
	struct err *e = NULL;
	size_t n = 0;

	if (read_lists(layers, paths))
		e = file_open_dir(AT_FDCWD, root, false, 0, &root_fd);
	for (; root_fd >= 0 && !e && n < paths->len; n++)
		e = file_open_dir(AT_FDCWD, paths->items[n], false, 0, &layers[n].fd);
	if (root_fd >= 0 && !e)
		e = repair_all(root_fd, layers, n);
	for (size_t i = 0; i < n; i++)
		if (layers[i].fd > 0)
			close(layers[i].fd);
	free(layers);
	return err_wrap(e, "directories that layers imply");
}
