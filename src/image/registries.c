#include "image/registries.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

void registries_done(struct registries *r)
{
	for (size_t i = 0; i < r->n; i++)
		registry_entry_done(&r->entries[i]);
	free(r->entries);
	strv_done(&r->search);
	strv_done(&r->alias_names);
	strv_done(&r->alias_values);
	*r = (struct registries){ 0 };
}

/* ---- reading ---- */

static struct err *read_one(const char *path, struct registries *r)
{
	_buf_ struct buf text = BUF_INIT;
	struct err *e = file_read_virtual(AT_FDCWD, path, REGISTRIES_FILE_MAX, &text);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	return e ? e : registries_parse(path, buf_text(&text), text.len, r);
}

static int is_conf(const struct dirent *d)
{
	return d->d_name[0] != '.' && str_ends(d->d_name, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static struct err *read_dropins(const char *dir, struct registries *r)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, is_conf, by_name);
	struct err *e = n > REGISTRIES_DROPINS_MAX ? err_new(ERR_EXHAUSTED, "%s: more than %d files", dir, REGISTRIES_DROPINS_MAX)
						   : NULL;

	for (int i = 0; i < n; i++) {
		_free_ char *path = base_printf("%s/%s", dir, list[i]->d_name);

		if (!e)
			e = read_one(path, r);
		free(list[i]);
	}
	free(list);
	return e;
}

struct err *registries_load(const char *path, struct registries *ret)
{
	_registries_ struct registries r = { .mode = SHORT_NAMES_PERMISSIVE };

	if (!str_empty(path)) {
		_free_ char *dir = base_printf("%s.d", path);

		TRY(read_one(path, &r));
		TRY(read_dropins(dir, &r));
	}
	*ret = r;
	r = (struct registries){ 0 };
	return NULL;
}

/* ---- finding ---- */

static char *whole_reference(const struct reference *r)
{
	return *r->digest ? reference_digested(r, r->digest) : reference_tagged(r);
}

static bool ends_a_part(char c)
{
	return !c || strchr("/:@", c);
}

/* How many bytes of *ref* the prefix stands for; 0: it does not fit. */
static size_t match(const char *prefix, const char *ref)
{
	size_t n = strlen(prefix);

	if (!str_starts(prefix, "*."))
		return str_starts(ref, prefix) && ends_a_part(ref[n]) ? n : 0;
	size_t host = strcspn(ref, "/:@"), domain = n - 1;

	return host > domain && !strncmp(ref + host - domain, prefix + 1, domain) ? host : 0;
}

const struct registry_entry *registries_find(const struct registries *r, const struct reference *ref)
{
	_free_ char *whole = whole_reference(ref);
	const struct registry_entry *best = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct registry_entry *e = &r->entries[i];

		if (match(e->prefix, whole) && (!best || strlen(e->prefix) > strlen(best->prefix)))
			best = e;
	}
	return best;
}

/* ---- endpoints ---- */

static struct err *add_endpoint(struct hosts *h, const struct reference *r, const char *scheme, const char *host,
				const char *repository)
{
	struct host_endpoint *e = hosts_add(h, r);
	_free_ char *url = base_printf("%s://%s/v2", scheme, host);

	free(e->repository);
	e->repository = base_strdup(repository);
	return url_parse(url, &e->url);
}

struct location {
	const char *text;
	bool insecure, mirror;
	size_t matched;              /* bytes of the reference that it stands for */
};

/* The location in the place of what the prefix stood for; cut into host and repository. */
static struct err *rewrite(const struct location *l, const struct reference *r, char **ret_host, char **ret_repository)
{
	_free_ char *whole = whole_reference(r);
	_free_ char *to = *l->text ? base_printf("%s%s", l->text, whole + l->matched) : base_strdup(whole);
	char *slash = strchr(to, '/');

	if (!slash || !slash[1])
		return err_new(ERR_INVALID, "\"%s\" leaves no repository's name", to);
	*ret_host = base_strndup(to, (size_t)(slash - to));
	slash++;
	slash[strcspn(slash, ":@")] = '\0';
	*ret_repository = base_strdup(slash);
	return NULL;
}

/* With `insecure` certificates are not looked at, and plain http is tried after https. */
static struct err *add_location(const struct location *l, const char *certs_dir, const struct reference *r,
				struct hosts *h)
{
	_free_ char *host = NULL, *repository = NULL;
	size_t first = h->n;

	TRY(rewrite(l, r, &host, &repository));
	bool hub = str_eq(host, "docker.io") || str_eq(host, "index.docker.io");
	const char *wire = hub ? "registry-1.docker.io" : host;

	if (h->n + 2 > HOSTS_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d hosts", HOSTS_MAX);
	TRY(add_endpoint(h, r, "https", wire, repository));
	TRY(hosts_take_files(certs_dir, host, &h->items[first]));
	h->items[first].skip_verify = l->insecure;
	if (l->insecure)
		TRY(add_endpoint(h, r, "http", wire, repository));
	for (size_t i = first; i < h->n; i++) {
		h->items[i].mirror = l->mirror;
		h->items[i].server = !l->mirror && str_eq(host, r->host);
	}
	return NULL;
}

static bool mirror_serves(const struct registry_mirror *m, const struct reference *r)
{
	return m->pull == REGISTRY_PULL_ALL || (m->pull == REGISTRY_PULL_DIGEST) == (*r->digest != '\0');
}

struct err *registries_hosts(const struct registry_entry *e, const char *certs_dir, const struct reference *ref,
			     struct hosts *h)
{
	_free_ char *whole = whole_reference(ref);
	size_t matched = match(e->prefix, whole);

	for (size_t i = 0; i < e->n_mirrors; i++) {
		const struct registry_mirror *m = &e->mirrors[i];

		if (mirror_serves(m, ref))
			TRY_WRAP(add_location(&(struct location){ m->location, m->insecure, true, matched }, certs_dir, ref, h),
				 "%s: mirror %s", e->where, m->location);
	}
	return err_wrap(add_location(&(struct location){ e->location, e->insecure, false, matched }, certs_dir, ref, h), "%s",
			e->where);
}

/* ---- short names ---- */

/* "alias" in the place of the name; what names a tag or digest keeps it. */
static bool push_alias(const struct registries *r, const char *text, struct strv *ret)
{
	size_t n = strcspn(text, ":@");

	for (size_t i = 0; i < r->alias_names.len; i++) {
		if (strlen(r->alias_names.items[i]) != n || strncmp(r->alias_names.items[i], text, n) ||
		    !*r->alias_values.items[i])
			continue;
		strv_push_take(ret, base_printf("%s%s", r->alias_values.items[i], text + n));
		return true;
	}
	return false;
}

void registries_candidates(const struct registries *r, const char *text, struct strv *ret, bool *ret_unsure)
{
	*ret_unsure = false;
	if (!reference_is_short(text) || (!r->search.len && !r->alias_names.len)) {
		strv_push(ret, text); /* docker.io's, as everybody means it */
		return;
	}
	if (push_alias(r, text, ret))
		return;
	for (size_t i = 0; i < r->search.len; i++)
		strv_push_take(ret, base_printf("%s/%s", r->search.items[i], text));
	if (!r->search.len)
		strv_push(ret, text);
	*ret_unsure = r->mode == SHORT_NAMES_ENFORCING && ret->len > 1;
}
