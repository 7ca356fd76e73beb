#include "sys/path.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

/* As the kernel's own limit for one path (path_resolution(7) has 40; nobody needs more than a few here). */
#define PATH_LINKS_MAX 16

struct make {
	int rootfd;
	uint32_t uid, gid;   /* of what is made; 0: whoever makes it */
	unsigned links;      /* that led to nothing and were followed */
};

static struct err *make_path(struct make *m, const char *path, bool dir, int *ret_fd);

/* A symbolic link whose target is not there yet: the target is made, inside the root as everything here. */
static struct err *make_target(struct make *m, int parent_fd, const char *parent, const char *name, bool dir)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(parent_fd, name, target, sizeof(target) - 1);
	_close_ int fd = -1;

	if (n <= 0)
		return err_errno(n < 0 ? errno : ENOENT, "%s/%s", parent, name);
	if (++m->links > PATH_LINKS_MAX)
		return err_errno(ELOOP, "%s/%s", parent, name);
	target[n] = '\0';
	_free_ char *path = *target == '/' ? base_strdup(target) : base_printf("%s/%s", parent, target);

	return make_path(m, path, dir, &fd);
}

/* Opens what of *prefix* exists; the rest is made component by component relative to descriptors,
 * each looked up again with the root policy, so that a link put in between cannot lead outside. */
static struct err *make_component(struct make *m, const char *prefix, const char *parent, const char *name,
				  bool dir, int *ret_fd)
{
	_close_ int parent_fd = -1, fd = -1;
	bool made;

	TRY(path_open_root(m->rootfd, parent, O_PATH | O_DIRECTORY, &parent_fd));
	if (dir) {
		made = mkdirat(parent_fd, name, 0755) == 0;
	} else {
		fd = openat(parent_fd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, 0644);
		made = fd >= 0;
	}
	if (!made && errno != EEXIST)
		return err_errno(errno, "make %s %s", dir ? "directory" : "file", prefix);
	if (made && (m->uid || m->gid) && fchownat(parent_fd, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(errno, "owner of %s", prefix);
	struct err *e = path_open_root(m->rootfd, prefix, O_PATH, ret_fd);

	if (made || !err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	TRY(make_target(m, parent_fd, parent, name, dir));
	return path_open_root(m->rootfd, prefix, O_PATH, ret_fd);
}

static struct err *make_path(struct make *m, const char *path, bool dir, int *ret_fd)
{
	if (strlen(path) >= 4096)
		return err_new(ERR_INVALID, "path of %zu bytes is too long", strlen(path));
	struct err *e = path_open_root(m->rootfd, path, O_PATH, ret_fd);

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
		e = path_open_root(m->rootfd, prefix, O_PATH, &fd);
		if (err_is(e, ERR_NOT_FOUND)) {
			err_free(e);
			_free_ char *parent = base_strndup(prefix, (size_t)(name - prefix));
			_free_ char *base = base_strdup(name);

			if (!*parent) {
				free(parent);
				parent = base_strdup(".");
			}
			e = make_component(m, prefix, parent, base, dir || !last, &fd);
		}
		if (e)
			return e;
		*s = end;
	}
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

struct err *path_make_root_for(int rootfd, const char *path, bool dir, uint32_t uid, uint32_t gid, int *ret_fd)
{
	struct make m = { rootfd, uid, gid, 0 };

	return make_path(&m, path, dir, ret_fd);
}

struct err *path_make_root(int rootfd, const char *path, bool dir, int *ret_fd)
{
	return path_make_root_for(rootfd, path, dir, 0, 0, ret_fd);
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
