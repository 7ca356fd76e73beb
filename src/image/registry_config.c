#include "image/registry_config.h"

#include "image/json.h"
#include "wire/http1_socket.h"

#include <string.h>

static void wipe(char **s)
{
	auth_forget(*s);
	*s = NULL;
}

void registry_config_done(struct registry_config *c)
{
	for (size_t i = 0; i < c->n_endpoints; i++) {
		struct registry_endpoint *e = &c->endpoints[i];
		/* hosts_done() frees an array: this one has one member, on the heap as it wants. */
		struct hosts one = { .items = base_alloc(sizeof(e->at)), .n = 1 };

		one.items[0] = e->at;
		hosts_done(&one);
		for (size_t k = 0; k < e->n_credentials; k++)
			credential_done(&e->credentials[k]);
		free(e->credentials);
	}
	free(c->endpoints);
	free(c->host);
	free(c->system_ca);
	wipe(&c->http_proxy);
	wipe(&c->https_proxy);
	free(c->no_proxy);
	*c = (struct registry_config){ 0 };
}

void registry_endpoint_add_credential(struct registry_endpoint *e, const struct credential *c)
{
	for (size_t i = 0; i < e->n_credentials; i++)
		if (credential_same(&e->credentials[i], c))
			return;
	e->credentials = base_realloc(e->credentials, e->n_credentials + 1, sizeof(*e->credentials));
	e->credentials[e->n_credentials++] = credential_copy(c);
}

/* ---- writing ---- */

static void put(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *s)
{
	if (s)
		yyjson_mut_obj_add_str(d, obj, key, s);
}

/* What need not be UTF-8 (a password in Latin-1) goes over as base64. */
static void put_bytes(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *s)
{
	_secret_ char *encoded = s ? http1_base64(s, strlen(s)) : NULL;

	if (encoded)
		yyjson_mut_obj_add_strcpy(d, obj, key, encoded);
}

static void put_list(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const struct strv *v)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(d, obj, key);

	for (size_t i = 0; i < v->len; i++)
		yyjson_mut_arr_add_str(d, list, v->items[i]);
}

static void put_endpoint(yyjson_mut_doc *d, yyjson_mut_val *list, const struct registry_endpoint *e)
{
	yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, list);

	yyjson_mut_obj_add_bool(d, o, "tls", e->at.url.tls);
	put(d, o, "host", e->at.url.host);
	yyjson_mut_obj_add_uint(d, o, "port", e->at.url.port);
	put(d, o, "path", e->at.url.target);
	put(d, o, "repository", e->at.repository);
	put(d, o, "namespace", e->at.namespace);
	yyjson_mut_obj_add_bool(d, o, "server", e->at.server);
	yyjson_mut_obj_add_bool(d, o, "pull", e->at.pull);
	yyjson_mut_obj_add_bool(d, o, "resolve", e->at.resolve);
	yyjson_mut_obj_add_bool(d, o, "skip_verify", e->at.skip_verify);
	yyjson_mut_obj_add_uint(d, o, "dial_timeout", (uint64_t)e->at.dial_timeout_ns);
	put_list(d, o, "ca", &e->at.ca);
	put_list(d, o, "headers", &e->at.headers);
	put(d, o, "cert", e->at.cert);
	put(d, o, "key", e->at.key);
	yyjson_mut_val *credentials = yyjson_mut_obj_add_arr(d, o, "credentials");

	for (size_t i = 0; i < e->n_credentials; i++) {
		yyjson_mut_val *c = yyjson_mut_arr_add_obj(d, credentials);

		put_bytes(d, c, "username", e->credentials[i].username);
		put_bytes(d, c, "password", e->credentials[i].password);
		put_bytes(d, c, "identity_token", e->credentials[i].identity_token);
		put_bytes(d, c, "registry_token", e->credentials[i].registry_token);
	}
}

struct err *registry_config_encode(const struct registry_config *c, char **ret)
{
	yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(d);

	yyjson_mut_doc_set_root(d, root);
	put(d, root, "host", c->host);
	put(d, root, "system_ca", c->system_ca);
	put(d, root, "http_proxy", c->http_proxy);
	put(d, root, "https_proxy", c->https_proxy);
	put(d, root, "no_proxy", c->no_proxy);
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(d, root, "endpoints");

	for (size_t i = 0; i < c->n_endpoints; i++)
		put_endpoint(d, list, &c->endpoints[i]);
	*ret = yyjson_mut_write(d, YYJSON_WRITE_NOFLAG, NULL);
	yyjson_mut_doc_free(d);
	return *ret ? NULL : err_new(ERR_INVALID, "registry settings are not UTF-8");
}

/* ---- reading ---- */

static char *take(yyjson_val *obj, const char *key)
{
	const char *s = yyjson_get_str(yyjson_obj_get(obj, key));

	return s ? base_strdup(s) : NULL;
}

static char *take_bytes(yyjson_val *obj, const char *key)
{
	const char *s = yyjson_get_str(yyjson_obj_get(obj, key));
	char *out;

	return s && http1_base64_decode(s, &out, NULL) ? out : NULL;
}

static void take_list(yyjson_val *obj, const char *key, struct strv *ret)
{
	yyjson_val *list = yyjson_obj_get(obj, key), *v;
	size_t i, n;

	if (!list)
		return;
	yyjson_arr_foreach(list, i, n, v)
		if (yyjson_is_str(v))
			strv_push(ret, yyjson_get_str(v));
}

static void take_credentials(yyjson_val *list, struct registry_endpoint *e)
{
	yyjson_val *v;
	size_t i, n;

	if (!list)
		return;
	yyjson_arr_foreach(list, i, n, v) {
		_credential_ struct credential c = { take_bytes(v, "username"), take_bytes(v, "password"),
						     take_bytes(v, "identity_token"), take_bytes(v, "registry_token") };

		registry_endpoint_add_credential(e, &c);
	}
}

static void take_endpoint(yyjson_val *o, struct registry_endpoint *e)
{
	e->at = (struct host_endpoint){
		.url = { yyjson_get_bool(yyjson_obj_get(o, "tls")), NULL, take(o, "host"),
			 (uint16_t)yyjson_get_uint(yyjson_obj_get(o, "port")), take(o, "path") },
		.repository = take(o, "repository"),
		.namespace = take(o, "namespace"),
		.server = yyjson_get_bool(yyjson_obj_get(o, "server")),
		.pull = yyjson_get_bool(yyjson_obj_get(o, "pull")),
		.resolve = yyjson_get_bool(yyjson_obj_get(o, "resolve")),
		.skip_verify = yyjson_get_bool(yyjson_obj_get(o, "skip_verify")),
		.dial_timeout_ns = (int64_t)yyjson_get_uint(yyjson_obj_get(o, "dial_timeout")),
		.cert = take(o, "cert"),
		.key = take(o, "key"),
	};
	take_list(o, "ca", &e->at.ca);
	take_list(o, "headers", &e->at.headers);
	take_credentials(yyjson_obj_get(o, "credentials"), e);
}

static bool endpoint_whole(const struct registry_endpoint *e)
{
	return e->at.url.host && e->at.url.port && e->at.url.target && e->at.repository && !e->at.cert == !e->at.key;
}

static struct err *take_root(yyjson_val *root, struct registry_config *c)
{
	yyjson_val *list = yyjson_obj_get(root, "endpoints"), *v;
	size_t i, n;

	c->host = take(root, "host");
	c->system_ca = take(root, "system_ca");
	c->http_proxy = take(root, "http_proxy");
	c->https_proxy = take(root, "https_proxy");
	c->no_proxy = take(root, "no_proxy");
	if (!c->host || !yyjson_arr_size(list))
		return err_new(ERR_INVALID, "registry settings without a host or endpoints");
	c->endpoints = base_calloc(yyjson_arr_size(list), sizeof(*c->endpoints));
	yyjson_arr_foreach(list, i, n, v) {
		take_endpoint(v, &c->endpoints[i]);
		c->n_endpoints++;
		if (!endpoint_whole(&c->endpoints[i]))
			return err_new(ERR_INVALID, "registry settings: endpoint %zu is not whole", i);
	}
	return NULL;
}

struct err *registry_config_decode(const char *json, size_t len, struct registry_config *ret)
{
	_registry_config_ struct registry_config c = { 0 };
	_json_ yyjson_doc *doc = NULL;

	TRY(json_parse(json, len, "registry settings", &doc));
	TRY(take_root(yyjson_doc_get_root(doc), &c));
	*ret = c;
	c = (struct registry_config){ 0 };
	return NULL;
}
