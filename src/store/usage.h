/* usage.h: how much a directory tree takes on the disk. */
#ifndef CRISP_USAGE_H
#define CRISP_USAGE_H

#include "base/err.h"

struct usage {
	uint64_t bytes;     /* allocated, as du counts; a file with several names counts once a name */
	uint64_t inodes;
};

/* Walks below *path* without following links or crossing mounts; depth bounded by USAGE_DEPTH_MAX (deeper is
 * left out). The tree may change meanwhile. */
#define USAGE_DEPTH_MAX 256
struct err *usage_of_tree(const char *path, struct usage *ret) _must_check_;

#endif
