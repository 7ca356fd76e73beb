#include "image/auth.h"

#include "base/log.h"
#include "base/str.h"
#include "image/json.h"
#include "wire/http1_socket.h"

#include <string.h>
#include <strings.h>

void auth_forget(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void credential_done(struct credential *c)
{
	auth_forget(c->username);
	auth_forget(c->password);
	auth_forget(c->identity_token);
	auth_forget(c->registry_token);
	*c = (struct credential){ 0 };
}

static char *dup_or_null(const char *s)
{
	return str_empty(s) ? NULL : base_strdup(s);
}

struct credential credential_copy(const struct credential *c)
{
	return (struct credential){ dup_or_null(c->username), dup_or_null(c->password), dup_or_null(c->identity_token),
				    dup_or_null(c->registry_token) };
}

bool credential_empty(const struct credential *c)
{
	return !c->username && !c->identity_token && !c->registry_token;
}

bool credential_same(const struct credential *a, const struct credential *b)
{
	return str_eq(a->username, b->username) && str_eq(a->password, b->password) &&
	       str_eq(a->identity_token, b->identity_token) && str_eq(a->registry_token, b->registry_token);
}

static struct err *split_auth(const char *auth, struct credential *c)
{
	_secret_ char *text = NULL;
	size_t len;

	if (!http1_base64_decode(auth, &text, &len) || strlen(text) != len)
		return err_new(ERR_INVALID, "credentials: \"auth\" is not base64");
	char *colon = strchr(text, ':');

	if (!colon)
		return err_new(ERR_INVALID, "credentials: \"auth\" is not user:password");
	*colon = '\0';
	c->username = dup_or_null(text);
	c->password = dup_or_null(colon + 1);
	*colon = ':'; /* so that all of it is wiped */
	return NULL;
}

/* The user name with which docker marks a password that is an identity token. */
#define TOKEN_USER "<token>"

struct err *credential_make(const char *username, const char *password, const char *auth, const char *identity_token,
			    const char *registry_token, struct credential *ret)
{
	_credential_ struct credential c = { 0 };

	if (!str_empty(username)) {
		c.username = base_strdup(username);
		c.password = dup_or_null(password);
	} else if (!str_empty(auth)) {
		TRY(split_auth(auth, &c));
	}
	c.identity_token = dup_or_null(identity_token);
	c.registry_token = dup_or_null(registry_token);
	if (str_eq(c.username, TOKEN_USER)) {
		if (!c.identity_token)
			c.identity_token = TAKE(c.password);
		free(TAKE(c.username));
		auth_forget(TAKE(c.password));
	}
	*ret = c;
	c = (struct credential){ 0 };
	return NULL;
}

/* ---- docker's config.json ---- */

/* The names under which docker keeps what is for docker.io. */
static bool is_docker_hub(const char *host, size_t len)
{
	static const char *const names[] = { "docker.io", "index.docker.io", "registry-1.docker.io" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && !strncasecmp(names[i], host, len))
			return true;
	return false;
}

/* How many bytes of *key* fit host/repository; 0: it is for something else. */
static size_t key_fits(const char *key, const char *host, const char *repository)
{
	const char *scheme = strstr(key, "://");

	if (scheme)
		key = scheme + 3;
	size_t host_len = strcspn(key, "/");
	bool same = strlen(host) == host_len && !strncasecmp(key, host, host_len);

	if (!same && !(is_docker_hub(key, host_len) && is_docker_hub(host, strlen(host))))
		return 0;
	const char *path = key + host_len;

	/* https://index.docker.io/v1/, https://host/v2/: the API's root, not a repository */
	if (scheme || !*path || !strcmp(path, "/"))
		return host_len;
	path++;
	size_t n = strlen(path);

	while (n && path[n - 1] == '/')
		n--;
	if (strncmp(path, repository, n) != 0 || (repository[n] && repository[n] != '/'))
		return 0;
	return host_len + 1 + n;
}

static struct err *entry_parse(struct arena *a, yyjson_val *v, struct credential *ret)
{
	const char *user, *password, *auth, *identity, *registry;

	TRY(json_string(a, v, "username", &user));
	TRY(json_string(a, v, "password", &password));
	TRY(json_string(a, v, "auth", &auth));
	TRY(json_string(a, v, "identitytoken", &identity));
	TRY(json_string(a, v, "registrytoken", &registry));
	return credential_make(user, password, auth, identity, registry, ret);
}

static struct err *file_find(struct arena *a, yyjson_val *root, const char *host, const char *repository,
			     bool *ret_found, struct credential *ret)
{
	yyjson_val *auths, *helpers, *key, *value, *best = NULL;
	size_t i, n, best_len = 0;

	TRY(json_object(root, "auths", &auths));
	TRY(json_object(root, "credHelpers", &helpers));
	if (helpers && yyjson_obj_get(helpers, host))
		log_warn("auth file: credential helpers are not supported (the one for %s is ignored)", host);
	if (!auths)
		return NULL;
	yyjson_obj_foreach(auths, i, n, key, value) {
		size_t len = key_fits(yyjson_get_str(key), host, repository);

		if (len > best_len && yyjson_is_obj(value)) {
			best_len = len;
			best = value;
		}
	}
	if (!best)
		return NULL;
	TRY(entry_parse(a, best, ret));
	*ret_found = !credential_empty(ret);
	return NULL;
}

struct err *auth_file_find(const char *json, size_t len, const char *host, const char *repository, bool *ret_found,
			   struct credential *ret)
{
	_json_ yyjson_doc *doc = NULL;
	_arena_ struct arena a;

	arena_init(&a);
	*ret_found = false;
	if (len > AUTH_FILE_MAX)
		return err_new(ERR_EXHAUSTED, "larger than %u bytes", AUTH_FILE_MAX);
	TRY(json_parse(json, len, "it", &doc));
	return file_find(&a, yyjson_doc_get_root(doc), host, repository, ret_found, ret);
}

/* ---- WWW-Authenticate (RFC 9110 section 11.6.1) ---- */

void auth_challenge_done(struct auth_challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct auth_challenge){ 0 };
}

static bool is_token_char(char c)
{
	return c && (unsigned char)c < 0x7f && (unsigned char)c > 0x20 && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static size_t token_len(const char *s)
{
	size_t n = 0;

	while (is_token_char(s[n]))
		n++;
	return n;
}

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t");
}

/* The value at *s*: a token or a quoted string, to *ret_value*. Where it ends, NULL if malformed. */
static const char *take_value(const char *s, char **ret_value)
{
	_buf_ struct buf b = BUF_INIT;

	if (*s != '"') {
		/* Some registries leave the quotes out around URLs: to the next comma or space. */
		size_t n = strcspn(s, ", \t");

		*ret_value = base_strndup(s, n);
		return s + n;
	}
	for (s++; *s && *s != '"'; s++) {
		if (*s == '\\' && s[1])
			s++;
		buf_putc(&b, *s);
	}
	if (*s != '"')
		return NULL;
	*ret_value = buf_take(&b);
	return s + 1;
}

static void set_param(struct auth_challenge *c, const char *name, size_t len, char *value)
{
	char **to = len == 5 && !strncasecmp(name, "realm", 5)	 ? &c->realm :
		    len == 7 && !strncasecmp(name, "service", 7) ? &c->service :
		    len == 5 && !strncasecmp(name, "scope", 5)	 ? &c->scope :
								   NULL;

	if (!to) {
		free(value);
		return;
	}
	free(*to);
	*to = value;
}

/* The parameters after a scheme, up to the next scheme or the end. NULL: malformed. */
static const char *take_params(const char *s, struct auth_challenge *c)
{
	for (;;) {
		s += strspn(s, " \t,");
		size_t n = token_len(s);
		const char *equals = skip_space(s + n);
		char *value;

		if (!*s)
			return s;
		if (!n)
			return NULL;
		if (*equals != '=')
			return s; /* a scheme, or a token68: the caller sees */
		const char *name = s;

		s = take_value(skip_space(equals + 1), &value);
		if (!s)
			return NULL;
		set_param(c, name, n, value);
	}
}

static enum auth_scheme scheme_of(const char *s, size_t len)
{
	if (len == 6 && !strncasecmp(s, "Bearer", 6))
		return AUTH_BEARER;
	return len == 5 && !strncasecmp(s, "Basic", 5) ? AUTH_BASIC : AUTH_NONE;
}

static void keep_stronger(struct auth_challenge *c, struct auth_challenge *ret)
{
	/* A bearer without a realm says nothing about where to get one. */
	if (c->scheme > ret->scheme && (c->scheme != AUTH_BEARER || c->realm)) {
		auth_challenge_done(ret);
		*ret = *c;
		*c = (struct auth_challenge){ 0 };
	}
	auth_challenge_done(c);
}

void auth_challenge_parse(const char *line, struct auth_challenge *ret)
{
	const char *s = line;

	while (s && *(s += strspn(s, " \t,"))) {
		struct auth_challenge c = { 0 };
		size_t n = token_len(s);

		if (!n)
			break;
		c.scheme = scheme_of(s, n);
		s = take_params(s + n, &c);
		if (s)
			keep_stronger(&c, ret);
		auth_challenge_done(&c);
	}
	if (!ret->realm)
		ret->realm = base_strdup("");
	if (!ret->service)
		ret->service = base_strdup("");
	if (!ret->scope)
		ret->scope = base_strdup("");
}

void auth_challenge_of(const struct http1_head *h, struct auth_challenge *ret)
{
	const char *line;

	*ret = (struct auth_challenge){ 0 };
	for (size_t i = 0; (line = http1_header_n(h, "WWW-Authenticate", i)); i++)
		auth_challenge_parse(line, ret);
}

char *auth_basic(const struct credential *c)
{
	if (!c->username)
		return NULL;
	_secret_ char *pair = base_printf("%s:%s", c->username, c->password ? c->password : "");
	_secret_ char *encoded = http1_base64(pair, strlen(pair));

	return base_printf("Basic %s", encoded);
}

struct err *auth_token_parse(const char *json, size_t len, char **ret_token)
{
	_json_ yyjson_doc *doc = NULL;
	_arena_ struct arena a;
	const char *token;

	arena_init(&a);
	TRY(json_parse(json, len, "answer", &doc));
	TRY(json_string(&a, yyjson_doc_get_root(doc), "token", &token));
	if (!*token)
		TRY(json_string(&a, yyjson_doc_get_root(doc), "access_token", &token));
	if (!*token || strlen(token) > AUTH_TOKEN_MAX)
		return err_new(ERR_AUTH, "answer without a token");
	for (const char *s = token; *s; s++)
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f)
			return err_new(ERR_INVALID, "answer with a token that cannot be one");
	*ret_token = base_strdup(token);
	return NULL;
}
