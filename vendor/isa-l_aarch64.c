/*
 * What igzip's inflate leaves to its run-time dispatch, for aarch64: the CRC instructions, which the Huffman
 * decoder in assembly uses too, and CRC-32 three ways at once where there is polynomial multiplication.
 */
#include <stdint.h>
#include <sys/auxv.h>

#include <asm/hwcap.h>

#include "crc.h"
#include "igzip_lib.h"

uint32_t crc32_gzip_refl_3crc_fold(uint32_t crc, const unsigned char *buf, uint64_t len);
uint32_t crc32_gzip_refl_crc_ext(uint32_t crc, const unsigned char *buf, uint64_t len);
uint32_t crc32_gzip_refl_base(uint32_t crc, unsigned char *buf, uint64_t len);
int decode_huffman_code_block_stateless_aarch64(struct inflate_state *state, uint8_t *start);
int decode_huffman_code_block_stateless_base(struct inflate_state *state, uint8_t *start);
int decode_huffman_code_block_stateless(struct inflate_state *state, uint8_t *start);

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *buf, uint64_t len)
{
	unsigned long has = getauxval(AT_HWCAP);

	if (has & HWCAP_CRC32)
		return has & HWCAP_PMULL ? crc32_gzip_refl_3crc_fold(crc, buf, len) :
					   crc32_gzip_refl_crc_ext(crc, buf, len);
	return crc32_gzip_refl_base(crc, (unsigned char *)(uintptr_t)buf, len);
}

int decode_huffman_code_block_stateless(struct inflate_state *state, uint8_t *start)
{
	if (getauxval(AT_HWCAP) & HWCAP_CRC32)
		return decode_huffman_code_block_stateless_aarch64(state, start);
	return decode_huffman_code_block_stateless_base(state, start);
}
