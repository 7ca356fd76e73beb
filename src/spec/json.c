#include "spec/json.h"

#include <string.h>

static void *alc_malloc(void *ctx, size_t size)
{
	return arena_alloc(ctx, size);
}

static void *alc_realloc(void *ctx, void *p, size_t old_size, size_t size)
{
	if (size <= old_size)
		return p;
	void *q = arena_alloc(ctx, size);

	memcpy(q, p, old_size);
	return q;
}

static void alc_free(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

/* yyjson keeps the pointer: in the arena too. */
static const yyjson_alc *alc_of(struct arena *a)
{
	yyjson_alc alc = { alc_malloc, alc_realloc, alc_free, a };

	return arena_memdup(a, &alc, sizeof(alc));
}

struct err *json_read(struct arena *a, const char *text, size_t len, yyjson_val **ret_root)
{
	yyjson_read_err e;

	if (len > JSON_TEXT_MAX)
		return err_new(ERR_EXHAUSTED, "JSON of %zu bytes is larger than %u", len, JSON_TEXT_MAX);
	/* Without YYJSON_READ_INSITU the text is only read. */
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, len, 0, alc_of(a), &e);

	if (!doc)
		return err_new(ERR_INVALID, "JSON: %s at byte %zu", e.msg, e.pos);
	*ret_root = yyjson_doc_get_root(doc);
	return NULL;
}

/* NULL for missing and null. */
static yyjson_val *member(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_null(v) ? NULL : v;
}

static struct err *wrong_type(const char *key, const char *want)
{
	return err_new(ERR_INVALID, "%s: not %s", key, want);
}

static struct err *check_str(const char *key, yyjson_val *v, const char **ret)
{
	if (!yyjson_is_str(v))
		return wrong_type(key, "a string");
	if (strlen(yyjson_get_str(v)) != yyjson_get_len(v))
		return err_new(ERR_INVALID, "%s: holds a NUL byte", key);
	*ret = yyjson_get_str(v);
	return NULL;
}

struct err *json_get_str(yyjson_val *obj, const char *key, const char **ret)
{
	yyjson_val *v = member(obj, key);

	return v ? check_str(key, v, ret) : NULL;
}

struct err *json_get_bool(yyjson_val *obj, const char *key, bool *ret)
{
	yyjson_val *v = member(obj, key);

	if (v && !yyjson_is_bool(v))
		return wrong_type(key, "true or false");
	if (v)
		*ret = yyjson_get_bool(v);
	return NULL;
}

struct err *json_get_i64(yyjson_val *obj, const char *key, int64_t *ret, bool *ret_has)
{
	yyjson_val *v = member(obj, key);

	if (!v)
		return NULL;
	if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
		return wrong_type(key, "a 64-bit integer");
	*ret = yyjson_get_sint(v);
	if (ret_has)
		*ret_has = true;
	return NULL;
}

struct err *json_get_u64(yyjson_val *obj, const char *key, uint64_t max, uint64_t *ret, bool *ret_has)
{
	yyjson_val *v = member(obj, key);

	if (!v)
		return NULL;
	if (!yyjson_is_uint(v) || yyjson_get_uint(v) > max)
		return err_new(ERR_INVALID, "%s: not an integer from 0 to %llu", key, (unsigned long long)max);
	*ret = yyjson_get_uint(v);
	if (ret_has)
		*ret_has = true;
	return NULL;
}

struct err *json_get_u32(yyjson_val *obj, const char *key, uint32_t *ret)
{
	uint64_t v = *ret;

	TRY(json_get_u64(obj, key, UINT32_MAX, &v, NULL));
	*ret = (uint32_t)v;
	return NULL;
}

struct err *json_get_obj(yyjson_val *obj, const char *key, yyjson_val **ret)
{
	yyjson_val *v = member(obj, key);

	if (v && !yyjson_is_obj(v))
		return wrong_type(key, "an object");
	*ret = v;
	return NULL;
}

struct err *json_get_arr(yyjson_val *obj, const char *key, size_t max, yyjson_val **ret)
{
	yyjson_val *v = member(obj, key);

	if (v && !yyjson_is_arr(v))
		return wrong_type(key, "an array");
	if (yyjson_arr_size(v) > max)
		return err_new(ERR_EXHAUSTED, "%s: %zu members, at most %zu", key, yyjson_arr_size(v), max);
	*ret = v;
	return NULL;
}

struct err *json_get_strings(struct arena *a, yyjson_val *obj, const char *key, size_t max, char ***ret,
			     size_t *ret_n)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(obj, key, max, &arr));
	char **list = arena_calloc(a, yyjson_arr_size(arr) + 1, sizeof(*list));

	json_each(arr, i, n, v) {
		const char *s = NULL;

		TRY(check_str(key, v, &s));
		/* The arena's own memory: writable, as execve(2) wants it typed. */
		list[i] = (char *)(uintptr_t)s;
	}
	*ret = list;
	*ret_n = yyjson_arr_size(arr);
	return NULL;
}

/* Bytes of the sequence at *s*, 0 if it is none (RFC 3629: shortest form, no surrogates, up to U+10FFFF). */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high, length;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0xff, 1 },	{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },	{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },	{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		size_t len = forms[i].length;

		if (s[0] < forms[i].first_low || s[0] > forms[i].first_high)
			continue;
		if (len > n || (len > 1 && (s[1] < forms[i].second_low || s[1] > forms[i].second_high)))
			return 0;
		for (size_t j = 2; j < len; j++)
			if ((s[j] & 0xc0) != 0x80)
				return 0;
		return len;
	}
	return 0;
}

char *json_make_text(struct arena *a, const char *s, size_t n, bool *ret_changed)
{
	char *out = arena_alloc(a, 3 * n + 1);
	size_t at = 0;

	*ret_changed = false;
	for (size_t i = 0; i < n;) {
		size_t len = utf8_length((const unsigned char *)s + i, n - i);

		if (!len)
			*ret_changed = true;
		memcpy(out + at, len ? s + i : "\xef\xbf\xbd", len ? len : 3);
		at += len ? len : 3;
		i += len ? len : 1;
	}
	return out;
}

yyjson_mut_doc *json_new(struct arena *a)
{
	return yyjson_mut_doc_new(alc_of(a));
}

yyjson_mut_val *json_put_obj(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	yyjson_mut_obj_add_val(d, obj, key, v);
	return v;
}

yyjson_mut_val *json_put_arr(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key)
{
	yyjson_mut_val *v = yyjson_mut_arr(d);

	yyjson_mut_obj_add_val(d, obj, key, v);
	return v;
}

void json_put_str(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *s)
{
	if (s)
		yyjson_mut_obj_add_str(d, obj, key, s);
}

void json_put_strings(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *const *items, size_t n)
{
	yyjson_mut_val *arr = json_put_arr(d, obj, key);

	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_add_str(d, arr, items[i]);
}

struct err *json_write(yyjson_mut_doc *d, yyjson_write_flag flags, struct buf *ret)
{
	yyjson_write_err e;
	size_t len = 0;
	char *text = yyjson_mut_write_opts(d, flags, NULL, &len, &e);

	/* All that can go wrong: bytes that are not UTF-8. */
	if (!text)
		return err_new(ERR_INVALID, "write JSON: %s", e.msg);
	buf_append(ret, text, len);
	free(text);
	return ret->over ? err_new(ERR_EXHAUSTED, "JSON of %zu bytes is too large", len) : NULL;
}
