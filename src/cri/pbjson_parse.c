#include "cri/pbjson.h"

#include "base/str.h"

#include <stdint.h>
#include <string.h>

static struct err *parse_message(struct arena *a, const ProtobufCMessageDescriptor *d, yyjson_val *v,
				 ProtobufCMessage **ret);

static struct err *wrong(const char *want, yyjson_val *v)
{
	return err_new(ERR_INVALID, "%s is wanted, not %s", want, yyjson_get_type_desc(v));
}

/* An integer, also as a string of digits: ProtoJSON writes 64-bit ones so. */
static struct err *parse_integer(yyjson_val *v, bool is_signed, unsigned bits, uint64_t *ret)
{
	uint64_t magnitude = 0;
	bool negative = false;

	if (yyjson_is_uint(v)) {
		magnitude = yyjson_get_uint(v);
	} else if (yyjson_is_sint(v)) {
		negative = yyjson_get_sint(v) < 0;
		magnitude = negative ? 0 - (uint64_t)yyjson_get_sint(v) : (uint64_t)yyjson_get_sint(v);
	} else if (yyjson_is_str(v)) {
		const char *s = yyjson_get_str(v);

		negative = *s == '-';
		if (!str_to_u64(s + negative, UINT64_MAX, &magnitude))
			return err_new(ERR_INVALID, "\"%s\" is not an integer", s);
	} else {
		return wrong("an integer", v);
	}
	uint64_t most = is_signed ? ((uint64_t)1 << (bits - 1)) - !negative :
			bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;

	if (magnitude > most || (negative && !is_signed && magnitude))
		return err_new(ERR_INVALID, "the number does not fit %u bits%s", bits, is_signed ? "" : " without sign");
	*ret = negative ? 0 - magnitude : magnitude;
	return NULL;
}

static struct err *parse_enum(const ProtobufCEnumDescriptor *d, yyjson_val *v, int *ret)
{
	uint64_t n;

	if (yyjson_is_str(v)) {
		const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value_by_name(d, yyjson_get_str(v));

		if (!e)
			return err_new(ERR_INVALID, "%s has no value \"%s\"", d->short_name, yyjson_get_str(v));
		*ret = e->value;
		return NULL;
	}
	TRY(parse_integer(v, true, 32, &n));
	*ret = (int)(int32_t)n;
	return NULL;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Standard or URL alphabet, padded or not, as ProtoJSON reads it. */
static struct err *parse_base64(struct arena *a, const char *s, size_t n, ProtobufCBinaryData *ret)
{
	uint8_t *out = arena_alloc(a, n / 4 * 3 + 3);
	size_t len = 0, bits = 0;
	uint32_t v = 0;

	while (n > 0 && s[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		int digit = base64_digit(s[i]);

		if (digit < 0)
			return err_new(ERR_INVALID, "not base64");
		v = (v << 6 | (uint32_t)digit) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[len++] = (uint8_t)(v >> bits);
		}
	}
	ret->data = out;
	ret->len = len;
	return NULL;
}

static struct err *parse_bytes(struct arena *a, yyjson_val *v, bool as_text, ProtobufCBinaryData *ret)
{
	if (!yyjson_is_str(v))
		return wrong("text", v);
	if (!as_text)
		return parse_base64(a, yyjson_get_str(v), yyjson_get_len(v), ret);
	ret->data = arena_memdup(a, yyjson_get_str(v), yyjson_get_len(v));
	ret->len = yyjson_get_len(v);
	return NULL;
}

static struct err *parse_text(struct arena *a, yyjson_val *v, char **ret)
{
	if (!yyjson_is_str(v))
		return wrong("text", v);
	if (strlen(yyjson_get_str(v)) != yyjson_get_len(v))
		return err_new(ERR_INVALID, "text may not hold NUL");
	*ret = arena_strdup(a, yyjson_get_str(v));
	return NULL;
}

static struct err *parse_number(const ProtobufCFieldDescriptor *f, yyjson_val *v, void *to)
{
	static const struct {
		ProtobufCType type;
		bool is_signed;
		unsigned bits;
	} rows[] = {
		{ PROTOBUF_C_TYPE_INT32, true, 32 },   { PROTOBUF_C_TYPE_SINT32, true, 32 },
		{ PROTOBUF_C_TYPE_UINT32, false, 32 }, { PROTOBUF_C_TYPE_INT64, true, 64 },
		{ PROTOBUF_C_TYPE_SINT64, true, 64 },  { PROTOBUF_C_TYPE_UINT64, false, 64 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n;

		if (rows[i].type != f->type)
			continue;
		TRY(parse_integer(v, rows[i].is_signed, rows[i].bits, &n));
		if (rows[i].bits == 64)
			memcpy(to, &n, 8);
		else
			memcpy(to, &(uint32_t){ (uint32_t)n }, 4);
		return NULL;
	}
	if (f->type != PROTOBUF_C_TYPE_DOUBLE)
		return err_new(ERR_UNIMPLEMENTED, "fields of this type are not in CRI");
	if (!yyjson_is_num(v))
		return wrong("a number", v);
	*(double *)to = yyjson_get_num(v);
	return NULL;
}

static struct err *parse_scalar(struct arena *a, const ProtobufCFieldDescriptor *f, yyjson_val *v, bool as_text,
				void *to)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return parse_text(a, v, to);
	case PROTOBUF_C_TYPE_BYTES:
		return parse_bytes(a, v, as_text, to);
	case PROTOBUF_C_TYPE_MESSAGE:
		return parse_message(a, f->descriptor, v, to);
	case PROTOBUF_C_TYPE_ENUM:
		return parse_enum(f->descriptor, v, to);
	case PROTOBUF_C_TYPE_BOOL:
		if (!yyjson_is_bool(v))
			return wrong("true or false", v);
		*(protobuf_c_boolean *)to = yyjson_get_bool(v);
		return NULL;
	default:
		return parse_number(f, v, to);
	}
}

/* Room for *n* elements in *m*'s field; the count is set by the caller as they are read. */
static char *make_array(struct arena *a, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m, size_t n, size_t size)
{
	char *items = arena_calloc(a, n ? n : 1, size);

	*(void **)((char *)m + f->offset) = items;
	*(size_t *)((char *)m + f->quantifier_offset) = n;
	return items;
}

static struct err *parse_map(struct arena *a, const ProtobufCFieldDescriptor *f, yyjson_val *v, ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *entry = f->descriptor;
	size_t i, n;
	yyjson_val *key, *value;

	if (!yyjson_is_obj(v))
		return wrong("an object", v);
	ProtobufCMessage **items = (ProtobufCMessage **)make_array(a, f, m, yyjson_obj_size(v), sizeof(void *));

	yyjson_obj_foreach(v, i, n, key, value)
	{
		char *e = arena_alloc(a, entry->sizeof_message);

		entry->message_init((ProtobufCMessage *)e);
		items[i] = (ProtobufCMessage *)e;
		TRY(parse_text(a, key, (char **)(e + entry->fields[0].offset)));
		TRY_WRAP(parse_scalar(a, &entry->fields[1], value, false, e + entry->fields[1].offset), "%s",
			 yyjson_get_str(key));
	}
	return NULL;
}

static struct err *parse_array(struct arena *a, const ProtobufCFieldDescriptor *f, yyjson_val *v, ProtobufCMessage *m)
{
	size_t i, n, size = pbjson_element_size(f);
	yyjson_val *item;

	if (!yyjson_is_arr(v))
		return wrong("a list", v);
	char *items = make_array(a, f, m, yyjson_arr_size(v), size);

	yyjson_arr_foreach(v, i, n, item)
		TRY_WRAP(parse_scalar(a, f, item, false, items + i * size), "[%zu]", i);
	return NULL;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d, const char *name)
{
	char camel[PBJSON_NAME_MAX];

	for (unsigned i = 0; i < d->n_fields; i++) {
		pbjson_field_name(&d->fields[i], camel);
		if (!strcmp(name, camel) || !strcmp(name, d->fields[i].name))
			return &d->fields[i];
	}
	return NULL;
}

static struct err *parse_field(struct arena *a, const ProtobufCFieldDescriptor *f, yyjson_val *v, ProtobufCMessage *m)
{
	bool as_text = m->descriptor == &runtime__v1__key_value__descriptor;

	if (yyjson_is_null(v)) /* as if it were not there */
		return NULL;
	if (pbjson_is_map(f))
		return parse_map(a, f, v, m);
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return parse_array(a, f, v, m);
	return parse_scalar(a, f, v, as_text, (char *)m + f->offset);
}

static struct err *parse_message(struct arena *a, const ProtobufCMessageDescriptor *d, yyjson_val *v,
				 ProtobufCMessage **ret)
{
	size_t i, n;
	yyjson_val *key, *value;

	if (!yyjson_is_obj(v))
		return wrong("an object", v);
	ProtobufCMessage *m = arena_alloc(a, d->sizeof_message);

	d->message_init(m);
	yyjson_obj_foreach(v, i, n, key, value)
	{
		const ProtobufCFieldDescriptor *f = find_field(d, yyjson_get_str(key));

		if (!f)
			return err_new(ERR_INVALID, "%s has no field \"%s\"", d->short_name, yyjson_get_str(key));
		TRY_WRAP(parse_field(a, f, value, m), "%s", yyjson_get_str(key));
	}
	*ret = m;
	return NULL;
}

struct err *pbjson_parse(struct arena *a, const ProtobufCMessageDescriptor *d, const char *text, size_t len,
			 ProtobufCMessage **ret_message)
{
	yyjson_read_err why;

	if (len > PBJSON_FILE_MAX)
		return err_new(ERR_EXHAUSTED, "larger than the %u bytes allowed", PBJSON_FILE_MAX);
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, len, YYJSON_READ_NOFLAG, NULL, &why);

	if (!doc)
		return err_new(ERR_INVALID, "not JSON: %s at byte %zu", why.msg, why.pos);
	struct err *e = parse_message(a, d, yyjson_doc_get_root(doc), ret_message);

	yyjson_doc_free(doc);
	return e;
}
