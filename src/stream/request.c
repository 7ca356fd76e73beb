/* The HTTP part of a session (session.h): one request, one token, one upgrade. */
#include "base/str.h"
#include "stream/server.h"
#include "wire/http1.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEAD_MAX KIB(16)   /* the kubelet's requests have a few hundred bytes */

/* What we speak, best first; the nameless are what a client means that asks for none. */
static const struct stream_protocol spdy_remote[] = {
	{ "v4.channel.k8s.io", &spdy_framing, 4, false, false },
	{ "v3.channel.k8s.io", &spdy_framing, 3, false, false },
	{ "v2.channel.k8s.io", &spdy_framing, 2, false, false },
	{ "channel.k8s.io", &spdy_framing, 1, false, false },
	{ 0 },
};
static const struct stream_protocol spdy_forward[] = {
	{ "portforward.k8s.io", &spdy_framing, 4, false, false },
	{ 0 },
};
static const struct stream_protocol websocket_remote[] = {
	{ "v5.channel.k8s.io", &websocket_framing, 4, false, true },
	{ "v4.channel.k8s.io", &websocket_framing, 4, false, false },
	{ "v4.base64.channel.k8s.io", &websocket_framing, 4, true, false },
	{ "channel.k8s.io", &websocket_framing, 1, false, false },
	{ "base64.channel.k8s.io", &websocket_framing, 1, true, false },
	{ "", &websocket_framing, 1, false, false },
	{ 0 },
};
static const struct stream_protocol websocket_forward[] = {
	{ "SPDY/3.1+portforward.k8s.io", &tunnel_framing, 4, false, false },
	{ "v4.channel.k8s.io", &websocket_framing, 4, false, false },
	{ "v4.base64.channel.k8s.io", &websocket_framing, 4, true, false },
	{ "", &websocket_framing, 4, false, false },
	{ 0 },
};

static bool is_websocket(const struct session *s)
{
	return s->ws.accept[0] != '\0';
}

static const struct stream_protocol *protocols(const struct session *s)
{
	if (is_websocket(s))
		return s->kind == STREAM_FORWARD ? websocket_forward : websocket_remote;
	return s->kind == STREAM_FORWARD ? spdy_forward : spdy_remote;
}

static const char *reason(int status)
{
	static const struct { int status; const char *text; } t[] = {
		{ 400, "Bad Request" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 426, "Upgrade Required" }, { 431, "Request Header Fields Too Large" }, { 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (t[i].status == status)
			return t[i].text;
	return "Internal Server Error";
}

void request_respond(struct session *s, int status, const char *headers, const char *text)
{
	_free_ char *all = base_printf("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
				       "Content-Length: %zu\r\nConnection: close\r\n%s\r\n%s",
				       status, reason(status), strlen(text), headers, text);

	session_send(s, all, strlen(all));
	session_finish(s, false);
}

void request_fail(struct session *s, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	request_respond(s, status, "", text);
}

/* /exec/TOKEN, /attach/TOKEN, /portforward/TOKEN, with or without a query. */
static const char *parse_target(const char *target, enum stream_kind *ret_kind)
{
	static const struct { const char *prefix; enum stream_kind kind; } t[] = {
		{ "/exec/", STREAM_EXEC }, { "/attach/", STREAM_ATTACH }, { "/portforward/", STREAM_FORWARD },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		if (!str_starts(target, t[i].prefix))
			continue;
		const char *token = target + strlen(t[i].prefix);

		*ret_kind = t[i].kind;
		return strcspn(token, "?") == STREAM_TOKEN_LEN ? token : NULL;
	}
	return NULL;
}

static const struct stream_protocol *find_protocol(const struct stream_protocol *p, const char *word, size_t n)
{
	for (; p->name; p++)
		if (strlen(p->name) == n && !strncmp(p->name, word, n))
			return p;
	return NULL;
}

/* Clients from before the negotiation send nothing and mean the oldest: the last in the table. */
static const struct stream_protocol *oldest(const struct stream_protocol *p)
{
	while (p[1].name)
		p++;
	return p;
}

/* The client's first choice that we speak; NULL: none. */
static const struct stream_protocol *negotiate(const struct session *s, const struct http1_head *h)
{
	const char *header = is_websocket(s) ? "Sec-WebSocket-Protocol" : "X-Stream-Protocol-Version", *v;
	const struct stream_protocol *ours = protocols(s);

	if (!http1_header(h, header))
		return oldest(ours);
	for (size_t i = 0; (v = http1_header_n(h, header, i)); i++)
		while (*v) {
			v += strspn(v, ", \t");
			size_t n = strcspn(v, ", \t");
			const struct stream_protocol *found = n ? find_protocol(ours, v, n) : NULL;

			if (found)
				return found;
			v += n;
		}
	return NULL;
}

static void refuse_protocol(struct session *s)
{
	_buf_ struct buf headers = BUF_INIT;

	for (const struct stream_protocol *p = protocols(s); p->name && !is_websocket(s); p++)
		buf_printf(&headers, "X-Accepted-Stream-Protocol-Versions: %s\r\n", p->name);
	request_respond(s, 403, buf_text(&headers), "unable to upgrade: none of the protocol versions asked for is spoken here\n");
}

static bool has_body(const struct http1_head *h)
{
	struct http1_body b;
	struct err *e = http1_body_begin(&b, h, false);
	bool has = e || !b.done;

	err_free(e);
	return has;
}

static void claim(struct session *s, const char *token)
{
	char text[STREAM_TOKEN_LEN + 1];
	struct message m;

	memcpy(text, token, STREAM_TOKEN_LEN);
	text[STREAM_TOKEN_LEN] = '\0';
	message_init(&m, STREAM_CLAIM, s->number);
	message_put_u64(&m, STREAM_TAG_KIND, s->kind);
	message_put_str(&m, STREAM_TAG_TOKEN, text);
	s->state = SESSION_CLAIM;
	session_set_patience(s, STREAM_REQUEST_S);
	if (!server_ask(s->server, &m))
		request_fail(s, 503, "the runtime is restarting\n");
}

static void take_request(struct session *s, const struct http1_head *h)
{
	const char *token = parse_target(h->target, &s->kind);

	if (strcmp(h->method, "GET") && strcmp(h->method, "POST")) {
		request_fail(s, 405, "only GET and POST\n");
	} else if (!token) {
		request_fail(s, 404, "no such request: the URL is good once and for %d seconds\n", STREAM_TOKEN_TTL_S);
	} else if (!request_is_websocket(h) &&
		   (!http1_header_has(h, "Connection", "upgrade") || !http1_header_has(h, "Upgrade", "SPDY/3.1"))) {
		request_fail(s, 400, "unable to upgrade: SPDY/3.1 and WebSocket are spoken here (Connection: Upgrade, "
				     "Upgrade: SPDY/3.1 or websocket)\n");
	} else if (has_body(h)) {
		request_fail(s, 400, "a request with a body can't be upgraded\n");
	} else if (!request_is_websocket(h) || request_take_websocket(s, h)) {
		s->protocol = negotiate(s, h);
		if (s->protocol)
			claim(s, token);
		else
			refuse_protocol(s);
	}
}

void request_input(struct session *s, const char *p, size_t n)
{
	s->head.max = HEAD_MAX + STREAM_CHUNK; /* what follows the head comes along in the same read */
	buf_append(&s->head, p, n);
	size_t len = s->head.len ? http1_head_len(s->head.data, s->head.len) : 0;
	struct http1_head h;

	if (len > HEAD_MAX || (!len && s->head.len > HEAD_MAX)) {
		request_fail(s, 431, "more than %zu bytes of request\n", HEAD_MAX);
		return;
	}
	if (!len)
		return;
	struct err *e = http1_parse_request(s->head.data, len, &h);

	if (e)
		request_fail(s, 400, "%s\n", err_text(e));
	else
		take_request(s, &h);
	err_free(e);
	buf_consume(&s->head, len);
}

static void take_claim(struct session *s, struct message *m)
{
	size_t len;
	const void *port;

	s->handle = message_u64(m, STREAM_TAG_HANDLE);
	s->flags = (unsigned int)message_u64(m, STREAM_TAG_FLAGS);
	s->pod = base_strdup(message_str(m, STREAM_TAG_POD));
	while (s->n_ports < STREAM_FORWARD_PORTS_MAX &&
	       (port = message_get(m, STREAM_TAG_PORT, s->n_ports, &len)) && len == sizeof(uint64_t)) {
		uint64_t v;

		memcpy(&v, port, sizeof(v));
		s->ports[s->n_ports++] = (uint16_t)v;
	}
}

static void say_yes(struct session *s)
{
	_buf_ struct buf b = BUF_INIT;

	buf_puts(&b, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
	if (!is_websocket(s))
		buf_printf(&b, "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: %s\r\n", s->protocol->name);
	else
		buf_printf(&b, "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n", s->ws.accept);
	if (is_websocket(s) && *s->protocol->name)
		buf_printf(&b, "Sec-WebSocket-Protocol: %s\r\n", s->protocol->name);
	buf_puts(&b, "\r\n");
	session_send_buf(s, &b);
}

void request_claimed(struct session *s, struct message *m, struct err *e)
{
	if (e) {
		request_fail(s, err_is(e, ERR_NOT_FOUND) ? 404 : 503, "%s\n", err_text(e));
		err_free(e);
		return;
	}
	take_claim(s, m);
	if (is_websocket(s) && s->kind == STREAM_FORWARD && s->protocol->framing->fixed && !request_check_ports(s))
		return;
	say_yes(s);
	s->framing = s->protocol->framing;
	s->framing->init(s);
	s->state = SESSION_CHANNELS;
	session_set_patience(s, STREAM_CREATION_S);
	s->service = s->kind == STREAM_FORWARD ? &forward_service : &exec_service;
	s->service->begin(s);
	if (s->framing->open && s->state != SESSION_END)
		s->framing->open(s);
	if (s->state == SESSION_END || !s->head.len) {
		buf_done(&s->head);
		return;
	}
	_buf_ struct buf early = s->head; /* frames that came with the request */

	s->head = (struct buf)BUF_INIT;
	e = s->framing->input(s, early.data, early.len);
	if (e)
		session_finish(s, true);
	err_free(e);
}
