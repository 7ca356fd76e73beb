/* http1_client.h: one HTTP/1.1 client connection, plain or TLS, direct or through a proxy.
 *
 * connect, then any number of: send a request, receive its head, read its body to the end. Every call has
 * a deadline (monotonic). A connection belongs to one thread at a time. Redirects, credentials and retries
 * are the caller's. Errors name what failed, not the URL: the caller wraps them.
 */
#ifndef CRISP_HTTP1_CLIENT_H
#define CRISP_HTTP1_CLIENT_H

#include "base/clock.h"
#include "wire/http1.h"
#include "wire/tls.h"
#include "wire/url.h"

struct http1_conn;

struct http1_dial {
	const struct url *to;        /* scheme, host and port count */
	const struct url *proxy;     /* NULL: directly */
	struct tls_config *tls;      /* for https; outlives the connection */
	int64_t deadline_ns;         /* for names, connections and handshake together */
};

struct err *http1_connect(const struct http1_dial *d, struct http1_conn **ret) _must_check_;
void http1_close(struct http1_conn *c);     /* NULL is fine */

struct http1_request {
	const char *method;
	const char *target;          /* path and query */
	const char *const *headers;  /* "Name: value", NULL-terminated; Host and User-Agent are added */
	const char *body;            /* NULL: none */
	size_t body_len;
};

struct err *http1_send(struct http1_conn *c, const struct http1_request *q, int64_t deadline_ns) _must_check_;

/* The final answer's head (interim ones are passed over); lives until the next call of it. A connection
 * that ended before a first byte is ERR_UNAVAILABLE and http1_was_stale(). */
struct err *http1_receive(struct http1_conn *c, int64_t deadline_ns, const struct http1_head **ret) _must_check_;

/* Some of the body; *ret_n 0: its end, properly reached. */
struct err *http1_read(struct http1_conn *c, void *p, size_t n, int64_t deadline_ns, size_t *ret_n) _must_check_;

/* The body was read to its end and the connection can carry another request. */
bool http1_reusable(const struct http1_conn *c);
/* Nothing came on an idle connection since: no end, no bytes nobody asked for. */
bool http1_still_idle(const struct http1_conn *c);
/* The other side had closed a connection that was kept open before it saw the request: send it again on
 * a new one (RFC 9112 section 9.3.1). */
bool http1_was_stale(const struct http1_conn *c);

const struct url *http1_origin(const struct http1_conn *c);

#endif
