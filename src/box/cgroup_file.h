/* cgroup_file.h: reading and writing the files of one cgroup directory; for cgroup*.c. */
#ifndef CRISP_CGROUP_FILE_H
#define CRISP_CGROUP_FILE_H

#include "base/buf.h"
#include "base/err.h"

#define CGROUP_FILE_MAX KIB(64)   /* memory.stat is the longest, about 2 KiB */

/* The directory of *path* (below CGROUP_ROOT), O_PATH-like use only. */
struct err *cgroup_open(const char *path, int *ret_fd) _must_check_;
/* The error names the file and the value. */
struct err *cgroup_write(int dir_fd, const char *file, const char *value) _must_check_;
struct err *cgroup_read(int dir_fd, const char *file, struct buf *ret) _must_check_;

#endif
