#include "wire/http1.h"

#include "base/str.h"

#include <string.h>
#include <strings.h>

/* Longest line between chunks, extensions included, and all of the trailer. */
#define CHUNK_LINE_MAX 4096

size_t http1_head_len(const char *p, size_t len)
{
	const char *end = len >= 4 ? memmem(p, len, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - p) + 4 : 0;
}

/* RFC 9110 section 5.6.2 */
static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!is_token_char((unsigned char)*s))
			return false;
	return true;
}

/* Takes the line at **p*, ends it with NUL, moves past its CRLF. NULL for one with a stray CR, LF or
 * other control character (HTAB may stand in values). */
static char *take_line(char **p, char *end)
{
	char *line = *p;

	for (char *s = line; s + 1 < end; s++) {
		if (s[0] == '\r' && s[1] == '\n') {
			*s = '\0';
			*p = s + 2;
			return line;
		}
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return NULL;
	}
	return NULL;
}

static char *trim(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	for (char *e = s + strlen(s); e > s && (e[-1] == ' ' || e[-1] == '\t');)
		*--e = '\0';
	return s;
}

static struct err *parse_headers(char *p, char *end, struct http1_head *h)
{
	for (;;) {
		char *line = take_line(&p, end);

		if (!line)
			return err_new(ERR_INVALID, "HTTP header line with a control character");
		if (!*line)
			break;
		if (h->n_headers == HTTP1_HEADERS_MAX)
			return err_new(ERR_EXHAUSTED, "more than %d HTTP headers", HTTP1_HEADERS_MAX);
		char *colon = strchr(line, ':');

		if (colon)
			*colon = '\0';
		/* A line that begins with space (obs-fold) is no token either: RFC 9112 section 5.2
		 * lets a server refuse it, and nobody sends it. */
		if (!colon || !is_token(line))
			return err_new(ERR_INVALID, "malformed HTTP header line");
		h->headers[h->n_headers++] = (struct http1_header){ line, trim(colon + 1) };
	}
	return p == end ? NULL : err_new(ERR_INVALID, "HTTP head with an empty line in it");
}

static bool parse_version(const char *s, int *ret_minor)
{
	if (!str_starts(s, "HTTP/1.") || (s[7] != '0' && s[7] != '1') || s[8])
		return false;
	*ret_minor = s[7] - '0';
	return true;
}

struct err *http1_parse_request(char *p, size_t len, struct http1_head *ret)
{
	struct http1_head *h = ret;
	char *end = p + len;

	memset(h, 0, sizeof(*h));
	char *line = take_line(&p, end);
	char *target = line ? strchr(line, ' ') : NULL;
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version)
		return err_new(ERR_INVALID, "malformed HTTP request line");
	*target++ = '\0';
	*version++ = '\0';
	if (!parse_version(version, &h->minor))
		return err_new(ERR_INVALID, "HTTP version is not 1.0 or 1.1");
	if (!is_token(line) || !*target || strpbrk(target, "\t"))
		return err_new(ERR_INVALID, "malformed HTTP request line");
	h->method = line;
	h->target = target;
	return parse_headers(p, end, h);
}

struct err *http1_parse_response(char *p, size_t len, struct http1_head *ret)
{
	struct http1_head *h = ret;
	char *end = p + len;

	memset(h, 0, sizeof(*h));
	char *line = take_line(&p, end);

	if (!line || strlen(line) < 12 || line[8] != ' ')
		return err_new(ERR_INVALID, "not an HTTP/1.1 answer");
	line[8] = '\0';
	char *code = line + 9;

	if (!parse_version(line, &h->minor))
		return err_new(ERR_INVALID, "not an HTTP/1.1 answer");
	if (code[0] < '1' || code[0] > '9' || code[1] < '0' || code[1] > '9' || code[2] < '0' || code[2] > '9' ||
	    (code[3] && code[3] != ' '))
		return err_new(ERR_INVALID, "malformed HTTP status");
	h->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0';
	h->reason = code[3] ? code + 4 : "";
	return parse_headers(p, end, h);
}

const char *http1_header_n(const struct http1_head *h, const char *name, size_t n)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (!strcasecmp(h->headers[i].name, name) && n-- == 0)
			return h->headers[i].value;
	return NULL;
}

const char *http1_header(const struct http1_head *h, const char *name)
{
	return http1_header_n(h, name, 0);
}

static bool list_has(const char *list, const char *token)
{
	size_t n = strlen(token);

	while (*list) {
		list += strspn(list, " \t,");
		size_t len = strcspn(list, " \t,");

		if (len == n && !strncasecmp(list, token, n))
			return true;
		list += len;
	}
	return false;
}

bool http1_header_has(const struct http1_head *h, const char *name, const char *token)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (!strcasecmp(h->headers[i].name, name) && list_has(h->headers[i].value, token))
			return true;
	return false;
}

/* ---- bodies ---- */

enum chunk_state {
	CHUNK_SIZE,      /* hexadecimal digits */
	CHUNK_EXTENSION, /* what follows them, skipped up to CR */
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER,   /* at the start of a trailer line */
	CHUNK_TRAILER_LINE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
};

static struct err *content_length(const struct http1_head *h, bool *ret_has, uint64_t *ret_length)
{
	const char *first = http1_header(h, "Content-Length");

	*ret_has = first != NULL;
	if (!first)
		return NULL;
	if (!str_to_u64(first, INT64_MAX, ret_length))
		return err_new(ERR_INVALID, "malformed Content-Length");
	for (size_t i = 1; http1_header_n(h, "Content-Length", i); i++)
		if (strcmp(http1_header_n(h, "Content-Length", i), first) != 0)
			return err_new(ERR_INVALID, "two different Content-Lengths");
	return NULL;
}

struct err *http1_body_begin(struct http1_body *b, const struct http1_head *h, bool no_body)
{
	const char *coding = http1_header(h, "Transfer-Encoding");
	bool has_length;
	uint64_t length = 0;

	*b = (struct http1_body){ .framing = HTTP1_NO_BODY, .state = CHUNK_SIZE };
	TRY(content_length(h, &has_length, &length));
	if (coding && has_length)
		return err_new(ERR_INVALID, "both Transfer-Encoding and Content-Length");
	if (coding && (strcasecmp(coding, "chunked") != 0 || http1_header_n(h, "Transfer-Encoding", 1)))
		return err_new(ERR_INVALID, "a Transfer-Encoding other than chunked");
	if (no_body || (h->status >= 100 && h->status < 200) || h->status == 204 || h->status == 304)
		;
	else if (coding)
		b->framing = HTTP1_CHUNKED;
	else if (has_length)
		b->framing = HTTP1_LENGTH;
	else if (h->status)
		b->framing = HTTP1_UNTIL_CLOSE;
	b->left = b->framing == HTTP1_LENGTH ? length : b->framing == HTTP1_UNTIL_CLOSE ? UINT64_MAX : 0;
	b->done = b->framing == HTTP1_NO_BODY || (b->framing == HTTP1_LENGTH && !length);
	return NULL;
}

static bool expect(struct http1_body *b, char got, char want, enum chunk_state next)
{
	b->state = (int)next;
	return got == want;
}

static bool chunk_size_char(struct http1_body *b, char c)
{
	int digit = str_hex_digit(c);

	if (digit >= 0) {
		if (b->line >> 59) /* sixteen times that passes INT64_MAX */
			return false;
		b->line = b->line * 16 + (unsigned int)digit;
		return true;
	}
	if (b->line_len == 1) /* no digit at all */
		return false;
	if (c == '\r')
		b->state = CHUNK_SIZE_LF;
	else
		b->state = CHUNK_EXTENSION;
	return c == '\r' || c == ';' || c == ' ' || c == '\t';
}

static bool chunk_size_end(struct http1_body *b, char c)
{
	b->left = b->line;
	b->line = 0;
	b->line_len = 0;
	b->state = b->left ? CHUNK_DATA : CHUNK_TRAILER;
	return c == '\n';
}

/* One byte of framing. False: malformed. */
static bool chunk_step(struct http1_body *b, char c)
{
	if (++b->line_len > CHUNK_LINE_MAX)
		return false;
	switch ((enum chunk_state)b->state) {
	case CHUNK_SIZE:
		return chunk_size_char(b, c);
	case CHUNK_EXTENSION:
		if (c == '\r')
			b->state = CHUNK_SIZE_LF;
		return c != '\n';
	case CHUNK_SIZE_LF:
		return chunk_size_end(b, c);
	case CHUNK_DATA:
		return false;
	case CHUNK_DATA_CR:
		return expect(b, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		b->line_len = 0;
		return expect(b, c, '\n', CHUNK_SIZE);
	case CHUNK_TRAILER:
		b->state = c == '\r' ? CHUNK_END_LF : CHUNK_TRAILER_LINE;
		return c != '\n';
	case CHUNK_TRAILER_LINE:
		if (c == '\r')
			b->state = CHUNK_TRAILER_LF;
		return c != '\n';
	case CHUNK_TRAILER_LF:
		return expect(b, c, '\n', CHUNK_TRAILER);
	case CHUNK_END_LF:
		b->done = true;
		return c == '\n';
	}
	return false;
}

void http1_body_skip(struct http1_body *b, uint64_t n)
{
	if (b->framing == HTTP1_UNTIL_CLOSE)
		return;
	b->left -= n;
	if (b->left)
		return;
	if (b->framing == HTTP1_LENGTH)
		b->done = true;
	else
		b->state = CHUNK_DATA_CR;
}

struct err *http1_body_take(struct http1_body *b, const char *p, size_t n, size_t *ret_used, size_t *ret_len)
{
	size_t used = 0;

	*ret_len = 0;
	while (used < n && !b->done && !b->left)
		if (!chunk_step(b, p[used++]))
			return err_new(ERR_INVALID, "malformed chunked body");
	if (used < n && b->left) {
		*ret_len = (size_t)MIN((uint64_t)(n - used), b->left);
		http1_body_skip(b, *ret_len);
	}
	*ret_used = used + *ret_len;
	return NULL;
}

struct err *http1_body_eof(struct http1_body *b)
{
	if (b->framing == HTTP1_UNTIL_CLOSE)
		b->done = true;
	if (b->done)
		return NULL;
	if (b->framing == HTTP1_LENGTH)
		return err_new(ERR_UNAVAILABLE, "connection closed %llu bytes before the end",
			       (unsigned long long)b->left);
	return err_new(ERR_UNAVAILABLE, "connection closed in the middle of a chunked body");
}
