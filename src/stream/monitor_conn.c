/* A session's connection to the pod's monitor (session.h). */
#include "stream/server.h"

#include <sys/epoll.h>

static void ready(struct watch *w, uint32_t events)
{
	struct monitor_conn *c = container_of(w, struct monitor_conn, w);
	struct session *s = c->session;
	struct message m;
	bool eof = false;
	struct err *e = message_recv(w->fd, 0, &m, &eof);

	(void)events;
	if (err_is(e, ERR_TIMEOUT)) {
		err_free(e);
		return;
	}
	if (e || eof) {
		c->lost = true;
		watch_close(&s->server->loop, w);
	} else {
		c->take(s, &m);
	}
	message_close_fds(&m);
	err_free(e);
	if (s->service)
		c->changed(s);
	session_settle(s);
}

void monitor_conn_init(struct monitor_conn *c, struct session *s, void (*take)(struct session *, struct message *),
		       void (*changed)(struct session *))
{
	*c = (struct monitor_conn){ .w.fd = -1, .session = s, .take = take, .changed = changed };
}

void monitor_conn_attach(struct monitor_conn *c, int fd)
{
	watch_init(&c->w, fd, ready);
	watch_set(&c->session->server->loop, &c->w, EPOLLIN);
}

struct err *monitor_conn_send(struct monitor_conn *c, const struct message *m)
{
	return c->w.fd < 0 ? err_new(ERR_UNAVAILABLE, "the pod's monitor ended") : message_send(c->w.fd, m);
}

void monitor_conn_done(struct monitor_conn *c)
{
	if (c->session)
		watch_close(&c->session->server->loop, &c->w);
}
