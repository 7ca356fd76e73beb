/* Channels (session.h): between a framing, which knows numbers, and a service, which knows meanings. */
#include "stream/session.h"

#include "stream/server.h"

#include <string.h>

struct channel *session_channel(struct session *s, uint32_t id)
{
	list_each(it, &s->channels) {
		struct channel *c = container_of(it, struct channel, item);

		if (c->id == id)
			return c;
	}
	return NULL;
}

void channel_free(struct channel *c)
{
	list_remove(&c->item);
	c->session->n_channels--;
	loop_free(&c->session->server->loop, c);
}

bool session_open_channel(struct session *s, uint32_t id, const struct channel_ask *a)
{
	if (s->n_channels >= STREAM_CHANNELS_MAX)
		return false;
	struct channel *c = base_alloc(sizeof(*c));

	c->session = s;
	c->id = id;
	list_push_back(&s->channels, &c->item);
	s->n_channels++;
	if (s->service->open(s, c, a))
		return true;
	channel_free(c);
	return false;
}

void session_data(struct session *s, uint32_t id, const char *p, size_t n, bool fin)
{
	struct channel *c = session_channel(s, id);

	if (!c || c->peer_done) /* reset by us a moment ago, most likely */
		return;
	if (n)
		s->service->data(s, c, p, n);
	if (!fin || s->state == SESSION_END || !(c = session_channel(s, id)))
		return;
	c->peer_done = true;
	s->service->fin(s, c);
}

void session_reset(struct session *s, uint32_t id)
{
	struct channel *c = session_channel(s, id);

	if (!c)
		return;
	c->peer_done = c->own_done = true;
	s->service->reset(s, c);
}

void channel_send(struct channel *c, unsigned char *p, size_t n, bool fin)
{
	if (c->own_done || (!n && !fin))
		return;
	c->own_done = fin;
	c->session->framing->send(c, p, n, fin);
}

void channel_send_text(struct channel *c, const char *text, bool fin)
{
	size_t n = MIN(strlen(text), STREAM_CHUNK);
	unsigned char *p = base_alloc(STREAM_HEAD_ROOM + n);

	memcpy(p + STREAM_HEAD_ROOM, text, n);
	channel_send(c, p + STREAM_HEAD_ROOM, n, fin);
	free(p);
}

void channel_fin(struct channel *c)
{
	unsigned char room[STREAM_HEAD_ROOM];

	channel_send(c, room + STREAM_HEAD_ROOM, 0, true);
}

void channel_reset(struct channel *c)
{
	if (!c->own_done || !c->peer_done)
		c->session->framing->reset(c->session, c->id, false);
	c->own_done = c->peer_done = true;
}
