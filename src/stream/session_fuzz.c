/* Fuzz target: a client of the stream process, from the first byte of its request on. The first byte of the input
 * says what the token is for, whether the request is made up by us, and what serve and the monitor do. */
#include "base/log.h"
#include "pod/protocol.h"
#include "stream/server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct world {
	struct server srv;
	int link;            /* serve's end */
	int monitor;         /* its end of the session's connection, -1: none */
	int keep[3];         /* the process's ends */
	uint8_t mode;
};

static void setup(struct world *w, uint8_t mode)
{
	int pair[2];

	*w = (struct world){ .srv.next_deadline_ns = INT64_MAX, .srv.listener.fd = -1, .monitor = -1,
			     .keep = { -1, -1, -1 }, .mode = mode };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		abort();
	list_init(&w->srv.sessions);
	err_free(loop_init(&w->srv.loop));
	watch_init(&w->srv.link, pair[0], NULL);
	w->link = pair[1];
	w->srv.inflater = spdy_inflater_new();
	w->srv.in = base_alloc(STREAM_CHUNK);
	w->srv.out = base_alloc(STREAM_HEAD_ROOM + STREAM_CHUNK);
}

static void teardown(struct world *w)
{
	watch_close(&w->srv.loop, &w->srv.link);
	loop_done(&w->srv.loop);
	spdy_inflater_free(w->srv.inflater);
	free(w->srv.in);
	free(w->srv.out);
	base_close_p(&w->link);
	base_close_p(&w->monitor);
	for (size_t i = 0; i < 3; i++)
		base_close_p(&w->keep[i]);
}

static void give_fds(struct world *w, struct message *m)
{
	int conn[2], in[2], out[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, conn) < 0 || pipe2(in, O_NONBLOCK) < 0 ||
	    pipe2(out, O_NONBLOCK) < 0)
		abort();
	message_put_u64(m, STREAM_TAG_FDS, STREAM_FD_CONN | STREAM_FD_STDIN | STREAM_FD_STDOUT);
	message_add_fd(m, conn[0]);
	message_add_fd(m, in[1]);
	message_add_fd(m, out[0]);
	w->monitor = conn[1];
	w->keep[0] = in[0];
	w->keep[1] = out[1];
	if (write(out[1], "output", 6) != 6)
		abort();
}

/* What serve would answer. */
static void answer_link(struct world *w, struct session *s)
{
	struct message q, m;
	bool eof;
	struct err *e;

	while (s->w.fd >= 0 && !(e = message_recv(w->link, 0, &q, &eof)) && !eof) {
		message_init(&m, q.type, q.id);
		if (s->state != (q.type == STREAM_CLAIM ? SESSION_CLAIM : SESSION_START)) {
			; /* server.c drops answers that come too late */
		} else if (q.type == STREAM_CLAIM && !(w->mode & 0x20)) {
			message_put_u64(&m, STREAM_TAG_HANDLE, 1);
			message_put_u64(&m, STREAM_TAG_FLAGS, w->mode & 0x0f);
			request_claimed(s, &m, NULL);
		} else if (q.type == STREAM_CLAIM) {
			request_claimed(s, &m, err_new(ERR_NOT_FOUND, "none"));
		} else if (q.type == STREAM_START && w->mode & 0x10) {
			s->service->started(s, &m, err_new(ERR_INTERNAL, "no"));
		} else if (q.type == STREAM_START) {
			give_fds(w, &m);
			s->service->started(s, &m, NULL);
		}
		message_close_fds(&m);
		session_settle(s);
		e = NULL;
	}
	err_free(e);
}

/* What the monitor would answer: no socket can be had. */
static void answer_monitor(struct world *w)
{
	struct message q, m;
	bool eof = false;

	while (w->monitor >= 0) {
		struct err *e = message_recv(w->monitor, 0, &q, &eof);

		if (e || eof) {
			err_free(e);
			return;
		}
		message_init(&m, q.type, q.id);
		_err_ struct err *none = err_new(ERR_INTERNAL, "no socket");

		if (q.type == MONITOR_SOCKET)
			message_put_err(&m, none);
		err_ignore(message_send(w->monitor, &m));
	}
}

static void run(struct world *w, int client, struct session *s)
{
	char sink[4096];

	for (int i = 0; i < 3; i++) {
		err_free(loop_round(&w->srv.loop, 0));
		if (list_empty(&w->srv.sessions))
			return;
		answer_link(w, s);
		if (list_empty(&w->srv.sessions))
			return;
		answer_monitor(w);
		while (recv(client, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
}

static void feed(struct world *w, int client, struct session *s, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n && !list_empty(&w->srv.sessions);) {
		ssize_t did = send(client, p + at, MIN(n - at, (size_t)1000), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (did > 0)
			at += (size_t)did;
		run(w, client, s);
		if (did <= 0)
			return; /* stalled: so it stays */
	}
}

static void finish(struct world *w, int client, struct session *s)
{
	struct message m;

	message_init(&m, MONITOR_EXITED, 0);
	message_put_u64(&m, MONITOR_TAG_EXIT_CODE, w->mode);
	if (w->monitor >= 0 && w->mode & 0x80)
		err_ignore(message_send(w->monitor, &m));
	base_close_p(&w->keep[1]);
	run(w, client, s);
	if (!list_empty(&w->srv.sessions) && w->mode & 0x40)
		session_expired(s, INT64_MAX - 1);
	close(client);
	for (int i = 0; i < 50 && !list_empty(&w->srv.sessions); i++)
		err_free(loop_round(&w->srv.loop, 0));
	if (!list_empty(&w->srv.sessions))
		abort(); /* a client that is gone must not stay */
}

/* Bits 0, 1: the path; 2: an older version; 3: WebSocket, and 4 to 6 which of its protocols. */
static void make_request(uint8_t how, char *to, size_t room)
{
	static const char *const paths[] = { "exec", "attach", "portforward" };
	static const char *const remote[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
					      "base64.channel.k8s.io" };
	static const char *const ports[] = { "SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io",
					     "v4.base64.channel.k8s.io", "v4.channel.k8s.io" };
	bool forward = (how & 3) == 3;
	const char *path = paths[(how & 3) - 1];

	if (how & 8)
		snprintf(to, room, "GET /%s/" TOKEN "?port=80,81 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
				   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				   "Sec-WebSocket-Protocol: %s\r\n\r\n",
			 path, (forward ? ports : remote)[how >> 4 & 3]);
	else
		snprintf(to, room, "POST /%s/" TOKEN " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
				   "X-Stream-Protocol-Version: %s\r\n\r\n",
			 path, forward ? "portforward.k8s.io" : how & 4 ? "v4.channel.k8s.io" : "v2.channel.k8s.io");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;
	int pair[2];
	char request[512];

	if (size < 2 || size > 60000)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	setup(&w, data[0]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	struct session *s = session_new(&w.srv, pair[0]);

	session_settle(s);
	if (data[1] & 3) {
		make_request(data[1], request, sizeof(request));
		feed(&w, pair[1], s, (const uint8_t *)request, strlen(request));
	}
	if (!list_empty(&w.srv.sessions))
		feed(&w, pair[1], s, data + 2, size - 2);
	finish(&w, pair[1], s);
	teardown(&w);
	return 0;
}
