/* sha256.h: SHA-256 (FIPS 180-4) with the processor's SHA instructions where it has them.
 *
 * Streaming; the block function is also given to mbedtls (MBEDTLS_SHA256_PROCESS_ALT).
 */
#ifndef CRISP_SHA256_H
#define CRISP_SHA256_H

#include "base/base.h"

#define SHA256_LEN 32

struct sha256 {
	uint32_t state[8];
	uint64_t total;          /* bytes so far */
	unsigned char pending[64];
};

void sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *p, size_t n);
void sha256_final(struct sha256 *h, unsigned char ret_digest[SHA256_LEN]);

/* "sha256:" and 64 hexadecimal digits: the form of all digests in OCI (image-spec, descriptor). */
#define DIGEST_TEXT_LEN 71
void sha256_final_text(struct sha256 *h, char ret_text[DIGEST_TEXT_LEN + 1]);
void sha256_text(const void *p, size_t n, char ret_text[DIGEST_TEXT_LEN + 1]);

/* The grammar `sha256:[0-9a-f]{64}`, the only digest accepted anywhere. */
bool digest_ok(const char *text);

/* *n* blocks of 64 bytes into *state*. */
void sha256_blocks(uint32_t state[8], const unsigned char *p, size_t n);

#endif
