#include "image/fetch_settings.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Where distributions keep the bundle; the first that is there (as Go's crypto/x509 looks for it). */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

/* NULL without any: then only what certs.d names is trusted. */
static char *system_ca(void)
{
	const char *own = getenv("SSL_CERT_FILE");
	char *pem;

	for (size_t i = 0; i < ARRAY_LEN(bundles) + 1; i++) {
		const char *path = i ? bundles[i - 1] : own;
		struct err *e = str_empty(path) ? NULL : hosts_read_pem("/", path, &pem);

		if (str_empty(path))
			continue;
		if (!e)
			return pem;
		if (!err_is(e, ERR_NOT_FOUND))
			log_warn("CA certificates: %s", err_text(e));
		err_free(e);
	}
	return NULL;
}

static char *variable(const char *upper, const char *lower)
{
	const char *s = getenv(upper);

	if (str_empty(s))
		s = getenv(lower);
	return str_empty(s) ? NULL : base_strdup(s);
}

static struct err *add_from_kubelet(const struct fetch_auth *a, struct registry_endpoint *e)
{
	_credential_ struct credential c = { 0 };

	TRY_WRAP(credential_make(a->username, a->password, a->auth, a->identity_token, a->registry_token, &c),
		 "credentials from the kubelet");
	if (!credential_empty(&c))
		registry_endpoint_add_credential(e, &c);
	return NULL;
}

struct auth_file {
	const char *path;
	char *text;         /* NULL: there is none */
	size_t len;
};

static void auth_file_forget(struct auth_file *f)
{
	auth_forget(f->text);
}

/* One that cannot be read or understood is said, but keeps no public image away. */
static void auth_file_read(const char *path, struct auth_file *ret)
{
	struct buf b = BUF_INIT;

	*ret = (struct auth_file){ .path = path };
	if (str_empty(path))
		return;
	struct err *e = file_read_virtual(AT_FDCWD, path, AUTH_FILE_MAX, &b);

	if (e && !err_is(e, ERR_NOT_FOUND))
		log_warn("auth file: %s", err_text(e));
	if (!e && b.len) {
		ret->len = b.len;
		ret->text = buf_take(&b);
	}
	err_free(e);
	buf_done(&b);
}

/* What the file has for the host that this endpoint is. */
static void add_from_file(const struct auth_file *f, const struct reference *r, struct registry_endpoint *e)
{
	_credential_ struct credential c = { 0 };
	_free_ char *authority = url_authority(&e->at.url);
	const char *host = e->at.server ? r->host : authority;
	bool found = false;

	if (!f->text)
		return;
	struct err *err = auth_file_find(f->text, f->len, host, e->at.repository, &found, &c);

	if (err)
		log_warn("auth file %s: %s", f->path, err_text(err));
	if (found)
		registry_endpoint_add_credential(e, &c);
	err_free(err);
}

static struct err *add_credentials(const struct reference *r, const struct fetch_options *o, struct registry_config *c)
{
	_cleanup_(auth_file_forget) struct auth_file file;

	auth_file_read(o->auth_file, &file);
	for (size_t i = 0; i < c->n_endpoints; i++) {
		struct registry_endpoint *e = &c->endpoints[i];

		/* The kubelet's are for the image's own registry, not for a mirror of it. Where they are for it nothing
		 * else is tried: a wrong pull secret must not succeed by the node's own account. */
		if (o->auth && !e->at.mirror && (e->at.server || !e->at.namespace))
			TRY(add_from_kubelet(o->auth, e));
		else
			add_from_file(&file, r, e);
	}
	return NULL;
}

struct err *fetch_settings_gather(const struct reference *r, const struct fetch_options *o, struct registry_config *ret)
{
	_registry_config_ struct registry_config c = { 0 };
	_hosts_ struct hosts hosts = { 0 };

	TRY(hosts_load(&o->hosts, r, &hosts));
	c.host = base_strdup(r->host);
	c.endpoints = base_calloc(hosts.n, sizeof(*c.endpoints));
	c.n_endpoints = hosts.n;
	for (size_t i = 0; i < hosts.n; i++)
		c.endpoints[i].at = hosts.items[i];
	hosts.n = 0; /* the members have moved */
	TRY(add_credentials(r, o, &c));
	c.system_ca = system_ca();
	c.http_proxy = variable("HTTP_PROXY", "http_proxy");
	c.https_proxy = variable("HTTPS_PROXY", "https_proxy");
	c.no_proxy = variable("NO_PROXY", "no_proxy");
	*ret = c;
	c = (struct registry_config){ 0 };
	return NULL;
}

struct err *fetch_settings_make(const struct reference *r, const struct fetch_options *o, int *ret_fd)
{
	_registry_config_ struct registry_config c = { 0 };
	_secret_ char *text = NULL;

	TRY(fetch_settings_gather(r, o, &c));
	TRY(registry_config_encode(&c, &text));
	if (strlen(text) > REGISTRY_CONFIG_MAX)
		return err_new(ERR_EXHAUSTED, "settings larger than %u bytes", REGISTRY_CONFIG_MAX);
	return file_in_memory("fetch", text, strlen(text), ret_fd);
}
