#include "base/test.h"
#include "base/buf.h"
#include "wire/http1.h"

/* The head is split in place, so each case gets bytes of its own, exactly as long as they are. */
static char *bytes;

static struct err *request(const char *text, struct http1_head *ret)
{
	size_t n = strlen(text);

	free(bytes);
	bytes = malloc(n ? n : 1);
	memcpy(bytes, text, n);
	CHECK_INT(http1_head_len(bytes, n), n);
	return http1_parse_request(bytes, n, ret);
}

static struct err *response(const char *text, struct http1_head *ret)
{
	size_t n = strlen(text);

	free(bytes);
	bytes = malloc(n ? n : 1);
	memcpy(bytes, text, n);
	CHECK_INT(http1_head_len(bytes, n), n);
	return http1_parse_response(bytes, n, ret);
}

TEST(http1_head_is_complete_at_its_blank_line)
{
	CHECK_INT(http1_head_len("", 0), 0);
	CHECK_INT(http1_head_len("GET / HTTP/1.1\r\n\r", 17), 0);
	CHECK_INT(http1_head_len("GET / HTTP/1.1\r\n\r\nbody", 22), 18);
	CHECK_INT(http1_head_len("GET / HTTP/1.1\n\n", 16), 0);
}

TEST(http1_request_is_split)
{
	struct http1_head h;

	CHECK_OK(request("POST /exec/abc?x=1 HTTP/1.1\r\nHost: 127.0.0.1:1234\r\nconnection:  keep-alive, Upgrade \r\n"
			 "Connection: other\r\nUPGRADE: SPDY/3.1\r\nEmpty:\r\n\r\n", &h));
	CHECK_STR(h.method, "POST");
	CHECK_STR(h.target, "/exec/abc?x=1");
	CHECK_INT(h.minor, 1);
	CHECK_INT(h.status, 0);
	CHECK_INT(h.n_headers, 5);
	CHECK_STR(http1_header(&h, "host"), "127.0.0.1:1234");
	CHECK_STR(http1_header(&h, "Connection"), "keep-alive, Upgrade");
	CHECK_STR(http1_header_n(&h, "Connection", 1), "other");
	CHECK(!http1_header_n(&h, "Connection", 2));
	CHECK_STR(http1_header(&h, "Empty"), "");
	CHECK(!http1_header(&h, "Missing"));
	CHECK(http1_header_has(&h, "Connection", "upgrade"));
	CHECK(http1_header_has(&h, "Connection", "OTHER"));
	CHECK(!http1_header_has(&h, "Connection", "keep"));
	CHECK(!http1_header_has(&h, "Connection", "up"));
}

TEST(http1_malformed_requests_are_refused)
{
	static const char *const bad[] = {
		"\r\n\r\n",
		"GET\r\n\r\n",
		"GET /\r\n\r\n",
		"GET  HTTP/1.1\r\n\r\n",
		" / HTTP/1.1\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.10\r\n\r\n",
		"GET / x HTTP/1.1\r\n\r\n",
		"G\tET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nName : value\r\n\r\n",
		"GET / HTTP/1.1\r\n folded: value\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\n: no name\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\rB: c\r\n\r\n",
		"GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
	};
	struct http1_head h;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(request(bad[i], &h), ERR_INVALID);
}

TEST(http1_nul_in_a_head_is_refused)
{
	char text[] = "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n";
	struct http1_head h;

	CHECK_ERR(http1_parse_request(text, sizeof(text) - 1, &h), ERR_INVALID);
}

TEST(http1_headers_are_counted)
{
	_buf_ struct buf b = BUF_INIT;
	struct http1_head h;

	buf_puts(&b, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < HTTP1_HEADERS_MAX; i++)
		buf_printf(&b, "H%d: v\r\n", i);
	_free_ char *fits = base_printf("%s\r\n", b.data);
	_free_ char *over = base_printf("%sOne-More: v\r\n\r\n", b.data);

	CHECK_OK(request(fits, &h));
	CHECK_INT(h.n_headers, HTTP1_HEADERS_MAX);
	CHECK_ERR(request(over, &h), ERR_EXHAUSTED);
}

TEST(http1_response_is_split)
{
	struct http1_head h;

	CHECK_OK(response("HTTP/1.1 307 Temporary Redirect\r\nLocation: https://b/x\r\n\r\n", &h));
	CHECK_INT(h.status, 307);
	CHECK_STR(h.reason, "Temporary Redirect");
	CHECK(!h.method);
	CHECK_STR(http1_header(&h, "location"), "https://b/x");
	CHECK_OK(response("HTTP/1.0 200\r\n\r\n", &h));
	CHECK_INT(h.status, 200);
	CHECK_INT(h.minor, 0);
	CHECK_STR(h.reason, "");
	CHECK_ERR(response("HTTP/1.1 20\r\n\r\n", &h), ERR_INVALID);
	CHECK_ERR(response("HTTP/1.1 2000 x\r\n\r\n", &h), ERR_INVALID);
	CHECK_ERR(response("HTTP/1.1 099 x\r\n\r\n", &h), ERR_INVALID);
	CHECK_ERR(response("HTTP/1.1  200 x\r\n\r\n", &h), ERR_INVALID);
	CHECK_ERR(response("SSH-2.0-OpenSSH_9.2p1\r\n\r\n", &h), ERR_INVALID);
}

/* Begins the body of *head* and feeds it *wire* in pieces of *piece* bytes. */
static struct err *body_of(const char *head, const char *wire, size_t piece, bool close_after, struct buf *ret,
			   size_t *ret_used)
{
	struct http1_head h;
	struct http1_body b;
	size_t n = strlen(wire), at = 0;

	TRY(response(head, &h));
	TRY(http1_body_begin(&b, &h, false));
	while (!b.done && at < n) {
		size_t used, len;

		TRY(http1_body_take(&b, wire + at, MIN(piece, n - at), &used, &len));
		CHECK(used > 0 || b.done);
		CHECK(len <= used);
		buf_append(ret, wire + at + used - len, len);
		at += used;
	}
	if (close_after && !b.done)
		TRY(http1_body_eof(&b));
	*ret_used = at;
	return b.done ? NULL : err_new(ERR_PRECONDITION, "not done");
}

struct body_case {
	const char *headers, *wire, *want;
	size_t rest;     /* bytes that belong to the next answer */
	bool close_after;
	enum err_kind error;
};

static const struct body_case body_cases[] = {
	{ "Content-Length: 5", "hello", "hello", 0, false, 0 },
	{ "Content-Length: 5", "helloHTTP/1.1", "hello", 8, false, 0 },
	{ "Content-Length: 5\r\nContent-Length: 5", "hello", "hello", 0, false, 0 },
	{ "Content-Length: 0", "HTTP", "", 4, false, 0 },
	{ "Content-Length: 6", "hello", NULL, 0, true, ERR_UNAVAILABLE },
	{ "Content-Length: 5\r\nContent-Length: 6", "hello", NULL, 0, false, ERR_INVALID },
	{ "Content-Length: 5, 5", "hello", NULL, 0, false, ERR_INVALID },
	{ "Content-Length: +5", "hello", NULL, 0, false, ERR_INVALID },
	{ "Content-Length: 9223372036854775808", "hello", NULL, 0, false, ERR_INVALID },
	{ "Content-Length:", "hello", NULL, 0, false, ERR_INVALID },
	{ "A: b", "hello", "hello", 0, true, 0 },
	{ "A: b", "hello", NULL, 0, false, ERR_PRECONDITION },
	{ "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "hello", 0, false, 0 },
	{ "Transfer-Encoding: Chunked", "5\r\nhello\r\n06 ; x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\nHTTP",
	  "hello world", 4, false, 0 },
	{ "Transfer-Encoding: chunked", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0, false, 0 },
	{ "Transfer-Encoding: chunked", "5\r\nhel", NULL, 0, true, ERR_UNAVAILABLE },
	{ "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n", NULL, 0, true, ERR_UNAVAILABLE },
	{ "Transfer-Encoding: chunked", "5\r\nhelloo\r\n0\r\n\r\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: chunked", "5\nhello\n0\n\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: chunked", "\r\nhello\r\n0\r\n\r\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: chunked", "-5\r\nhello\r\n0\r\n\r\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: chunked", "10000000000000005\r\nhello\r\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: gzip, chunked", "0\r\n\r\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "0\r\n\r\n", NULL, 0, false, ERR_INVALID },
	{ "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", NULL, 0, false, ERR_INVALID },
};

TEST(http1_bodies_end_where_they_say)
{
	for (size_t i = 0; i < ARRAY_LEN(body_cases); i++) {
		const struct body_case *c = &body_cases[i];
		_free_ char *head = base_printf("HTTP/1.1 200 OK\r\n%s\r\n\r\n", c->headers);

		for (size_t piece = 1; piece < 40; piece += 3) {
			_buf_ struct buf got = BUF_INIT;
			size_t used = 0;
			struct err *e = body_of(head, c->wire, piece, c->close_after, &got, &used);

			if (!c->want) {
				CHECK_ERR(e, c->error);
				continue;
			}
			CHECK_OK(e);
			CHECK_STR(buf_text(&got), c->want);
			CHECK_INT(strlen(c->wire) - used, c->rest);
		}
	}
}

TEST(http1_endless_chunk_lines_are_refused)
{
	_buf_ struct buf extension = BUF_INIT;
	_buf_ struct buf trailer = BUF_INIT;
	_buf_ struct buf got = BUF_INIT;
	size_t used;

	buf_puts(&extension, "5;");
	buf_puts(&trailer, "0\r\n");
	for (int i = 0; i < 5000; i++) {
		buf_putc(&extension, 'x');
		buf_puts(&trailer, "a: b\r\n");
	}
	CHECK_ERR(body_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", extension.data, 100, false, &got,
			  &used), ERR_INVALID);
	CHECK_ERR(body_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", trailer.data, 100, false, &got,
			  &used), ERR_INVALID);
}

TEST(http1_some_answers_have_no_body)
{
	struct http1_head h;
	struct http1_body b;

	CHECK_OK(response("HTTP/1.1 204 No Content\r\n\r\n", &h));
	CHECK_OK(http1_body_begin(&b, &h, false));
	CHECK(b.done);
	CHECK_OK(response("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", &h));
	CHECK_OK(http1_body_begin(&b, &h, true));
	CHECK(b.done);
	CHECK_OK(request("GET / HTTP/1.1\r\n\r\n", &h));
	CHECK_OK(http1_body_begin(&b, &h, false));
	CHECK(b.done);
}

int main(int argc, char **argv)
{
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	free(bytes);
	return status;
}
