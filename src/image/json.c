#include "image/json.h"

#include <string.h>

struct err *json_parse(const char *json, size_t len, const char *what, yyjson_doc **ret)
{
	yyjson_read_err e;
	/* Without YYJSON_READ_INSITU the text is not written to, whatever the prototype says. */
	_json_ yyjson_doc *d = yyjson_read_opts((char *)json, len, YYJSON_READ_NOFLAG, NULL, &e);

	if (!d)
		return err_new(ERR_INVALID, "%s is not JSON: %s at byte %zu", what, e.msg, e.pos);
	if (!yyjson_is_obj(yyjson_doc_get_root(d)))
		return err_new(ERR_INVALID, "%s is not a JSON object", what);
	*ret = TAKE(d);
	return NULL;
}

/* NULL for a member that is absent or null. */
static yyjson_val *member(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return yyjson_is_null(v) ? NULL : v;
}

struct err *json_text(struct arena *a, yyjson_val *v, const char *what, const char **ret)
{
	const char *s = yyjson_get_str(v);
	size_t len = yyjson_get_len(v);

	if (!s)
		return err_new(ERR_INVALID, "\"%s\" is not a string", what);
	if (memchr(s, '\0', len))
		return err_new(ERR_INVALID, "\"%s\" has a NUL in it", what);
	*ret = arena_strndup(a, s, len);
	return NULL;
}

struct err *json_string(struct arena *a, yyjson_val *obj, const char *key, const char **ret)
{
	yyjson_val *v = member(obj, key);

	if (v)
		return json_text(a, v, key, ret);
	*ret = "";
	return NULL;
}

struct err *json_object(yyjson_val *obj, const char *key, yyjson_val **ret)
{
	yyjson_val *v = member(obj, key);

	if (v && !yyjson_is_obj(v))
		return err_new(ERR_INVALID, "\"%s\" is not an object", key);
	*ret = v;
	return NULL;
}

struct err *json_array(yyjson_val *obj, const char *key, size_t max, yyjson_val **ret)
{
	yyjson_val *v = member(obj, key);

	if (v && !yyjson_is_arr(v))
		return err_new(ERR_INVALID, "\"%s\" is not a list", key);
	if (yyjson_arr_size(v) > max)
		return err_new(ERR_EXHAUSTED, "\"%s\" has %zu members, more than the limit of %zu", key,
			       yyjson_arr_size(v), max);
	*ret = v;
	return NULL;
}

struct err *json_strings(struct arena *a, yyjson_val *obj, const char *key, size_t max, char ***ret, size_t *ret_n)
{
	yyjson_val *list, *v;
	size_t i, n;

	TRY(json_array(obj, key, max, &list));
	char **items = arena_calloc(a, yyjson_arr_size(list) + 1, sizeof(*items));

	*ret = items;
	if (ret_n)
		*ret_n = yyjson_arr_size(list);
	if (!list) /* which the loop's pointer arithmetic would not survive */
		return NULL;
	yyjson_arr_foreach(list, i, n, v) {
		const char *s;

		TRY(json_text(a, v, key, &s));
		items[i] = (char *)s;
	}
	return NULL;
}

struct err *json_u64(yyjson_val *obj, const char *key, uint64_t *ret)
{
	yyjson_val *v = member(obj, key);

	if (v && (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT64_MAX))
		return err_new(ERR_INVALID, "\"%s\" is not a natural number", key);
	*ret = yyjson_get_uint(v);
	return NULL;
}
