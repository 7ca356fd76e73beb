/*
 * What igzip's inflate calls besides its own decoder: checksums, chosen for the processor at run time, and
 * the two header initialisers that upstream keeps in the compressor's file.
 *
 * gzip members are checked with CRC-32, by carry-less multiplication where there is any. Adler-32 belongs
 * to the zlib format, which no image layer uses: it is right here, not fast.
 */
#include <stdint.h>
#include <string.h>

#include "crc.h"
#include "igzip_checksums.h"
#include "igzip_lib.h"

uint32_t crc32_gzip_refl_by8(uint32_t crc, const unsigned char *buf, uint64_t len);
uint32_t crc32_gzip_refl_base(uint32_t crc, unsigned char *buf, uint64_t len);

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *buf, uint64_t len)
{
	if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
		return crc32_gzip_refl_by8(crc, buf, len);
	return crc32_gzip_refl_base(crc, (unsigned char *)(uintptr_t)buf, len);
}

/* igzip keeps Adler-32 as B << 16 | (A - 1 mod 65521), so that its initial state is zero */
uint32_t isal_adler32_bam1(uint32_t state, const unsigned char *buf, uint64_t len)
{
	uint32_t a = ((state & 0xffff) + 1) % ADLER_MOD;
	uint32_t b = state >> 16;

	for (uint64_t i = 0; i < len; i++) {
		a = (a + buf[i]) % ADLER_MOD;
		b = (b + a) % ADLER_MOD;
	}
	return b << 16 | (a + ADLER_MOD - 1) % ADLER_MOD;
}

/* RFC 1952: no flags, no time; operating system 255 is "unknown" */
void isal_gzip_header_init(struct isal_gzip_header *header)
{
	memset(header, 0, sizeof(*header));
	header->os = 255;
}

void isal_zlib_header_init(struct isal_zlib_header *header)
{
	memset(header, 0, sizeof(*header));
}
