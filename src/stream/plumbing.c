/* Sinks and sources (session.h): between a session's channels and descriptors. */
#include "stream/session.h"

#include "stream/server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void keep_small(struct buf *b)
{
	if (!b->len && b->cap > KIB(4))
		buf_done(b);
}

static void sink_count(struct sink *k)
{
	bool stalls = k->pending.len >= STREAM_SINK_HIGH;

	if (stalls != k->stalls)
		k->session->stalled += stalls ? 1u : -1u;
	k->stalls = stalls;
}

static void sink_break(struct sink *k)
{
	k->broken = true;
	if (!k->socket) /* a socket's other direction may go on */
		watch_close(&k->session->server->loop, &k->w);
}

/* How much of it the descriptor took; all when nobody reads any more. */
static size_t sink_put(struct sink *k, const char *p, size_t n)
{
	size_t done = 0;

	while (done < n && k->w.fd >= 0 && !k->broken) {
		ssize_t did = k->socket ? send(k->w.fd, p + done, n - done, MSG_NOSIGNAL)
					: write(k->w.fd, p + done, n - done);

		if (did >= 0)
			done += (size_t)did;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			sink_break(k);
	}
	return k->broken ? n : done;
}

/* Writes what it can; what is left waits for EPOLLOUT. */
static void sink_flush(struct sink *k)
{
	struct loop *l = &k->session->server->loop;

	if (k->pending.len)
		buf_consume(&k->pending, sink_put(k, k->pending.data, k->pending.len));
	keep_small(&k->pending);
	sink_count(k);
	watch_set(l, &k->w, k->pending.len ? EPOLLOUT : 0);
	if (!k->pending.len && k->ending && k->w.fd >= 0) {
		if (k->socket)
			shutdown(k->w.fd, SHUT_WR);
		watch_close(l, &k->w);
	}
}

static void sink_ready(struct watch *w, uint32_t events)
{
	struct sink *k = container_of(w, struct sink, w);

	(void)events;
	session_touch(k->session);
	sink_flush(k);
	if (k->over && sink_is_over(k))
		k->over(k);
	session_settle(k->session);
}

void sink_init(struct sink *k, struct session *s)
{
	*k = (struct sink){ .w.fd = -1, .session = s };
}

void sink_attach(struct sink *k, int fd, bool socket)
{
	watch_init(&k->w, fd, sink_ready);
	k->socket = socket;
	sink_flush(k);
}

void sink_write(struct sink *k, const char *p, size_t n)
{
	if (k->broken || k->ending || !n)
		return;
	if (!k->pending.len) {
		size_t did = sink_put(k, p, n);

		p += did;
		n -= did;
	}
	if (n)
		buf_append(&k->pending, p, n);
	sink_flush(k);
}

void sink_end(struct sink *k)
{
	k->ending = true;
	sink_flush(k);
}

void sink_done(struct sink *k)
{
	if (!k->session)
		return;
	watch_close(&k->session->server->loop, &k->w);
	buf_done(&k->pending);
	sink_count(k);
	k->ending = true;
}

bool sink_is_over(const struct sink *k)
{
	return k->broken || (k->ending && !k->pending.len);
}

static void source_ready(struct watch *w, uint32_t events)
{
	struct source *o = container_of(w, struct source, w);
	struct session *s = o->session;
	unsigned char *to = s->server->out + STREAM_HEAD_ROOM;
	ssize_t n = read(w->fd, to, STREAM_CHUNK);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	session_touch(s);
	if (n > 0) {
		if (o->channel)
			channel_send(o->channel, to, (size_t)n, false);
	} else {
		/* The master of a terminal whose last user has gone says EIO (tty_ioctl, pty(7)). */
		int errnum = n < 0 && errno != EIO ? errno : 0;

		watch_close(&s->server->loop, &o->w);
		o->ended(o, errnum);
	}
	session_settle(s);
}

void source_init(struct source *o, struct session *s, void (*ended)(struct source *, int))
{
	*o = (struct source){ .w.fd = -1, .session = s, .ended = ended };
}

void source_attach(struct source *o, struct channel *c, int fd)
{
	watch_init(&o->w, fd, source_ready);
	o->channel = c;
	source_pause(o, o->session->paused);
}

void source_pause(struct source *o, bool pause)
{
	watch_set(&o->session->server->loop, &o->w, pause ? 0 : EPOLLIN);
}

void source_done(struct source *o)
{
	if (o->session)
		watch_close(&o->session->server->loop, &o->w);
}
