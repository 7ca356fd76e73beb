/* tar_reader.h: the inside of struct tar, shared by tar.c and tar_sparse.c. */
#ifndef CRISP_TAR_READER_H
#define CRISP_TAR_READER_H

#include "base/buf.h"
#include "image/tar.h"
#include "image/tar_header.h"
#include "image/tar_pax.h"

struct tar {
	struct tar_source source;
	const unsigned char *p; /* what the source gave and nobody has taken */
	size_t n;
	uint64_t offset; /* bytes taken, for errors */
	uint64_t left;	 /* of the entry's data */
	unsigned pad;	 /* after it, up to the next block */
	bool ended;
	struct tar_header header;
	struct tar_pax pax;
	struct buf pax_text, long_path, long_target;
	struct erofs_extent *extents; /* of the entry, TAR_EXTENTS_MAX at most */
	size_t n_extents, cap_extents;
	struct tar_entry entry;
	unsigned char block[TAR_BLOCK_SIZE];
};

/* The next block, in the source's buffer or in t->block; ERR_INVALID if the archive ends first. */
struct err *tar_read_block(struct tar *t, const unsigned char **ret_block) _must_check_;

/* Reads the map of a sparse file, if the entry is one, and sets extents and size of t->entry.
 * *block*: the entry's header. t->left becomes the bytes that are data. */
struct err *tar_sparse_read(struct tar *t, const unsigned char *block) _must_check_;

#endif
