/* Values and messages of D-Bus, pure: bytes to structs and back. */
#include "wire/dbus.h"

#include <string.h>

#define LITTLE_ENDIAN_MARK 'l'
#define PROTOCOL_VERSION   1
#define FIELD_MAX          64    /* header fields of one message; the specification has nine */

/* Header fields, "Header Fields" of the specification. */
enum { FIELD_PATH = 1, FIELD_INTERFACE, FIELD_MEMBER, FIELD_ERROR, FIELD_REPLY, FIELD_DESTINATION, FIELD_SENDER,
       FIELD_SIGNATURE };

/* ---- writing ---------------------------------------------------------------------------------- */

static void align(struct buf *b, size_t to)
{
	static const char zeros[8];

	if (b->len % to)
		buf_append(b, zeros, to - b->len % to);
}

static void put_le(struct buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	align(b, n);
	buf_append(b, bytes, n);
}

void dbus_put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void dbus_put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void dbus_put_string(struct buf *b, const char *s)
{
	dbus_put_u32(b, (uint32_t)strlen(s));
	buf_append(b, s, strlen(s) + 1);
}

void dbus_put_signature(struct buf *b, const char *s)
{
	buf_putc(b, (char)strlen(s));
	buf_append(b, s, strlen(s) + 1);
}

void dbus_put_bytes(struct buf *b, const void *p, size_t n)
{
	dbus_put_u32(b, (uint32_t)n);
	buf_append(b, p, n);
}

static void set_u32(struct buf *b, size_t at, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		b->data[at + i] = (char)(v >> (8 * i));
}

size_t dbus_array_begin(struct buf *b, size_t member_align)
{
	dbus_put_u32(b, 0);
	size_t at = b->len - 4;

	align(b, member_align);
	return at;
}

/* The length leaves out the padding before the first member. */
void dbus_array_end(struct buf *b, size_t begin, size_t member_align)
{
	size_t first = (begin + 4 + member_align - 1) / member_align * member_align;

	set_u32(b, begin, (uint32_t)(b->len - first));
}

void dbus_struct_begin(struct buf *b)
{
	align(b, 8);
}

static void put_field(struct buf *b, uint8_t code, const char *signature, const char *value)
{
	if (!value)
		return;
	dbus_struct_begin(b);
	buf_putc(b, (char)code);
	dbus_put_signature(b, signature);
	if (*signature == 'g')
		dbus_put_signature(b, value);
	else
		dbus_put_string(b, value);
}

void dbus_write_call(const struct dbus_call *c, uint32_t serial, struct buf *ret)
{
	const char fixed[] = { LITTLE_ENDIAN_MARK, DBUS_CALL, 0, PROTOCOL_VERSION };
	size_t body = c->body ? c->body->len : 0;

	buf_append(ret, fixed, sizeof(fixed));
	dbus_put_u32(ret, (uint32_t)body);
	dbus_put_u32(ret, serial);
	size_t fields = dbus_array_begin(ret, 8);

	put_field(ret, FIELD_PATH, "o", c->path);
	put_field(ret, FIELD_INTERFACE, "s", c->interface);
	put_field(ret, FIELD_MEMBER, "s", c->member);
	put_field(ret, FIELD_SIGNATURE, "g", c->signature);
	dbus_array_end(ret, fields, 8);
	align(ret, 8);
	if (body)
		buf_append(ret, c->body->data, body);
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* *n* bytes after the alignment; NULL, and bad, when they are not there. */
static const uint8_t *take(struct dbus_reader *r, size_t to, size_t n)
{
	size_t at = (r->at + to - 1) / to * to;

	if (r->bad || at > r->len || n > r->len - at) {
		r->bad = true;
		return NULL;
	}
	r->at = at + n;
	return r->p + at;
}

static uint64_t get_le(struct dbus_reader *r, size_t n)
{
	const uint8_t *p = take(r, n, n);
	uint64_t v = 0;

	for (size_t i = 0; p && i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t dbus_get_byte(struct dbus_reader *r)
{
	return (uint8_t)get_le(r, 1);
}

uint32_t dbus_get_u32(struct dbus_reader *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t dbus_get_u64(struct dbus_reader *r)
{
	return get_le(r, 8);
}

static const char *get_text(struct dbus_reader *r, size_t n)
{
	const uint8_t *p = r->bad || n == SIZE_MAX ? NULL : take(r, 1, n + 1);

	if (p && !p[n] && !memchr(p, 0, n))
		return (const char *)p;
	r->bad = true;
	return NULL;
}

const char *dbus_get_string(struct dbus_reader *r)
{
	return get_text(r, dbus_get_u32(r));
}

const char *dbus_get_signature(struct dbus_reader *r)
{
	return get_text(r, dbus_get_byte(r));
}

/* A variant of a basic type: its text (s, o, g) or number. Containers are in no field that the specification has. */
static const char *get_variant(struct dbus_reader *r, char *ret_type, uint64_t *ret_number)
{
	static const struct { char type; uint8_t size; } numbers[] = { { 'y', 1 }, { 'n', 2 }, { 'q', 2 }, { 'b', 4 },
		{ 'i', 4 }, { 'u', 4 }, { 'h', 4 }, { 'x', 8 }, { 't', 8 }, { 'd', 8 } };
	const char *type = dbus_get_signature(r);

	*ret_type = type ? *type : '\0';
	if (!type || !*type || type[1]) {
		r->bad = true;
		return NULL;
	}
	if (*type == 's' || *type == 'o')
		return dbus_get_string(r);
	if (*type == 'g')
		return dbus_get_signature(r);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i].type == *type) {
			*ret_number = get_le(r, numbers[i].size);
			return NULL;
		}
	r->bad = true;
	return NULL;
}

static void get_field(struct dbus_reader *r, struct dbus_message *m)
{
	const struct { uint8_t code; char type; const char **to; } texts[] = {
		{ FIELD_PATH, 'o', &m->path },	   { FIELD_INTERFACE, 's', &m->interface },
		{ FIELD_MEMBER, 's', &m->member }, { FIELD_ERROR, 's', &m->error },
		{ FIELD_SIGNATURE, 'g', &m->signature },
	};

	take(r, 8, 0);
	uint8_t code = dbus_get_byte(r);
	uint64_t number = 0;
	char type;
	const char *text = get_variant(r, &type, &number);

	for (size_t i = 0; i < ARRAY_LEN(texts) && text; i++)
		if (texts[i].code == code && texts[i].type == type)
			*texts[i].to = text;
	if (code == FIELD_REPLY && type == 'u')
		m->reply_serial = (uint32_t)number;
}

struct err *dbus_length(const void *fixed, uint64_t *ret_len)
{
	struct dbus_reader r = { fixed, 4, DBUS_FIXED, false };
	const uint8_t *p = fixed;
	uint64_t body = dbus_get_u32(&r);

	r.at += 4;
	uint64_t fields = dbus_get_u32(&r);

	if (p[0] != LITTLE_ENDIAN_MARK || p[3] != PROTOCOL_VERSION)
		return err_new(ERR_CORRUPT, "D-Bus: not a message of version 1 in this machine's byte order");
	*ret_len = DBUS_FIXED + (fields + 7) / 8 * 8 + body;
	return NULL;
}

struct err *dbus_parse(const void *bytes, size_t len, struct dbus_message *ret)
{
	const uint8_t *p = bytes;
	uint64_t whole = 0;

	if (len < DBUS_FIXED)
		return err_new(ERR_CORRUPT, "D-Bus: message of %zu bytes", len);
	TRY(dbus_length(bytes, &whole));
	struct dbus_message m = { .type = p[1], .signature = "" };
	struct dbus_reader r = { p, 4, len, false };
	uint32_t body = dbus_get_u32(&r);

	m.serial = dbus_get_u32(&r);
	uint32_t fields = dbus_get_u32(&r);

	if (whole != len || m.type < DBUS_CALL || m.type > DBUS_SIGNAL)
		return err_new(ERR_CORRUPT, "D-Bus: a message that is not well-formed");
	r.len = DBUS_FIXED + fields;
	for (int n = 0; r.at < r.len && !r.bad; n++) {
		get_field(&r, &m);
		r.bad |= n == FIELD_MAX;
	}
	if (r.bad)
		return err_new(ERR_CORRUPT, "D-Bus: a message's header fields are not well-formed");
	m.body = (struct dbus_reader){ p + len - body, 0, body, false };
	*ret = m;
	return NULL;
}
