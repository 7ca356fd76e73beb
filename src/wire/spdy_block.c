#include "wire/spdy_block.h"

#include <isa-l/igzip_lib.h>
#include <string.h>

#define HISTORY_MAX KIB(32)   /* deflate's window (RFC 1951) */

struct spdy_inflater {
	struct inflate_state state;
	struct buf block;    /* the text of the headers inflated last */
};

struct spdy_inflater *spdy_inflater_new(void)
{
	return base_alloc(sizeof(struct spdy_inflater));
}

void spdy_inflater_free(struct spdy_inflater *z)
{
	if (z)
		buf_done(&z->block);
	free(z);
}

/* Section 2.6.10.1: each of these words with its length in four bytes before it … */
static const char words[] =
	"options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
	"allow authorization cache-control connection content-base content-encoding content-language content-length "
	"content-location content-md5 content-range content-type date etag expect expires from host if-match "
	"if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
	"proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
	"user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
	"keep-alive origin ";

/* … and then this. */
static const char rest[] =
	"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
	"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
	"403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
	"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
	"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
	"text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

void spdy_dictionary(char ret[SPDY_DICTIONARY_LEN])
{
	char *to = ret;

	for (const char *w = words, *end; (end = strchr(w, ' ')); w = end + 1) {
		size_t n = (size_t)(end - w);

		memset(to, 0, 3);
		to[3] = (char)n;
		for (size_t i = 0; i < n; i++)
			to[4 + i] = w[i] == '_' ? ' ' : w[i];
		to += 4 + n;
	}
	memcpy(to, rest, sizeof(rest) - 1);
}

static void remember(struct buf *history, const char *p, size_t n)
{
	buf_append(history, p, n);
	if (history->len > HISTORY_MAX)
		buf_consume(history, history->len - HISTORY_MAX);
}

/* RFC 1950: the header before the first block. *ret_used of its bytes. */
static struct err *begin(struct spdy *s, const unsigned char *p, size_t n, size_t *ret_used)
{
	char dictionary[SPDY_DICTIONARY_LEN];

	if (n < 2 || (p[0] & 15) != 8 || ((unsigned int)p[0] << 8 | p[1]) % 31)
		return err_new(ERR_INVALID, "SPDY: headers are not compressed by zlib");
	*ret_used = 2;
	if (p[1] & 0x20) {
		if (n < 6 || spdy_get32(p + 2) != SPDY_DICTIONARY_ID)
			return err_new(ERR_INVALID, "SPDY: headers are compressed with an unknown dictionary");
		*ret_used = 6;
		spdy_dictionary(dictionary);
		remember(&s->history, dictionary, sizeof(dictionary));
	}
	s->history_begun = true;
	return NULL;
}

/* Nothing of a block is left undone: at its end, or before a next one of which no bit has come. */
static bool at_boundary(const struct inflate_state *z)
{
	if (z->avail_in || z->read_in_length)
		return false;
	return z->block_state == ISAL_BLOCK_NEW_HDR || (z->block_state == ISAL_BLOCK_HDR && z->tmp_in_size == 0);
}

static struct err *inflate(struct spdy *s, const char *p, size_t n)
{
	struct inflate_state *z = &s->inflater->state;
	struct buf *block = &s->inflater->block;
	size_t used = 0;

	if (!s->history_begun)
		TRY(begin(s, (const unsigned char *)p, n, &used));
	isal_inflate_init(z);
	z->crc_flag = ISAL_DEFLATE;
	if (s->history.len &&
	    isal_inflate_set_dict(z, (uint8_t *)s->history.data, (uint32_t)s->history.len) != COMP_OK)
		return err_new(ERR_INTERNAL, "SPDY: the decompressor did not take its history");
	buf_clear(block);
	z->next_in = (uint8_t *)p + used;
	z->avail_in = (uint32_t)(n - used);
	z->next_out = (uint8_t *)buf_reserve(block, SPDY_BLOCK_MAX + 1);
	z->avail_out = SPDY_BLOCK_MAX + 1;
	if (isal_inflate(z) != ISAL_DECOMP_OK)
		return err_new(ERR_INVALID, "SPDY: damaged header compression");
	if (z->avail_out == 0)
		return err_new(ERR_EXHAUSTED, "SPDY: more than %zu bytes of headers", SPDY_BLOCK_MAX);
	if (!at_boundary(z))
		return err_new(ERR_INVALID, "SPDY: header compression was not flushed at the end of its frame");
	block->len = SPDY_BLOCK_MAX + 1 - z->avail_out;
	block->data[block->len] = '\0';
	remember(&s->history, block->data, block->len);
	return NULL;
}

/* One length and its bytes at *at*, which moves past them. */
static char *take_string(struct buf *b, size_t *at, size_t *ret_len)
{
	if (b->len - *at < 4)
		return NULL;
	size_t n = spdy_get32(b->data + *at);

	if (n > b->len - *at - 4)
		return NULL;
	char *s = b->data + *at + 4;

	*at += 4 + n;
	*ret_len = n;
	return s;
}

static bool name_ok(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] <= ' ' || (s[i] >= 'A' && s[i] <= 'Z'))
			return false;
	return n > 0;
}

/* Splits in place: a string's terminator goes where the next one's length was, once that has been read.
 * A value of several (section 2.6.10: separated by NUL) shows as its first. */
struct err *spdy_block_read(struct spdy *s, const char *p, size_t n, size_t *ret_n)
{
	struct buf *block = &s->inflater->block;

	TRY(inflate(s, p, n));
	if (block->len < 4)
		return err_new(ERR_INVALID, "SPDY: headers end early");
	size_t count = spdy_get32(block->data), at = 4;

	if (count > SPDY_HEADERS_MAX)
		return err_new(ERR_EXHAUSTED, "SPDY: more than %d headers", SPDY_HEADERS_MAX);
	char *last = NULL; /* where the value before ends */

	for (size_t i = 0; i < count; i++) {
		size_t name_len, value_len;
		char *name = take_string(block, &at, &name_len);

		if (last)
			*last = '\0';
		char *value = name ? take_string(block, &at, &value_len) : NULL;

		if (!value)
			return err_new(ERR_INVALID, "SPDY: headers end early");
		if (!name_ok(name, name_len))
			return err_new(ERR_INVALID, "SPDY: a header's name is empty or not in lower case");
		name[name_len] = '\0';
		last = value + value_len;
		s->headers[i] = (struct spdy_header){ name, value };
	}
	if (at != block->len)
		return err_new(ERR_INVALID, "SPDY: bytes after the last header");
	*ret_n = count;
	return NULL;
}

#define STORED_MAX 65535

/* RFC 1951 section 3.2.4: stored blocks; our headers are a few dozen bytes. The empty one at the end is the sync
 * flush, on which Go's inflate waits before it hands anything out. */
static void store(struct buf *out, const char *p, size_t n)
{
	while (n > 0) {
		size_t len = MIN(n, (size_t)STORED_MAX);
		unsigned char head[5] = { 0, (unsigned char)len, (unsigned char)(len >> 8),
					  (unsigned char)~len, (unsigned char)(~len >> 8) };

		buf_append(out, head, sizeof(head));
		buf_append(out, p, len);
		p += len;
		n -= len;
	}
	buf_append(out, "\0\0\0\xff\xff", 5);
}

void spdy_block_write(struct spdy *s, struct buf *out, const struct spdy_header *headers, size_t n)
{
	_buf_ struct buf plain = BUF_INIT;

	if (!s->deflate_begun) {
		buf_append(out, "\x78\xbb", 2); /* deflate, 32 KiB window, FDICT, check bits */
		spdy_put32(out, SPDY_DICTIONARY_ID);
		s->deflate_begun = true;
	}
	spdy_put32(&plain, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		spdy_put32(&plain, (uint32_t)strlen(headers[i].name));
		buf_puts(&plain, headers[i].name);
		spdy_put32(&plain, (uint32_t)strlen(headers[i].value));
		buf_puts(&plain, headers[i].value);
	}
	store(out, plain.data, plain.len);
}
