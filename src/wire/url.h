/* url.h: http and https URLs, as a registry's settings, proxies and redirects have them (RFC 3986). */
#ifndef CRISP_URL_H
#define CRISP_URL_H

#include "base/buf.h"
#include "base/err.h"

#define URL_MAX 16384   /* bytes; signed storage URLs take a few thousand */

struct url {             /* owned strings */
	bool tls;        /* https */
	char *user;      /* "name:password", decoded, or NULL: only proxies' URLs may have it */
	char *host;      /* lower case; an IPv6 address without its brackets */
	uint16_t port;
	char *target;    /* path and query, beginning with a slash; no fragment */
};

struct err *url_parse(const char *text, struct url *ret) _must_check_;

/* Where *location* (absolute or relative, RFC 3986 section 5.2) leads from *base*. One with a user is
 * refused: no server chooses what we log in with. */
struct err *url_resolve(const struct url *base, const char *location, struct url *ret) _must_check_;

void url_done(struct url *u);
#define _url_ _cleanup_(url_done)

struct url url_copy(const struct url *u);

/* Same scheme, host and port: what credentials may go to. */
bool url_same_origin(const struct url *a, const struct url *b);

/* "host", "host:port", "[::1]:port"; the scheme's own port is left out. */
char *url_authority(const struct url *u);

/* For people and logs: without user and query, which may hold secrets. */
char *url_shown(const struct url *u);

/* localhost or a loopback address: where plain http is the custom. */
bool url_host_is_local(const char *host);

/* Appends *s* percent-encoded, fit for a query's value. */
void url_escape(struct buf *b, const char *s);

#endif
