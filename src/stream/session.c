#include "stream/session.h"

#include "base/clock.h"
#include "base/log.h"
#include "stream/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define OUT_HIGH STREAM_CHUNK   /* past it, no input is taken: a peer's PINGs must not grow our answer */

void session_touch(struct session *s)
{
	s->deadline_ns = clock_mono_ns() + s->patience_s * NS_PER_S;
	s->server->next_deadline_ns = MIN(s->server->next_deadline_ns, s->deadline_ns);
}

void session_set_alarm(struct session *s, int64_t at_ns)
{
	s->alarm_ns = at_ns;
	s->server->next_deadline_ns = MIN(s->server->next_deadline_ns, at_ns);
}

void session_set_patience(struct session *s, int64_t seconds)
{
	s->patience_s = seconds;
	session_touch(s);
}

static bool wants_input(const struct session *s)
{
	return s->state != SESSION_CLAIM && !s->stalled && s->out.len < OUT_HIGH;
}

static void flush_out(struct session *s)
{
	while (s->out.len && !s->broken) {
		ssize_t n = send(s->w.fd, s->out.data, s->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno != EINTR)
			s->broken = true;
		if (n > 0)
			buf_consume(&s->out, (size_t)n);
	}
	if (s->out.cap > KIB(4))
		buf_done(&s->out);
}

static void send_now(struct session *s, const void *p, size_t n)
{
	size_t done = 0;

	while (!s->out.len && done < n && !s->broken) {
		ssize_t did = send(s->w.fd, (const char *)p + done, n - done, MSG_NOSIGNAL);

		if (did >= 0)
			done += (size_t)did;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			s->broken = true;
	}
	if (done < n && !s->broken)
		buf_append(&s->out, (const char *)p + done, n - done);
}

void session_send(struct session *s, const void *p, size_t n)
{
	unsigned char head[WEBSOCKET_HEAD_MAX];

	if (s->tunnel && n)
		send_now(s, head, websocket_head(head, WEBSOCKET_OP_BINARY, n));
	send_now(s, p, n);
}

void session_send_buf(struct session *s, const struct buf *b)
{
	session_send(s, b->data, b->len);
}

static void take_input(struct session *s, char *p, size_t n)
{
	struct err *e;

	session_touch(s);
	switch (s->state) {
	case SESSION_REQUEST:
		request_input(s, p, n);
		return;
	case SESSION_CHANNELS:
	case SESSION_START:
	case SESSION_RUN:
		e = s->framing->input(s, p, n);
		if (e) {
			log_info("streaming client: %s", err_text(e));
			err_free(e);
			session_finish(s, true);
		}
		return;
	case SESSION_CLAIM: /* not read in this state */
	case SESSION_END:   /* what it still sends goes nowhere */
		return;
	}
}

static void read_client(struct session *s)
{
	ssize_t n = recv(s->w.fd, s->server->in, STREAM_CHUNK, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		s->broken = true;
	else
		take_input(s, (char *)s->server->in, (size_t)n);
}

static void client_ready(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, w);

	if (events & EPOLLOUT) {
		session_touch(s);
		flush_out(s);
	}
	if (wants_input(s)) {
		if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			read_client(s);
	} else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		/* It went away while we could not read: what it sent before has no way to go. */
		s->broken = true;
	}
	session_settle(s);
}

struct session *session_new(struct server *srv, int fd)
{
	struct session *s = base_alloc(sizeof(*s));
	int one = 1;

	s->server = srv;
	s->alarm_ns = INT64_MAX;
	s->number = ++srv->next_number;
	list_init(&s->channels);
	list_push_back(&srv->sessions, &s->item);
	srv->n_sessions++;
	watch_init(&s->w, fd, client_ready);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	session_set_patience(s, STREAM_REQUEST_S);
	return s;
}

/* A claim that will not be started is given back. */
static void drop_claim(struct session *s)
{
	struct message m;

	if (!s->handle || s->state > SESSION_CHANNELS)
		return;
	message_init(&m, STREAM_DROP, s->number);
	message_put_u64(&m, STREAM_TAG_HANDLE, s->handle);
	server_ask(s->server, &m);
	s->handle = 0;
}

/* Everything but the connection to the client. */
static void release(struct session *s)
{
	drop_claim(s);
	if (s->service)
		s->service->done(s);
	s->service = NULL;
	list_each(it, &s->channels)
		channel_free(container_of(it, struct channel, item));
	buf_done(&s->head);
}

static void destroy(struct session *s)
{
	struct server *srv = s->server;

	release(s);
	if (s->framing)
		s->framing->done(s);
	watch_close(&srv->loop, &s->w);
	buf_done(&s->out);
	free(s->pod);
	list_remove(&s->item);
	loop_free(&srv->loop, s);
	server_session_gone(srv);
}

void session_settle(struct session *s)
{
	if (s->w.fd < 0)
		return;
	if (s->broken) {
		destroy(s);
		return;
	}
	if (s->paused != (s->out.len > 0)) {
		s->paused = s->out.len > 0;
		if (s->service)
			s->service->pause(s, s->paused);
	}
	if (s->state == SESSION_END && !s->out.len && !s->shut) {
		/* Not close(2): with unread input that would be a reset, which takes the last bytes with it. */
		shutdown(s->w.fd, SHUT_WR);
		s->shut = true;
	}
	watch_set(&s->server->loop, &s->w,
		  EPOLLRDHUP | (wants_input(s) ? EPOLLIN : 0) | (s->out.len ? EPOLLOUT : 0));
}

void session_finish(struct session *s, bool fault)
{
	if (s->state == SESSION_END)
		return;
	list_each(it, &s->channels)
		channel_fin(container_of(it, struct channel, item));
	if (s->framing)
		s->framing->bye(s, fault);
	release(s);
	s->stalled = 0;
	s->state = SESSION_END;
	session_set_patience(s, STREAM_LINGER_S);
}

void session_expired(struct session *s, int64_t now_ns)
{
	if (s->state == SESSION_RUN && s->service)
		s->service->expired(s, now_ns);
	else if (s->state == SESSION_CHANNELS || s->state == SESSION_START)
		session_finish(s, true);
	else
		s->broken = true;
	session_settle(s);
}

void session_link_lost(struct session *s)
{
	struct err *e;

	switch (s->state) {
	case SESSION_REQUEST:
	case SESSION_CLAIM:
		request_fail(s, 503, "the runtime is restarting\n");
		break;
	case SESSION_CHANNELS:
	case SESSION_START:
		e = err_new(ERR_UNAVAILABLE, "the runtime is restarting");
		s->service->started(s, NULL, e);
		break;
	case SESSION_RUN:
	case SESSION_END:
		break;
	}
	session_settle(s);
}

void session_start(struct session *s)
{
	struct message m;

	s->state = SESSION_START;
	session_set_patience(s, STREAM_START_S);
	message_init(&m, STREAM_START, s->number);
	message_put_u64(&m, STREAM_TAG_HANDLE, s->handle);
	if (!server_ask(s->server, &m))
		s->service->started(s, NULL, err_new(ERR_UNAVAILABLE, "the runtime is restarting"));
}
