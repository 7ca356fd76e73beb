#include "sys/path.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* openat2(2) gives EAGAIN when a rename raced with "..": try again, a hostile tree not for ever. */
#define PATH_RACES_MAX 128

static int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };

	for (int i = 0; i < PATH_RACES_MAX; i++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			return (int)fd;
	}
	return -1;
}

struct err *path_open_root(int rootfd, const char *path, int flags, int *ret_fd)
{
	int fd = sys_openat2(rootfd, path, (uint64_t)flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return err_errno(errno, "%s", path);
	*ret_fd = fd;
	return NULL;
}

struct err *path_open_beneath(int dirfd, const char *path, int flags, mode_t mode, int *ret_fd)
{
	int fd = sys_openat2(dirfd, path, (uint64_t)flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return err_errno(errno, "%s", path);
	*ret_fd = fd;
	return NULL;
}

/* Opens what of *prefix* exists; the rest is made component by component relative to descriptors,
 * each looked up again with the root policy, so that a link put in between cannot lead outside. */
static struct err *make_component(int rootfd, const char *prefix, const char *parent, const char *name,
				  bool dir, int *ret_fd)
{
	_close_ int parent_fd = -1;

	TRY(path_open_root(rootfd, parent, O_PATH | O_DIRECTORY, &parent_fd));
	if (dir) {
		if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
			return err_errno(errno, "make directory %s", prefix);
	} else {
		_close_ int fd = openat(parent_fd, name,
					O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, 0644);

		if (fd < 0 && errno != EEXIST)
			return err_errno(errno, "make file %s", prefix);
	}
	return path_open_root(rootfd, prefix, O_PATH, ret_fd);
}

struct err *path_make_root(int rootfd, const char *path, bool dir, int *ret_fd)
{
	if (strlen(path) >= 4096)
		return err_new(ERR_INVALID, "path of %zu bytes is too long", strlen(path));
	struct err *e = path_open_root(rootfd, path, O_PATH, ret_fd);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	_free_ char *prefix = base_strdup(path);
	_close_ int fd = -1;

	for (char *s = prefix; *s;) {
		while (*s == '/')
			s++;
		char *name = s;

		s += strcspn(s, "/");
		bool last = s[strspn(s, "/")] == '\0';
		char end = *s;

		if (s == name)
			break;
		*s = '\0';
		if (fd >= 0) {
			close(fd);
			fd = -1;
		}
		e = path_open_root(rootfd, prefix, O_PATH, &fd);
		if (err_is(e, ERR_NOT_FOUND)) {
			err_free(e);
			_free_ char *parent = base_strndup(prefix, (size_t)(name - prefix));
			_free_ char *base = base_strdup(name);

			if (!*parent) {
				free(parent);
				parent = base_strdup(".");
			}
			e = make_component(rootfd, prefix, parent, base, dir || !last, &fd);
		}
		if (e)
			return e;
		*s = end;
	}
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

struct err *path_read_root(int rootfd, const char *path, size_t max, struct buf *ret_buf)
{
	struct stat st;
	_close_ int fd = -1;

	TRY(path_open_root(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd));
	if (fstat(fd, &st) < 0)
		return err_errno(errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_new(ERR_INVALID, "%s: not a regular file", path);
	return err_wrap(file_read_fd(fd, max, ret_buf), "%s", path);
}

const char *path_of_fd(int fd, char ret_path[PATH_FD_MAX])
{
	snprintf(ret_path, PATH_FD_MAX, "/proc/self/fd/%d", fd);
	return ret_path;
}
