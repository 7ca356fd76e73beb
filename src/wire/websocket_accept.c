/* The opening handshake's proof (RFC 6455 section 4.2.2): base64 of the SHA-1 of the key and a fixed text. It proves
 * nothing but that both ends speak WebSocket; SHA-1 (RFC 3174) is used for nothing else here. */
#include "wire/websocket.h"

#include "wire/http1_socket.h"

#include <stdlib.h>
#include <string.h>

#define SHA1_LEN 20
#define KEY_LEN  24        /* 16 bytes in base64 */
#define GUID     "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define TEXT_LEN (KEY_LEN + sizeof(GUID) - 1)
#define BLOCK    64

static uint32_t rotate(uint32_t v, unsigned int n)
{
	return v << n | v >> (32 - n);
}

static uint32_t mix(unsigned int t, uint32_t b, uint32_t c, uint32_t d)
{
	static const uint32_t k[] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	uint32_t f = t < 20 ? (b & c) | (~b & d) : t < 40 || t >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);

	return f + k[t / 20];
}

static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (size_t t = 0; t < 16; t++)
		w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
	for (size_t t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	for (unsigned int t = 0; t < 80; t++) {
		uint32_t next = rotate(a, 5) + mix(t, b, c, d) + e + w[t];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* The text is 60 bytes: with its end mark and length always two blocks. */
static void sha1_of_text(const char *text, unsigned char ret[SHA1_LEN])
{
	uint32_t h[] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	unsigned char room[2 * BLOCK] = { 0 };

	_Static_assert(TEXT_LEN >= BLOCK - 8 && TEXT_LEN < BLOCK, "two blocks");
	memcpy(room, text, TEXT_LEN);
	room[TEXT_LEN] = 0x80;
	room[2 * BLOCK - 2] = (unsigned char)(TEXT_LEN * 8 >> 8);
	room[2 * BLOCK - 1] = (unsigned char)(TEXT_LEN * 8);
	sha1_block(h, room);
	sha1_block(h, room + BLOCK);
	for (size_t i = 0; i < SHA1_LEN; i++)
		ret[i] = (unsigned char)(h[i / 4] >> 8 * (3 - i % 4));
}

bool websocket_accept(const char *key, char ret_accept[WEBSOCKET_ACCEPT_LEN + 1])
{
	char text[TEXT_LEN + 1], *decoded = NULL;
	unsigned char digest[SHA1_LEN];
	size_t n = 0;

	if (strlen(key) != KEY_LEN || !http1_base64_decode(key, &decoded, &n))
		return false;
	free(decoded);
	if (n != 16)
		return false;
	memcpy(text, key, KEY_LEN);
	memcpy(text + KEY_LEN, GUID, sizeof(GUID));
	sha1_of_text(text, digest);
	_free_ char *encoded = http1_base64(digest, sizeof(digest));

	memcpy(ret_accept, encoded, WEBSOCKET_ACCEPT_LEN + 1);
	return true;
}
