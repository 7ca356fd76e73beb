/* Frames: golden bytes of moby/spdystream read in pieces of every size, our own read back, limits. */
#include "wire/spdy.h"

#include "base/str.h"
#include "base/test.h"
#include "wire/spdy_block.h"

/* Written by spdystream's framer: five SYN_STREAMs (whose header blocks refer back to each other), SYN_REPLY,
 * DATA with FIN, PING, RST_STREAM, WINDOW_UPDATE, SETTINGS, GOAWAY. */
static const char golden[] =
	"\x80\x03\x00\x01\x00\x00\x00\x29\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x78\xf9\xe3\xc6\xa7\xc2"
	"\x62\x60\x60\x60\x04\xa7\xb3\x92\xa2\xd4\xc4\x5c\x68\x51\xc2\x9a\x0a\x0a\x68\x00\x00\x00\x00\xff"
	"\xff\x80\x03\x00\x01\x00\x00\x00\x17\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\xc2\x2e\x55\x5c\x92"
	"\x92\x99\x07\x00\x00\x00\xff\xff\x80\x03\x00\x01\x00\x00\x00\x19\x00\x00\x00\x05\x00\x00\x00\x00"
	"\x00\x00\xc2\x2a\xc5\x56\x5c\x92\x92\x5f\x5a\x02\x00\x00\x00\xff\xff\x80\x03\x00\x01\x00\x00\x00"
	"\x18\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\xc2\x2e\x57\x94\x5a\x9c\x59\x95\x0a\x00\x00\x00\xff"
	"\xff\x80\x03\x00\x01\x00\x00\x00\x30\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x02\x25\x71\x0c\x39"
	"\x50\xc1\x95\x08\xa9\x03\x8a\xc0\xd9\xcd\xc2\xc0\xc2\x80\x81\x81\x81\xb3\x08\x92\x66\x32\x41\x79"
	"\x89\xc9\xd0\x1c\x00\x00\x00\xff\xff\x80\x03\x00\x02\x00\x00\x00\x0e\x00\x00\x00\x09\x62\x60\x60"
	"\x60\x00\x00\x00\x00\xff\xff\x00\x00\x00\x03\x01\x00\x00\x05\x68\x65\x6c\x6c\x6f\x80\x03\x00\x06"
	"\x00\x00\x00\x04\x00\x00\x00\x01\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x09\x00\x00\x00\x05"
	"\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x09\x00\x01\x00\x00\x80\x03\x00\x04\x00\x00\x00\x0c"
	"\x00\x00\x00\x01\x00\x00\x00\x07\x00\x01\x00\x00\x80\x03\x00\x07\x00\x00\x00\x08\x00\x00\x00\x09"
	"\x00\x00\x00\x00";

struct peer {
	struct spdy_inflater *z;
	struct spdy s;
};

static void peer_done(struct peer *p)
{
	spdy_done(&p->s);
	spdy_inflater_free(p->z);
}
#define _peer_ _cleanup_(peer_done)

static void peer_init(struct peer *p, bool server)
{
	p->z = spdy_inflater_new();
	spdy_init(&p->s, server, p->z);
}

/* One line an event; data of one stream in pieces is put together. */
static struct err *describe(struct spdy *s, const char *p, size_t n, size_t piece, struct buf *out)
{
	static const char *const names[] = { "", "syn", "reply", "rst", "settings", "ping", "goaway", "headers",
					     "window", "data" };

	for (size_t at = 0; at < n;) {
		struct spdy_event e;
		size_t used;

		TRY(spdy_read(s, p + at, MIN(piece, n - at), &used, &e));
		at += used;
		if (e.type == SPDY_NONE)
			continue;
		if (e.type == SPDY_DATA && !e.fin && piece < n) {
			buf_append(out, e.data, e.len);
			continue;
		}
		if (e.type == SPDY_DATA)
			buf_append(out, e.data, e.len);
		buf_printf(out, "%s %u%s", names[e.type], e.id, e.fin ? " fin" : "");
		if (e.status)
			buf_printf(out, " status %u", e.status);
		for (size_t i = 0; i < e.n_headers; i++)
			buf_printf(out, " %s=%s", e.headers[i].name, e.headers[i].value);
		buf_putc(out, '\n');
	}
	return NULL;
}

static const char described[] =
	"syn 1 streamtype=error\nsyn 3 streamtype=stdin\nsyn 5 streamtype=stdout\nsyn 7 streamtype=resize\n";

TEST(frames_of_spdystream_are_read_in_pieces_of_any_size)
{
	for (size_t piece = 1; piece < sizeof(golden); piece = piece * 3 / 2 + 1) {
		_peer_ struct peer p;
		_buf_ struct buf out = BUF_INIT;

		peer_init(&p, true);
		CHECK_OK(describe(&p.s, golden, sizeof(golden) - 1, piece, &out));
		CHECK(str_starts(buf_text(&out), described));
		const char *rest = buf_text(&out) + strlen(described);

		CHECK(str_starts(rest, "syn 9 "));
		CHECK(strstr(rest, " port=8080") && strstr(rest, " requestid=17") && strstr(rest, " streamtype=data"));
		CHECK_STR(strchr(rest, '\n') + 1, "reply 9\nhellodata 3 fin\nping 1\nrst 9 status 5\nwindow 0\nsettings 0\n"
						  "goaway 0\n");
	}
}

TEST(our_frames_are_read_by_our_other_end)
{
	_peer_ struct peer client, server;
	_buf_ struct buf out = BUF_INIT, text = BUF_INIT;
	struct spdy_header h[] = { { "streamtype", "data" }, { "port", "80" } };
	uint32_t id;

	peer_init(&client, false);
	peer_init(&server, true);
	for (int i = 0; i < 2; i++) {
		spdy_open(&client.s, &out, h, 2, &id);
		CHECK_INT(id, 1 + 2 * i);
		spdy_data(&out, id, "abc", 3, false);
		spdy_data(&out, id, "", 0, true);
	}
	spdy_reset(&out, 3, SPDY_CANCEL);
	spdy_ping(&out, 5);
	spdy_go_away(&client.s, &out, true);
	CHECK_OK(describe(&server.s, out.data, out.len, SIZE_MAX, &text));
	CHECK_STR(buf_text(&text), "syn 1 streamtype=data port=80\nabcdata 1\ndata 1 fin\n"
				   "syn 3 streamtype=data port=80\nabcdata 3\ndata 3 fin\n"
				   "rst 3 status 5\nping 5\ngoaway 0 status 1\n");
	buf_clear(&out);
	buf_clear(&text);
	spdy_reply(&server.s, &out, 1);
	CHECK(!memcmp(out.data + out.len - 5, "\0\0\0\xff\xff", 5)); /* Go's inflate waits for the sync flush */
	spdy_reply(&server.s, &out, 3);
	CHECK_OK(describe(&client.s, out.data, out.len, 1, &text));
	CHECK_STR(buf_text(&text), "reply 1\nreply 3\n");
	CHECK(spdy_ping_is_ours(&client.s, 5) && !spdy_ping_is_ours(&server.s, 5));
}

TEST(headers_long_past_the_window_are_still_read)
{
	_peer_ struct peer client, server;
	char value[2000];
	uint32_t id;

	peer_init(&client, false);
	peer_init(&server, true);
	for (int i = 0; i < 60; i++) {
		_buf_ struct buf out = BUF_INIT, text = BUF_INIT;
		struct spdy_header h = { "x", value };

		memset(value, 'a' + i % 26, sizeof(value) - 1);
		value[sizeof(value) - 1] = '\0';
		spdy_open(&client.s, &out, &h, 1, &id);
		CHECK_OK(describe(&server.s, out.data, out.len, 700, &text));
		CHECK(strstr(buf_text(&text), value));
		CHECK(server.s.history.len <= KIB(32));
	}
}

TEST(dictionary_is_the_drafts)
{
	char d[SPDY_DICTIONARY_LEN];
	uint32_t a = 1, b = 0;

	spdy_dictionary(d);
	for (size_t i = 0; i < sizeof(d); i++) {
		a = (a + (unsigned char)d[i]) % 65521;
		b = (b + a) % 65521;
	}
	CHECK_INT((b << 16 | a), SPDY_DICTIONARY_ID);
}

static enum err_kind refused(const char *p, size_t n)
{
	_peer_ struct peer s;
	_buf_ struct buf out = BUF_INIT;

	peer_init(&s, true);
	struct err *e = describe(&s.s, p, n, SIZE_MAX, &out);
	enum err_kind kind = e ? err_kind(e) : ERR_UNIMPLEMENTED;

	err_free(e);
	return kind;
}

TEST(what_breaks_the_protocol_is_refused)
{
	_peer_ struct peer client;
	_buf_ struct buf out = BUF_INIT, bomb = BUF_INIT;
	struct spdy_header h[] = { { "a", "b" } };
	uint32_t id;

	CHECK_INT(refused("\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", 12), ERR_INVALID); /* version 2 */
	CHECK_INT(refused("\x80\x03\x00\x06\x00\x00\x00\x03\x00\x00\x01", 11), ERR_INVALID);     /* short PING */
	CHECK_INT(refused("\x00\x00\x00\x00\x00\x00\x00\x01x", 9), ERR_INVALID);                 /* data, stream 0 */
	CHECK_INT(refused("\x80\x03\x00\x01\x00\x10\x00\x00", 8), ERR_EXHAUSTED);                /* 1 MiB of control */
	CHECK_INT(refused("\x80\x03\x00\x0a\x00\x00\x00\x00\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", 20),
		  ERR_UNIMPLEMENTED); /* CREDENTIAL without payload is skipped: no error */
	peer_init(&client, false);
	spdy_open(&client.s, &out, h, 1, &id);
	CHECK_INT(refused(out.data, out.len), ERR_UNIMPLEMENTED);
	size_t one = out.len;

	buf_reserve(&out, one);
	buf_append(&out, out.data, one);
	CHECK_INT(refused(out.data, out.len), ERR_INVALID); /* the same stream twice */
	out.data[out.len - 1] = 'B';
	for (size_t i = 18; i < one; i++) { /* no flipped byte of the compressed block may crash */
		char was = out.data[i];

		out.data[i] = (char)(was ^ 0x11);
		refused(out.data, one);
		out.data[i] = was;
	}
	char *large = base_alloc(SPDY_BLOCK_MAX + 1);

	memset(large, 'x', SPDY_BLOCK_MAX);
	spdy_done(&client.s);
	spdy_init(&client.s, false, client.z);
	spdy_open(&client.s, &bomb, &(struct spdy_header){ "a", large }, 1, &id);
	free(large);
	CHECK_INT(refused(bomb.data, bomb.len), ERR_EXHAUSTED);
}

TEST_MAIN
