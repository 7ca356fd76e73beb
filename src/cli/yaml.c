#include "cli/yaml.h"

#include "base/str.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;     /* the current one */
	bool has_event;
	struct buf *out;
};

static void reader_done(struct reader *r)
{
	if (r->has_event)
		yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
}

_printf_(2, 3) static struct err *wrong(const struct reader *r, const char *fmt, ...)
{
	va_list ap;
	_free_ char *text = NULL;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return err_new(ERR_INVALID, "line %zu: %s", r->event.start_mark.line + 1, text ? text : fmt);
}

static struct err *next(struct reader *r)
{
	if (r->has_event)
		yaml_event_delete(&r->event);
	r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
	if (!r->has_event)
		return err_new(ERR_INVALID, "line %zu: not YAML: %s%s%s",
			       (r->parser.problem_mark.line ? r->parser.problem_mark.line : r->parser.context_mark.line) + 1,
			       r->parser.problem ? r->parser.problem : "it cannot be read", r->parser.context ? ", " : "",
			       r->parser.context ? r->parser.context : "");
	return NULL;
}

static void put_string(struct buf *b, const char *s, size_t n)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\u%04x", c);
		else
			buf_putc(b, (char)c);
	}
	buf_putc(b, '"');
}

static bool digits(const char *s, size_t n, const char *set)
{
	return n > 0 && strspn(s, set) == n;
}

/* 12, -3, 0644, 0o644, 0x1f: as JSON writes it; false where it is none. */
static bool put_integer(struct buf *b, const char *s)
{
	bool negative = *s == '-';
	const char *p = s + (*s == '-' || *s == '+');
	size_t n = strlen(p);
	char *end = NULL;
	unsigned long long v;

	if (n > 20)
		return false;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o') && digits(p + 2, n - 2, "0123456789abcdefABCDEF"))
		v = strtoull(p + 2, &end, p[1] == 'x' ? 16 : 8);
	else if (p[0] == '0' && n > 1 && digits(p, n, "01234567"))
		v = strtoull(p, &end, 8);
	else if (digits(p, n, "0123456789") && (n == 1 || p[0] != '0'))
		v = strtoull(p, &end, 10);
	else
		return false;
	if (*end || (v == ULLONG_MAX && strcmp(p, "18446744073709551615")))
		return false;
	buf_printf(b, "%s%llu", negative ? "-" : "", v);
	return true;
}

/* 1.5, -.5, 1e3: JSON wants a digit before the point. */
static bool put_real(struct buf *b, const char *s)
{
	const char *p = s + (*s == '-' || *s == '+');
	size_t whole = strspn(p, "0123456789"), part = p[whole] == '.' ? strspn(p + whole + 1, "0123456789") : 0;
	const char *rest = p + whole + (p[whole] == '.') + part;
	char *end = NULL;

	if (whole + part == 0 || strlen(s) > 40)
		return false;
	if (*rest == 'e' || *rest == 'E') {
		size_t sign = rest[1] == '-' || rest[1] == '+';

		if (!digits(rest + 1 + sign, strlen(rest + 1 + sign), "0123456789"))
			return false;
	} else if (*rest) {
		return false;
	}
	double v = strtod(s, &end);

	if (*end || !__builtin_isfinite(v))
		return false;
	buf_printf(b, "%.17g", v);
	return true;
}

static const struct {
	const char *word, *json;
} words[] = {
	{ "", "null" },	     { "~", "null" },	   { "null", "null" }, { "true", "true" }, { "yes", "true" },
	{ "on", "true" },    { "false", "false" }, { "no", "false" },  { "off", "false" },
};

static void put_plain(struct buf *b, const char *s, size_t n)
{
	if (strlen(s) == n) {
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (!strcasecmp(s, words[i].word)) {
				buf_puts(b, words[i].json);
				return;
			}
		if (put_integer(b, s) || put_real(b, s))
			return;
	}
	put_string(b, s, n);
}

static struct err *check_marks(const struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return wrong(r, "anchors are not taken: write it out");
	if (tag && strcmp((const char *)tag, YAML_STR_TAG) && strcmp((const char *)tag, YAML_MAP_TAG) &&
	    strcmp((const char *)tag, YAML_SEQ_TAG))
		return wrong(r, "the tag %s is not taken", (const char *)tag);
	return NULL;
}

static struct err *put_scalar(struct reader *r, bool is_key)
{
	const char *s = (const char *)r->event.data.scalar.value;
	size_t n = r->event.data.scalar.length;
	bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !r->event.data.scalar.tag;

	TRY(check_marks(r, r->event.data.scalar.anchor, r->event.data.scalar.tag));
	if (is_key && plain && !strcmp(s, "<<"))
		return wrong(r, "merge keys are not taken: write it out");
	if (is_key || !plain)
		put_string(r->out, s, n);
	else
		put_plain(r->out, s, n);
	return NULL;
}

static struct err *put_node(struct reader *r, unsigned depth);

static struct err *put_mapping(struct reader *r, unsigned depth)
{
	TRY(check_marks(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag));
	buf_putc(r->out, '{');
	for (bool first = true;; first = false) {
		TRY(next(r));
		if (r->event.type == YAML_MAPPING_END_EVENT)
			break;
		if (r->event.type != YAML_SCALAR_EVENT)
			return wrong(r, "a key is text");
		buf_puts(r->out, first ? "" : ",");
		TRY(put_scalar(r, true));
		buf_putc(r->out, ':');
		TRY(next(r));
		TRY(put_node(r, depth + 1));
	}
	buf_putc(r->out, '}');
	return NULL;
}

static struct err *put_sequence(struct reader *r, unsigned depth)
{
	TRY(check_marks(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag));
	buf_putc(r->out, '[');
	for (bool first = true;; first = false) {
		TRY(next(r));
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		buf_puts(r->out, first ? "" : ",");
		TRY(put_node(r, depth + 1));
	}
	buf_putc(r->out, ']');
	return NULL;
}

static struct err *put_node(struct reader *r, unsigned depth)
{
	if (depth > YAML_DEPTH_MAX)
		return wrong(r, "nested deeper than %d levels", YAML_DEPTH_MAX);
	switch (r->event.type) {
	case YAML_SCALAR_EVENT:
		return put_scalar(r, false);
	case YAML_MAPPING_START_EVENT:
		return put_mapping(r, depth);
	case YAML_SEQUENCE_START_EVENT:
		return put_sequence(r, depth);
	case YAML_ALIAS_EVENT:
		return wrong(r, "aliases are not taken: write it out");
	default:
		return wrong(r, "something is missing here");
	}
}

static struct err *put_stream(struct reader *r)
{
	TRY(next(r)); /* the stream's start */
	TRY(next(r));
	if (r->event.type == YAML_STREAM_END_EVENT)
		return err_new(ERR_INVALID, "it is empty");
	TRY(next(r));
	TRY(put_node(r, 0));
	TRY(next(r)); /* the document's end */
	TRY(next(r));
	if (r->event.type != YAML_STREAM_END_EVENT)
		return wrong(r, "a second document: one is wanted");
	return NULL;
}

struct err *yaml_to_json(const char *text, size_t len, struct buf *ret_json)
{
	struct reader r = { .out = ret_json };

	if (!yaml_parser_initialize(&r.parser))
		return err_new(ERR_EXHAUSTED, "no memory for YAML");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	struct err *e = put_stream(&r);

	reader_done(&r);
	return e;
}
