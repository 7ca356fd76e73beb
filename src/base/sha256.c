#include "base/sha256.h"

#include "base/str.h"

#include <endian.h>
#include <string.h>

void sha256_init(struct sha256 *h)
{
	*h = (struct sha256){
		.state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
			   0x1f83d9ab, 0x5be0cd19 },
	};
}

void sha256_update(struct sha256 *h, const void *p, size_t n)
{
	const unsigned char *from = p;
	size_t fill = h->total % 64;

	if (n == 0)
		return; /* p may be NULL then */
	h->total += n;
	if (fill) {
		size_t take = MIN(n, 64 - fill);

		memcpy(h->pending + fill, from, take);
		from += take;
		n -= take;
		if (fill + take < 64)
			return;
		sha256_blocks(h->state, h->pending, 1);
	}
	if (n >= 64)
		sha256_blocks(h->state, from, n / 64);
	if (n % 64)
		memcpy(h->pending, from + (n & ~(size_t)63), n % 64);
}

void sha256_final(struct sha256 *h, unsigned char ret_digest[SHA256_LEN])
{
	static const unsigned char pad[64] = { 0x80 };
	uint64_t bits = htobe64(h->total * 8);
	size_t fill = h->total % 64;

	sha256_update(h, pad, fill < 56 ? 56 - fill : 120 - fill);
	sha256_update(h, &bits, sizeof(bits));
	for (size_t i = 0; i < 8; i++) {
		uint32_t word = htobe32(h->state[i]);

		memcpy(ret_digest + 4 * i, &word, 4);
	}
}

void sha256_final_text(struct sha256 *h, char ret_text[DIGEST_TEXT_LEN + 1])
{
	unsigned char digest[SHA256_LEN];

	sha256_final(h, digest);
	memcpy(ret_text, "sha256:", 7);
	str_hex(digest, sizeof(digest), ret_text + 7);
}

void sha256_text(const void *p, size_t n, char ret_text[DIGEST_TEXT_LEN + 1])
{
	struct sha256 h;

	sha256_init(&h);
	sha256_update(&h, p, n);
	sha256_final_text(&h, ret_text);
}

bool digest_ok(const char *text)
{
	return text && str_starts(text, "sha256:") && str_is_hex(text + 7, 64);
}
