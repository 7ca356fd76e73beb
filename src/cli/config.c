/* crisp config: the client's own settings, those of crictl. */
#include "cli/output.h"
#include "cli/settings.h"

#include "base/str.h"

#include <string.h>

static struct err *get(const struct settings *s, const char *name)
{
	for (const struct setting *k = settings_table; k->name; k++)
		if (!strcmp(k->name, name)) {
			_free_ char *value = settings_get(s, k);

			return output_printf("%s\n", value);
		}
	return err_new(ERR_INVALID, "there is no setting \"%s\"", name);
}

static struct err *list(const struct settings *s)
{
	static const char *const titles[] = { "KEY", "VALUE", NULL };
	_table_ struct table t;

	table_init(&t, titles);
	for (const struct setting *k = settings_table; k->name; k++) {
		_free_ char *value = settings_get(s, k);

		table_cell(&t, k->name);
		table_cell(&t, value);
	}
	return output_table(&t);
}

/* "name=value,name=value" */
static struct err *set_pairs(struct cli *c, struct settings *s, const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ",");
		char *key, *value;

		TRY(cli_pair(c, arena_strndup(&c->arena, p, n), &key, &value));
		TRY(settings_set(&c->arena, s, key, value));
		p += n + (p[n] == ',');
	}
	return NULL;
}

struct err *cli_config(struct cli *c)
{
	/* What the file says, not what options and environment make of it. */
	struct settings s = { .file = c->settings.file };
	const char *name = cli_text(c, "get"), *pairs;

	TRY(settings_read(&c->arena, &s));
	if (name)
		return get(&s, name);
	if (cli_flag(c, "list"))
		return list(&s);
	for (size_t i = 0; (pairs = cli_text_n(c, "set", i)); i++)
		TRY(set_pairs(c, &s, pairs));
	if (c->n_args == 2)
		TRY(settings_set(&c->arena, &s, c->args[0], c->args[1]));
	else if (!cli_text(c, "set"))
		return err_new(ERR_INVALID, "nothing to do: --get NAME, --set NAME=VALUE, --list, or NAME VALUE");
	return settings_write(&s);
}
