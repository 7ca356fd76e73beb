#include "sys/mount.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/syscall.h>

/* libc's <sys/mount.h> and <linux/mount.h> define the same names differently; these two are all
 * that is needed from the former. */
int umount2(const char *path, int flags);
#define MOUNT_DETACH_FLAGS (2 | 8) /* MNT_DETACH | UMOUNT_NOFOLLOW */

#define MOUNT_LOG_LINE 512

/* musl's list of calls ends before it; one number on all architectures. */
#define MOUNT_SYS_STATMOUNT 457

/* What the kernel wrote about the failure into the context's log (lines "e text", "w text"). */
static struct err *fs_error(int fs, int errnum, const char *what)
{
	char line[MOUNT_LOG_LINE];
	_buf_ struct buf log = { .max = 2048 };
	ssize_t n;

	while ((n = read(fs, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (n > 2)
			buf_printf(&log, " (kernel: %s)", line + 2);
	}
	_free_ char *text = base_strdup(buf_text(&log));

	return err_errno(errnum, "%s%s", what, text);
}

struct err *mount_new(const char *fstype, const struct mount_option *options, size_t n, uint64_t attrs,
		      int *ret_fd)
{
	_close_ int fs = (int)syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC);

	if (fs < 0)
		return err_errno(errno, "fsopen %s", fstype);
	for (size_t i = 0; i < n; i++) {
		const struct mount_option *o = &options[i];
		unsigned int cmd = o->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

		if (syscall(SYS_fsconfig, fs, cmd, o->key, o->value, 0) < 0) {
			_free_ char *what = base_printf("%s: option %s%s%s", fstype, o->key,
							o->value ? "=" : "", o->value ? o->value : "");

			return fs_error(fs, errno, what);
		}
	}
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		int errnum = errno;
		_free_ char *what = base_printf("mount %s", fstype);
		struct err *e = fs_error(fs, errnum, what);

		return errnum == ENOTBLK ? err_as(e, ERR_UNIMPLEMENTED) : e;
	}
	int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned int)attrs);

	if (fd < 0)
		return fs_error(fs, errno, "fsmount");
	*ret_fd = fd;
	return NULL;
}

struct err *mount_clone(int dirfd, const char *path, bool recursive, int *ret_fd)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			     (recursive ? AT_RECURSIVE : 0);
	int fd = (int)syscall(SYS_open_tree, dirfd, path, flags);

	if (fd < 0)
		return err_errno(errno, "open_tree %s", path);
	*ret_fd = fd;
	return NULL;
}

struct err *mount_attach(int mount_fd, int target_fd)
{
	if (syscall(SYS_move_mount, mount_fd, "", target_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_errno(errno, "move_mount");
	return NULL;
}

struct err *mount_attach_at(int mount_fd, const char *path)
{
	if (syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(errno, "move_mount to %s", path);
	return NULL;
}

static long set_attr(int mount_fd, bool recursive, const struct mount_attr *attr)
{
	return syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), attr, sizeof(*attr));
}

struct err *mount_set(int mount_fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	return set_attr(mount_fd, recursive, &attr) < 0 ? err_errno(errno, "mount_setattr") : NULL;
}

struct err *mount_idmap(int mount_fd, bool recursive, int userns_fd)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };

	if (set_attr(mount_fd, recursive, &attr) == 0)
		return NULL;
	if (errno == EINVAL)
		return err_new(ERR_UNIMPLEMENTED, "idmapped mount: the kernel cannot do that for this file system");
	return err_errno(errno, "idmapped mount");
}

struct err *mount_detach(const char *path)
{
	if (umount2(path, MOUNT_DETACH_FLAGS) < 0 && errno != EINVAL && errno != ENOENT)
		return err_errno(errno, "unmount %s", path);
	return NULL;
}

bool mount_is_root(const char *path)
{
	struct statx stx = { 0 };

	return syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &stx) == 0 &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

struct err *mount_propagation(const char *path, uint64_t *ret)
{
	struct mnt_id_req req = { .size = MNT_ID_REQ_SIZE_VER0, .param = STATMOUNT_MNT_BASIC };
	struct statmount sm = { 0 };
	struct statx stx = { 0 };

	if (syscall(SYS_statx, AT_FDCWD, path, 0, STATX_MNT_ID_UNIQUE, &stx) < 0)
		return err_errno(errno, "%s", path);
	req.mnt_id = stx.stx_mnt_id;
	if (syscall(MOUNT_SYS_STATMOUNT, &req, &sm, sizeof(sm), 0) < 0)
		return err_errno(errno, "statmount %s", path);
	*ret = sm.mnt_propagation;
	return NULL;
}
