/* loop.h: a block device over a file, for what the kernel mounts of block devices only (loop(4)). */
#ifndef CRISP_LOOP_H
#define CRISP_LOOP_H

#include "base/err.h"

#define LOOP_NAME_MAX 32

/* A read-only loop device over the regular file *fd*, which the kernel keeps open: *ret_name* is its path, *ret_fd*
 * keeps it until it is mounted; it is gone with its last user. Buffered: where this is needed, in stacked file systems, direct
 * reads may fail. ERR_NOT_FOUND: this kernel has no loop devices (CONFIG_BLK_DEV_LOOP, module loop). */
struct err *loop_attach(int fd, int *ret_fd, char ret_name[LOOP_NAME_MAX]) _must_check_;

#endif
