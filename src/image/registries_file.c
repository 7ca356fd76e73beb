#include "image/registries.h"

#include "base/log.h"
#include "base/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where a value stands, for errors. */
struct place {
	const char *file;
	struct registries *r;
};

static _printf_(3, 4) struct err *wrong(const struct place *at, const struct toml *v, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_new(ERR_INVALID, "%s:%u: %s%s%s", at->file, v->line, v->key, *v->key ? ": " : "", text);
}

static struct err *want(const struct place *at, const struct toml *v, enum toml_type type)
{
	if (v->type == type)
		return NULL;
	return wrong(at, v, "is a %s, must be a %s", toml_type_name(v->type), toml_type_name(type));
}

static struct err *get_bool(const struct place *at, struct toml *t, const char *key, bool *ret)
{
	struct toml *v = toml_get(t, key);

	if (!v)
		return NULL;
	TRY(want(at, v, TOML_BOOL));
	*ret = v->boolean;
	return NULL;
}

/* NULL when absent. */
static struct err *get_string(const struct place *at, struct toml *t, const char *key, struct toml **ret)
{
	*ret = toml_get(t, key);
	return *ret ? want(at, *ret, TOML_STRING) : NULL;
}

/* Host and path, without a scheme: what may stand in a reference, and nothing that could leave it. */
static struct err *check_location(const struct place *at, const struct toml *v, const char *s)
{
	if (strstr(s, "://"))
		return wrong(at, v, "\"%s\": a scheme does not belong here (insecure = true allows http)", s);
	if (*s == '/' || *s == ':' || strstr(s, "..") || strstr(s, "//"))
		return wrong(at, v, "\"%s\" does not begin with a host or has an empty part", s);
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("?#%\\\"'<>*", *p))
			return wrong(at, v, "\"%s\" is not HOST[:PORT][/PATH]", s);
	return NULL;
}

static struct err *take_location(const struct place *at, const struct toml *v, char **ret)
{
	_free_ char *s = base_strdup(v ? v->string : "");
	size_t n = strlen(s);

	while (n && s[n - 1] == '/')
		s[--n] = '\0';
	if (n)
		TRY(check_location(at, v, s));
	*ret = TAKE(s);
	return NULL;
}

static struct err *take_prefix(const struct place *at, const struct toml *v, char **ret)
{
	if (!v || !str_starts(v->string, "*."))
		return take_location(at, v, ret);
	TRY(check_location(at, v, v->string + 2));
	if (strchr(v->string, '/') || !v->string[2])
		return wrong(at, v, "\"%s\": after \"*.\" only a domain may stand", v->string);
	*ret = base_strdup(v->string);
	return NULL;
}

static struct err *take_pull(const struct place *at, struct toml *t, bool digest_only, enum registry_pull *ret)
{
	struct toml *v;

	*ret = digest_only ? REGISTRY_PULL_DIGEST : REGISTRY_PULL_ALL;
	TRY(get_string(at, t, "pull-from-mirror", &v));
	if (!v || !*v->string)
		return NULL;
	if (digest_only)
		return wrong(at, v, "cannot be combined with mirror-by-digest-only");
	if (str_eq(v->string, "digest-only"))
		*ret = REGISTRY_PULL_DIGEST;
	else if (str_eq(v->string, "tag-only"))
		*ret = REGISTRY_PULL_TAG;
	else if (!str_eq(v->string, "all"))
		return wrong(at, v, "\"%s\" is not all, digest-only or tag-only", v->string);
	return NULL;
}

static struct err *take_mirror(const struct place *at, struct toml *t, bool digest_only, struct registry_mirror *m)
{
	struct toml *location;

	TRY(want(at, t, TOML_TABLE));
	TRY(get_string(at, t, "location", &location));
	TRY(take_location(at, location, &m->location));
	if (!*m->location)
		return wrong(at, t, "a mirror without a location");
	TRY(get_bool(at, t, "insecure", &m->insecure));
	return take_pull(at, t, digest_only, &m->pull);
}

static struct err *take_mirrors(const struct place *at, struct toml *t, bool digest_only, struct registry_entry *e)
{
	struct toml *list = toml_get(t, "mirror");

	if (!list)
		return NULL;
	TRY(want(at, list, TOML_ARRAY));
	for (struct toml *m = list->first; m; m = m->next) {
		if (e->n_mirrors == REGISTRIES_MIRRORS_MAX)
			return wrong(at, m, "more than %d mirrors", REGISTRIES_MIRRORS_MAX);
		m->asked = true;
		e->mirrors = base_realloc(e->mirrors, e->n_mirrors + 1, sizeof(*e->mirrors));
		e->mirrors[e->n_mirrors] = (struct registry_mirror){ 0 };
		TRY(take_mirror(at, m, digest_only, &e->mirrors[e->n_mirrors++]));
	}
	return NULL;
}

static struct err *take_entry(const struct place *at, struct toml *t, struct registry_entry *e)
{
	struct toml *prefix, *location;
	bool digest_only = false;

	TRY(want(at, t, TOML_TABLE));
	e->where = base_printf("%s:%u", at->file, t->line);
	TRY(get_string(at, t, "prefix", &prefix));
	TRY(get_string(at, t, "location", &location));
	TRY(take_location(at, location, &e->location));
	TRY(take_prefix(at, prefix, &e->prefix));
	if (!*e->prefix) {
		free(e->prefix);
		e->prefix = base_strdup(e->location);
	}
	if (!*e->prefix)
		return wrong(at, t, "neither prefix nor location is set");
	if (!*e->location && *e->prefix != '*')
		return wrong(at, t, "location must be set, unless prefix begins with \"*.\"");
	TRY(get_bool(at, t, "insecure", &e->insecure));
	TRY(get_bool(at, t, "blocked", &e->blocked));
	TRY(get_bool(at, t, "mirror-by-digest-only", &digest_only));
	return take_mirrors(at, t, digest_only, e);
}

void registry_entry_done(struct registry_entry *e)
{
	for (size_t i = 0; i < e->n_mirrors; i++)
		free(e->mirrors[i].location);
	free(e->mirrors);
	free(e->prefix);
	free(e->location);
	free(e->where);
	*e = (struct registry_entry){ 0 };
}

/* In the place of an earlier one of the same prefix. */
static struct err *put_entry(const struct place *at, const struct toml *t, const struct registry_entry *e)
{
	struct registries *r = at->r;

	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->entries[i].prefix, e->prefix)) {
			registry_entry_done(&r->entries[i]);
			r->entries[i] = *e;
			return NULL;
		}
	if (r->n == REGISTRIES_MAX)
		return wrong(at, t, "more than %d registries", REGISTRIES_MAX);
	r->entries = base_realloc(r->entries, r->n + 1, sizeof(*r->entries));
	r->entries[r->n++] = *e;
	return NULL;
}

static struct err *take_entries(const struct place *at, struct toml *root)
{
	struct toml *list = toml_get(root, "registry");

	if (!list)
		return NULL;
	TRY(want(at, list, TOML_ARRAY));
	for (struct toml *t = list->first; t; t = t->next) {
		struct registry_entry e = { 0 };

		t->asked = true;
		struct err *err = take_entry(at, t, &e);

		if (!err)
			err = put_entry(at, t, &e);
		if (err) {
			registry_entry_done(&e);
			return err;
		}
	}
	return NULL;
}

static struct err *take_search(const struct place *at, struct toml *root)
{
	struct toml *list = toml_get(root, "unqualified-search-registries");
	size_t n = 0;

	if (!list)
		return NULL;
	TRY(want(at, list, TOML_ARRAY));
	strv_done(&at->r->search);
	for (struct toml *m = list->first; m; m = m->next) {
		m->asked = true;
		TRY(want(at, m, TOML_STRING));
		TRY(check_location(at, m, m->string));
		if (!*m->string || n++ == REGISTRIES_SEARCH_MAX)
			return wrong(at, m, "empty, or more than %d of them", REGISTRIES_SEARCH_MAX);
		strv_push(&at->r->search, m->string);
	}
	return NULL;
}

static struct err *take_mode(const struct place *at, struct toml *root)
{
	static const char *const names[] = { "enforcing", "permissive", "disabled" };
	struct toml *v;

	TRY(get_string(at, root, "short-name-mode", &v));
	if (!v || !*v->string)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(v->string, names[i])) {
			at->r->mode = (enum short_names)i;
			return NULL;
		}
	return wrong(at, v, "\"%s\" is not enforcing, permissive or disabled", v->string);
}

/* An empty value takes an alias of an earlier file back. */
static struct err *take_aliases(const struct place *at, struct toml *root)
{
	struct toml *table = toml_get(root, "aliases");
	struct registries *r = at->r;

	if (!table)
		return NULL;
	TRY(want(at, table, TOML_TABLE));
	for (struct toml *v = table->first; v; v = v->next) {
		size_t i = 0;

		v->asked = true;
		TRY(want(at, v, TOML_STRING));
		if (*v->string)
			TRY(check_location(at, v, v->string));
		while (i < r->alias_names.len && strcmp(r->alias_names.items[i], v->key))
			i++;
		if (i < r->alias_names.len) {
			free(r->alias_values.items[i]);
			r->alias_values.items[i] = base_strdup(v->string);
			continue;
		}
		strv_push(&r->alias_names, v->key);
		strv_push(&r->alias_values, v->string);
	}
	return NULL;
}

static struct err *take_root(const struct place *at, struct toml *root)
{
	struct toml *old = toml_get(root, "registries");

	if (old)
		return wrong(at, old, "this is version 1 of the format; crisp reads version 2 ([[registry]])");
	TRY(take_search(at, root));
	TRY(take_mode(at, root));
	TRY(take_aliases(at, root));
	TRY(take_entries(at, root));
	/* The kubelet brings credentials; layer stores are podman's. */
	toml_get(root, "credential-helpers");
	toml_get(root, "additional-layer-store-auth-helper");
	const struct toml *unknown = toml_unasked(root);

	if (unknown)
		log_warn("%s:%u: \"%s\" is ignored", at->file, unknown->line, unknown->key);
	return NULL;
}

struct err *registries_parse(const char *file, const char *text, size_t len, struct registries *r)
{
	struct place at = { file, r };
	_arena_ struct arena a;
	struct toml *root;

	arena_init(&a);
	TRY(toml_parse(&a, file, text, len, &root));
	return take_root(&at, root);
}
