#include "base/file.h"

#include "base/clock.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct err *file_wait_fd(int fd, short events, int64_t deadline_ns)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int n = poll(&p, 1, clock_ms_until(deadline_ns));

		if (n > 0)
			return NULL;
		if (n < 0 && errno != EINTR)
			return err_errno(errno, "poll");
		if (n == 0 && clock_ms_until(deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "no answer in time");
	}
}

struct err *file_read_fd(int fd, size_t max, struct buf *ret_buf)
{
	struct buf b = BUF_INIT;

	for (;;) {
		char *to = buf_reserve(&b, 4096);
		ssize_t n = read(fd, to, 4096);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int e = errno;

			buf_done(&b);
			return err_errno(e, "read");
		}
		if (n == 0)
			break;
		b.len += (size_t)n;
		b.data[b.len] = '\0';
		if (b.len > max) {
			buf_done(&b);
			return err_new(ERR_EXHAUSTED, "larger than the limit of %zu bytes", max);
		}
	}
	*ret_buf = b;
	return NULL;
}

struct err *file_read_at(int dirfd, const char *name, size_t max, struct buf *ret_buf)
{
	struct stat st;
	_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "%s: not a regular file", name);
	TRY_WRAP(file_read_fd(fd, max, ret_buf), "%s", name);
	return NULL;
}

struct err *file_read_virtual(int dirfd, const char *name, size_t max, struct buf *ret_buf)
{
	_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_errno(errno, "%s", name);
	TRY_WRAP(file_read_fd(fd, max, ret_buf), "%s", name);
	return NULL;
}

struct err *file_write_fd(int fd, const void *p, size_t n)
{
	const char *from = p;

	while (n > 0) {
		ssize_t did = write(fd, from, n);

		if (did < 0 && errno == EINTR)
			continue;
		if (did < 0)
			return err_errno(errno, "write");
		from += did;
		n -= (size_t)did;
	}
	return NULL;
}

struct err *file_in_memory(const char *name, const void *p, size_t n, int *ret_fd)
{
	_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_errno(errno, "%s: file in memory", name);
	TRY_WRAP(file_write_fd(fd, p, n), "%s: file in memory", name);
	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_errno(errno, "%s: seal file in memory", name);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

struct err *file_write_at(int dirfd, const char *name, const char *text)
{
	_close_ int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_errno(errno, "%s", name);
	if (write(fd, text, strlen(text)) < 0)
		return err_errno(errno, "%s: write \"%s\"", name, text);
	return NULL;
}

struct err *file_sync_dir(int dirfd)
{
	if (fsync(dirfd) < 0)
		return err_errno(errno, "fsync directory");
	return NULL;
}

/* sync_file_range(2) promises nothing of metadata, and needs not: when the pages are written the blocks are allocated and
 * the size is set, in the journal before what follows (ext4's delayed allocation comes to that only minutes later otherwise,
 * and a power cut before it leaves the name with an empty file). */
static struct err *write_out(int fd)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	if (sync_file_range(fd, 0, 0, all) < 0)
		return err_errno(errno, "write out");
	return NULL;
}

static struct err *write_tmp(int dirfd, const char *tmp, const void *p, size_t n, mode_t mode,
			     enum file_keep keep)
{
	_close_ int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0)
		return err_errno(errno, "create");
	TRY(file_write_fd(fd, p, n));
	if (keep == FILE_ORDERED)
		return write_out(fd);
	if (keep == FILE_DURABLE && fsync(fd) < 0)
		return err_errno(errno, "fsync");
	return NULL;
}

static struct err *replace_in(int dirfd, const char *name, const void *p, size_t n, mode_t mode, enum file_keep keep)
{
	char id[65], tmp[32];

	str_random_id(id);
	snprintf(tmp, sizeof(tmp), FILE_TMP_PREFIX "%.16s", id);
	struct err *e = write_tmp(dirfd, tmp, p, n, mode, keep);

	if (!e && renameat(dirfd, tmp, dirfd, name) < 0)
		e = err_errno(errno, "rename");
	if (e) {
		unlinkat(dirfd, tmp, 0);
		return e;
	}
	return keep == FILE_DURABLE ? file_sync_dir(dirfd) : NULL;
}

struct err *file_replace_at(int dirfd, const char *name, const void *p, size_t n, mode_t mode,
			    enum file_keep keep)
{
	const char *slash = strrchr(name, '/');

	if (!slash && dirfd != AT_FDCWD)
		return err_wrap(replace_in(dirfd, name, p, n, mode, keep), "write %s", name);
	/* The temporary file goes where the name will be. */
	_free_ char *dir = slash ? base_strndup(name, (size_t)(slash - name) + (slash == name)) : base_strdup(".");
	_close_ int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "write %s: open its directory", name);
	return err_wrap(replace_in(fd, slash ? slash + 1 : name, p, n, mode, keep), "write %s", name);
}

struct err *file_make_dirs(const char *path, mode_t mode)
{
	_free_ char *p = base_strdup(path);

	for (char *s = p + 1; s[-1]; s++) {
		if (*s && *s != '/')
			continue;
		char c = *s;

		*s = '\0';
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return err_errno(errno, "make directory %s", p);
		*s = c;
		if (!c)
			break;
	}
	return NULL;
}

struct err *file_open_dir(int dirfd, const char *name, bool make, mode_t mode, int *ret_fd)
{
	if (make && mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return err_errno(errno, "make directory %s", name);
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "open directory %s", name);
	*ret_fd = fd;
	return NULL;
}

static void close_dir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

static bool dot_name(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Removes what is in the directory *d* but one subdirectory, whose name it returns to descend
 * into; NULL when the directory is empty or *ret_err* is set. */
static char *remove_entries(DIR *d, dev_t dev, struct err **ret_err)
{
	struct dirent *ent;

	rewinddir(d);
	while ((errno = 0, ent = readdir(d))) {
		struct stat st;

		if (dot_name(ent->d_name))
			continue;
		if (unlinkat(dirfd(d), ent->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM && errno != EBUSY) {
			*ret_err = err_errno(errno, "remove %s", ent->d_name);
			return NULL;
		}
		if (unlinkat(dirfd(d), ent->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST) {
			*ret_err = err_errno(errno, "remove %s", ent->d_name);
			return NULL;
		}
		if (fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev) {
			*ret_err = err_new(ERR_PRECONDITION, "remove %s: something is mounted there",
					   ent->d_name);
			return NULL;
		}
		return base_strdup(ent->d_name);
	}
	if (errno)
		*ret_err = err_errno(errno, "read directory");
	return NULL;
}

static struct err *open_dir_stream(int at, const char *name, DIR **ret_dir)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "open directory %s", name);
	*ret_dir = fdopendir(fd);
	if (!*ret_dir) {
		int e = errno;

		close(fd);
		return err_errno(e, "open directory %s", name);
	}
	return NULL;
}

/* Each round goes down from the top to one leaf directory, emptying on the way; a leaf that is
 * empty goes in the next round by its parent's rmdir. Quadratic in depth only. */
static struct err *remove_round(DIR *top, dev_t dev, bool *ret_done)
{
	_cleanup_(close_dir_p) DIR *held = NULL;
	DIR *d = top;

	*ret_done = false;
	for (bool first = true;; first = false) {
		struct err *e = NULL;
		_free_ char *sub = remove_entries(d, dev, &e);

		if (e)
			return e;
		if (!sub) {
			*ret_done = first;
			return NULL;
		}
		DIR *next = NULL;

		TRY(open_dir_stream(dirfd(d), sub, &next));
		if (held)
			closedir(held);
		held = d = next;
	}
}

struct err *file_remove_tree(int dirfd_, const char *name)
{
	struct stat st;

	if (unlinkat(dirfd_, name, 0) == 0 || errno == ENOENT)
		return NULL;
	if (unlinkat(dirfd_, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return NULL;
	_cleanup_(close_dir_p) DIR *top = NULL;

	TRY_WRAP(open_dir_stream(dirfd_, name, &top), "remove %s", name);
	if (fstat(dirfd(top), &st) < 0)
		return err_errno(errno, "remove %s", name);
	for (bool done = false; !done;)
		TRY_WRAP(remove_round(top, st.st_dev, &done), "remove %s", name);
	if (unlinkat(dirfd_, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_errno(errno, "remove %s", name);
	return NULL;
}

bool file_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > 255 || dot_name(name))
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return true;
}
