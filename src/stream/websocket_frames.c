/* The WebSocket framing of a session (session.h): each message begins with its channel's number
 * (k8s.io/streaming wsstream, k8s.io/apimachinery remotecommand).
 *
 * Remote commands: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize. Forwards: 2 i data and 2 i + 1 error of the i-th
 * port, on each of which the port's number comes first, little-endian. In version 5 the message "255, N" ends
 * channel N of the client's. "base64": the number is a digit, the payload base64, all of it text.
 */
#include "stream/session.h"

#include "wire/http1_socket.h"

#include <stdio.h>
#include <string.h>

#define CLOSE_SIGNAL 255
#define DECODED_MAX  3072

static void send_message(struct session *s, const void *p, size_t n)
{
	unsigned char head[WEBSOCKET_HEAD_MAX];

	session_send(s, head, websocket_head(head, s->protocol->base64 ? WEBSOCKET_OP_TEXT : WEBSOCKET_OP_BINARY, n));
	session_send(s, p, n);
}

static void websocket_send(struct channel *c, unsigned char *p, size_t n, bool fin)
{
	struct session *s = c->session;
	unsigned char head[WEBSOCKET_HEAD_MAX];

	(void)fin; /* has no form in this framing: the status or the connection's end says it */
	if (!n)
		return;
	if (s->protocol->base64) {
		_free_ char *text = http1_base64(p, n);
		_free_ char *message = base_printf("%c%s", '0' + (int)c->id, text);

		send_message(s, message, strlen(message));
		return;
	}
	size_t len = websocket_head(head, WEBSOCKET_OP_BINARY, n + 1);

	*--p = (unsigned char)c->id;
	p -= len;
	memcpy(p, head, len);
	session_send(s, p, len + 1 + n);
}

static void websocket_init(struct session *s)
{
	s->ws.frames = (struct websocket){ 0 };
	s->ws.channel = s->ws.closes = -1;
}

/* ---- the channels, which are there from the beginning ---- */

static void open_remote(struct session *s)
{
	static const char *const types[] = { "stdin", "stdout", "stderr", "error", "resize" };
	uint32_t say = 3;

	for (uint32_t i = 0; i < ARRAY_LEN(types); i++)
		if (session_open_channel(s, i, &(struct channel_ask){ .type = types[i] }) && (i == 1 || i == 2))
			say = MIN(say, i);
	/* Clients of before version 4 wait for a first message as the sign that all is well. */
	const char hello = (char)(s->protocol->base64 ? '0' + say : say);

	send_message(s, &hello, 1);
	s->service->opened(s);
}

static void open_forward(struct session *s)
{
	for (size_t i = 0; i < s->ws.n_ports && s->state != SESSION_END; i++) {
		char port[8], request[24];
		unsigned char room[STREAM_HEAD_ROOM + 2];
		const struct channel_ask data = { "data", port, request }, error = { "error", port, request };

		snprintf(port, sizeof(port), "%u", s->ws.ports[i]);
		snprintf(request, sizeof(request), "%zu", i);
		session_open_channel(s, (uint32_t)(2 * i), &data);
		session_open_channel(s, (uint32_t)(2 * i + 1), &error);
		for (uint32_t k = 0; k < 2; k++) {
			struct channel *c = session_channel(s, (uint32_t)(2 * i + k));

			room[STREAM_HEAD_ROOM] = (unsigned char)s->ws.ports[i];
			room[STREAM_HEAD_ROOM + 1] = (unsigned char)(s->ws.ports[i] >> 8);
			if (c)
				channel_send(c, room + STREAM_HEAD_ROOM, 2, false);
		}
	}
	s->service->opened(s);
}

static void websocket_open(struct session *s)
{
	if (s->kind == STREAM_FORWARD)
		open_forward(s);
	else
		open_remote(s);
}

/* ---- input ---- */

static int base64_value(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 :
	       c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bytes of four characters, the last two of which may be padding; 0: there is none of that kind. */
static size_t decode_quad(const unsigned char q[4], char ret[3])
{
	size_t n = q[3] != '=' ? 3 : q[2] != '=' ? 2 : 1;
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int six = i <= n ? base64_value(q[i]) : 0;

		if (six < 0)
			return 0;
		v = v << 6 | (uint32_t)six;
	}
	for (size_t i = 0; i < n; i++)
		ret[i] = (char)(v >> (16 - 8 * i));
	return n;
}

static struct err *bad_text(struct session *s)
{
	s->ws.fault = WEBSOCKET_BAD_DATA;
	return err_new(ERR_INVALID, "websocket: a message that is not base64");
}

static struct err *take_base64(struct session *s, const char *p, size_t n, bool end)
{
	struct websocket_session *w = &s->ws;
	char room[DECODED_MAX];
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (w->padded)
			return bad_text(s);
		w->quad[w->n_quad++] = (unsigned char)p[i];
		if (w->n_quad < 4)
			continue;
		size_t did = decode_quad(w->quad, room + len);

		if (!did)
			return bad_text(s);
		w->padded = did < 3;
		w->n_quad = 0;
		len += did;
		if (len + 3 > sizeof(room)) {
			session_data(s, (uint32_t)w->channel, room, len, false);
			len = 0;
		}
	}
	if (len)
		session_data(s, (uint32_t)w->channel, room, len, false);
	return end && w->n_quad ? bad_text(s) : NULL;
}

/* "255, N". */
static struct err *take_close_signal(struct session *s, const struct websocket_event *e, const char *p, size_t n)
{
	if (n > 1 || (n && s->ws.closes >= 0) || (e->end && !n && s->ws.closes < 0)) {
		s->ws.fault = WEBSOCKET_PROTOCOL_ERROR;
		return err_new(ERR_INVALID, "websocket: one channel's number must follow the signal to close it");
	}
	if (n)
		s->ws.closes = (unsigned char)*p;
	if (e->end)
		session_data(s, (uint32_t)s->ws.closes, NULL, 0, true);
	return NULL;
}

static struct err *take_data(struct session *s, const struct websocket_event *e)
{
	struct websocket_session *w = &s->ws;
	const char *p = e->data;
	size_t n = e->len;

	if (e->begin) {
		w->channel = w->closes = -1;
		w->n_quad = 0;
		w->padded = false;
	}
	if (w->channel < 0) {
		if (!n)
			return NULL;
		w->channel = (unsigned char)(*p - (s->protocol->base64 ? '0' : 0));
		p++;
		n--;
	}
	if (s->protocol->half_close && w->channel == CLOSE_SIGNAL)
		return take_close_signal(s, e, p, n);
	if (s->protocol->base64)
		return take_base64(s, p, n, e->end);
	if (n)
		session_data(s, (uint32_t)w->channel, p, n, false);
	return NULL;
}

void websocket_control(struct session *s, const struct websocket_event *e)
{
	unsigned char frame[WEBSOCKET_HEAD_MAX + WEBSOCKET_CONTROL_MAX];

	if (e->type == WEBSOCKET_CLOSE)
		session_finish(s, false);
	if (e->type != WEBSOCKET_PING)
		return;
	size_t head = websocket_head(frame, WEBSOCKET_OP_PONG, e->len);

	memcpy(frame + head, e->data, e->len);
	session_send(s, frame, head + e->len);
}

static struct err *websocket_input(struct session *s, char *p, size_t n)
{
	while (n && !s->broken && s->state != SESSION_END) {
		struct websocket_event e;
		size_t used;

		s->ws.fault = WEBSOCKET_PROTOCOL_ERROR;
		TRY(websocket_read(&s->ws.frames, p, n, &used, &e));
		p += used;
		n -= used;
		if (e.type == WEBSOCKET_DATA)
			TRY(take_data(s, &e));
		else if (e.type != WEBSOCKET_NONE)
			websocket_control(s, &e);
		s->ws.fault = WEBSOCKET_INTERNAL;
	}
	return NULL;
}

/* No stream can be reset alone. */
static void websocket_reset(struct session *s, uint32_t id, bool refused)
{
	(void)s;
	(void)id;
	(void)refused;
}

void websocket_bye(struct session *s, bool fault)
{
	unsigned int code = !fault ? WEBSOCKET_NORMAL : s->ws.fault ? s->ws.fault : WEBSOCKET_INTERNAL;
	unsigned char frame[WEBSOCKET_HEAD_MAX + 2];
	size_t head = websocket_head(frame, WEBSOCKET_OP_CLOSE, 2);

	frame[head] = (unsigned char)(code >> 8);
	frame[head + 1] = (unsigned char)code;
	session_send(s, frame, head + 2);
}

static void websocket_done(struct session *s)
{
	(void)s;
}

const struct framing websocket_framing = {
	.fixed = true,
	.init = websocket_init,
	.open = websocket_open,
	.input = websocket_input,
	.send = websocket_send,
	.reset = websocket_reset,
	.bye = websocket_bye,
	.done = websocket_done,
};
