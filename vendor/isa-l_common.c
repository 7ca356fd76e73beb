/*
 * What igzip's inflate takes from the compressor's file: Adler-32 and two header initialisers, so that nothing
 * else of that file comes in.
 *
 * Adler-32 belongs to the zlib format, which no image layer uses: it is right here, not fast.
 */
#include <stdint.h>
#include <string.h>

#include "igzip_checksums.h"
#include "igzip_lib.h"

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
