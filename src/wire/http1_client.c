#include "wire/http1_client.h"

#include "base/buf.h"
#include "base/str.h"
#include "wire/http1_socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* What is read at once when the size of what comes is not known. */
#define READ_SIZE KIB(16)
#define INTERIM_MAX 8

struct http1_conn {
	struct url origin;
	char *proxy_auth;        /* header line for requests that the proxy reads, or NULL */
	bool absolute;           /* requests go to a proxy in absolute form */
	int fd;                  /* while there is no TLS */
	struct tls *tls;
	struct buf in;           /* received; bytes before `at` are used up */
	size_t at;
	char *head_text;
	struct http1_head head;
	struct http1_body body;
	unsigned int answers;
	bool stale;
};

static struct err *conn_read(struct http1_conn *c, void *p, size_t n, int64_t deadline_ns, size_t *ret_n)
{
	if (c->tls)
		return tls_read(c->tls, p, n, deadline_ns, ret_n);
	return http1_socket_read(c->fd, p, n, deadline_ns, ret_n);
}

static struct err *conn_write(struct http1_conn *c, const void *p, size_t n, int64_t deadline_ns)
{
	if (c->tls)
		return tls_write(c->tls, p, n, deadline_ns);
	return http1_socket_write(c->fd, p, n, deadline_ns);
}

/* More bytes behind those that are there; *ret_n 0 at the end of the stream. */
static struct err *fill(struct http1_conn *c, int64_t deadline_ns, size_t *ret_n)
{
	if (c->at) {
		buf_consume(&c->in, c->at);
		c->at = 0;
	}
	char *to = buf_reserve(&c->in, READ_SIZE);

	*to = '\0';
	TRY(conn_read(c, to, READ_SIZE, deadline_ns, ret_n));
	c->in.len += *ret_n;
	c->in.data[c->in.len] = '\0';
	return NULL;
}

static struct err *receive_head(struct http1_conn *c, bool no_body, int64_t deadline_ns)
{
	size_t len, n;

	while (!(len = http1_head_len(buf_text(&c->in) + c->at, c->in.len - c->at))) {
		if (c->in.len - c->at >= HTTP1_HEAD_MAX)
			return err_new(ERR_EXHAUSTED, "HTTP head is larger than %u bytes", HTTP1_HEAD_MAX);
		bool nothing = c->in.len == c->at;
		struct err *e = fill(c, deadline_ns, &n);

		if (!e && n)
			continue;
		c->stale = nothing && c->answers > 0 && (!e || err_is(e, ERR_UNAVAILABLE));
		return e ? e : err_new(ERR_UNAVAILABLE, "connection closed before an answer");
	}
	free(c->head_text);
	c->head_text = base_strndup(c->in.data + c->at, len);
	/* A NUL among the bytes would have cut the copy. */
	if (strlen(c->head_text) != len)
		return err_new(ERR_INVALID, "HTTP head with a NUL in it");
	c->at += len;
	TRY(http1_parse_response(c->head_text, len, &c->head));
	return http1_body_begin(&c->body, &c->head, no_body);
}

struct err *http1_receive(struct http1_conn *c, int64_t deadline_ns, const struct http1_head **ret)
{
	for (int i = 0; i < INTERIM_MAX; i++) {
		TRY(receive_head(c, false, deadline_ns));
		if (c->head.status == 101)
			return err_new(ERR_INVALID, "server changes protocols unasked");
		if (c->head.status < 200)
			continue;
		c->answers++;
		*ret = &c->head;
		return NULL;
	}
	return err_new(ERR_INVALID, "more than %d interim answers", INTERIM_MAX);
}

/* What is buffered already; false if that is nothing. */
static struct err *take_buffered(struct http1_conn *c, void *p, size_t n, size_t *ret_n)
{
	size_t used;

	TRY(http1_body_take(&c->body, c->in.data + c->at, MIN(n, c->in.len - c->at), &used, ret_n));
	memcpy(p, c->in.data + c->at + used - *ret_n, *ret_n);
	c->at += used;
	return NULL;
}

struct err *http1_read(struct http1_conn *c, void *p, size_t n, int64_t deadline_ns, size_t *ret_n)
{
	size_t got;

	*ret_n = 0;
	while (!c->body.done && !*ret_n) {
		if (c->at < c->in.len) {
			TRY(take_buffered(c, p, n, ret_n));
		} else if (c->body.left) {
			TRY(conn_read(c, p, (size_t)MIN((uint64_t)n, c->body.left), deadline_ns, ret_n));
			if (!*ret_n)
				return http1_body_eof(&c->body);
			http1_body_skip(&c->body, *ret_n);
		} else {
			TRY(fill(c, deadline_ns, &got));
			if (!got)
				return http1_body_eof(&c->body);
		}
	}
	return NULL;
}

bool http1_reusable(const struct http1_conn *c)
{
	return c->answers && c->body.done && c->body.framing != HTTP1_UNTIL_CLOSE && c->head.minor == 1 &&
	       c->at == c->in.len && !http1_header_has(&c->head, "Connection", "close");
}

bool http1_still_idle(const struct http1_conn *c)
{
	struct pollfd p = { .fd = c->tls ? tls_fd(c->tls) : c->fd, .events = POLLIN | POLLRDHUP };

	return c->at == c->in.len && (!c->tls || !tls_pending(c->tls)) && poll(&p, 1, 0) == 0;
}

bool http1_was_stale(const struct http1_conn *c)
{
	return c->stale;
}

const struct url *http1_origin(const struct http1_conn *c)
{
	return &c->origin;
}

static struct err *put_headers(struct buf *b, const struct http1_request *q)
{
	for (const char *const *h = q->headers; h && *h; h++) {
		if (strpbrk(*h, "\r\n"))
			return err_new(ERR_INVALID, "a header for the request has a line break in it");
		buf_printf(b, "%s\r\n", *h);
	}
	if (q->body)
		buf_printf(b, "Content-Length: %zu\r\n", q->body_len);
	buf_puts(b, "\r\n");
	if (q->body)
		buf_append(b, q->body, q->body_len);
	return NULL;
}

struct err *http1_send(struct http1_conn *c, const struct http1_request *q, int64_t deadline_ns)
{
	_free_ char *authority = url_authority(&c->origin);
	_buf_ struct buf b = BUF_INIT;

	buf_printf(&b, "%s %s%s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: crisp/" CRISP_VERSION "\r\n", q->method,
		   c->absolute ? "http://" : "", c->absolute ? authority : "", q->target, authority);
	if (c->absolute && c->proxy_auth)
		buf_printf(&b, "%s\r\n", c->proxy_auth);
	TRY(put_headers(&b, q));
	c->stale = false;
	struct err *e = conn_write(c, b.data, b.len, deadline_ns);

	/* Nothing of an answer can have come: as if it had closed just before. */
	c->stale = e && c->answers > 0 && err_is(e, ERR_UNAVAILABLE);
	return e;
}

/* ---- making connections ---- */

static struct err *tunnel(struct http1_conn *c, const struct url *to, int64_t deadline_ns)
{
	_free_ char *host = base_printf(strchr(to->host, ':') ? "[%s]:%u" : "%s:%u", to->host, to->port);
	_buf_ struct buf b = BUF_INIT;

	buf_printf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", host, host, c->proxy_auth ? c->proxy_auth : "",
		   c->proxy_auth ? "\r\n" : "");
	TRY(conn_write(c, b.data, b.len, deadline_ns));
	TRY(receive_head(c, true, deadline_ns));
	if (c->head.status / 100 != 2)
		return err_new(c->head.status == 407 ? ERR_AUTH : ERR_UNAVAILABLE, "it answered %d %.100s to CONNECT %s",
			       c->head.status, c->head.reason, host);
	if (c->at != c->in.len)
		return err_new(ERR_INVALID, "it sent bytes that nobody asked for");
	return NULL;
}

static char *proxy_auth_line(const struct url *proxy)
{
	if (!proxy || !proxy->user)
		return NULL;
	_free_ char *encoded = http1_base64(proxy->user, strlen(proxy->user));

	return base_printf("Proxy-Authorization: Basic %s", encoded);
}

static struct err *open_conn(struct http1_conn *c, const struct http1_dial *d)
{
	const struct url *first = d->proxy ? d->proxy : d->to;
	_free_ char *peer = url_authority(d->to);

	c->proxy_auth = proxy_auth_line(d->proxy);
	c->absolute = d->proxy && !d->to->tls;
	struct err *e = http1_socket_connect(first->host, first->port, d->deadline_ns, &c->fd);

	if (!e && d->proxy && d->to->tls)
		e = tunnel(c, d->to, d->deadline_ns);
	if (d->proxy)
		e = err_wrap(e, "proxy %s", d->proxy->host);
	if (e || !d->to->tls)
		return e;
	return tls_connect(d->tls, TAKE_FD(c->fd), d->to->host, peer, d->deadline_ns, &c->tls);
}

struct err *http1_connect(const struct http1_dial *d, struct http1_conn **ret)
{
	struct http1_conn *c = base_alloc(sizeof(*c));

	c->fd = -1;
	c->origin = url_copy(d->to);
	struct err *e = open_conn(c, d);

	if (e) {
		http1_close(c);
		return e;
	}
	*ret = c;
	return NULL;
}

void http1_close(struct http1_conn *c)
{
	if (!c)
		return;
	tls_free(c->tls);
	base_close_p(&c->fd);
	url_done(&c->origin);
	free(c->proxy_auth);
	free(c->head_text);
	buf_done(&c->in);
	free(c);
}
