#include "base/toml.h"

#include <stdio.h>
#include <string.h>

struct parser {
	struct arena *a;
	const char *name;
	const char *at, *end;
	unsigned line;
	unsigned depth;
	unsigned values;
	char string[TOML_STRING_MAX + 16];  /* being read */
};

static struct err *wrong(const struct parser *p, const char *what)
{
	return err_new(ERR_INVALID, "%s:%u: %s", p->name, p->line, what);
}

static int peek(const struct parser *p)
{
	return p->at < p->end ? (unsigned char)*p->at : -1;
}

static bool ahead(const struct parser *p, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(p->end - p->at) >= n && !memcmp(p->at, text, n);
}

static bool skip(struct parser *p, const char *text)
{
	if (!ahead(p, text))
		return false;
	p->at += strlen(text);
	return true;
}

static void skip_blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

/* A line's end, with its comment. */
static bool skip_line_end(struct parser *p)
{
	skip_blanks(p);
	if (peek(p) == '#')
		while (p->at < p->end && *p->at != '\n')
			p->at++;
	if (peek(p) == '\r')
		p->at++;
	if (peek(p) != '\n')
		return p->at == p->end;
	p->at++;
	p->line++;
	return true;
}

/* Blank lines and comments, as between an array's members. */
static void skip_space(struct parser *p)
{
	for (;;) {
		const char *before = p->at;

		if (!skip_line_end(p) || p->at == before)
			return;
	}
}

static struct err *new_value(struct parser *p, enum toml_type type, const char *key, struct toml **ret)
{
	if (++p->values > TOML_VALUES_MAX)
		return wrong(p, "too many values");
	struct toml *t = arena_alloc(p->a, sizeof(*t));

	t->type = type;
	t->key = key;
	t->line = p->line;
	*ret = t;
	return NULL;
}

static void append(struct toml *to, struct toml *t)
{
	if (to->last)
		to->last->next = t;
	else
		to->first = t;
	to->last = t;
}

static struct toml *find(struct toml *t, const char *key)
{
	for (struct toml *m = t->first; m; m = m->next)
		if (!strcmp(m->key, key))
			return m;
	return NULL;
}

/* ---- strings ---------------------------------------------------------------------------------- */

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };

	*to++ = (char)(lead[more] | c >> (6 * more));
	while (more--)
		*to++ = (char)(0x80 | ((c >> (6 * more)) & 0x3f));
	return to;
}

static bool read_hex(struct parser *p, int digits, uint32_t *ret)
{
	uint32_t v = 0;

	for (; digits > 0; digits--, p->at++) {
		int c = peek(p);
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return false;
		v = v << 4 | (uint32_t)d;
	}
	*ret = v;
	return v && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff);
}

/* After the backslash. */
static struct err *read_escape(struct parser *p, char **to, bool multi)
{
	static const char from[] = "btnfr\"\\", into[] = "\b\t\n\f\r\"\\";
	int c = peek(p);
	const char *hit = c > 0 ? strchr(from, c) : NULL;
	uint32_t code;

	if (hit) {
		*(*to)++ = into[hit - from];
		p->at++;
		return NULL;
	}
	if (c == 'u' || c == 'U') {
		p->at++;
		if (!read_hex(p, c == 'u' ? 4 : 8, &code))
			return wrong(p, "bad \\u escape");
		*to = put_utf8(*to, code);
		return NULL;
	}
	if (!multi || !skip_line_end(p))
		return wrong(p, "unknown escape in a string");
	while (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\n' || peek(p) == '\r') {
		p->line += peek(p) == '\n';
		p->at++;
	}
	return NULL;
}

static struct err *read_string(struct parser *p, bool multi_allowed, const char **ret)
{
	char quote = *p->at;
	const char triple[] = { quote, quote, quote, '\0' };
	bool multi = multi_allowed && ahead(p, triple);
	char *to = p->string;

	p->at += multi ? 3 : 1;
	if (multi) {
		skip(p, "\r");
		p->line += peek(p) == '\n';
		skip(p, "\n");
	}
	for (;;) {
		int c = peek(p);

		if (c < 0 || (!multi && c == '\n'))
			return wrong(p, "a string is not closed");
		if (to - p->string > TOML_STRING_MAX)
			return wrong(p, "a string is longer than the limit of 4 KiB");
		if (c == quote && (!multi || ahead(p, triple)))
			break;
		if (c < 0x20 && c != '\t' && !(multi && (c == '\n' || c == '\r')))
			return wrong(p, "a control character in a string");
		p->at++;
		if (c == '\\' && quote == '"')
			TRY(read_escape(p, &to, multi));
		else
			*to++ = (char)c;
		p->line += c == '\n';
	}
	p->at += multi ? 3 : 1;
	/* Up to two quotes may stand right before the closing three. */
	for (int i = 0; multi && i < 2 && peek(p) == quote; i++, p->at++)
		*to++ = quote;
	*ret = arena_strndup(p->a, p->string, (size_t)(to - p->string));
	return NULL;
}

/* ---- keys ------------------------------------------------------------------------------------- */

static bool bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static struct err *read_key(struct parser *p, const char **ret)
{
	const char *from = p->at;

	if (peek(p) == '"' || peek(p) == '\'')
		return read_string(p, false, ret);
	while (bare(peek(p)))
		p->at++;
	if (p->at == from)
		return wrong(p, "a key is expected");
	*ret = arena_strndup(p->a, from, (size_t)(p->at - from));
	return NULL;
}

/* Into the table *key* of *t*, made if missing; the last of an array of tables. */
static struct err *enter(struct parser *p, struct toml **t, const char *key)
{
	struct toml *m = find(*t, key);

	if (!m) {
		TRY(new_value(p, TOML_TABLE, key, &m));
		append(*t, m);
	} else if (m->type == TOML_ARRAY && m->last && m->last->type == TOML_TABLE && !m->closed) {
		m = m->last;
	} else if (m->type != TOML_TABLE) {
		return err_new(ERR_INVALID, "%s:%u: %.100s is not a table", p->name, p->line, key);
	}
	*t = m;
	return NULL;
}

/* a.b.c: into all but the last, which is *ret_key*. */
static struct err *read_path(struct parser *p, struct toml **t, const char **ret_key)
{
	for (unsigned i = 0;; i++) {
		if (i == TOML_DEPTH_MAX)
			return wrong(p, "nested too deeply");
		skip_blanks(p);
		TRY(read_key(p, ret_key));
		skip_blanks(p);
		if (!skip(p, "."))
			return NULL;
		TRY(enter(p, t, *ret_key));
	}
}

/* ---- values ----------------------------------------------------------------------------------- */

static struct err *read_value(struct parser *p, const char *key, struct toml **ret);
static struct err *read_pair(struct parser *p, struct toml *table);

static struct err *read_array(struct parser *p, struct toml *array)
{
	p->at++;
	for (;;) {
		struct toml *m;

		skip_space(p);
		if (skip(p, "]"))
			return NULL;
		TRY(read_value(p, "", &m));
		append(array, m);
		skip_space(p);
		if (skip(p, "]"))
			return NULL;
		if (!skip(p, ","))
			return wrong(p, "an array's members are separated by commas");
	}
}

static struct err *read_inline_table(struct parser *p, struct toml *table)
{
	p->at++;
	skip_blanks(p);
	if (skip(p, "}"))
		return NULL;
	for (;;) {
		TRY(read_pair(p, table));
		skip_blanks(p);
		if (skip(p, "}"))
			return NULL;
		if (!skip(p, ","))
			return wrong(p, "an inline table ends with a brace on the same line");
	}
}

static bool digits_ok(const char *s, int base)
{
	bool digit = false;

	for (; *s; s++) {
		int d = *s >= '0' && *s <= '9' ? *s - '0' : *s >= 'a' && *s <= 'f' ? *s - 'a' + 10
						: *s >= 'A' && *s <= 'F' ? *s - 'A' + 10 : 99;

		if (*s == '_' && digit && s[1] && s[1] != '_') {
			digit = false;
			continue;
		}
		if (d >= base)
			return false;
		digit = true;
	}
	return digit;
}

static bool integer_of(const char *word, int64_t *ret)
{
	bool negative = *word == '-', sign = negative || *word == '+';
	const char *digits = word + sign;
	int base = 10;
	uint64_t v = 0;

	if (!sign && digits[0] == '0' && digits[1]) {
		base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : digits[1] == 'b' ? 2 : 0;
		if (!base)
			return false;
		digits += 2;
	}
	if (!digits_ok(digits, base))
		return false;
	for (; *digits; digits++) {
		uint64_t d = (uint64_t)(*digits <= '9' ? *digits - '0' : (*digits | 0x20) - 'a' + 10);

		if (*digits == '_')
			continue;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, d, &v) || v > INT64_MAX)
			return false;
	}
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

static bool float_of(const char *word, double *ret)
{
	char copy[64];
	size_t n = 0;
	char *end;

	if (!strpbrk(word, ".eE") || word[strspn(word, "0123456789+-._eE")])
		return false;
	for (; *word && n < sizeof(copy) - 1; word++)
		if (*word != '_')
			copy[n++] = *word;
	copy[n] = '\0';
	*ret = strtod(copy, &end);
	return !*word && *end == '\0' && n > 0;
}

static struct err *read_word(struct parser *p, struct toml *t)
{
	char word[64];
	size_t n = 0;

	while (n < sizeof(word) - 1 && (bare(peek(p)) || peek(p) == '+' || peek(p) == '.' || peek(p) == ':'))
		word[n++] = *p->at++;
	word[n] = '\0';
	if (!strcmp(word, "true") || !strcmp(word, "false")) {
		t->type = TOML_BOOL;
		t->boolean = word[0] == 't';
	} else if (integer_of(word, &t->integer)) {
		t->type = TOML_INTEGER;
	} else if (float_of(word, &t->number)) {
		t->type = TOML_FLOAT;
	} else {
		return err_new(ERR_INVALID,
			       "%s:%u: \"%s\" is no value (strings need quotes; dates are not read)", p->name, p->line,
			       word);
	}
	return NULL;
}

static struct err *read_compound(struct parser *p, struct toml *t)
{
	if (++p->depth > TOML_DEPTH_MAX)
		return wrong(p, "nested too deeply");
	struct err *e = t->type == TOML_ARRAY ? read_array(p, t) : read_inline_table(p, t);

	t->closed = true;
	p->depth--;
	return e;
}

static struct err *read_value(struct parser *p, const char *key, struct toml **ret)
{
	TRY(new_value(p, TOML_STRING, key, ret));
	switch (peek(p)) {
	case '"':
	case '\'':
		return read_string(p, true, &(*ret)->string);
	case '[':
		(*ret)->type = TOML_ARRAY;
		return read_compound(p, *ret);
	case '{':
		(*ret)->type = TOML_TABLE;
		return read_compound(p, *ret);
	default:
		return read_word(p, *ret);
	}
}

static struct err *read_pair(struct parser *p, struct toml *table)
{
	const char *key;
	struct toml *t;

	TRY(read_path(p, &table, &key));
	if (!skip(p, "="))
		return wrong(p, "\"=\" is expected after a key");
	if (find(table, key) || table->closed)
		return err_new(ERR_INVALID, "%s:%u: %.100s is given twice", p->name, p->line, key);
	skip_blanks(p);
	TRY(read_value(p, key, &t));
	append(table, t);
	return NULL;
}

/* ---- headers ---------------------------------------------------------------------------------- */

static struct err *add_array_table(struct parser *p, struct toml *in, const char *key, struct toml **ret)
{
	struct toml *array = find(in, key);

	if (!array) {
		TRY(new_value(p, TOML_ARRAY, key, &array));
		append(in, array);
	} else if (array->type != TOML_ARRAY || array->closed) {
		return err_new(ERR_INVALID, "%s:%u: %.100s is given twice", p->name, p->line, key);
	}
	TRY(new_value(p, TOML_TABLE, "", ret));
	append(array, *ret);
	return NULL;
}

/* [a.b] or [[a.b]]; headers that were named are remembered by `asked`, which the end of parsing clears. */
static struct err *read_header(struct parser *p, struct toml *root, struct toml **ret)
{
	bool array = skip(p, "[[");
	struct toml *in = root;
	const char *key;

	if (!array)
		p->at++;
	TRY(read_path(p, &in, &key));
	if (!skip(p, array ? "]]" : "]"))
		return wrong(p, "a table's header is not closed");
	if (array)
		return add_array_table(p, in, key, ret);
	TRY(enter(p, &in, key));
	if (in->asked || in->closed)
		return err_new(ERR_INVALID, "%s:%u: table %.100s is given twice", p->name, p->line, key);
	in->asked = true;
	in->line = p->line;
	*ret = in;
	return NULL;
}

static void clear_asked(struct toml *t)
{
	for (struct toml *m = t->first; m; m = m->next) {
		m->asked = false;
		clear_asked(m);
	}
}

struct err *toml_parse(struct arena *a, const char *name, const char *text, size_t len, struct toml **ret)
{
	struct parser p = { .a = a, .name = name, .at = text, .end = text + len, .line = 1 };
	struct toml *root, *table;

	if (memchr(text, '\0', len))
		return err_new(ERR_INVALID, "%s: a NUL byte: this is not text", name);
	TRY(new_value(&p, TOML_TABLE, "", &root));
	table = root;
	for (;;) {
		skip_space(&p);
		if (p.at == p.end)
			break;
		TRY(peek(&p) == '[' ? read_header(&p, root, &table) : read_pair(&p, table));
		if (!skip_line_end(&p))
			return wrong(&p, "something follows on the same line");
	}
	clear_asked(root);
	*ret = root;
	return NULL;
}

struct toml *toml_get(struct toml *t, const char *key)
{
	struct toml *m = t && t->type == TOML_TABLE ? find(t, key) : NULL;

	if (m)
		m->asked = true;
	return m;
}

const struct toml *toml_unasked(const struct toml *t)
{
	for (const struct toml *m = t->first; m; m = m->next) {
		if (!m->asked && t->type == TOML_TABLE)
			return m;
		const struct toml *deeper = m->type == TOML_TABLE ? toml_unasked(m) : NULL;

		if (deeper)
			return deeper;
	}
	return NULL;
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = { "table", "array", "string", "integer", "float", "boolean" };

	return names[type];
}
