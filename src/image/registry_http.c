#include "image/registry_http.h"

#include <string.h>
#include <strings.h>

/* ---- connections ---- */

static struct http1_conn *pool_take(struct registry *r, const struct url *to, const struct tls_config *tls)
{
	struct http1_conn *found = NULL;

	pthread_mutex_lock(&r->lock);
	for (size_t i = r->n_pool; i-- > 0 && !found;) {
		if (r->pool[i].tls != tls || !url_same_origin(http1_origin(r->pool[i].conn), to))
			continue;
		found = r->pool[i].conn;
		r->pool[i] = r->pool[--r->n_pool];
	}
	pthread_mutex_unlock(&r->lock);
	if (found && !http1_still_idle(found)) {
		http1_close(found);
		return NULL;
	}
	return found;
}

static void pool_put(struct registry *r, struct http1_conn *c, const struct tls_config *tls)
{
	pthread_mutex_lock(&r->lock);
	if (r->n_pool < POOL_MAX) {
		r->pool[r->n_pool++] = (struct pooled){ c, tls };
		c = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	http1_close(c);
}

static void drain_rest(struct http1_conn *c)
{
	int64_t deadline = clock_mono_ns() + NS_PER_S;
	char p[4096];
	size_t n = 1;

	for (size_t total = 0; total < DRAIN_MAX && n; total += n) {
		struct err *e = http1_read(c, p, sizeof(p), deadline, &n);

		if (e) {
			err_free(e);
			return;
		}
	}
}

void exchange_release(struct registry *r, struct http1_conn *c, const struct tls_config *tls, bool drain)
{
	if (c && drain)
		drain_rest(c);
	if (c && http1_reusable(c))
		pool_put(r, c, tls);
	else
		http1_close(c);
}

/* ---- trust ---- */

static struct err *make_tls(const struct endpoint *e, bool own, struct tls_config **ret)
{
	const struct host_endpoint *at = &e->config->at;
	_free_ const char **ca = base_calloc(at->ca.len + 2, sizeof(*ca));
	size_t n = 0;

	/* The administrator's first: they are the fewer, and found sooner. */
	for (size_t i = 0; i < at->ca.len; i++)
		ca[n++] = at->ca.items[i];
	if (e->registry->config.system_ca)
		ca[n++] = e->registry->config.system_ca;
	return tls_config_new(&(struct tls_options){ .ca = ca,
						     .cert = own ? at->cert : NULL,
						     .key = own ? at->key : NULL,
						     .skip_verify = own && at->skip_verify },
			      ret);
}

static struct err *endpoint_tls(struct endpoint *e, bool own, struct tls_config **ret)
{
	struct tls_config **kept = own ? &e->tls : &e->tls_foreign;
	struct err *err = NULL;

	pthread_mutex_lock(&e->tls_lock);
	if (!*kept)
		err = make_tls(e, own, kept);
	*ret = *kept;
	pthread_mutex_unlock(&e->tls_lock);
	return err;
}

/* ---- one exchange ---- */

static struct err *connect_anew(struct exchange *x, struct tls_config *tls)
{
	_url_ struct url proxy = { 0 };
	bool use_proxy;
	int64_t dial = x->e->config->at.dial_timeout_ns ? x->e->config->at.dial_timeout_ns : CONNECT_TIMEOUT;
	struct http1_dial d = { x->url, NULL, tls, MIN(x->deadline_ns, clock_mono_ns() + dial) };

	TRY(http1_proxy_for(&x->e->registry->proxies, x->url, &use_proxy, &proxy));
	if (use_proxy)
		d.proxy = &proxy;
	struct err *e = http1_connect(&d, &x->conn);

	if (x->own)
		x->e->down = e != NULL;
	return e;
}

static struct err *send_and_receive(struct exchange *x)
{
	TRY(http1_send(x->conn, &x->request, x->deadline_ns));
	return http1_receive(x->conn, x->deadline_ns, &x->head);
}

static void close_conn(struct exchange *x)
{
	http1_close(x->conn);
	x->conn = NULL;
}

struct err *exchange_run(struct exchange *x)
{
	struct tls_config *tls = NULL;

	if (x->url->tls)
		TRY(endpoint_tls(x->e, x->own, &tls));
	x->tls = tls;
	x->conn = pool_take(x->e->registry, x->url, tls);
	if (x->conn) {
		struct err *e = send_and_receive(x);

		if (!e)
			return NULL;
		bool stale = http1_was_stale(x->conn);

		close_conn(x);
		if (!stale)
			return e;
		err_free(e);
	}
	TRY(connect_anew(x, tls));
	struct err *e = send_and_receive(x);

	if (e)
		close_conn(x);
	return e;
}

/* ---- a GET with its redirects and authorization ---- */

static struct url get_url(const struct get *g)
{
	const struct host_endpoint *at = &g->e->config->at;
	struct url u = url_copy(&at->url);
	_buf_ struct buf target = BUF_INIT;

	buf_printf(&target, "%s/%s/%s", at->url.target, at->repository, g->path);
	if (at->namespace) {
		buf_puts(&target, "?ns=");
		url_escape(&target, at->namespace);
	}
	free(u.target);
	u.target = buf_take(&target);
	return u;
}

static void get_headers(const struct get *g, bool own, const char *authorization, struct strv *ret)
{
	const struct strv *configured = &g->e->config->at.headers;

	strv_push(ret, "Accept-Encoding: identity");
	if (g->accept)
		strv_push_take(ret, base_printf("Accept: %s", g->accept));
	if (g->from)
		strv_push_take(ret, base_printf("Range: bytes=%llu-", (unsigned long long)g->from));
	for (size_t i = 0; own && i < configured->len; i++)
		strv_push(ret, configured->items[i]);
	if (own && authorization)
		strv_push_take(ret, base_printf("Authorization: %s", authorization));
}

static void forget_headers(struct strv *v)
{
	for (size_t i = 0; i < v->len; i++)
		explicit_bzero(v->items[i], strlen(v->items[i]));
	strv_done(v);
}

static struct err *get_once(struct get *g, bool own, const char *authorization)
{
	_cleanup_(forget_headers) struct strv headers = { 0 };
	struct exchange x = { .e = g->e, .url = &g->url, .own = own, .deadline_ns = g->deadline_ns };

	get_headers(g, own, authorization, &headers);
	x.request = (struct http1_request){ .method = "GET", .target = g->url.target,
					    .headers = (const char *const *)headers.items };
	TRY(exchange_run(&x));
	g->conn = x.conn;
	g->tls = x.tls;
	g->head = x.head;
	return NULL;
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Drops the answer, keeps where it leads. *own* stays only while the origin does. */
static struct err *follow(struct get *g, bool *own)
{
	const char *location = http1_header(g->head, "Location");
	_url_ struct url next = { 0 };

	if (!location)
		return err_new(ERR_INVALID, "status %d without a Location", g->head->status);
	TRY(url_resolve(&g->url, location, &next));
	if (g->url.tls && !next.tls)
		return err_new(ERR_INVALID, "redirect from https to http://%s is not followed", next.host);
	if (!url_same_origin(&next, &g->url))
		*own = false;
	exchange_release(g->e->registry, TAKE(g->conn), g->tls, true);
	url_done(&g->url);
	g->url = next;
	next = (struct url){ 0 };
	return NULL;
}

/* A refusal, with what the registry itself said to it. */
static struct err *add_words(struct get *g, struct err *e)
{
	_buf_ struct buf body = BUF_INIT;

	err_free(get_body(g, DRAIN_MAX, clock_mono_ns() + NS_PER_S, &body));
	_free_ char *words = registry_words(buf_text(&body), body.len);

	if (!*words)
		return e;
	struct err *with = err_new(err_kind(e), "%s: %s", err_text(e), words);

	err_free(e);
	return with;
}

static struct err *open_loop(struct get *g)
{
	size_t tries = g->e->config->n_credentials + 3;
	bool own = true;

	for (int hops = 0;;) {
		unsigned generation = 0;
		_secret_ char *authorization = own ? endpoint_authorization(g->e, &generation) : NULL;

		TRY(get_once(g, own, authorization));
		if (is_redirect(g->head->status)) {
			if (hops++ == REGISTRY_REDIRECTS_MAX)
				return err_new(ERR_INVALID, "more than %d redirects", REGISTRY_REDIRECTS_MAX);
			TRY(follow(g, &own));
			continue;
		}
		if (g->head->status != 401 || !own || !tries--) {
			if (authorization && g->head->status != 401)
				endpoint_authorized(g->e, generation);
			return NULL;
		}
		struct err *e = endpoint_authorize(g->e, g->head, generation, g->deadline_ns);

		if (e)
			return add_words(g, e);
		exchange_release(g->e->registry, TAKE(g->conn), g->tls, true);
	}
}

struct err *get_open(struct get *g)
{
	g->url = get_url(g);
	struct err *e = open_loop(g);
	_free_ char *shown = url_shown(&g->url);

	if (e)
		return err_wrap(e, "%s", shown);
	const char *coding = http1_header(g->head, "Content-Encoding");

	if (coding && strcasecmp(coding, "identity") != 0)
		return err_new(ERR_INVALID, "%s: the answer is encoded (%.40s), which nobody asked for", shown, coding);
	return NULL;
}

void get_done(struct get *g)
{
	exchange_release(g->e->registry, TAKE(g->conn), g->tls, false);
	url_done(&g->url);
}

struct err *get_body(struct get *g, size_t max, int64_t deadline_ns, struct buf *ret)
{
	size_t n;

	for (;;) {
		char *to = buf_reserve(ret, KIB(16));

		*to = '\0'; /* text, even if nothing comes */
		TRY(http1_read(g->conn, to, KIB(16), deadline_ns, &n));
		if (!n)
			return NULL;
		ret->len += n;
		ret->data[ret->len] = '\0';
		if (ret->len > max)
			return err_new(ERR_EXHAUSTED, "answer is larger than the limit of %zu bytes", max);
	}
}

struct err *get_status_error(struct get *g, int64_t deadline_ns)
{
	_free_ char *shown = url_shown(&g->url);
	_buf_ struct buf body = BUF_INIT;
	int64_t limit = MIN(deadline_ns, clock_mono_ns() + 5 * NS_PER_S);

	/* Whatever part of it came. */
	err_free(get_body(g, DRAIN_MAX, limit, &body));
	_free_ char *words = registry_words(buf_text(&body), body.len);

	g->retry_after_ns = registry_retry_after(g->head);
	return registry_status_error(shown, g->head, words);
}
