#include "cli/verb.h"

#include "base/str.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Taken by every verb that has no option of that name itself. */
static const struct cli_option common_options[] = {
	{ 0, "runtime-endpoint", "ADDRESS", "the socket, unix:///run/crisp/crisp.sock unless CONTAINER_RUNTIME_ENDPOINT says otherwise" },
	{ 0, "timeout", "DURATION", "of each call" },
	{ 'h', "help", NULL, "print this" },
	{ 0 },
};

static const struct cli_option *find(const struct cli_option *list, const char *name, size_t len)
{
	for (; list && list->name; list++)
		if (strlen(list->name) == len && !strncmp(list->name, name, len))
			return list;
	return NULL;
}

static const struct cli_option *find_letter(const struct cli_option *list, char letter)
{
	for (; list && list->name; list++)
		if (list->letter == letter)
			return list;
	return NULL;
}

static void give(struct cli *c, const struct cli_option *o, const char *value)
{
	c->given[c->n_given++] = (struct cli_given){ o, value };
}

/* --name, --name=value, --name value */
static struct err *parse_long(struct cli *c, const char *word, const char *next, bool *ret_took)
{
	size_t len = strcspn(word, "=");
	const struct cli_option *o = find(c->verb->options, word, len);

	if (!o)
		o = find(common_options, word, len);
	if (!o)
		return err_new(ERR_INVALID, "there is no option --%.*s (see --help)", (int)len, word);
	if (word[len] == '=') {
		give(c, o, word + len + 1);
	} else if (!o->value) {
		give(c, o, "true");
	} else if (next) {
		give(c, o, next);
		*ret_took = true;
	} else {
		return err_new(ERR_INVALID, "--%s takes %s", o->name, o->value);
	}
	return NULL;
}

/* -ait, -n5, -n 5, -n=5 */
static struct err *parse_short(struct cli *c, const char *word, const char *next, bool *ret_took)
{
	for (; *word; word++) {
		const struct cli_option *o = find_letter(c->verb->options, *word);

		if (!o)
			o = find_letter(common_options, *word);
		if (!o)
			return err_new(ERR_INVALID, "there is no option -%c (see --help)", *word);
		if (!o->value) {
			give(c, o, "true");
			continue;
		}
		const char *rest = word + 1 + (word[1] == '=');

		if (*rest)
			give(c, o, rest);
		else if (next)
			give(c, o, next);
		else
			return err_new(ERR_INVALID, "-%c takes %s", o->letter, o->value);
		*ret_took = !*rest;
		return NULL;
	}
	return NULL;
}

size_t cli_find_early(const struct cli_early *rows, size_t n, const char *word)
{
	size_t len = strcspn(word, "=");

	for (size_t k = 0; k < n; k++)
		if ((strlen(rows[k].name) == len && !strncmp(rows[k].name, word, len)) ||
		    (rows[k].letter && !strcmp(rows[k].letter, word)))
			return k;
	return n;
}

struct err *cli_parse_early(const struct cli_early *rows, size_t n, int argc, char **argv, const char **ret_values,
			    int *ret_verb)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		size_t k = cli_find_early(rows, n, argv[i]);
		const char *equals = strchr(argv[i], '=');

		if (k == n)
			return err_new(ERR_INVALID, "there is no option %s before the verb", argv[i]);
		if (equals)
			ret_values[k] = equals + 1;
		else if (!rows[k].takes)
			ret_values[k] = "true";
		else if (++i < argc)
			ret_values[k] = argv[i];
		else
			return err_new(ERR_INVALID, "%s takes a value", argv[i - 1]);
	}
	*ret_verb = i;
	return NULL;
}

struct err *cli_parse(struct cli *c, int argc, char **argv)
{
	bool options_end = false;

	/* A word can hold several letters. */
	size_t most = 0;

	for (int i = 0; i < argc; i++)
		most += strlen(argv[i]) + 1;
	c->given = arena_calloc(&c->arena, most + 1, sizeof(*c->given));
	c->args = arena_calloc(&c->arena, (size_t)argc + 1, sizeof(*c->args));
	for (int i = 0; i < argc; i++) {
		char *word = argv[i];
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool took = false;

		if (options_end || word[0] != '-' || !word[1]) {
			c->args[c->n_args++] = word;
			options_end |= (c->verb->flags & CLI_REST_IS_COMMAND) != 0;
			continue;
		}
		if (!strcmp(word, "--"))
			options_end = true;
		else if (word[1] == '-')
			TRY(parse_long(c, word + 2, next, &took));
		else
			TRY(parse_short(c, word + 1, next, &took));
		i += took;
	}
	if (cli_flag(c, "help"))
		return err_new(ERR_CANCELLED, "help");
	int n = (int)c->n_args;

	if (n < c->verb->min_args || (c->verb->max_args >= 0 && n > c->verb->max_args))
		return err_new(ERR_INVALID, "usage: crisp %s [OPTIONS] %s", c->verb->name, c->verb->usage);
	return NULL;
}

const char *cli_text_n(const struct cli *c, const char *name, size_t n)
{
	for (size_t i = 0; i < c->n_given; i++)
		if (!strcmp(c->given[i].option->name, name) && n-- == 0)
			return c->given[i].value;
	return NULL;
}

const char *cli_text(const struct cli *c, const char *name)
{
	const char *value = NULL, *next;

	for (size_t i = 0; (next = cli_text_n(c, name, i)); i++)
		value = next;
	return value;
}

bool cli_flag(const struct cli *c, const char *name)
{
	const char *value = cli_text(c, name);

	return value && strcmp(value, "false") != 0;
}

struct err *cli_number(const struct cli *c, const char *name, int64_t *ret)
{
	const char *text = cli_text(c, name);
	uint64_t v;

	if (!text)
		return NULL;
	bool negative = *text == '-';

	if (!str_to_u64(text + negative, INT64_MAX, &v))
		return err_new(ERR_INVALID, "--%s: \"%s\" is not a number", name, text);
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return NULL;
}

static const struct duration_unit {
	const char *name;
	int64_t ns;
} duration_units[] = {
	{ "ns", 1 },	    { "us", 1000 },		{ "ms", NS_PER_MS },
	{ "s", NS_PER_S },  { "m", 60 * NS_PER_S },	{ "h", 3600 * NS_PER_S },
};

/* Digits with at most nine after a point, in units of *unit*. */
static bool take_amount(const char **text, int64_t *ret_whole, int64_t *ret_nano)
{
	const char *p = *text;
	int64_t nano_digit = NS_PER_S / 10;

	*ret_whole = *ret_nano = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(*ret_whole, 10, ret_whole) || *ret_whole > INT64_MAX - 9)
			return false;
		else
			*ret_whole += *p - '0';
	if (p == *text)
		return false;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, nano_digit /= 10)
			*ret_nano += (*p - '0') * nano_digit;
	*text = p;
	return true;
}

static bool add_amount(int64_t whole, int64_t nano, int64_t unit, int64_t *total)
{
	int64_t v;

	if (__builtin_mul_overflow(whole, unit, &v) || __builtin_add_overflow(*total, v, total))
		return false;
	v = (int64_t)((double)nano / (double)NS_PER_S * (double)unit);
	return !__builtin_add_overflow(*total, v, total);
}

bool cli_parse_duration(const char *text, int64_t *ret_ns)
{
	int64_t total = 0, whole, nano;
	bool some = false;

	while (*text) {
		size_t i, len = 0;

		if (!take_amount(&text, &whole, &nano))
			return false;
		if (!*text && !some) /* a bare number */
			return add_amount(whole, nano, NS_PER_S, &total) && (*ret_ns = total, true);
		len = strspn(text, "nusmh");
		for (i = 0; i < ARRAY_LEN(duration_units); i++)
			if (strlen(duration_units[i].name) == len && !strncmp(duration_units[i].name, text, len))
				break;
		if (i == ARRAY_LEN(duration_units) || !add_amount(whole, nano, duration_units[i].ns, &total))
			return false;
		text += len;
		some = true;
	}
	*ret_ns = total;
	return some;
}

struct err *cli_duration(const struct cli *c, const char *name, int64_t *ret_ns)
{
	const char *text = cli_text(c, name);

	if (text && !cli_parse_duration(text, ret_ns))
		return err_new(ERR_INVALID, "--%s: \"%s\" is not a duration such as 30s or 5m", name, text);
	return NULL;
}

struct err *cli_pair(struct cli *c, const char *text, char **ret_key, char **ret_value)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return err_new(ERR_INVALID, "\"%s\" is not NAME=VALUE", text);
	*ret_key = arena_strndup(&c->arena, text, (size_t)(equals - text));
	*ret_value = arena_strdup(&c->arena, equals + 1);
	return NULL;
}

static void print_options(const struct cli_option *list, const struct cli_option *hidden_by)
{
	for (; list && list->name; list++) {
		char left[64], letter[8] = "    ";

		if (hidden_by && find(hidden_by, list->name, strlen(list->name)))
			continue;
		if (list->letter)
			snprintf(letter, sizeof(letter), "-%c, ", list->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, list->name, list->value ? " " : "",
			 list->value ? list->value : "");
		printf("  %-34s %s\n", left, list->help);
	}
}

void cli_print_help(const struct cli_verb *v)
{
	printf("crisp %s: %s\n\nusage: crisp %s [OPTIONS] %s\n\noptions:\n", v->name, v->help, v->name, v->usage);
	print_options(v->options, NULL);
	print_options(common_options, v->options);
}
