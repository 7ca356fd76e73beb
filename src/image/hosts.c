#include "image/hosts.h"

#include "base/file.h"
#include "image/registries.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void host_endpoint_done(struct host_endpoint *e)
{
	url_done(&e->url);
	free(e->repository);
	free(e->namespace);
	strv_done(&e->ca);
	strv_done(&e->headers);
	free(e->cert);
	if (e->key)
		explicit_bzero(e->key, strlen(e->key));
	free(e->key);
}

void hosts_done(struct hosts *h)
{
	for (size_t i = 0; i < h->n; i++)
		host_endpoint_done(&h->items[i]);
	free(h->items);
	*h = (struct hosts){ 0 };
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* containerd's order: host_port_, host:port. NULL: neither. The grammar of a host makes it fit for a path. */
static char *find_dir(const char *certs_dir, const char *host)
{
	const char *colon = strrchr(host, ':');
	_free_ char *underscored = NULL;

	if (colon && !str_ends(host, "]"))
		underscored = base_printf("%.*s_%s_", (int)(colon - host), host, colon + 1);
	const char *const names[] = { underscored, host };

	for (size_t i = 0; !str_empty(certs_dir) && i < ARRAY_LEN(names); i++) {
		_free_ char *path = names[i] ? base_printf("%s/%s", certs_dir, names[i]) : NULL;

		if (path && is_dir(path))
			return TAKE(path);
	}
	return NULL;
}

/* ---- docker's way: *.crt are authorities, NAME.cert and NAME.key a client ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static struct err *take_file(const char *dir, const char *name, struct host_endpoint *e)
{
	char *pem = NULL;

	if (str_ends(name, ".crt")) {
		TRY(hosts_read_pem(dir, name, &pem));
		strv_push_take(&e->ca, pem);
		return NULL;
	}
	if (!str_ends(name, ".cert") || e->cert)
		return NULL;
	_free_ char *key = base_printf("%.*s.key", (int)(strlen(name) - strlen(".cert")), name);

	TRY(hosts_read_pem(dir, name, &e->cert));
	return err_wrap(hosts_read_pem(dir, key, &e->key), "the key of %s", name);
}

static struct err *take_files(const char *dir, struct host_endpoint *e)
{
	struct dirent **list = NULL;
	struct err *err = NULL;
	int n = scandir(dir, &list, NULL, by_name);

	if (n < 0)
		return err_errno(errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		if (!err)
			err = take_file(dir, list[i]->d_name, e);
		free(list[i]);
	}
	free(list);
	return err;
}

struct err *hosts_take_files(const char *certs_dir, const char *host, struct host_endpoint *e)
{
	_free_ char *dir = str_empty(certs_dir) ? NULL : base_printf("%s/%s", certs_dir, host);

	return dir && is_dir(dir) ? take_files(dir, e) : NULL;
}

/* ---- the registry itself ---- */

/* containerd's rule: loopback is spoken to without TLS, unless something says there is some. */
static struct err *default_server(const struct reference *r, struct host_endpoint *e)
{
	_free_ char *text = base_printf("https://%s/v2", reference_endpoint_host(r));

	TRY(url_parse(text, &e->url));
	if (!url_host_is_local(e->url.host) || e->ca.len || e->cert || e->skip_verify)
		return NULL;
	_free_ char *plain = base_printf("http://%s/v2", r->host);

	url_done(&e->url);
	return url_parse(plain, &e->url);
}

/* Mirrors are told whose images they are asked for (containerd: isProxy). */
static struct err *set_namespace(const struct reference *r, struct host_endpoint *e)
{
	_free_ char *text = base_printf("http%s://%s/", e->url.tls ? "s" : "", reference_endpoint_host(r));
	_url_ struct url own = { 0 };

	TRY(url_parse(text, &own));
	if (!url_same_origin(&own, &e->url))
		e->namespace = base_strdup(r->host);
	return NULL;
}

static struct err *load_dir(const char *dir, const struct reference *r, struct hosts *h)
{
	_free_ char *path = base_printf("%s/hosts.toml", dir);
	_buf_ struct buf text = BUF_INIT;
	struct err *e = file_read_virtual(AT_FDCWD, path, HOSTS_FILE_MAX, &text);

	if (!e)
		return hosts_parse(dir, buf_text(&text), text.len, r, h);
	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	struct host_endpoint *server = hosts_add(h, r);

	server->server = true;
	return take_files(dir, server);
}

/* A [host] of the server's own address, where the server has no settings of its own, is the server: it is asked once, and
 * what it says is what counts. */
static void merge_server(struct hosts *h)
{
	struct host_endpoint *server = &h->items[h->n - 1];

	if (server->ca.len || server->cert || server->headers.len || server->skip_verify)
		return;
	for (size_t i = 0; i + 1 < h->n; i++) {
		struct host_endpoint *e = &h->items[i];

		if (!url_same_origin(&e->url, &server->url) || strcmp(e->url.target, server->url.target) ||
		    strcmp(e->repository, server->repository) || !e->pull || !e->resolve)
			continue;
		e->server = true;
		host_endpoint_done(server);
		h->n--;
		return;
	}
}

/* With what certs.d says of it, or nothing. */
static struct err *load_certs(const struct hosts_paths *p, const char *dir, const struct reference *r, struct hosts *h)
{
	if (dir) {
		TRY(load_dir(dir, r, h));
	} else {
		hosts_add(h, r)->server = true;
		TRY(hosts_take_files(p->registries_certs_dir, r->host, &h->items[0]));
	}
	if (!h->items[h->n - 1].url.host)
		TRY(default_server(r, &h->items[h->n - 1]));
	merge_server(h);
	for (size_t i = 0; i < h->n; i++)
		TRY(set_namespace(r, &h->items[i]));
	return NULL;
}

static struct err *load(const struct hosts_paths *p, const struct reference *r, struct hosts *h)
{
	_registries_ struct registries conf = { 0 };
	_free_ char *dir = find_dir(p->certs_dir, r->host);

	TRY(registries_load(p->registries, &conf));
	const struct registry_entry *e = registries_find(&conf, r);

	if (e && e->blocked)
		return err_new(ERR_PRECONDITION, "it is blocked by %s", e->where);
	if (e && !dir)
		return registries_hosts(e, p->registries_certs_dir, r, h);
	if (!dir)
		dir = find_dir(p->certs_dir, "_default");
	return load_certs(p, dir, r, h);
}

struct err *hosts_load(const struct hosts_paths *p, const struct reference *r, struct hosts *ret)
{
	_hosts_ struct hosts h = { 0 };

	TRY_WRAP(load(p, r, &h), "registry %s", r->host);
	*ret = h;
	h = (struct hosts){ 0 };
	return NULL;
}
