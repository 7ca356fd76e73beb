/* What a request to upgrade to WebSocket must have (RFC 6455 section 4.2.1), and the ports that its query asks for
 * (k8s.io/cri-streaming portforward). */
#include "base/str.h"
#include "stream/session.h"
#include "wire/http1.h"

#include <string.h>

bool request_is_websocket(const struct http1_head *h)
{
	return http1_header_has(h, "Connection", "upgrade") && http1_header_has(h, "Upgrade", "websocket");
}

/* "8080" or "8080,9090"; false: something else, or too many. */
static bool take_ports(struct websocket_session *w, const char *value, size_t n)
{
	_free_ char *text = base_strndup(value, n);
	char *save = NULL;
	uint64_t port;

	for (char *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (w->n_ports == STREAM_FORWARD_PORTS_MAX || !str_to_u64(p, UINT16_MAX, &port) || !port)
			return false;
		w->ports[w->n_ports++] = (uint16_t)port;
	}
	return true;
}

static bool take_query(struct websocket_session *w, const char *target)
{
	const char *q = strchr(target, '?');

	while (q && *q) {
		q++;
		size_t n = strcspn(q, "&");

		if (str_starts(q, "port=") && !take_ports(w, q + strlen("port="), n - strlen("port=")))
			return false;
		q += n;
	}
	return true;
}

bool request_take_websocket(struct session *s, const struct http1_head *h)
{
	const char *key = http1_header(h, "Sec-WebSocket-Key"), *version = http1_header(h, "Sec-WebSocket-Version");

	if (strcmp(h->method, "GET"))
		request_fail(s, 405, "WebSocket begins with GET\n");
	else if (!str_eq(version ? version : "", "13"))
		request_respond(s, 426, "Sec-WebSocket-Version: 13\r\n", "version 13 of WebSocket is spoken here\n");
	else if (!key || http1_header_n(h, "Sec-WebSocket-Key", 1) || !websocket_accept(key, s->ws.accept))
		request_fail(s, 400, "Sec-WebSocket-Key must be 16 bytes in base64\n");
	else if (!take_query(&s->ws, h->target))
		request_fail(s, 400, "the query's ports must be numbers from 1 to 65535, at most %d\n", STREAM_FORWARD_PORTS_MAX);
	else
		return true;
	s->ws.accept[0] = '\0';
	return false;
}

static bool allowed(const struct session *s, uint16_t port)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i] == port)
			return true;
	return !s->n_ports;
}

/* The query's, else those of the CRI request. */
bool request_check_ports(struct session *s)
{
	if (!s->ws.n_ports) {
		memcpy(s->ws.ports, s->ports, sizeof(s->ports));
		s->ws.n_ports = s->n_ports;
	}
	if (!s->ws.n_ports) {
		request_fail(s, 400, "the query must name the ports: ?port=8080\n");
		return false;
	}
	for (size_t i = 0; i < s->ws.n_ports; i++)
		if (!allowed(s, s->ws.ports[i])) {
			request_fail(s, 403, "port %u is not among those that were asked for\n", s->ws.ports[i]);
			return false;
		}
	return true;
}
