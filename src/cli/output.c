#include "cli/output.h"

#include "base/file.h"
#include "cli/human.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err *output_form(const struct cli *c, enum output_form preset, enum output_form *ret)
{
	static const char *const names[] = { [OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json", [OUTPUT_YAML] = "yaml" };
	const char *word = cli_text(c, "output");

	*ret = preset;
	if (!word)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(word, names[i])) {
			*ret = (enum output_form)i;
			return NULL;
		}
	if (!strcmp(word, "go-template"))
		return err_new(ERR_UNIMPLEMENTED, "--output go-template: this client has no Go templates; take json and jq");
	return err_new(ERR_INVALID, "--output: \"%s\" is not json, yaml or table", word);
}

struct err *output_text(const struct buf *text)
{
	return err_wrap(file_write_fd(1, buf_text(text), text->len), "standard output");
}

struct err *output_printf(const char *fmt, ...)
{
	_free_ char *text = NULL;
	_buf_ struct buf safe = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	/* Line ends and tabs are ours; what is between may be the server's. */
	for (const char *p = text ? text : ""; *p;) {
		size_t n = strcspn(p, "\n\t");

		human_escape(p, n, &safe);
		if (p[n])
			buf_putc(&safe, p[n]);
		p += n + (p[n] != '\0');
	}
	return output_text(&safe);
}

struct err *output_table(const struct table *t)
{
	_buf_ struct buf b = BUF_INIT;

	table_write(t, &b);
	return output_text(&b);
}

/* JSON and YAML escape C0; DEL and C1 stand only inside their strings, where \u00XX is as good. */
static void escape_rest(const struct buf *in, struct buf *ret)
{
	const unsigned char *p = (const unsigned char *)buf_text(in);

	for (size_t i = 0; i < in->len; i++) {
		if (p[i] == 0x7f)
			buf_puts(ret, "\\u007f");
		else if (p[i] == 0xc2 && i + 1 < in->len && p[i + 1] < 0xa0)
			buf_printf(ret, "\\u00%02x", p[++i]);
		else
			buf_append(ret, &p[i], 1);
	}
}

struct err *output_tree(yyjson_mut_val *tree, enum output_form form)
{
	_buf_ struct buf b = BUF_INIT, safe = BUF_INIT;

	if (form == OUTPUT_YAML)
		pbjson_write_yaml(tree, &b);
	else
		pbjson_write(tree, &b);
	escape_rest(&b, &safe);
	return output_text(&safe);
}

struct err *output_message(const void *message, enum output_form form)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct err *e = output_tree(pbjson_tree(doc, message), form);

	yyjson_mut_doc_free(doc);
	return e;
}

/* Nanoseconds since 1970 are for machines. */
static void write_times(yyjson_mut_doc *doc, yyjson_mut_val *status)
{
	static const char *const keys[] = { "createdAt", "startedAt", "finishedAt" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		yyjson_mut_val *v = yyjson_mut_obj_get(status, keys[i]);
		char text[CLOCK_TEXT_MAX];

		if (!yyjson_mut_is_str(v))
			continue;
		clock_format(strtoll(yyjson_mut_get_str(v), NULL, 10), text);
		yyjson_mut_obj_put(status, yyjson_mut_str(doc, keys[i]), yyjson_mut_strcpy(doc, text));
	}
}

void output_add_info(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key, const char *value)
{
	yyjson_doc *parsed = yyjson_read(value, strlen(value), YYJSON_READ_NOFLAG);
	yyjson_mut_val *v = parsed ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed)) : NULL;

	yyjson_doc_free(parsed);
	yyjson_mut_obj_put(root, yyjson_mut_strcpy(doc, key), v ? v : yyjson_mut_strcpy(doc, value));
}

struct err *output_status(const void *status, const struct output_info *info, size_t n_info, enum output_form form)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *tree = pbjson_tree(doc, status);

	write_times(doc, tree);
	yyjson_mut_obj_add_val(doc, root, "status", tree);
	for (size_t i = 0; i < n_info; i++)
		output_add_info(doc, root, info[i].key, info[i].value);
	struct err *e = output_tree(root, form);

	yyjson_mut_doc_free(doc);
	return e;
}

void output_ago(int64_t wall_ns, struct buf *ret)
{
	int64_t age = clock_wall_ns() - wall_ns;

	human_duration(MAX(age, 0), ret);
	buf_puts(ret, " ago");
}

const char *output_time(struct arena *a, int64_t wall_ns)
{
	char text[CLOCK_TEXT_MAX];

	if (!wall_ns)
		return "";
	clock_format(wall_ns, text);
	return arena_strdup(a, text);
}
