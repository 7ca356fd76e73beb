/* The block function with SHA-NI (Intel SDM, SHA256RNDS2, SHA256MSG1, SHA256MSG2), found by CPUID. */
#include "base/sha256_block.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

/* Four rounds: the schedule word *w* plus constants goes in two halves. */
#define ROUNDS4(w, i)                                                                     \
	do {                                                                              \
		__m128i m_ = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)&sha256_k[i])); \
		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, m_);                             \
		abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(m_, 0x0e));    \
	} while (0)

/* The next schedule word from the last four. */
#define SCHEDULE(w0, w1, w2, w3)                                                          \
	(w0 = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1),            \
						 _mm_alignr_epi8(w3, w2, 4)),             \
				   w3))

__attribute__((target("sha,sse4.1,ssse3")))
static void blocks_ni(uint32_t state[8], const unsigned char *p, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i dcba = _mm_loadu_si128((const __m128i *)&state[0]);
	__m128i hgfe = _mm_loadu_si128((const __m128i *)&state[4]);
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
	__m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
	__m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

	for (; n > 0; n--, p += 64) {
		__m128i abef0 = abef, cdgh0 = cdgh;
		const __m128i *in = (const __m128i *)p;
		__m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128(in), swap);
		__m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128(in + 1), swap);
		__m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128(in + 2), swap);
		__m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128(in + 3), swap);

		ROUNDS4(w0, 0);
		ROUNDS4(w1, 4);
		ROUNDS4(w2, 8);
		ROUNDS4(w3, 12);
		for (int i = 16; i < 64; i += 16) {
			SCHEDULE(w0, w1, w2, w3);
			ROUNDS4(w0, i);
			SCHEDULE(w1, w2, w3, w0);
			ROUNDS4(w1, i + 4);
			SCHEDULE(w2, w3, w0, w1);
			ROUNDS4(w2, i + 8);
			SCHEDULE(w3, w0, w1, w2);
			ROUNDS4(w3, i + 12);
		}
		abef = _mm_add_epi32(abef, abef0);
		cdgh = _mm_add_epi32(cdgh, cdgh0);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

static bool have_sha(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) &&
	       __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1);
}

void sha256_blocks(uint32_t state[8], const unsigned char *p, size_t n)
{
	static atomic_int known; /* 0: not asked yet, 1: no, 2: yes */
	int k = known;

	if (!k)
		known = k = have_sha() ? 2 : 1;
	if (k == 2)
		blocks_ni(state, p, n);
	else
		sha256_blocks_soft(state, p, n);
}
