/* sha256_block.h: between the portable block function and the one of the processor
 * (sha256_x86_64.c, sha256_aarch64.c: the Makefile chooses). */
#ifndef CRISP_SHA256_BLOCK_H
#define CRISP_SHA256_BLOCK_H

#include "base/sha256.h"

extern const uint32_t sha256_k[64];

void sha256_blocks_soft(uint32_t state[8], const unsigned char *p, size_t n);

#endif
