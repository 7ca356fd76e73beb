/* The SPDY/3.1 framing of a session (session.h): each channel is a stream that the client opens. */
#include "stream/server.h"

static void stream_opened(struct session *s, const struct spdy_event *e)
{
	struct channel_ask a = { .type = spdy_header(e, "streamtype"), .port = spdy_header(e, "port"),
				 .request = spdy_header(e, "requestid") };
	_buf_ struct buf b = BUF_INIT;
	bool ok = session_open_channel(s, e->id, &a);

	if (ok)
		spdy_reply(&s->spdy, &b, e->id);
	else
		spdy_reset(&b, e->id, SPDY_REFUSED_STREAM);
	session_send_buf(s, &b);
	if (!ok)
		return;
	if (e->fin)
		session_data(s, e->id, NULL, 0, true);
	s->service->opened(s);
}

static void take_event(struct session *s, const struct spdy_event *e)
{
	_buf_ struct buf b = BUF_INIT;

	switch (e->type) {
	case SPDY_SYN_STREAM:
		stream_opened(s, e);
		break;
	case SPDY_DATA:
		session_data(s, e->id, e->data, e->len, e->fin);
		break;
	case SPDY_RST_STREAM:
		session_reset(s, e->id);
		break;
	case SPDY_PING:
		if (spdy_ping_is_ours(&s->spdy, e->id))
			break;
		spdy_ping(&b, e->id);
		session_send_buf(s, &b);
		break;
	case SPDY_HEADERS:
		if (e->fin)
			session_data(s, e->id, NULL, 0, true);
		break;
	default: /* GOAWAY: it closes the connection when it is done. Windows are not used (spdy.h). */
		break;
	}
}

static struct err *spdy_input(struct session *s, char *p, size_t n)
{
	while (n && !s->broken && s->state != SESSION_END) {
		struct spdy_event e;
		size_t used;

		TRY(spdy_read(&s->spdy, p, n, &used, &e));
		p += used;
		n -= used;
		if (e.type != SPDY_NONE)
			take_event(s, &e);
	}
	return NULL;
}

static void spdy_send(struct channel *c, unsigned char *p, size_t n, bool fin)
{
	spdy_data_head(p - SPDY_DATA_HEAD_LEN, c->id, n, fin);
	session_send(c->session, p - SPDY_DATA_HEAD_LEN, SPDY_DATA_HEAD_LEN + n);
}

static void spdy_frames_reset(struct session *s, uint32_t id, bool refused)
{
	_buf_ struct buf b = BUF_INIT;

	spdy_reset(&b, id, refused ? SPDY_REFUSED_STREAM : SPDY_CANCEL);
	session_send_buf(s, &b);
}

static void spdy_frames_init(struct session *s)
{
	spdy_init(&s->spdy, true, s->server->inflater);
}

static void spdy_bye(struct session *s, bool fault)
{
	_buf_ struct buf b = BUF_INIT;

	spdy_go_away(&s->spdy, &b, fault);
	session_send_buf(s, &b);
}

static void spdy_frames_done(struct session *s)
{
	spdy_done(&s->spdy);
}

const struct framing spdy_framing = {
	.init = spdy_frames_init,
	.input = spdy_input,
	.send = spdy_send,
	.reset = spdy_frames_reset,
	.bye = spdy_bye,
	.done = spdy_frames_done,
};
