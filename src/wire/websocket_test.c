/* RFC 6455: its own examples, frames in pieces of every size, everything that must be refused. */
#include "wire/websocket.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/test.h"


static void put_frame(struct buf *b, unsigned char first, const char *p, size_t n)
{
	static const unsigned char mask[] = { 0x37, 0xfa, 0x21, 0x3d };
	unsigned char head[WEBSOCKET_HEAD_MAX];
	size_t len = websocket_head(head, WEBSOCKET_OP_BINARY, n);

	head[0] = first;
	head[1] |= 0x80;
	buf_append(b, head, len);
	buf_append(b, mask, sizeof(mask));
	for (size_t i = 0; i < n; i++)
		buf_putc(b, (char)(p[i] ^ mask[i % 4]));
}

/* One line an event; data of one message in pieces is put together. */
static struct err *describe(const struct buf *in, size_t piece, struct buf *out)
{
	struct websocket w = { 0 };
	_buf_ struct buf copy = BUF_INIT;

	buf_append(&copy, in->data, in->len);
	for (size_t at = 0; at < copy.len;) {
		struct websocket_event e;
		size_t used;

		TRY(websocket_read(&w, copy.data + at, MIN(piece, copy.len - at), &used, &e));
		at += used;
		if (e.type == WEBSOCKET_DATA)
			buf_printf(out, "%s%.*s%s", e.begin ? "<" : "", (int)e.len, e.data, e.end ? ">" : "");
		else if (e.type == WEBSOCKET_CLOSE)
			buf_printf(out, "close %u %s\n", e.code, e.data);
		else if (e.type != WEBSOCKET_NONE)
			buf_printf(out, "%s %s\n", e.type == WEBSOCKET_PING ? "ping" : "pong", e.data);
	}
	return NULL;
}

TEST(websocket_frames_in_pieces_of_every_size)
{
	_buf_ struct buf in = BUF_INIT;

	put_frame(&in, 0x02, "hel", 3);
	put_frame(&in, 0x89, "are you there", 13); /* between the fragments of a message */
	put_frame(&in, 0x00, "lo wor", 6);
	put_frame(&in, 0x80, "ld", 2);
	put_frame(&in, 0x81, "", 0);
	put_frame(&in, 0x8a, "", 0);
	put_frame(&in, 0x82, "0123456789012345678901234567890123456789", 40);
	put_frame(&in, 0x88, "\x03\xe8" "bye", 5);
	buf_puts(&in, "what comes after is not looked at");
	for (size_t piece = 1; piece <= in.len; piece++) {
		_buf_ struct buf out = BUF_INIT;

		CHECK_OK(describe(&in, piece, &out));
		CHECK_STR(buf_text(&out), "<helping are you there\nlo world><>pong \n"
					  "<0123456789012345678901234567890123456789>close 1000 bye\n");
	}
}

TEST(websocket_long_messages)
{
	static const size_t sizes[] = { 125, 126, 127, 65535, 65536, 200000 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_free_ char *text = base_alloc(sizes[i] + 1);
		_buf_ struct buf in = BUF_INIT, out = BUF_INIT;

		for (size_t k = 0; k < sizes[i]; k++)
			text[k] = (char)('a' + k % 26);
		put_frame(&in, 0x82, text, sizes[i]);
		CHECK_OK(describe(&in, 4097, &out));
		CHECK(out.len == sizes[i] + 2 && !memcmp(out.data + 1, text, sizes[i]));
	}
}

TEST(websocket_refuses_what_the_rfc_forbids)
{
	static const struct { const char *bytes; size_t len; const char *words; } t[] = {
		{ "\x82\x01x", 3, "not masked" },
		{ "\xc2\x80mask", 6, "reserved bit" },
		{ "\x83\x80mask", 6, "opcode 3" },
		{ "\x8b\x80mask", 6, "opcode 11" },
		{ "\x80\x80mask", 6, "continuation of nothing" },
		{ "\x02\x80mask\x02\x80mask", 12, "inside another" },
		{ "\x09\x80mask", 6, "control frame" },
		{ "\x89\xfe\x00\x7emask", 8, "control frame" },
		{ "\x82\xfe\x00\x05mask", 8, "length" },
		{ "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffmask", 14, "length" },
		{ "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffmask", 14, "length" },
		{ "\x88\x81\x00\x00\x00\x00\x03", 7, "close frame" },
		{ "\x88\x82\x00\x00\x00\x00\x03\xed", 8, "close frame" },   /* 1005 is never sent */
		{ "\x88\x82\x00\x00\x00\x00\x00\x05", 8, "close frame" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_buf_ struct buf in = BUF_INIT, out = BUF_INIT;

		buf_append(&in, t[i].bytes, t[i].len);
		_err_ struct err *e = describe(&in, 1, &out);

		CHECK(e && strstr(err_text(e), t[i].words));
	}
}

TEST(websocket_close_without_a_code)
{
	_buf_ struct buf in = BUF_INIT, out = BUF_INIT;

	put_frame(&in, 0x88, "", 0);
	CHECK_OK(describe(&in, 100, &out));
	CHECK_STR(buf_text(&out), "close 1005 \n");
}

/* Section 1.3's example, and keys that are none. */
TEST(websocket_accept_answers_the_key)
{
	static const char *const bad[] = { "", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ=!", "dGhlIHNhbXBsZSBub25jZWFi",
					   "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==" };
	char accept[WEBSOCKET_ACCEPT_LEN + 1];

	CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
	CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!websocket_accept(bad[i], accept));
}

TEST_MAIN
