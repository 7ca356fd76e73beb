/* The HTTP part of a session (session.h): one request, one token, one upgrade. */
#include "base/str.h"
#include "stream/server.h"
#include "wire/http1.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEAD_MAX KIB(16)   /* the kubelet's requests have a few hundred bytes */

static const char *const remote_protocols[] = { "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io",
						"channel.k8s.io", NULL };
static const char *const forward_protocols[] = { "portforward.k8s.io", NULL };

static const char *const *protocols(const struct session *s)
{
	return s->kind == STREAM_FORWARD ? forward_protocols : remote_protocols;
}

static const char *reason(int status)
{
	static const struct { int status; const char *text; } t[] = {
		{ 400, "Bad Request" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 431, "Request Header Fields Too Large" }, { 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (t[i].status == status)
			return t[i].text;
	return "Internal Server Error";
}

static void respond(struct session *s, int status, const char *headers, const char *text)
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
	respond(s, status, "", text);
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

static int find_protocol(const char *const *ours, const char *word, size_t n)
{
	for (int i = 0; ours[i]; i++)
		if (strlen(ours[i]) == n && !strncmp(ours[i], word, n))
			return i;
	return -1;
}

/* The client's first choice that we speak, as an index; -1: none. Clients from before the negotiation
 * send nothing and mean the oldest. */
static int negotiate(const struct session *s, const struct http1_head *h)
{
	const char *const *ours = protocols(s);
	const char *v;

	if (!http1_header(h, "X-Stream-Protocol-Version"))
		return s->kind == STREAM_FORWARD ? 0 : 3;
	for (size_t i = 0; (v = http1_header_n(h, "X-Stream-Protocol-Version", i)); i++)
		while (*v) {
			v += strspn(v, ", \t");
			size_t n = strcspn(v, ", \t");
			int found = n ? find_protocol(ours, v, n) : -1;

			if (found >= 0)
				return found;
			v += n;
		}
	return -1;
}

static void refuse_protocol(struct session *s)
{
	_buf_ struct buf headers = BUF_INIT;

	for (const char *const *p = protocols(s); *p; p++)
		buf_printf(&headers, "X-Accepted-Stream-Protocol-Versions: %s\r\n", *p);
	respond(s, 403, buf_text(&headers), "unable to upgrade: none of the protocol versions asked for is spoken here\n");
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
	} else if (!http1_header_has(h, "Connection", "upgrade") || !http1_header_has(h, "Upgrade", "SPDY/3.1")) {
		request_fail(s, 400, "unable to upgrade: SPDY/3.1 is spoken here (Connection: Upgrade, Upgrade: SPDY/3.1)\n");
	} else if (has_body(h)) {
		request_fail(s, 400, "a request with a body can't be upgraded\n");
	} else {
		int found = negotiate(s, h);

		s->version = 4 - (unsigned int)MAX(found, 0);
		if (found < 0)
			refuse_protocol(s);
		else
			claim(s, token);
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

void request_claimed(struct session *s, struct message *m, struct err *e)
{
	if (e) {
		request_fail(s, err_is(e, ERR_NOT_FOUND) ? 404 : 503, "%s\n", err_text(e));
		err_free(e);
		return;
	}
	take_claim(s, m);
	_free_ char *reply = base_printf("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
					 "X-Stream-Protocol-Version: %s\r\n\r\n",
					 protocols(s)[4 - s->version]);

	session_send(s, reply, strlen(reply));
	s->framing = &spdy_framing;
	spdy_init(&s->spdy, true, s->server->inflater);
	s->state = SESSION_CHANNELS;
	session_set_patience(s, STREAM_CREATION_S);
	s->service = s->kind == STREAM_FORWARD ? &forward_service : &exec_service;
	s->service->begin(s);
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
