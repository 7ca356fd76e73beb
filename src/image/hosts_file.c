#include "image/hosts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/toml.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Where a value stands, for errors. */
struct place {
	const char *file;
	const char *dir;
	const struct reference *r;
};

static _printf_(3, 4) struct err *wrong(const struct place *at, const struct toml *v, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_new(ERR_INVALID, "%s:%u: %s: %s", at->file, v->line, v->key, text);
}

static struct err *want_type(const struct place *at, const struct toml *v, enum toml_type type)
{
	if (v->type == type)
		return NULL;
	return wrong(at, v, "is a %s, must be a %s", toml_type_name(v->type), toml_type_name(type));
}

struct err *hosts_read_pem(const char *dir, const char *name, char **ret)
{
	_free_ char *path = *name == '/' ? base_strdup(name) : base_printf("%s/%s", dir, name);
	_buf_ struct buf b = BUF_INIT;

	TRY(file_read_virtual(AT_FDCWD, path, HOSTS_CERT_MAX, &b));
	if (!b.len || memchr(b.data, '\0', b.len))
		return err_new(ERR_INVALID, "%s is not a PEM text", path);
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.data[i] >= 0x80)
			b.data[i] = '?';
	*ret = buf_take(&b);
	return NULL;
}

struct host_endpoint *hosts_add(struct hosts *h, const struct reference *r)
{
	h->items = base_realloc(h->items, h->n + 1, sizeof(*h->items));
	struct host_endpoint *e = &h->items[h->n++];

	*e = (struct host_endpoint){ .repository = base_strdup(r->repository), .pull = true, .resolve = true };
	return e;
}

/* ---- one key each ---- */

static struct err *set_capabilities(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	TRY(want_type(at, v, TOML_ARRAY));
	if (!v->first) /* containerd takes an empty list for none given */
		return NULL;
	e->pull = e->resolve = false;
	for (struct toml *m = v->first; m; m = m->next) {
		const char *s = m->type == TOML_STRING ? m->string : "";

		m->asked = true;
		if (!strcasecmp(s, "pull"))
			e->pull = true;
		else if (!strcasecmp(s, "resolve"))
			e->resolve = true;
		else if (strcasecmp(s, "push") != 0 && strcasecmp(s, "referrers") != 0)
			return wrong(at, v, "unknown capability \"%s\"", s);
	}
	return NULL;
}

static struct err *add_ca(const struct place *at, const struct toml *key, const struct toml *v, struct host_endpoint *e)
{
	char *pem;

	if (v->type != TOML_STRING)
		return wrong(at, key, "must be a path or a list of paths");
	TRY_WRAP(hosts_read_pem(at->dir, v->string, &pem), "%s:%u: ca", at->file, key->line);
	strv_push_take(&e->ca, pem);
	return NULL;
}

static struct err *set_ca(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	if (v->type != TOML_ARRAY)
		return add_ca(at, v, v, e);
	for (struct toml *m = v->first; m; m = m->next) {
		m->asked = true;
		TRY(add_ca(at, v, m, e));
	}
	return NULL;
}

static struct err *use_client(const struct place *at, const struct toml *key, const char *cert, const char *key_path,
			      struct host_endpoint *e)
{
	if (e->cert) {
		log_warn("%s:%u: only the first client certificate is used", at->file, key->line);
		return NULL;
	}
	TRY_WRAP(hosts_read_pem(at->dir, cert, &e->cert), "%s:%u: client", at->file, key->line);
	/* One file may hold both. */
	TRY_WRAP(hosts_read_pem(at->dir, str_empty(key_path) ? cert : key_path, &e->key), "%s:%u: client", at->file,
		 key->line);
	return NULL;
}

/* "file", ["file", …] or [["cert", "key"], …] */
static struct err *set_client(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	if (v->type == TOML_STRING)
		return use_client(at, v, v->string, NULL, e);
	TRY(want_type(at, v, TOML_ARRAY));
	for (struct toml *m = v->first; m; m = m->next) {
		struct toml *cert = m->type == TOML_ARRAY ? m->first : m, *key = m->type == TOML_ARRAY && cert ? cert->next : NULL;

		m->asked = true;
		if (!cert || cert->type != TOML_STRING || (key && (key->type != TOML_STRING || key->next)))
			return wrong(at, v, "must be a path, or pairs of a certificate's and a key's path");
		cert->asked = true;
		if (key)
			key->asked = true;
		TRY(use_client(at, v, cert->string, key ? key->string : NULL, e));
	}
	return NULL;
}

static struct err *set_skip_verify(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	TRY(want_type(at, v, TOML_BOOL));
	e->skip_verify = v->boolean;
	return NULL;
}

static struct err *add_header(const struct place *at, const struct toml *name, const struct toml *v, struct host_endpoint *e)
{
	if (v->type != TOML_STRING)
		return wrong(at, name, "a header's value must be a string or a list of strings");
	if (!*name->key || name->key[strcspn(name->key, " \t\r\n:")] || strpbrk(v->string, "\r\n"))
		return wrong(at, name, "not fit for a header");
	strv_push_take(&e->headers, base_printf("%s: %s", name->key, v->string));
	return NULL;
}

static struct err *set_header(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	TRY(want_type(at, v, TOML_TABLE));
	for (struct toml *name = v->first; name; name = name->next) {
		name->asked = true;
		if (name->type != TOML_ARRAY) {
			TRY(add_header(at, name, name, e));
			continue;
		}
		for (struct toml *m = name->first; m; m = m->next) {
			m->asked = true;
			TRY(add_header(at, name, m, e));
		}
	}
	return NULL;
}

/* Go's durations: "30s", "1m30s", "500ms". */
static bool parse_duration(const char *s, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = { { "ms", NS_PER_MS }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S } };
	int64_t total = 0;

	while (*s) {
		size_t digits = strspn(s, "0123456789"), i = 0;
		_free_ char *number = base_strndup(s, digits);
		uint64_t n;

		s += digits;
		while (i < ARRAY_LEN(units) && !str_starts(s, units[i].name))
			i++;
		if (i == ARRAY_LEN(units) || !str_to_u64(number, 86400000, &n))
			return false;
		total += (int64_t)n * units[i].ns;
		s += strlen(units[i].name);
		if (total > 86400 * NS_PER_S)
			return false;
	}
	*ret_ns = total;
	return total > 0;
}

static struct err *set_dial_timeout(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	TRY(want_type(at, v, TOML_STRING));
	if (!parse_duration(v->string, &e->dial_timeout_ns))
		return wrong(at, v, "\"%s\" is not a duration such as \"30s\"", v->string);
	return NULL;
}

static struct err *set_rewrite(const struct place *at, struct toml *v, struct host_endpoint *e)
{
	bool done = false;

	TRY(want_type(at, v, TOML_TABLE));
	for (struct toml *m = v->first; m; m = m->next) {
		char *to = NULL;

		m->asked = true;
		if (m->type != TOML_STRING)
			return wrong(at, m, "must be a string");
		if (done)
			continue;
		TRY_WRAP(hosts_rewrite(m->key, m->string, e->repository, &to), "%s:%u", at->file, m->line);
		if (!to)
			continue;
		free(e->repository);
		e->repository = to;
		done = true;
	}
	return NULL;
}

static const struct {
	const char *name;
	struct err *(*set)(const struct place *at, struct toml *v, struct host_endpoint *e);
} keys[] = {
	{ "capabilities", set_capabilities }, { "ca", set_ca },
	{ "client", set_client },	      { "skip_verify", set_skip_verify },
	{ "header", set_header },	      { "dial_timeout", set_dial_timeout },
	{ "rewrite", set_rewrite },
};

/* ---- the file ---- */

/* containerd: a path that does not end in /v2 gets it, unless override_path says to leave it. */
static struct err *set_url(const char *text, bool override_path, struct host_endpoint *e)
{
	_free_ char *whole = str_starts(text, "http") ? base_strdup(text) : base_printf("https://%s", text);

	TRY(url_parse(whole, &e->url));
	char *path = e->url.target;
	size_t n = strlen(path);

	if (e->url.user)
		return err_new(ERR_INVALID, "credentials belong into the auth file, not into a URL");
	if (strchr(path, '?'))
		return err_new(ERR_INVALID, "a query makes no sense here");
	while (n && path[n - 1] == '/')
		path[--n] = '\0';
	if (!override_path && !str_ends(path, "/v2")) {
		e->url.target = base_printf("%s/v2", path);
		free(path);
	}
	return NULL;
}

static struct err *parse_endpoint(const struct place *at, struct toml *t, const char *url, struct host_endpoint *e)
{
	struct toml *override_path = toml_get(t, "override_path");

	if (override_path)
		TRY(want_type(at, override_path, TOML_BOOL));
	if (url)
		TRY_WRAP(set_url(url, override_path && override_path->boolean, e), "%s:%u", at->file, t->line);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct toml *v = toml_get(t, keys[i].name);

		if (v)
			TRY(keys[i].set(at, v, e));
	}
	return NULL;
}

static struct err *parse_mirrors(const struct place *at, struct toml *root, struct hosts *h)
{
	struct toml *hosts = toml_get(root, "host");

	if (!hosts)
		return NULL;
	TRY(want_type(at, hosts, TOML_TABLE));
	for (struct toml *t = hosts->first; t; t = t->next) {
		t->asked = true;
		TRY(want_type(at, t, TOML_TABLE));
		if (h->n >= HOSTS_MAX)
			return err_new(ERR_EXHAUSTED, "%s: more than %d hosts", at->file, HOSTS_MAX);
		TRY(parse_endpoint(at, t, t->key, hosts_add(h, at->r)));
	}
	return NULL;
}

static struct err *parse_root(const struct place *at, struct toml *root, struct hosts *h)
{
	struct toml *server = toml_get(root, "server");

	TRY(parse_mirrors(at, root, h));
	if (server)
		TRY(want_type(at, server, TOML_STRING));
	struct host_endpoint *e = hosts_add(h, at->r);

	e->server = true;
	TRY(parse_endpoint(at, root, server && *server->string ? server->string : NULL, e));
	const struct toml *unknown = toml_unasked(root);

	if (unknown)
		log_warn("%s:%u: unknown key \"%s\" is ignored", at->file, unknown->line, unknown->key);
	return NULL;
}

struct err *hosts_parse(const char *dir, const char *text, size_t len, const struct reference *r, struct hosts *ret)
{
	_free_ char *file = base_printf("%s/hosts.toml", dir);
	struct place at = { file, dir, r };
	_arena_ struct arena a;
	struct toml *root;

	arena_init(&a);
	TRY(toml_parse(&a, file, text, len, &root));
	return parse_root(&at, root, ret);
}
