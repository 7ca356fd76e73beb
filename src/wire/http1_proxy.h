/* http1_proxy.h: which proxy, if any, leads to a URL: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as Go's programs
 * (containerd, the kubelet) read them, so that a node's settings mean the same here. */
#ifndef CRISP_HTTP1_PROXY_H
#define CRISP_HTTP1_PROXY_H

#include "wire/url.h"

struct http1_proxies {      /* the variables' values; NULL or "" when unset */
	const char *http;   /* for http URLs */
	const char *https;  /* for https URLs */
	const char *none;   /* hosts reached directly */
};

/* *ret_use false: go directly. Loopback is never proxied. A proxy that is not an http one is
 * ERR_UNIMPLEMENTED. */
struct err *http1_proxy_for(const struct http1_proxies *p, const struct url *to, bool *ret_use,
			    struct url *ret_proxy) _must_check_;

/* One NO_PROXY list: hosts (and their subdomains), .domain and *.domain (subdomains only), addresses, CIDR
 * blocks, "*"; each but the blocks may end in :port. */
bool http1_proxy_excepts(const char *list, const char *host, uint16_t port);

#endif
