/* erofs_out.h: where an EROFS image goes: a stream of blocks, and the packing of small objects.
 *
 * The stream is written once, from the start to the end, in large pieces; long runs of zeros become
 * holes of the image's own file. Block 0 (superblock, root) is left out and patched in at the end.
 * Objects (an inode with what must follow it) never cross a block unless they are larger than one:
 * EROFS_BINS blocks are kept open and each object goes where it leaves the least room.
 * Where an object lies is known when its block is written: until then a place is (bin, offset).
 */
#ifndef CRISP_EROFS_OUT_H
#define CRISP_EROFS_OUT_H

#include "base/err.h"
#include "store/erofs_format.h"

#define EROFS_BINS 16
#define EROFS_OUT_BUFFER KIB(256) /* fits the L2 cache that the data has just come through */

struct erofs_out {
	int fd;		/* borrowed */
	uint64_t limit; /* bytes of the image */
	uint64_t pos;	/* image offset of buf[0] */
	size_t fill;
	unsigned char *buf; /* EROFS_OUT_BUFFER */
};

/* The stream begins at block 1. */
void erofs_out_init(struct erofs_out *o, int fd, uint64_t limit);
void erofs_out_done(struct erofs_out *o);
struct err *erofs_out_write(struct erofs_out *o, const void *p, size_t n) _must_check_;
struct err *erofs_out_zeros(struct erofs_out *o, uint64_t n) _must_check_;
/* Zeros up to the next block. */
struct err *erofs_out_align(struct erofs_out *o) _must_check_;
struct err *erofs_out_flush(struct erofs_out *o) _must_check_;
/* Overwrites what has been flushed. */
struct err *erofs_out_patch(struct erofs_out *o, uint64_t offset, const void *p, size_t n) _must_check_;
/* The block that the next byte goes to; aligned positions only. */
uint32_t erofs_out_block(const struct erofs_out *o);

struct erofs_place {
	uint32_t bin;	 /* index into blocks[] */
	uint32_t offset; /* bytes; a multiple of EROFS_SLOT */
};

struct erofs_pack {
	struct erofs_bin {
		unsigned char data[EROFS_BLOCK];
		uint32_t used; /* a multiple of EROFS_SLOT; zeros follow */
		uint32_t id;
		bool open;
	} * bins;	  /* EROFS_BINS */
	uint32_t *blocks; /* of each bin, valid once it is written */
	size_t n_blocks, cap_blocks;
};

void erofs_pack_init(struct erofs_pack *p);
void erofs_pack_done(struct erofs_pack *p);
/* *o* must be aligned; it is again afterwards. */
struct err *erofs_pack_put(struct erofs_pack *p, struct erofs_out *o, const void *object, size_t n,
			   struct erofs_place *ret_place) _must_check_;
/* Writes all open bins. From here on erofs_pack_nid() is right. */
struct err *erofs_pack_close(struct erofs_pack *p, struct erofs_out *o) _must_check_;
uint64_t erofs_pack_nid(const struct erofs_pack *p, struct erofs_place place);

#endif
