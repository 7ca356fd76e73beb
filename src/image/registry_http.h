/* registry_http.h: inside registry: one GET at one endpoint, with its connection from the pool, its
 * authorization, its redirects.
 *
 * What credentials go where: an endpoint's own are sent to its origin (scheme, host, port) alone, and to the token
 * server that this origin names. Once a redirect has left the origin nothing of the endpoint's goes along: no
 * Authorization, no header of hosts.toml, no client certificate, no skip_verify; its CA certificates do.
 */
#ifndef CRISP_REGISTRY_HTTP_H
#define CRISP_REGISTRY_HTTP_H

#include "image/registry.h"
#include "wire/http1_client.h"
#include "wire/http1_proxy.h"

#include <pthread.h>
#include <stdatomic.h>

#define POOL_MAX        8                       /* idle connections */
#define DRAIN_MAX       KIB(64)                 /* of a body nobody wants, to keep its connection */
#define CONNECT_TIMEOUT (30 * NS_PER_S)
#define ANSWER_TIMEOUT  (60 * NS_PER_S)

struct endpoint {
	const struct registry_endpoint *config;
	struct registry *registry;
	atomic_bool down;              /* could not be connected to: others first */
	pthread_mutex_t tls_lock;      /* for these two, made when first needed */
	struct tls_config *tls, *tls_foreign;
	pthread_mutex_t lock;          /* for the rest; held while a token is fetched */
	char *authorization;           /* the header's value, or NULL */
	unsigned generation;           /* of it: grows with each new one */
	bool worked;                   /* it was accepted once */
	size_t credential;             /* which one it came from */
};

struct registry {
	struct registry_config config;
	struct endpoint *endpoints;
	struct http1_proxies proxies;
	int64_t backoff_ns;
	pthread_mutex_t lock;          /* for the pool */
	struct pooled {
		struct http1_conn *conn;
		const struct tls_config *tls;
	} pool[POOL_MAX];
	size_t n_pool;
};

/* A GET and what came of it, up to the body. */
struct get {
	struct endpoint *e;
	const char *path;              /* below /REPOSITORY/ */
	const char *accept;            /* NULL: anything */
	uint64_t from;                 /* Range: from this byte on; 0: whole */
	int64_t deadline_ns;           /* for the head */
	/* results */
	struct http1_conn *conn;
	const struct tls_config *tls;
	const struct http1_head *head;
	struct url url;                /* what answered, after redirects */
	int64_t retry_after_ns;        /* what a failed one asked for */
};

/* The final answer's head, of any status but 401 (an error by then) and redirects. get_done() is owed on
 * success and failure alike; it keeps the connection if the body was read to its end. */
struct err *get_open(struct get *g) _must_check_;
void get_done(struct get *g);
#define _get_ _cleanup_(get_done)

/* The error that a status other than expected is, with the registry's own words. */
struct err *get_status_error(struct get *g, int64_t deadline_ns) _must_check_;

/* At most *max* bytes of the body; more is ERR_EXHAUSTED. */
struct err *get_body(struct get *g, size_t max, int64_t deadline_ns, struct buf *ret) _must_check_;

/* One request without redirects or authorization of its own. *own*: the endpoint's client certificate and
 * skip_verify apply. */
struct exchange {
	struct endpoint *e;
	const struct url *url;
	bool own;
	struct http1_request request;
	int64_t deadline_ns;
	/* results */
	struct http1_conn *conn;
	const struct tls_config *tls;
	const struct http1_head *head;
};
struct err *exchange_run(struct exchange *x) _must_check_;
/* Back to the pool if its body has been read to the end (the rest of a short one is read here), else closed. */
void exchange_release(struct registry *r, struct http1_conn *c, const struct tls_config *tls, bool drain);

/* registry_auth.c */
/* What to send now; owned secret, NULL for nothing. *ret_generation* identifies it to endpoint_authorize(). */
char *endpoint_authorization(struct endpoint *e, unsigned *ret_generation);
/* *generation* was refused with 401 *h*: gets another authorization; an error when there is none to get. */
struct err *endpoint_authorize(struct endpoint *e, const struct http1_head *h, unsigned generation,
			       int64_t deadline_ns) _must_check_;
/* It was accepted. */
void endpoint_authorized(struct endpoint *e, unsigned generation);

/* registry_error.c */
/* "MESSAGE (DETAIL)" out of a registry's or token server's JSON answer, or of plain text: bounded, no control characters;
 * "" if there is nothing to say. Owned. */
char *registry_words(const char *body, size_t len);
struct err *registry_status_error(const char *what, const struct http1_head *h, const char *words) _must_check_;
/* Nanoseconds, bounded; 0: none given. */
int64_t registry_retry_after(const struct http1_head *h);

#endif
