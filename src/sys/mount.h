/* mount.h: mounts by descriptor: fsopen, open_tree, move_mount, mount_setattr (kernel 6.12).
 *
 * The kernel's own message (fsconfig log, read from the fs context) becomes part of the error.
 */
#ifndef CRISP_MOUNT_H
#define CRISP_MOUNT_H

#include "base/err.h"

#include <linux/mount.h>

struct mount_option {
	const char *key;
	const char *value;   /* NULL: a flag */
};

/* fsopen(2) … fsmount(2): a detached mount. *attrs*: MOUNT_ATTR_*. ERR_UNIMPLEMENTED: the source is a file, and the kernel
 * wants a block device. */
struct err *mount_new(const char *fstype, const struct mount_option *options, size_t n,
		      uint64_t attrs, int *ret_fd) _must_check_;

/* open_tree(2) OPEN_TREE_CLONE of (dirfd, path; path may be "" for dirfd itself). */
struct err *mount_clone(int dirfd, const char *path, bool recursive, int *ret_fd) _must_check_;

/* Attaches a detached mount on what *target_fd* (O_PATH) names. */
struct err *mount_attach(int mount_fd, int target_fd) _must_check_;
/* The same on a path that only root can change. */
struct err *mount_attach_at(int mount_fd, const char *path) _must_check_;

/* mount_setattr(2) on a mount descriptor; *propagation* MS_PRIVATE, MS_SLAVE, MS_SHARED or 0. */
struct err *mount_set(int mount_fd, bool recursive, uint64_t set, uint64_t clear,
		      uint64_t propagation) _must_check_;
/* MOUNT_ATTR_IDMAP with the mappings of user namespace *userns_fd*. Detached mounts only. ERR_UNIMPLEMENTED: not with this
 * file system. */
struct err *mount_idmap(int mount_fd, bool recursive, int userns_fd) _must_check_;

/* umount2(MNT_DETACH|UMOUNT_NOFOLLOW); not mounted or missing is success. */
struct err *mount_detach(const char *path) _must_check_;
/* How the mount that *path* is in spreads: MS_SHARED and MS_SLAVE, both, or neither (statmount(2), kernel 6.8). */
struct err *mount_propagation(const char *path, uint64_t *ret) _must_check_;

/* True if *path* is the root of a mount (statx STATX_ATTR_MOUNT_ROOT). */
bool mount_is_root(const char *path);

#endif
