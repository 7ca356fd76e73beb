/* file.h: whole files, bounded reads, durable atomic writes, directories made and removed.
 *
 * Paths are (dirfd, name): AT_FDCWD with an absolute path is fine for places that only root
 * writes; what is inside a container's root goes through sys/path.h instead.
 */
#ifndef CRISP_FILE_H
#define CRISP_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Everything that *fd* still holds, at most *max* bytes (more is ERR_EXHAUSTED). */
struct err *file_read_fd(int fd, size_t max, struct buf *ret_buf) _must_check_;

/* A regular file's content (O_NOFOLLOW|O_NONBLOCK, then fstat: not FIFOs, not devices). */
struct err *file_read_at(int dirfd, const char *name, size_t max, struct buf *ret_buf) _must_check_;

/* For /proc, /sys and cgroup files. Follows symbolic links. */
struct err *file_read_virtual(int dirfd, const char *name, size_t max, struct buf *ret_buf) _must_check_;

/* Until the descriptor is ready for *events* (poll(2)); ERR_TIMEOUT when the deadline has passed. */
struct err *file_wait_fd(int fd, short events, int64_t deadline_ns) _must_check_;

/* All of *p*, retrying short writes and EINTR. */
struct err *file_write_fd(int fd, const void *p, size_t n) _must_check_;

/* *p* as a file in memory (memfd_create(2)) that nobody can change, to be read from its start; *name* is seen in /proc. */
struct err *file_in_memory(const char *name, const void *p, size_t n, int *ret_fd) _must_check_;

/* One write(2) to an existing file: for /proc, /sys and cgroup files. */
struct err *file_write_at(int dirfd, const char *name, const char *text) _must_check_;

/* What a power cut may leave of a replaced file. */
enum file_keep {
	FILE_VOLATILE,  /* anything: for /run */
	FILE_DURABLE,   /* the new content */
	FILE_ORDERED,   /* the old content or the new, whole; and the new for certain once anything later is durable */
};

/* Temporary name, write, rename. Durable: fsync of the file and of its directory. Ordered: the content is written out
 * before the rename, so that a journal which keeps the order of operations (ext4, XFS) has the name only with it: one
 * write, and the disk's cache is not flushed.
 * Temporary names are ".tmp-…": whoever owns the directory sweeps them at start-up. */
struct err *file_replace_at(int dirfd, const char *name, const void *p, size_t n, mode_t mode,
			    enum file_keep keep) _must_check_;
#define FILE_TMP_PREFIX ".tmp-"

struct err *file_sync_dir(int dirfd) _must_check_;

/* mkdir -p with *mode* for what is made; existing directories are left as they are. */
struct err *file_make_dirs(const char *path, mode_t mode) _must_check_;

/* A descriptor (O_RDONLY|O_DIRECTORY|O_NOFOLLOW) of *name* below *dirfd*, made if missing. */
struct err *file_open_dir(int dirfd, const char *name, bool make, mode_t mode, int *ret_fd) _must_check_;

/* rm -r below *dirfd*, never following links, never crossing mounts; missing is fine.
 * Depth is bounded by descriptors reopened through "..", so any depth is removed. */
struct err *file_remove_tree(int dirfd, const char *name) _must_check_;

/* True for a name that can be one component of a path we make: not empty, not "." or "..", no
 * slash, no control characters, at most 255 bytes. */
bool file_name_ok(const char *name);

#endif
