/* tar_header.h: the fields of one 512-byte header block. */
#ifndef CRISP_TAR_HEADER_H
#define CRISP_TAR_HEADER_H

#include "base/err.h"

#define TAR_BLOCK_SIZE 512

struct tar_header {
	char path[257]; /* ustar: prefix, slash, name */
	char target[101];
	char type;
	bool gnu; /* magic "ustar  " */
	uint32_t mode, uid, gid, major, minor;
	uint64_t size;
	int64_t mtime;
};

/* All of it zero: what ends an archive. */
bool tar_block_is_zero(const unsigned char *block);

/* ERR_INVALID if the checksum or a number is wrong. Device numbers are read of devices only. */
struct err *tar_header_parse(const unsigned char *block, struct tar_header *ret) _must_check_;

/* A numeric field: octal digits between spaces and NULs, or base 256 if its first bit is set. */
bool tar_number(const unsigned char *field, size_t n, int64_t *ret);

#endif
