#include "cri/config_runtime.h"

#include <ctype.h>
#include <string.h>

/* As Kubernetes has a RuntimeClass's handler: a DNS label (RFC 1123). */
static bool is_name(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-')
			return false;
	return true;
}

static struct config_runtime *find_or_add(struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_runtimes; i++)
		if (str_eq(c->runtimes[i].name, name))
			return &c->runtimes[i];
	c->runtimes = base_realloc(c->runtimes, c->n_runtimes + 1, sizeof(*c->runtimes));
	struct config_runtime *rt = &c->runtimes[c->n_runtimes++];

	*rt = (struct config_runtime){ .name = base_strdup(name), .path = base_strdup(""), .root = base_strdup("") };
	return rt;
}

static struct err *get_string(const char *name, struct toml *table, const char *key, char **to)
{
	struct toml *t = toml_get(table, key);

	if (!t)
		return NULL;
	if (t->type != TOML_STRING)
		return err_new(ERR_INVALID, "%s:%u: %s must be a string, not a value of type %s", name, t->line, key,
			       toml_type_name(t->type));
	if (t->string[0] != '/' || strlen(t->string) >= CONFIG_RUNTIME_PATH_MAX)
		return err_new(ERR_INVALID, "%s:%u: %s must be an absolute path below %d bytes", name, t->line, key,
			       CONFIG_RUNTIME_PATH_MAX);
	free(*to);
	*to = base_strdup(t->string);
	return NULL;
}

static struct err *read_one(struct config *c, const char *name, struct toml *t)
{
	if (t->type != TOML_TABLE)
		return err_new(ERR_INVALID, "%s:%u: runtime.%.64s must be a table", name, t->line, t->key);
	if (!is_name(t->key) || str_eq(t->key, "crisp"))
		return err_new(ERR_INVALID, "%s:%u: \"%.64s\" cannot be a runtime's name: lower-case letters, digits and -, "
					    "and not crisp, which is built in", name, t->line, t->key);
	if (c->n_runtimes == CONFIG_RUNTIMES_MAX)
		return err_new(ERR_EXHAUSTED, "%s:%u: more than %d runtimes", name, t->line, CONFIG_RUNTIMES_MAX);
	struct config_runtime *rt = find_or_add(c, t->key);
	struct toml *flag = toml_get(t, "privileged_without_host_devices");

	TRY(get_string(name, t, "path", &rt->path));
	TRY(get_string(name, t, "root", &rt->root));
	if (flag && flag->type != TOML_BOOL)
		return err_new(ERR_INVALID, "%s:%u: %s must be true or false", name, flag->line, flag->key);
	if (flag)
		rt->privileged_without_host_devices = flag->boolean;
	return NULL;
}

struct err *config_read_runtimes(struct config *c, const char *name, struct toml *root)
{
	struct toml *table = toml_get(root, "runtime");

	if (!table)
		return NULL;
	if (table->type != TOML_TABLE)
		return err_new(ERR_INVALID, "%s:%u: runtime must be tables: [runtime.NAME]", name, table->line);
	for (struct toml *t = table->first; t; t = t->next) {
		t->asked = true;
		TRY(read_one(c, name, t));
	}
	return NULL;
}

struct err *config_check_runtimes(const struct config *c)
{
	for (size_t i = 0; i < c->n_runtimes; i++)
		if (!*c->runtimes[i].path)
			return err_new(ERR_INVALID, "runtime.%s has no path", c->runtimes[i].name);
	return NULL;
}

void config_free_runtimes(struct config *c)
{
	for (size_t i = 0; i < c->n_runtimes; i++) {
		free(c->runtimes[i].name);
		free(c->runtimes[i].path);
		free(c->runtimes[i].root);
	}
	free(c->runtimes);
	c->runtimes = NULL;
	c->n_runtimes = 0;
}

bool config_same_runtimes(const struct config *a, const struct config *b)
{
	if (a->n_runtimes != b->n_runtimes)
		return false;
	for (size_t i = 0; i < a->n_runtimes; i++) {
		const struct config_runtime *x = &a->runtimes[i], *y = &b->runtimes[i];

		if (!str_eq(x->name, y->name) || !str_eq(x->path, y->path) || !str_eq(x->root, y->root) ||
		    x->privileged_without_host_devices != y->privileged_without_host_devices)
			return false;
	}
	return true;
}

void config_describe_runtimes(struct buf *b)
{
	buf_puts(b, "# Further OCI runtimes, by the name that a RuntimeClass has as its handler. Any that takes runc's command line.\n"
		    "# [runtime.runc]\n"
		    "# path = \"/usr/sbin/runc\"\n"
		    "# root = \"\"                                  # its --root; empty: STATE/runtime/NAME\n"
		    "# privileged_without_host_devices = false    # a privileged container gets no devices of the node\n\n");
}
