#include "image/registry_http.h"

#include <string.h>

char *endpoint_authorization(struct endpoint *e, unsigned *ret_generation)
{
	pthread_mutex_lock(&e->lock);
	char *copy = e->authorization ? base_strdup(e->authorization) : NULL;

	*ret_generation = e->generation;
	pthread_mutex_unlock(&e->lock);
	return copy;
}

void endpoint_authorized(struct endpoint *e, unsigned generation)
{
	pthread_mutex_lock(&e->lock);
	if (e->generation == generation)
		e->worked = true;
	pthread_mutex_unlock(&e->lock);
}

/* ---- token servers (distribution, docs/spec/auth: token.md and oauth.md) ---- */

/* service=…&scope=…; a scope of several parts is several scopes. */
static void put_query(struct buf *b, const struct endpoint *e, const struct auth_challenge *c)
{
	_free_ char *scopes = *c->scope ? base_strdup(c->scope) :
					  base_printf("repository:%s:pull", e->config->at.repository);
	char *save = NULL;

	buf_puts(b, "service=");
	url_escape(b, c->service);
	for (char *s = strtok_r(scopes, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
		buf_puts(b, "&scope=");
		url_escape(b, s);
	}
}

static struct err *realm_url(const struct endpoint *e, const struct auth_challenge *c, struct url *ret)
{
	TRY_WRAP(url_parse(c->realm, ret), "token server");
	if (ret->user)
		return err_new(ERR_INVALID, "token server's URL has a user in it");
	if (e->config->at.url.tls && !ret->tls)
		return err_new(ERR_INVALID, "token server http://%s is not asked: the registry speaks https", ret->host);
	return NULL;
}

static struct err *read_token(struct exchange *x, const char *shown, char **ret_token)
{
	struct get g = { .e = x->e, .conn = x->conn, .head = x->head };
	struct buf body = BUF_INIT;
	struct err *e = get_body(&g, AUTH_TOKEN_MAX, x->deadline_ns, &body);
	_secret_ char *text = buf_take(&body);

	if (e)
		return err_wrap(e, "%s", shown);
	if (x->head->status != 200) {
		_free_ char *words = registry_words(text, strlen(text));

		e = registry_status_error(shown, x->head, words);
		/* A refusal in other words: what was sent is no good. */
		return x->head->status == 400 || x->head->status == 403 ? err_as(e, ERR_AUTH) : e;
	}
	TRY_WRAP(auth_token_parse(text, strlen(text), ret_token), "%s", shown);
	return NULL;
}

static struct err *ask_token_server(struct endpoint *e, const struct url *url, const struct http1_request *q,
				    int64_t deadline_ns, char **ret_token)
{
	_free_ char *shown = url_shown(url);
	struct exchange x = { .e = e, .url = url, .own = url_same_origin(url, &e->config->at.url), .request = *q,
			      .deadline_ns = MIN(deadline_ns, clock_mono_ns() + ANSWER_TIMEOUT) };

	TRY_WRAP(exchange_run(&x), "%s", shown);
	struct err *err = read_token(&x, shown, ret_token);

	exchange_release(e->registry, x.conn, x.tls, true);
	return err;
}

/* POST with an identity token (OAuth2 refresh token). */
static struct err *token_by_post(struct endpoint *e, const struct url *url, const struct auth_challenge *c,
				 const struct credential *with, int64_t deadline_ns, char **ret_token)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
	struct buf body = BUF_INIT;

	buf_puts(&body, "grant_type=refresh_token&client_id=crisp&refresh_token=");
	url_escape(&body, with->identity_token);
	buf_putc(&body, '&');
	put_query(&body, e, c);
	_secret_ char *text = buf_take(&body);
	struct http1_request q = { "POST", url->target, headers, text, strlen(text) };

	return ask_token_server(e, url, &q, deadline_ns, ret_token);
}

static struct err *token_by_get(struct endpoint *e, struct url *url, const struct auth_challenge *c,
				const struct credential *with, int64_t deadline_ns, char **ret_token)
{
	_secret_ char *basic = with ? auth_basic(with) : NULL;
	_secret_ char *header = basic ? base_printf("Authorization: %s", basic) : NULL;
	const char *const headers[] = { header, NULL };
	_buf_ struct buf target = BUF_INIT;

	buf_printf(&target, "%s%s", url->target, strchr(url->target, '?') ? "&" : "?");
	put_query(&target, e, c);
	free(url->target);
	url->target = buf_take(&target);
	return ask_token_server(e, url, &(struct http1_request){ .method = "GET", .target = url->target, .headers = headers },
				deadline_ns, ret_token);
}

static struct err *bearer(struct endpoint *e, const struct auth_challenge *c, const struct credential *with,
			  int64_t deadline_ns, char **ret_authorization)
{
	_url_ struct url url = { 0 };
	_secret_ char *token = NULL;

	if (with && with->registry_token) {
		*ret_authorization = base_printf("Bearer %s", with->registry_token);
		return NULL;
	}
	TRY(realm_url(e, c, &url));
	if (with && with->identity_token)
		TRY(token_by_post(e, &url, c, with, deadline_ns, &token));
	else
		TRY(token_by_get(e, &url, c, with, deadline_ns, &token));
	*ret_authorization = base_printf("Bearer %s", token);
	return NULL;
}

/* ---- what to do about a 401 ---- */

static struct err *no_credentials(const struct endpoint *e)
{
	_free_ char *authority = url_authority(&e->config->at.url);

	return err_new(ERR_AUTH, "%s asks for credentials and there are none for it", authority);
}

static struct err *answer_challenge(struct endpoint *e, const struct auth_challenge *c, const struct credential *with,
				    int64_t deadline_ns, char **ret_authorization)
{
	if (c->scheme == AUTH_BEARER)
		return bearer(e, c, with, deadline_ns, ret_authorization);
	if (c->scheme == AUTH_NONE)
		return err_new(ERR_AUTH, "status 401 without a challenge that can be met");
	*ret_authorization = with ? auth_basic(with) : NULL;
	return *ret_authorization ? NULL : no_credentials(e);
}

/* Lock held. The credentials from the current one on, until one is taken. */
static struct err *authorize(struct endpoint *e, const struct auth_challenge *c, int64_t deadline_ns)
{
	size_t n = e->config->n_credentials;
	struct err *last = NULL;

	do {
		const struct credential *with = e->credential < n ? &e->config->credentials[e->credential] : NULL;
		char *authorization = NULL;

		err_free(last);
		last = answer_challenge(e, c, with, deadline_ns, &authorization);
		if (!last) {
			auth_forget(e->authorization);
			e->authorization = authorization;
			e->generation++;
			e->worked = false;
			return NULL;
		}
		/* The network's fault is not the credential's. */
		if (!err_is(last, ERR_AUTH))
			return last;
	} while (++e->credential < n);
	return last;
}

static struct err *refused(const struct endpoint *e)
{
	_free_ char *authority = url_authority(&e->config->at.url);

	return err_new(ERR_AUTH, "%s refuses %s (status 401)", authority,
		       e->config->n_credentials ? "the credentials" : "an anonymous token");
}

static struct err *next_authorization(struct endpoint *e, const struct auth_challenge *c, int64_t deadline_ns)
{
	/* What never worked is refused for good; what did has expired and can be had again. */
	if (e->authorization && !e->worked) {
		e->credential++;
		if (!e->config->n_credentials)
			return refused(e);
	}
	if (e->config->n_credentials && e->credential >= e->config->n_credentials)
		return refused(e);
	return authorize(e, c, deadline_ns);
}

struct err *endpoint_authorize(struct endpoint *e, const struct http1_head *h, unsigned generation, int64_t deadline_ns)
{
	_challenge_ struct auth_challenge c = { 0 };
	struct err *err = NULL;

	auth_challenge_of(h, &c);
	pthread_mutex_lock(&e->lock);
	/* Else another thread has been here in the meantime. */
	if (e->generation == generation)
		err = next_authorization(e, &c, deadline_ns);
	pthread_mutex_unlock(&e->lock);
	return err;
}
