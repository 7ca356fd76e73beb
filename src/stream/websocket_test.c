/* A WebSocket client of the stream process, against what RFC 6455 and k8s.io/streaming say: the session as it is, with
 * this test as serve, monitor and container. */
#include "base/str.h"
#include "base/test.h"
#include "pod/protocol.h"
#include "stream/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY   "dGhlIHNhbXBsZSBub25jZQ=="

struct world {
	struct server srv;
	struct session *session;
	int client, link, monitor;
	int in, out;                 /* the process's ends */
	uint64_t flags;
	const uint64_t *ports;
	size_t n_ports;
	struct buf raw;              /* from the stream process, unread */
};

static void world_init(struct world *w, uint64_t flags)
{
	int link[2], client[2];

	*w = (struct world){ .srv.next_deadline_ns = INT64_MAX, .srv.listener.fd = -1, .monitor = -1, .in = -1, .out = -1,
			     .flags = flags };
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link) && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client));
	list_init(&w->srv.sessions);
	CHECK_OK(loop_init(&w->srv.loop));
	watch_init(&w->srv.link, link[0], NULL);
	w->link = link[1];
	w->client = client[1];
	w->srv.inflater = spdy_inflater_new();
	w->srv.in = base_alloc(STREAM_CHUNK);
	w->srv.out = base_alloc(STREAM_HEAD_ROOM + STREAM_CHUNK);
	w->session = session_new(&w->srv, client[0]);
	session_settle(w->session);
}

static void world_done(struct world *w)
{
	base_close_p(&w->client);
	for (int i = 0; i < 50 && !list_empty(&w->srv.sessions); i++)
		CHECK_OK(loop_round(&w->srv.loop, 0));
	CHECK(list_empty(&w->srv.sessions)); /* a client that is gone must not stay */
	watch_close(&w->srv.loop, &w->srv.link);
	loop_done(&w->srv.loop);
	spdy_inflater_free(w->srv.inflater);
	free(w->srv.in);
	free(w->srv.out);
	base_close_p(&w->link);
	base_close_p(&w->monitor);
	base_close_p(&w->in);
	base_close_p(&w->out);
	buf_done(&w->raw);
}
#define _world_ _cleanup_(world_done)

static void give_fds(struct world *w, struct message *m)
{
	int conn[2], in[2], out[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, conn) && !pipe2(in, O_NONBLOCK) &&
	      !pipe2(out, O_NONBLOCK));
	message_put_u64(m, STREAM_TAG_FDS, STREAM_FD_CONN | STREAM_FD_STDIN | STREAM_FD_STDOUT);
	message_add_fd(m, conn[0]);
	message_add_fd(m, in[1]);
	message_add_fd(m, out[0]);
	w->monitor = conn[1];
	w->in = in[0];
	w->out = out[1];
}

/* What serve would answer; take_answer() of server.c reads it. */
static void answer(struct world *w)
{
	struct message q, m;
	bool eof = false;
	struct err *e = message_recv(w->link, 0, &q, &eof);

	if (e || eof) {
		err_free(e);
		return;
	}
	message_init(&m, q.type, q.id);
	if (q.type == STREAM_CLAIM) {
		message_put_u64(&m, STREAM_TAG_HANDLE, 1);
		message_put_u64(&m, STREAM_TAG_FLAGS, w->flags);
		message_put_str(&m, STREAM_TAG_POD, "pod");
		for (size_t i = 0; i < w->n_ports; i++)
			message_put_u64(&m, STREAM_TAG_PORT, w->ports[i]);
		request_claimed(w->session, &m, NULL);
	} else if (q.type == STREAM_START) {
		give_fds(w, &m);
		w->session->service->started(w->session, &m, NULL);
	}
	message_close_fds(&m);
	session_settle(w->session);
}

static void settle(struct world *w)
{
	for (int i = 0; i < 6; i++) {
		char room[4096];
		ssize_t n;

		CHECK_OK(loop_round(&w->srv.loop, 0));
		if (!list_empty(&w->srv.sessions))
			answer(w);
		while ((n = recv(w->client, room, sizeof(room), MSG_DONTWAIT)) > 0)
			buf_append(&w->raw, room, (size_t)n);
	}
}

static void say(struct world *w, const void *p, size_t n)
{
	CHECK(send(w->client, p, n, MSG_NOSIGNAL) == (ssize_t)n);
	settle(w);
}

/* A frame of the client's: masked. */
static void say_frame(struct world *w, unsigned char first, const void *p, size_t n)
{
	static const unsigned char mask[] = { 1, 2, 3, 4 };
	unsigned char frame[1000];
	size_t head = websocket_head(frame, WEBSOCKET_OP_BINARY, n);

	frame[0] = first;
	frame[1] |= 0x80;
	memcpy(frame + head, mask, 4);
	for (size_t i = 0; i < n; i++)
		frame[head + 4 + i] = ((const unsigned char *)p)[i] ^ mask[i % 4];
	say(w, frame, head + 4 + n);
}

/* The next frame that came: its first byte, its payload in *ret*; 0: none. */
static unsigned int hear(struct world *w, char ret[1000], size_t *ret_n)
{
	if (w->raw.len < 2)
		return 0;
	const unsigned char *p = (const unsigned char *)w->raw.data;
	size_t n = p[1], head = 2;
	unsigned int first = p[0];

	if (n == 126) {
		n = (size_t)p[2] << 8 | p[3];
		head = 4;
	}
	CHECK(n < 1000 && w->raw.len >= head + n);
	memcpy(ret, p + head, n);
	ret[n] = '\0';
	*ret_n = n;
	buf_consume(&w->raw, head + n);
	return first;
}

static void expect(struct world *w, unsigned int first, const char *payload, size_t n)
{
	char got[1000];
	size_t len = 0;

	CHECK_INT(hear(w, got, &len), first);
	CHECK_INT(len, n);
	CHECK(!memcmp(got, payload, n));
}
#define EXPECT(w, first, text) expect(w, first, text, sizeof(text) - 1)

static bool request(struct world *w, const char *path, const char *protocol, char ret_head[1000])
{
	_free_ char *text = base_printf("GET /%s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n%s%s%s\r\n",
					path, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
					protocol ? "\r\n" : "");

	say(w, text, strlen(text));
	char *end = w->raw.data ? strstr(w->raw.data, "\r\n\r\n") : NULL;

	if (!end)
		return false;
	size_t n = (size_t)(end - w->raw.data) + 4;

	snprintf(ret_head, 1000, "%.*s", (int)n, w->raw.data);
	buf_consume(&w->raw, n);
	return !strncmp(ret_head, "HTTP/1.1 101 ", 13);
}

static void process_ends(struct world *w, int code)
{
	struct message m;

	message_init(&m, MONITOR_EXITED, 0);
	message_put_u64(&m, MONITOR_TAG_EXIT_CODE, (uint64_t)code);
	CHECK_OK(message_send(w->monitor, &m));
	base_close_p(&w->out);
	settle(w);
}

static void expect_input(struct world *w, const char *text, bool eof)
{
	char got[1000];
	ssize_t n = read(w->in, got, sizeof(got));

	CHECK(n == (ssize_t)strlen(text) && !memcmp(got, text, (size_t)n));
	n = read(w->in, got, sizeof(got));
	CHECK(eof ? n == 0 : n < 0);
}

#define ALL (STREAM_STDIN | STREAM_STDOUT)

TEST(websocket_v5_exec_with_half_close)
{
	_world_ struct world w;
	char head[1000];

	world_init(&w, ALL);
	CHECK(request(&w, "exec/" TOKEN, "v9.channel.k8s.io, v5.channel.k8s.io, v4.channel.k8s.io", head));
	CHECK(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	CHECK(strstr(head, "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
	EXPECT(&w, 0x82, "\1");
	say_frame(&w, 0x02, "\0he", 3); /* one message in two frames, a ping between */
	say_frame(&w, 0x89, "there?", 6);
	say_frame(&w, 0x80, "llo", 3);
	EXPECT(&w, 0x8a, "there?");
	expect_input(&w, "hello", false);
	say_frame(&w, 0x82, "\2nobody reads this", 18);
	say_frame(&w, 0x82, "\7no such channel", 16);
	say_frame(&w, 0x82, "\xff\0", 2);
	expect_input(&w, "", true);
	CHECK(write(w.out, "out", 3) == 3);
	process_ends(&w, 3);
	EXPECT(&w, 0x82, "\1out");
	char got[1000];
	size_t n;

	CHECK_INT(hear(&w, got, &n), 0x82);
	CHECK(got[0] == 3 && strstr(got, "\"ExitCode\",\"message\":\"3\""));
	EXPECT(&w, 0x88, "\x03\xe8");
	CHECK(!w.raw.len);
}

TEST(websocket_v4_does_not_know_the_close_signal)
{
	_world_ struct world w;
	char head[1000];

	world_init(&w, ALL);
	CHECK(request(&w, "exec/" TOKEN, "v4.channel.k8s.io", head));
	say_frame(&w, 0x82, "\xff\0", 2);
	say_frame(&w, 0x82, "\0in", 3);
	expect_input(&w, "in", false);
	process_ends(&w, 0);
	EXPECT(&w, 0x82, "\1");
	EXPECT(&w, 0x82, "\3{\"status\":\"Success\"}");
	EXPECT(&w, 0x88, "\x03\xe8");
}

TEST(websocket_base64_both_ways)
{
	_world_ struct world w;
	char head[1000];

	world_init(&w, ALL);
	CHECK(request(&w, "exec/" TOKEN, "base64.channel.k8s.io", head));
	EXPECT(&w, 0x81, "1");
	say_frame(&w, 0x01, "0aGVs", 5);
	say_frame(&w, 0x80, "bG8=", 4);
	expect_input(&w, "hello", false);
	CHECK(write(w.out, "\xff\xfe", 2) == 2);
	process_ends(&w, 1);
	EXPECT(&w, 0x81, "1//4=");
	EXPECT(&w, 0x81, "3Y29tbWFuZCB0ZXJtaW5hdGVkIHdpdGggbm9uLXplcm8gZXhpdCBjb2RlOiBleGl0IHN0YXR1cyAx");
}

TEST(websocket_bad_base64_is_told_with_1007)
{
	static const char *const bad[] = { "0aGVsbG8", "0****", "0aG==bG8=", "0a===" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_world_ struct world w;
		char head[1000];

		world_init(&w, ALL);
		CHECK(request(&w, "exec/" TOKEN, "v4.base64.channel.k8s.io", head));
		EXPECT(&w, 0x81, "1");
		say_frame(&w, 0x81, bad[i], strlen(bad[i]));
		EXPECT(&w, 0x88, "\x03\xef");
	}
}

TEST(websocket_broken_frames_are_told_with_1002)
{
	_world_ struct world w;
	char head[1000];

	world_init(&w, ALL);
	CHECK(request(&w, "exec/" TOKEN, NULL, head));
	CHECK(!strstr(head, "Sec-WebSocket-Protocol"));
	EXPECT(&w, 0x82, "\1");
	say(&w, "\x82\x01x", 3);
	EXPECT(&w, 0x88, "\x03\xea");
	expect_input(&w, "", true);
}

TEST(websocket_client_that_closes_is_answered)
{
	_world_ struct world w;
	char head[1000];

	world_init(&w, ALL);
	CHECK(request(&w, "attach/" TOKEN, "v5.channel.k8s.io", head));
	EXPECT(&w, 0x82, "\1");
	say_frame(&w, 0x88, "\x03\xe8", 2);
	EXPECT(&w, 0x88, "\x03\xe8");
	expect_input(&w, "", true);
}

/* CVE-2022-23471: what resizes a terminal that has no stdin must neither wait nor stay. */
TEST(cve_2022_23471_resize_without_stdin)
{
	_world_ struct world w;
	char head[1000];
	struct message m;
	bool eof;

	world_init(&w, STREAM_TERMINAL | STREAM_STDOUT);
	CHECK(request(&w, "exec/" TOKEN, "v5.channel.k8s.io", head));
	say_frame(&w, 0x82, "\4{\"Width\":80,\"Height\":24}", 25);
	CHECK_OK(message_recv(w.monitor, 0, &m, &eof));
	CHECK(m.type == MONITOR_RESIZE && message_u64(&m, MONITOR_TAG_COLS) == 80 && message_u64(&m, MONITOR_TAG_ROWS) == 24);
}

TEST(websocket_handshakes_that_are_none)
{
	static const struct { const char *headers; const char *status; } t[] = {
		{ "Sec-WebSocket-Version: 13\r\n", "400" },
		{ "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n", "400" },
		{ "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 8\r\n", "426" },
		{ "Sec-WebSocket-Key: " KEY "\r\n", "426" },
		{ "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n", "403" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_world_ struct world w;
		_free_ char *text = base_printf("GET /exec/" TOKEN " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%s\r\n",
						t[i].headers);

		world_init(&w, ALL);
		say(&w, text, strlen(text));
		CHECK(w.raw.len > 12 && !strncmp(w.raw.data + 9, t[i].status, 3));
	}
}

TEST(websocket_forward_names_its_ports)
{
	static const struct { const char *query; uint64_t allowed; const char *status; } t[] = {
		{ "", 0, "400" }, { "?port=80", 81, "403" }, { "?port=0", 0, "400" }, { "?port=80,x", 0, "400" },
		{ "?port=80", 80, "101" }, { "?a=b&port=80&port=81", 0, "101" }, { "", 80, "101" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_world_ struct world w;
		_free_ char *path = base_printf("portforward/" TOKEN "%s", t[i].query);
		char head[1000];

		world_init(&w, 0);
		w.ports = &t[i].allowed;
		w.n_ports = t[i].allowed != 0;
		request(&w, path, "v4.channel.k8s.io", head);
		CHECK(!strncmp(head + 9, t[i].status, 3));
		if (strcmp(t[i].status, "101"))
			continue;
		EXPECT(&w, 0x82, "\0\x50\0");
		EXPECT(&w, 0x82, "\1\x50\0");
	}
}

TEST(websocket_tunnel_carries_spdy)
{
	static const char ping[] = "\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01";
	_world_ struct world w;
	char head[1000];

	world_init(&w, 0);
	CHECK(request(&w, "portforward/" TOKEN, "SPDY/3.1+portforward.k8s.io", head));
	say_frame(&w, 0x02, ping, 5);
	say_frame(&w, 0x89, "", 0);
	say_frame(&w, 0x80, ping + 5, 7);
	EXPECT(&w, 0x8a, "");
	expect(&w, 0x82, ping, 12);
	say_frame(&w, 0x88, "\x03\xe8", 2);
	char got[1000];
	size_t n;

	CHECK_INT(hear(&w, got, &n), 0x82);    /* SPDY's GOAWAY */
	CHECK(!memcmp(got, "\x80\x03\x00\x07", 4));
	EXPECT(&w, 0x88, "\x03\xe8");
}

TEST_MAIN
