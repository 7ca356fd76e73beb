#include "stream/server.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ACCEPTS_A_ROUND 16
#define ACCEPT_AGAIN_S  1    /* after the process ran out of descriptors */

static struct session *find_session(struct server *srv, uint32_t number)
{
	list_each(it, &srv->sessions) {
		struct session *s = container_of(it, struct session, item);

		if (s->number == number)
			return s;
	}
	return NULL;
}

bool server_ask(struct server *srv, const struct message *m)
{
	if (srv->link.fd < 0)
		return false;
	struct err *e = message_send(srv->link.fd, m);

	if (!e)
		return true;
	log_warn("ask the runtime: %s", err_text(e));
	err_free(e);
	return false;
}

void server_session_gone(struct server *srv)
{
	srv->n_sessions--;
	watch_set(&srv->loop, &srv->listener, EPOLLIN);
}

/* The client of a claim went away before its answer came. */
static void give_back(struct server *srv, struct message *answer)
{
	uint64_t handle = message_u64(answer, STREAM_TAG_HANDLE);
	struct message m;

	if (answer->type != STREAM_CLAIM || !handle)
		return;
	message_init(&m, STREAM_DROP, 0);
	message_put_u64(&m, STREAM_TAG_HANDLE, handle);
	server_ask(srv, &m);
}

static void take_answer(struct server *srv, struct message *m)
{
	struct session *s = find_session(srv, m->id);
	struct err *e = message_take_err(m);

	if (s && m->type == STREAM_CLAIM && s->state == SESSION_CLAIM) {
		request_claimed(s, m, e);
	} else if (s && m->type == STREAM_START && s->state == SESSION_START) {
		s->service->started(s, m, e);
	} else {
		give_back(srv, m);
		err_free(e);
	}
	message_close_fds(m);
	if (s)
		session_settle(s);
}

/* Serve is gone: what runs goes on, nothing new can be begun. */
static void link_lost(struct server *srv)
{
	watch_close(&srv->loop, &srv->link);
	watch_close(&srv->loop, &srv->listener);
	list_each(it, &srv->sessions)
		session_link_lost(container_of(it, struct session, item));
}

static void link_ready(struct watch *w, uint32_t events)
{
	struct server *srv = container_of(w, struct server, link);
	struct message m;
	bool eof = false;
	struct err *e = message_recv(w->fd, 0, &m, &eof);

	(void)events;
	if (err_is(e, ERR_TIMEOUT)) {
		err_free(e);
	} else if (e || eof) {
		if (e)
			log_error("link to the runtime: %s", err_text(e));
		err_free(e);
		link_lost(srv);
	} else {
		take_answer(srv, &m);
	}
}

static void listener_ready(struct watch *w, uint32_t events)
{
	struct server *srv = container_of(w, struct server, listener);

	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		if (srv->n_sessions >= STREAM_SESSIONS_MAX) {
			log_warn("%d streaming sessions: more clients have to wait", STREAM_SESSIONS_MAX);
			watch_set(&srv->loop, w, 0);
			return;
		}
		int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			session_settle(session_new(srv, fd));
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn("accept a streaming client: %s", strerror(errno));
			watch_set(&srv->loop, w, 0);
			srv->next_deadline_ns = MIN(srv->next_deadline_ns, clock_mono_ns() + ACCEPT_AGAIN_S * NS_PER_S);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void expire_sessions(struct server *srv)
{
	int64_t now = clock_mono_ns(), next = INT64_MAX;

	srv->next_deadline_ns = INT64_MAX;
	list_each(it, &srv->sessions) {
		struct session *s = container_of(it, struct session, item);

		if (MIN(s->deadline_ns, s->alarm_ns) <= now)
			session_expired(s, now);
		if (s->w.fd >= 0)
			next = MIN(next, MIN(s->deadline_ns, s->alarm_ns));
	}
	srv->next_deadline_ns = MIN(srv->next_deadline_ns, next);
	if (srv->n_sessions < STREAM_SESSIONS_MAX)
		watch_set(&srv->loop, &srv->listener, EPOLLIN);
}

static struct err *run(struct server *srv)
{
	while (srv->link.fd >= 0 || !list_empty(&srv->sessions)) {
		TRY(loop_round(&srv->loop, srv->next_deadline_ns));
		if (srv->next_deadline_ns <= clock_mono_ns())
			expire_sessions(srv);
	}
	return NULL;
}

struct err *server_run(int link, int listener)
{
	struct server srv = { .next_deadline_ns = INT64_MAX };

	list_init(&srv.sessions);
	watch_init(&srv.link, link, link_ready);
	watch_init(&srv.listener, listener, listener_ready);
	struct err *e = loop_init(&srv.loop);

	if (!e) {
		srv.inflater = spdy_inflater_new();
		srv.in = base_alloc(STREAM_CHUNK);
		srv.out = base_alloc(STREAM_HEAD_ROOM + STREAM_CHUNK);
		watch_set(&srv.loop, &srv.link, EPOLLIN);
		watch_set(&srv.loop, &srv.listener, EPOLLIN);
		e = run(&srv);
	}
	list_each(it, &srv.sessions) { /* only after an error of epoll itself */
		struct session *s = container_of(it, struct session, item);

		s->broken = true;
		session_settle(s);
	}
	watch_close(&srv.loop, &srv.link);
	watch_close(&srv.loop, &srv.listener);
	loop_done(&srv.loop);
	spdy_inflater_free(srv.inflater);
	free(srv.in);
	free(srv.out);
	return e;
}
