/* SPDY inside WebSocket messages (session.h): how clients carry port-forward over proxies that know no SPDY
 * (KEP-4006). Messages' bounds mean nothing. */
#include "stream/session.h"

static void tunnel_init(struct session *s)
{
	s->ws.frames = (struct websocket){ 0 };
	spdy_framing.init(s);
	s->tunnel = true;
}

static void control(struct session *s, const struct websocket_event *e)
{
	s->tunnel = e->type == WEBSOCKET_CLOSE; /* that one ends the streams first */
	websocket_control(s, e);
	s->tunnel = true;
}

static struct err *tunnel_input(struct session *s, char *p, size_t n)
{
	while (n && !s->broken && s->state != SESSION_END) {
		struct websocket_event e;
		size_t used;

		s->ws.fault = WEBSOCKET_PROTOCOL_ERROR;
		TRY(websocket_read(&s->ws.frames, p, n, &used, &e));
		if (e.type == WEBSOCKET_DATA) /* it lies in what was used */
			TRY(spdy_framing.input(s, p + (e.data - p), e.len));
		else if (e.type != WEBSOCKET_NONE)
			control(s, &e);
		p += used;
		n -= used;
		s->ws.fault = WEBSOCKET_INTERNAL;
	}
	return NULL;
}

static void tunnel_send(struct channel *c, unsigned char *p, size_t n, bool fin)
{
	spdy_framing.send(c, p, n, fin);
}

static void tunnel_reset(struct session *s, uint32_t id, bool refused)
{
	spdy_framing.reset(s, id, refused);
}

static void tunnel_bye(struct session *s, bool fault)
{
	s->tunnel = true;
	spdy_framing.bye(s, fault);
	s->tunnel = false;
	websocket_bye(s, fault);
}

static void tunnel_done(struct session *s)
{
	spdy_framing.done(s);
}

const struct framing tunnel_framing = {
	.init = tunnel_init,
	.input = tunnel_input,
	.send = tunnel_send,
	.reset = tunnel_reset,
	.bye = tunnel_bye,
	.done = tunnel_done,
};
