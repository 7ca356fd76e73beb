/* spdy_block.h: between the frames and the header blocks (section 2.6.10) in them. */
#ifndef CRISP_SPDY_BLOCK_H
#define CRISP_SPDY_BLOCK_H

#include "wire/spdy.h"

#define SPDY_DICTIONARY_LEN 1423
#define SPDY_DICTIONARY_ID  0xe3c6a7c2u   /* its Adler-32, which FDICT carries */

void spdy_dictionary(char ret[SPDY_DICTIONARY_LEN]);

/* Inflates and splits a compressed block into s->headers. */
struct err *spdy_block_read(struct spdy *s, const char *p, size_t n, size_t *ret_n) _must_check_;

/* Appends a block: zlib format, stored. Lower-case names only. */
void spdy_block_write(struct spdy *s, struct buf *out, const struct spdy_header *headers, size_t n);

static inline uint32_t spdy_get32(const void *p)
{
	const unsigned char *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void spdy_put32(struct buf *out, uint32_t v)
{
	char b[4] = { (char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v };

	buf_append(out, b, sizeof(b));
}

#endif
