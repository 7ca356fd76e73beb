#include "cri/pbjson.h"

#include <string.h>
#include <strings.h>

/* Blocks for collections, plain scalars where no YAML version reads them as something else (YAML 1.2, 7.3.3; YAML 1.1
 * takes yes, no, on, off and sexagesimal numbers too), else JSON's double quotes, which YAML shares. */
static bool plain_ok(const char *s, size_t n)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };

	if (n == 0 || n > 256 || strlen(s) != n)
		return false;
	if (!((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= 'A' && s[0] <= 'Z') || s[0] == '/' || s[0] == '_'))
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr("/_-.@+=", c) || (c == ':' && i + 1 < n)))
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcasecmp(s, words[i]))
			return false;
	return true;
}

/* NEL, U+2028 and U+2029 end lines in YAML 1.1 and would be folded; a byte order mark is not text there. */
static bool breaks_lines(const char *s)
{
	static const char *const signs[] = { "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf" };

	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (strstr(s, signs[i]))
			return true;
	return false;
}

static void put_scalar(yyjson_mut_val *v, struct buf *ret)
{
	if (yyjson_mut_is_str(v) && plain_ok(yyjson_mut_get_str(v), yyjson_mut_get_len(v))) {
		buf_puts(ret, yyjson_mut_get_str(v));
		return;
	}
	size_t n = 0;
	bool escape = yyjson_mut_is_str(v) && breaks_lines(yyjson_mut_get_str(v));
	_free_ char *text = yyjson_mut_val_write(v, escape ? YYJSON_WRITE_ESCAPE_UNICODE : YYJSON_WRITE_NOFLAG, &n);

	buf_append(ret, text ? text : "null", text ? n : 4);
}

static void put_value(yyjson_mut_val *v, unsigned indent, bool after_dash, struct buf *ret);

static void put_indent(unsigned indent, struct buf *ret)
{
	for (unsigned i = 0; i < indent; i++)
		buf_puts(ret, "  ");
}

static void put_object(yyjson_mut_val *v, unsigned indent, bool after_dash, struct buf *ret)
{
	yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(v);
	yyjson_mut_val *key;

	while ((key = yyjson_mut_obj_iter_next(&it))) {
		yyjson_mut_val *value = yyjson_mut_obj_iter_get_val(key);
		bool block = yyjson_mut_get_len(value) > 0 && yyjson_mut_is_ctn(value);

		if (!after_dash)
			put_indent(indent, ret);
		after_dash = false;
		put_scalar(key, ret);
		buf_puts(ret, block ? ":\n" : ": ");
		put_value(value, yyjson_mut_is_arr(value) ? indent : indent + 1, false, ret);
	}
}

static void put_array(yyjson_mut_val *v, unsigned indent, struct buf *ret)
{
	yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(v);
	yyjson_mut_val *item;

	while ((item = yyjson_mut_arr_iter_next(&it))) {
		put_indent(indent, ret);
		buf_puts(ret, "- ");
		put_value(item, indent + 1, true, ret);
	}
}

static void put_value(yyjson_mut_val *v, unsigned indent, bool after_dash, struct buf *ret)
{
	if (yyjson_mut_is_ctn(v) && yyjson_mut_get_len(v) == 0)
		buf_puts(ret, yyjson_mut_is_obj(v) ? "{}\n" : "[]\n");
	else if (yyjson_mut_is_obj(v))
		put_object(v, indent, after_dash, ret);
	else if (yyjson_mut_is_arr(v))
		put_array(v, indent, ret);
	else {
		put_scalar(v, ret);
		buf_putc(ret, '\n');
	}
}

void pbjson_write_yaml(yyjson_mut_val *tree, struct buf *ret)
{
	put_value(tree, 0, false, ret);
}
