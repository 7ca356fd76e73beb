/*
 * What igzip's inflate leaves to its run-time dispatch, for x86_64: CRC-32 by carry-less multiplication where
 * there is any. (The Huffman decoder's choice is upstream's igzip_inflate_multibinary.asm.)
 */
#include <stdint.h>

#include "crc.h"

uint32_t crc32_gzip_refl_by8(uint32_t crc, const unsigned char *buf, uint64_t len);
uint32_t crc32_gzip_refl_base(uint32_t crc, unsigned char *buf, uint64_t len);

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *buf, uint64_t len)
{
	if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
		return crc32_gzip_refl_by8(crc, buf, len);
	return crc32_gzip_refl_base(crc, (unsigned char *)(uintptr_t)buf, len);
}
