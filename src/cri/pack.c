#include "cri/pack.h"

#include <string.h>

/* ---- what proto3 demands of the wire (protobuf.dev, "Encoding") -------------------------------- */

struct cursor {
	const uint8_t *p, *end;
};

static bool take_varint(struct cursor *c, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && c->p < c->end; shift += 7) {
		uint8_t b = *c->p++;

		*ret |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

static bool skip(struct cursor *c, uint64_t n)
{
	if (n > (uint64_t)(c->end - c->p))
		return false;
	c->p += n;
	return true;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *d, uint64_t id)
{
	for (unsigned i = 0; i < d->n_fields; i++)
		if (d->fields[i].id == id)
			return &d->fields[i];
	return NULL;
}

/* Length of the UTF-8 character at *p*, 0 if there is none (RFC 3629: no overlong form, no surrogate). */
static size_t utf8_len(const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t first, last, low, high; /* of the first byte, of the second */
		uint8_t len;
	} rows[] = {
		{ 0x01, 0x7f, 0, 0, 1 },	{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },	{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },	{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (*p < rows[i].first || *p > rows[i].last)
			continue;
		if (rows[i].len > n || (rows[i].len > 1 && (p[1] < rows[i].low || p[1] > rows[i].high)))
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

size_t pack_text_len(const void *p, size_t n)
{
	const uint8_t *bytes = p;
	size_t at = 0, len;

	while (at < n && (len = utf8_len(bytes + at, n - at)))
		at += len;
	return at;
}

static struct err *check_text(const ProtobufCFieldDescriptor *f, const uint8_t *p, size_t n)
{
	size_t good = pack_text_len(p, n);

	if (good == n)
		return NULL;
	return err_new(ERR_INVALID, "%s: byte %zu is %s", f->name, good,
		       p[good] ? "not UTF-8" : "NUL, which text may not hold");
}

static struct err *check_message(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n, unsigned depth);

static struct err *check_bytes(const ProtobufCFieldDescriptor *f, const uint8_t *p, size_t n, unsigned depth)
{
	if (!f)
		return NULL;
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return check_text(f, p, n);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return err_wrap(check_message(f->descriptor, p, n, depth + 1), "%s", f->name);
	return NULL;
}

static struct err *check_field(const ProtobufCMessageDescriptor *d, struct cursor *c, unsigned depth)
{
	static const char cut[] = "message is cut short or malformed";
	uint64_t tag, n;

	if (!take_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return err_new(ERR_INVALID, "%s", cut);
	switch (tag & 7) {
	case 0:
		return take_varint(c, &n) ? NULL : err_new(ERR_INVALID, "%s", cut);
	case 1:
		return skip(c, 8) ? NULL : err_new(ERR_INVALID, "%s", cut);
	case 5:
		return skip(c, 4) ? NULL : err_new(ERR_INVALID, "%s", cut);
	case 2:
		if (!take_varint(c, &n) || !skip(c, n))
			return err_new(ERR_INVALID, "%s", cut);
		return check_bytes(field_of(d, tag >> 3), c->p - n, (size_t)n, depth);
	default: /* groups: not in proto3 */
		return err_new(ERR_INVALID, "%s", cut);
	}
}

static struct err *check_message(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n, unsigned depth)
{
	struct cursor c = { p, p + n };

	if (depth > PACK_DEPTH_MAX)
		return err_new(ERR_INVALID, "nested deeper than %d", PACK_DEPTH_MAX);
	while (c.p < c.end)
		TRY(check_field(d, &c, depth));
	return NULL;
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct budget {
	struct arena *arena;
	size_t left;
	bool spent;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *b = data;

	if (size > b->left) {
		b->spent = true;
		return NULL;
	}
	b->left -= size;
	return arena_alloc(b->arena, size);
}

static void budget_free(_unused_ void *data, _unused_ void *p)
{
	/* The arena frees. */
}

struct err *pack_unpack(struct arena *a, const ProtobufCMessageDescriptor *d, const void *p, size_t n,
			ProtobufCMessage **ret_message)
{
	struct budget b = { .arena = a, .left = PACK_MEMORY_MAX };
	ProtobufCAllocator allocator = { budget_alloc, budget_free, &b };

	if (n > PACK_WIRE_MAX)
		return err_new(ERR_EXHAUSTED, "%s of %zu bytes is larger than the %u allowed", d->short_name, n,
			       PACK_WIRE_MAX);
	TRY_WRAP(check_message(d, p, n, 0), "%s", d->short_name);
	ProtobufCMessage *m = protobuf_c_message_unpack(d, &allocator, n, p);

	if (m) {
		*ret_message = m;
		return NULL;
	}
	if (b.spent)
		return err_new(ERR_EXHAUSTED, "%s takes more than the %u bytes of memory allowed", d->short_name,
			       PACK_MEMORY_MAX);
	return err_new(ERR_INVALID, "%s: a field has the wrong type", d->short_name);
}

struct err *pack_message(struct arena *a, const ProtobufCMessage *m, void **ret, size_t *ret_len)
{
	size_t n = protobuf_c_message_get_packed_size(m);

	if (n > PACK_WIRE_MAX)
		return err_new(ERR_EXHAUSTED, "%s of %zu bytes is larger than the %u that gRPC callers take",
			       m->descriptor->short_name, n, PACK_WIRE_MAX);
	uint8_t *p = arena_alloc(a, n ? n : 1);

	*ret_len = protobuf_c_message_pack(m, p);
	*ret = p;
	return NULL;
}
