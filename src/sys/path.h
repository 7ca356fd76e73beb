/* path.h: the named ways to open a path: openat2(2) with one policy each (rule R1).
 *
 * root_*: the path is resolved as if *rootfd* were "/": absolute links and ".." stay inside, magic
 * links fail. For anything inside a container's root, whose tree may be hostile and changing.
 * beneath_*: the path must not leave *dirfd* at all, links that try fail. For kubelet's log paths.
 */
#ifndef CRISP_PATH_H
#define CRISP_PATH_H

#include "base/err.h"

/* *flags* as open(2); O_CLOEXEC is added. */
struct err *path_open_root(int rootfd, const char *path, int flags, int *ret_fd) _must_check_;
struct err *path_open_beneath(int dirfd, const char *path, int flags, mode_t mode, int *ret_fd) _must_check_;

/* O_PATH descriptor of *path* inside *rootfd*, making what is missing: directories (0755), and, if
 * !*dir*, an empty regular file at the end. Races with a hostile tree end in an error, not outside. */
struct err *path_make_root(int rootfd, const char *path, bool dir, int *ret_fd) _must_check_;

/* The same; what is made belongs to *uid* and *gid*. */
struct err *path_make_root_for(int rootfd, const char *path, bool dir, uint32_t uid, uint32_t gid, int *ret_fd) _must_check_;

/* A regular file inside the root, whole, bounded (rules R1, R5): not a FIFO, not a device. */
struct buf;
struct err *path_read_root(int rootfd, const char *path, size_t max, struct buf *ret_buf) _must_check_;

/* "/proc/self/fd/N" for calls that only take names. */
#define PATH_FD_MAX 32
const char *path_of_fd(int fd, char ret_path[PATH_FD_MAX]);

#endif
