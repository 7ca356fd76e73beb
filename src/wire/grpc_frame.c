#include "wire/grpc_frame.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define FIRST_ROOM 1024u   /* most CRI requests fit */

static struct err *check_prefix(struct grpc_reader *r)
{
	const unsigned char *p = r->prefix;

	r->len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	if (p[0] == 1)
		return err_new(ERR_UNIMPLEMENTED, "compressed messages are not supported: send grpc-encoding identity");
	if (p[0] != 0)
		return err_new(ERR_INVALID, "gRPC message flag is %u, not 0 or 1", p[0]);
	if (r->len > GRPC_MESSAGE_MAX)
		return err_new(ERR_EXHAUSTED, "message of %u bytes is larger than the %u allowed", r->len,
			       GRPC_MESSAGE_MAX);
	return NULL;
}

static void take_body(struct grpc_reader *r, const unsigned char *p, uint32_t n)
{
	if (r->got + n > r->cap || !r->data) {
		uint32_t cap = MIN(r->len, MAX(MAX(r->cap * 2, r->got + n), FIRST_ROOM));

		r->data = base_realloc(r->data, MAX(cap, 1u), 1);
		r->cap = cap;
	}
	if (n)
		memcpy(r->data + r->got, p, n);
	r->got += n;
}

struct err *grpc_reader_feed(struct grpc_reader *r, const void *p, size_t n, size_t *ret_used)
{
	const unsigned char *at = p, *end = at + n;

	while (at < end && r->n_prefix < GRPC_PREFIX_LEN) {
		r->prefix[r->n_prefix++] = *at++;
		if (r->n_prefix == GRPC_PREFIX_LEN)
			TRY(check_prefix(r));
	}
	if (r->n_prefix == GRPC_PREFIX_LEN) {
		uint32_t take = (uint32_t)MIN((size_t)(end - at), (size_t)(r->len - r->got));

		take_body(r, at, take);
		at += take;
		r->complete = r->got == r->len;
	}
	*ret_used = (size_t)(at - (const unsigned char *)p);
	return NULL;
}

bool grpc_reader_idle(const struct grpc_reader *r)
{
	return r->n_prefix == 0;
}

void grpc_reader_done(struct grpc_reader *r)
{
	free(r->data);
	*r = (struct grpc_reader){ 0 };
}

void grpc_prefix(uint32_t len, unsigned char ret_prefix[GRPC_PREFIX_LEN])
{
	ret_prefix[0] = 0;
	ret_prefix[1] = (unsigned char)(len >> 24);
	ret_prefix[2] = (unsigned char)(len >> 16);
	ret_prefix[3] = (unsigned char)(len >> 8);
	ret_prefix[4] = (unsigned char)len;
}

static const struct timeout_unit {
	char letter;
	int64_t ns;
} timeout_units[] = { /* finest first */
	{ 'n', 1 },	   { 'u', 1000 },	   { 'm', NS_PER_MS },
	{ 'S', NS_PER_S }, { 'M', 60 * NS_PER_S }, { 'H', 3600 * NS_PER_S },
};

bool grpc_timeout_parse(const char *text, size_t len, int64_t *ret_ns)
{
	int64_t value = 0;

	if (len < 2 || len > 9)
		return false;
	for (size_t i = 0; i + 1 < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	for (size_t i = 0; i < ARRAY_LEN(timeout_units); i++) {
		if (timeout_units[i].letter != text[len - 1])
			continue;
		/* 99999999H passes the clock's range: that is for ever. */
		if (__builtin_mul_overflow(value, timeout_units[i].ns, ret_ns))
			*ret_ns = CLOCK_NEVER;
		return true;
	}
	return false;
}

void grpc_timeout_format(int64_t ns, char ret_text[GRPC_TIMEOUT_TEXT_MAX])
{
	size_t i = 0;
	int64_t value;

	ns = MAX(ns, 0);
	do {
		int64_t unit = timeout_units[i].ns;

		value = ns / unit + (ns % unit != 0);
	} while (value > 99999999 && ++i < ARRAY_LEN(timeout_units));
	snprintf(ret_text, GRPC_TIMEOUT_TEXT_MAX, "%d%c", (int)MIN(value, 99999999),
		 timeout_units[MIN(i, ARRAY_LEN(timeout_units) - 1)].letter);
}

void grpc_percent_encode(const char *text, struct buf *ret)
{
	size_t len = strnlen(text, GRPC_TEXT_MAX + 1);

	if (len > GRPC_TEXT_MAX) {
		len = GRPC_TEXT_MAX;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c > 0x7e || c == '%')
			buf_printf(ret, "%%%02X", c);
		else
			buf_putc(ret, (char)c);
	}
}

void grpc_percent_decode(const char *text, size_t len, struct buf *ret)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%' && i + 2 < len && str_hex_digit(text[i + 1]) >= 0 && str_hex_digit(text[i + 2]) >= 0) {
			c = (char)(str_hex_digit(text[i + 1]) << 4 | str_hex_digit(text[i + 2]));
			i += 2;
		}
		buf_putc(ret, (unsigned char)c < 0x20 || c == 0x7f ? '?' : c);
	}
}

static const struct code_row {
	const char *name;
	enum err_kind kind;
} code_rows[] = {
	[GRPC_OK] = { "OK", ERR_INTERNAL },
	[GRPC_CANCELLED] = { "Canceled", ERR_CANCELLED },
	[GRPC_UNKNOWN] = { "Unknown", ERR_INTERNAL },
	[GRPC_INVALID_ARGUMENT] = { "InvalidArgument", ERR_INVALID },
	[GRPC_DEADLINE_EXCEEDED] = { "DeadlineExceeded", ERR_TIMEOUT },
	[GRPC_NOT_FOUND] = { "NotFound", ERR_NOT_FOUND },
	[GRPC_ALREADY_EXISTS] = { "AlreadyExists", ERR_EXISTS },
	[GRPC_PERMISSION_DENIED] = { "PermissionDenied", ERR_DENIED },
	[GRPC_RESOURCE_EXHAUSTED] = { "ResourceExhausted", ERR_EXHAUSTED },
	[GRPC_FAILED_PRECONDITION] = { "FailedPrecondition", ERR_PRECONDITION },
	[GRPC_ABORTED] = { "Aborted", ERR_UNAVAILABLE },
	[GRPC_OUT_OF_RANGE] = { "OutOfRange", ERR_INVALID },
	[GRPC_UNIMPLEMENTED] = { "Unimplemented", ERR_UNIMPLEMENTED },
	[GRPC_INTERNAL] = { "Internal", ERR_INTERNAL },
	[GRPC_UNAVAILABLE] = { "Unavailable", ERR_UNAVAILABLE },
	[GRPC_DATA_LOSS] = { "DataLoss", ERR_CORRUPT },
	[GRPC_UNAUTHENTICATED] = { "Unauthenticated", ERR_AUTH },
};

enum err_kind grpc_code_kind(enum grpc_code code)
{
	return code < ARRAY_LEN(code_rows) ? code_rows[code].kind : ERR_INTERNAL;
}

const char *grpc_code_name(enum grpc_code code)
{
	return code < ARRAY_LEN(code_rows) ? code_rows[code].name : "Unknown";
}
