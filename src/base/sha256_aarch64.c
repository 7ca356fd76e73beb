/* The block function for aarch64: portable until a board with SHA2 instructions is measured. */
#include "base/sha256_block.h"

void sha256_blocks(uint32_t state[8], const unsigned char *p, size_t n)
{
	sha256_blocks_soft(state, p, n);
}
