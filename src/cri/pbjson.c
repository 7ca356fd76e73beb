#include "cri/pbjson.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool pbjson_is_map(const ProtobufCFieldDescriptor *f)
{
	if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	/* protobuf-c does not keep the option map_entry; the compiler's naming rule tells. */
	const ProtobufCMessageDescriptor *d = f->descriptor;
	size_t n = strlen(d->short_name);

	return n > 5 && !strcmp(d->short_name + n - 5, "Entry") && d->n_fields == 2 &&
	       !strcmp(d->fields[0].name, "key") && !strcmp(d->fields[1].name, "value") &&
	       d->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

void pbjson_field_name(const ProtobufCFieldDescriptor *f, char ret_name[PBJSON_NAME_MAX])
{
	size_t n = 0;
	bool upper = false;

	for (const char *p = f->name; *p && n + 1 < PBJSON_NAME_MAX; p++) {
		if (*p == '_') {
			upper = true;
			continue;
		}
		ret_name[n++] = upper && *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
		upper = false;
	}
	ret_name[n] = '\0';
}

static yyjson_mut_val *integer_text(yyjson_mut_doc *doc, const char *fmt, long long v)
{
	char text[24];

	snprintf(text, sizeof(text), *fmt == 'u' ? "%llu" : "%lld", v);
	return yyjson_mut_strcpy(doc, text);
}

static yyjson_mut_val *enum_value(yyjson_mut_doc *doc, const ProtobufCEnumDescriptor *d, int v)
{
	const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(d, v);

	return e ? yyjson_mut_str(doc, e->name) : yyjson_mut_int(doc, v);
}

static yyjson_mut_val *bytes_value(yyjson_mut_doc *doc, const ProtobufCBinaryData *b, bool as_text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	_buf_ struct buf out = BUF_INIT;

	if (as_text && pack_text_len(b->data, b->len) == b->len)
		return yyjson_mut_strncpy(doc, (const char *)b->data, b->len);
	for (size_t i = 0; i < b->len; i += 3) {
		size_t left = b->len - i;
		unsigned v = (unsigned)b->data[i] << 16 | (left > 1 ? (unsigned)b->data[i + 1] << 8 : 0) |
			     (left > 2 ? b->data[i + 2] : 0);

		buf_putc(&out, digits[v >> 18]);
		buf_putc(&out, digits[v >> 12 & 63]);
		buf_putc(&out, left > 1 ? digits[v >> 6 & 63] : '=');
		buf_putc(&out, left > 2 ? digits[v & 63] : '=');
	}
	return yyjson_mut_strncpy(doc, buf_text(&out), out.len);
}

static yyjson_mut_val *real_value(yyjson_mut_doc *doc, double v)
{
	if (__builtin_isfinite(v))
		return yyjson_mut_real(doc, v);
	return yyjson_mut_str(doc, __builtin_isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

/* One value at *p*, of the field's type. */
static yyjson_mut_val *scalar(yyjson_mut_doc *doc, const ProtobufCFieldDescriptor *f, const void *p, bool as_text)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return yyjson_mut_int(doc, *(const int32_t *)p);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return yyjson_mut_uint(doc, *(const uint32_t *)p);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return integer_text(doc, "i", *(const int64_t *)p);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return integer_text(doc, "u", (long long)*(const uint64_t *)p);
	case PROTOBUF_C_TYPE_FLOAT:
		return real_value(doc, *(const float *)p);
	case PROTOBUF_C_TYPE_DOUBLE:
		return real_value(doc, *(const double *)p);
	case PROTOBUF_C_TYPE_BOOL:
		return yyjson_mut_bool(doc, *(const protobuf_c_boolean *)p != 0);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_value(doc, f->descriptor, *(const int *)p);
	case PROTOBUF_C_TYPE_STRING: {
		const char *s = *(char *const *)p;

		return yyjson_mut_strcpy(doc, s ? s : "");
	}
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_value(doc, p, as_text);
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *m = *(ProtobufCMessage *const *)p;

		return m ? pbjson_tree(doc, m) : yyjson_mut_null(doc);
	}
	}
	return yyjson_mut_null(doc);
}

size_t pbjson_element_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static int compare_entries(const void *a, const void *b)
{
	const ProtobufCMessage *const *x = a, *const *y = b;
	size_t offset = (*x)->descriptor->fields[0].offset;

	return strcmp(*(char *const *)((const char *)*x + offset), *(char *const *)((const char *)*y + offset));
}

/* Keys in order, as Go's encoders write them. */
static yyjson_mut_val *map(yyjson_mut_doc *doc, ProtobufCMessage *const *entries, size_t n)
{
	yyjson_mut_val *o = yyjson_mut_obj(doc);
	_free_ ProtobufCMessage **sorted = base_calloc(n ? n : 1, sizeof(*sorted));

	if (n)
		memcpy(sorted, entries, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_entries);
	for (size_t i = 0; i < n; i++) {
		const ProtobufCFieldDescriptor *f = sorted[i]->descriptor->fields;
		const char *e = (const char *)sorted[i];

		if (i + 1 < n && !compare_entries(&sorted[i], &sorted[i + 1]))
			continue;
		yyjson_mut_obj_add(o, scalar(doc, &f[0], e + f[0].offset, false),
				   scalar(doc, &f[1], e + f[1].offset, false));
	}
	return o;
}

static yyjson_mut_val *repeated(yyjson_mut_doc *doc, const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
	size_t n = *(const size_t *)((const char *)m + f->quantifier_offset);
	const char *items = *(char *const *)((const char *)m + f->offset);

	if (pbjson_is_map(f))
		return map(doc, (ProtobufCMessage *const *)items, n);
	yyjson_mut_val *array = yyjson_mut_arr(doc);

	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_append(array, scalar(doc, f, items + i * pbjson_element_size(f), false));
	return array;
}

yyjson_mut_val *pbjson_tree(yyjson_mut_doc *doc, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	bool as_text = d == &runtime__v1__key_value__descriptor;
	yyjson_mut_val *o = yyjson_mut_obj(doc);

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		char name[PBJSON_NAME_MAX];

		pbjson_field_name(f, name);
		yyjson_mut_obj_add(o, yyjson_mut_strcpy(doc, name),
				   f->label == PROTOBUF_C_LABEL_REPEATED ?
					   repeated(doc, f, m) :
					   scalar(doc, f, (const char *)m + f->offset, as_text));
	}
	return o;
}

void pbjson_write(yyjson_mut_val *tree, struct buf *ret)
{
	size_t n = 0;
	/* ALLOW_INVALID_UNICODE is compiled out: text that is not UTF-8 was refused by pack_unpack(). */
	_free_ char *text = yyjson_mut_val_write(tree, YYJSON_WRITE_PRETTY_TWO_SPACES, &n);

	if (text)
		buf_append(ret, text, n);
	buf_putc(ret, '\n');
}
