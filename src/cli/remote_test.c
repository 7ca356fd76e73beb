/* exec and port-forward against a small streaming server of the test's own, on wire/spdy's other end. */
#include "base/file.h"
#include "base/test.h"
#include "cli/forward.h"
#include "cli/remote.h"
#include "cli/session.h"
#include "wire/http1.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum behaviour { ECHO, EXIT_3, NO_STATUS, LONG_STATUS, NOT_FOUND, NO_UPGRADE, OTHER_PROTOCOL, GARBAGE, FORWARD };

static struct server {
	enum behaviour behaviour;
	int listen_fd, fd;
	pthread_t thread;
	char url[64];
	struct spdy spdy;
	struct spdy_inflater *inflater;
	uint32_t error_id, in_id, out_id, err_id;
	struct buf out, seen;       /* seen: what the streams were */
} srv;

static void put(const char *text)
{
	err_free(file_write_fd(srv.fd, text, strlen(text)));
}

static void end_with(const char *status)
{
	spdy_data(&srv.out, srv.out_id, NULL, 0, true);
	if (srv.err_id)
		spdy_data(&srv.out, srv.err_id, NULL, 0, true);
	spdy_data(&srv.out, srv.error_id, status, strlen(status), true);
}

static void on_stream(const struct spdy_event *e)
{
	const char *type = spdy_header(e, "streamtype");
	static const struct {
		const char *name;
		uint32_t *id;
	} rows[] = { { "error", &srv.error_id }, { "stdin", &srv.in_id }, { "stdout", &srv.out_id }, { "stderr", &srv.err_id } };

	buf_printf(&srv.seen, "%s ", type);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!strcmp(type, rows[i].name))
			*rows[i].id = e->id;
	spdy_reply(&srv.spdy, &srv.out, e->id);
	if (srv.behaviour == EXIT_3 && srv.err_id && srv.out_id) {
		spdy_data(&srv.out, srv.err_id, "oops\n", 5, false);
		end_with("{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":["
			 "{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}");
	}
}

/* Port 7 echoes, port 8 is refused as the kubelet's server does it, port 9 hangs up. */
static bool on_forward(const struct spdy_event *e)
{
	if (e->type == SPDY_SYN_STREAM) {
		const char *port = spdy_header(e, "port"), *type = spdy_header(e, "streamtype");

		buf_printf(&srv.seen, "%s:%s:%s ", port, type, spdy_header(e, "requestid"));
		spdy_reply(&srv.spdy, &srv.out, e->id);
		if (!strcmp(type, "error"))
			return true;
		if (!strcmp(port, "8")) {
			spdy_data(&srv.out, e->id - 2, "refused\x1b", 8, false);
			spdy_reset(&srv.out, e->id, SPDY_CANCEL);
		}
		return strcmp(port, "9") != 0;
	}
	/* Error streams are 1, 5, 9 …, their data streams 3, 7, 11 … */
	if (e->type == SPDY_DATA && e->id % 4 == 3)
		spdy_data(&srv.out, e->id, e->data, e->len, e->fin);
	return true;
}

/* False: hang up. */
static bool on_event(const struct spdy_event *e)
{
	if (srv.behaviour == FORWARD)
		return on_forward(e);
	if (e->type == SPDY_SYN_STREAM)
		on_stream(e);
	if (e->type != SPDY_DATA || e->id != srv.in_id)
		return true;
	if (e->len)
		spdy_data(&srv.out, srv.out_id, e->data, e->len, false);
	if (!e->fin)
		return true;
	if (srv.behaviour == NO_STATUS)
		return false;
	if (srv.behaviour == LONG_STATUS) {
		_free_ char *text = base_alloc(REMOTE_STATUS_MAX + 2);

		memset(text, ' ', REMOTE_STATUS_MAX + 1);
		end_with(text);
	} else {
		end_with("{\"status\":\"Success\"}");
	}
	return true;
}

static void serve_frames(void)
{
	char chunk[8192];
	ssize_t n;

	while ((n = read(srv.fd, chunk, sizeof(chunk))) > 0) {
		for (size_t at = 0; at < (size_t)n;) {
			struct spdy_event e;
			size_t used;

			if (spdy_read(&srv.spdy, chunk + at, (size_t)n - at, &used, &e))
				return;
			at += used;
			if (!on_event(&e))
				return;
		}
		err_free(file_write_fd(srv.fd, buf_text(&srv.out), srv.out.len));
		buf_clear(&srv.out);
	}
}

static void *serve(_unused_ void *arg)
{
	static const char *const answers[] = {
		[ECHO] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
			 "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
		[NOT_FOUND] = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\ntoken",
		[NO_UPGRADE] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
		[OTHER_PROTOCOL] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
				   "X-Stream-Protocol-Version: v1\r\n\r\n",
		[FORWARD] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
			    "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n",
		[GARBAGE] = "SSH-2.0-x\r\n\r\n",
	};
	char head[2048];
	size_t n = 0;

	srv.fd = accept(srv.listen_fd, NULL, NULL);
	while (!http1_head_len(head, n)) {
		ssize_t k = read(srv.fd, head + n, sizeof(head) - n);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	buf_printf(&srv.seen, "%.*s| ", (int)strcspn(head, "\r"), head);
	put(answers[srv.behaviour] ? answers[srv.behaviour] : answers[ECHO]);
	srv.inflater = spdy_inflater_new();
	spdy_init(&srv.spdy, true, srv.inflater);
	serve_frames();
	close(srv.fd);
	spdy_done(&srv.spdy);
	spdy_inflater_free(srv.inflater);
	return NULL;
}

static void start(enum behaviour b)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	srv = (struct server){ .behaviour = b };
	srv.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(srv.listen_fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(srv.listen_fd, 4) == 0);
	CHECK(getsockname(srv.listen_fd, (struct sockaddr *)&a, &len) == 0);
	snprintf(srv.url, sizeof(srv.url), "http://127.0.0.1:%u/exec/T0k", ntohs(a.sin_port));
	pthread_create(&srv.thread, NULL, serve, NULL);
}

static void stop(void)
{
	pthread_join(srv.thread, NULL);
	close(srv.listen_fd);
	buf_done(&srv.out);
	buf_done(&srv.seen);
}

static int memory_file(const void *p, size_t n)
{
	int fd = memfd_create("std", MFD_CLOEXEC);

	err_free(file_write_fd(fd, p, n));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* remote_run() with *in* as standard input; what it prints comes back. */
static struct err *run(const struct remote *r, const void *in, size_t n_in, struct buf *ret_out, struct buf *ret_err,
		       int *ret_status)
{
	int keep[3], files[3] = { memory_file(in, n_in), memory_file("", 0), memory_file("", 0) };
	struct buf *const to[3] = { NULL, ret_out, ret_err };

	fflush(stdout);
	for (int i = 0; i < 3; i++) {
		keep[i] = dup(i);
		dup2(files[i], i);
	}
	struct err *e = remote_run(r, ret_status);

	for (int i = 0; i < 3; i++) {
		dup2(keep[i], i);
		close(keep[i]);
		lseek(files[i], 0, SEEK_SET);
		if (to[i]) {
			err_free(file_read_fd(files[i], MIB(64), to[i]));
			buf_append(to[i], "", 0);
		}
		close(files[i]);
	}
	return e;
}

TEST(stdin_goes_there_and_comes_back_whole)
{
	const size_t n = MIB(5) + 17;
	_free_ unsigned char *in = base_alloc(n);
	_buf_ struct buf out = BUF_INIT, err = BUF_INIT;
	int status = -1;

	for (size_t i = 0; i < n; i++)
		in[i] = (unsigned char)(i * 31 + i / 997);
	start(ECHO);
	struct remote r = { .url = srv.url, .want_stdin = true };

	CHECK_OK(run(&r, in, n, &out, &err, &status));
	CHECK_INT(status, 0);
	CHECK(out.len == n && !memcmp(out.data, in, n) && err.len == 0);
	CHECK_STR(buf_text(&srv.seen), "POST /exec/T0k HTTP/1.1| error stdin stdout stderr ");
	stop();
}

TEST(exit_status_and_stderr)
{
	_buf_ struct buf out = BUF_INIT, err = BUF_INIT;
	int status = -1;

	start(EXIT_3);
	struct remote r = { .url = srv.url };

	CHECK_OK(run(&r, "", 0, &out, &err, &status));
	CHECK_INT(status, 3);
	CHECK_STR(buf_text(&err), "oops\n");
	CHECK_STR(buf_text(&srv.seen), "POST /exec/T0k HTTP/1.1| error stdout stderr ");
	stop();
}

TEST(terminal_has_a_resize_stream_and_no_stderr)
{
	_buf_ struct buf out = BUF_INIT, err = BUF_INIT;
	int status = -1;

	start(ECHO);
	struct remote r = { .url = srv.url, .want_stdin = true, .terminal = true };

	CHECK_OK(run(&r, "x", 1, &out, &err, &status));
	CHECK_STR(buf_text(&out), "x");
	CHECK_STR(buf_text(&srv.seen), "POST /exec/T0k HTTP/1.1| error stdin stdout resize ");
	stop();
}

TEST(what_servers_do_wrong)
{
	static const struct {
		enum behaviour behaviour;
		const char *want;
	} rows[] = {
		{ NO_STATUS, "the connection ended without a status" },
		{ LONG_STATUS, "the server's status is longer than 8192 bytes" },
		{ NOT_FOUND, "streaming server: HTTP status 404: token" },
		{ NO_UPGRADE, "streaming server: the server does not speak SPDY/3.1" },
		{ OTHER_PROTOCOL, "streaming server: the server speaks v1, not v4.channel.k8s.io" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_buf_ struct buf out = BUF_INIT, err = BUF_INIT;
		int status = -1;

		start(rows[i].behaviour);
		struct remote r = { .url = srv.url, .want_stdin = true };
		_err_ struct err *e = run(&r, "x", 1, &out, &err, &status);

		CHECK(e);
		CHECK_STR(err_text(e), rows[i].want);
		stop();
	}
	_buf_ struct buf out = BUF_INIT, err = BUF_INIT;
	int status;

	start(GARBAGE);
	struct remote r = { .url = srv.url };

	CHECK_ERR(run(&r, "", 0, &out, &err, &status), ERR_INVALID);
	stop();
}

TEST(only_this_machines_servers)
{
	static const char *const urls[] = { "http://example.com:80/exec/x", "ftp://127.0.0.1/x", "nonsense", "" };
	struct session *s;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		CHECK_ERR(session_open(urls[i], "v4.channel.k8s.io", &s), ERR_INVALID);
	CHECK_ERR(session_open("https://127.0.0.1:1/exec/x", "v4.channel.k8s.io", &s), ERR_UNIMPLEMENTED);
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	close(fd);
	return ntohs(a.sin_port);
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };

	for (int i = 0; i < 500; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		close(fd);
		usleep(10000);
	}
	CHECK(!"connected");
	return -1;
}

static struct forward_port forwards[3];

static void *run_forward(_unused_ void *arg)
{
	return forward_run(srv.url, forwards, ARRAY_LEN(forwards));
}

struct pour {
	int fd;
	const unsigned char *p;
	size_t n;
};

static void *pour(void *arg)
{
	struct pour *x = arg;

	err_free(file_write_fd(x->fd, x->p, x->n));
	shutdown(x->fd, SHUT_WR);
	return NULL;
}

TEST(forwarded_ports)
{
	const size_t n = MIB(3) + 5;
	_free_ unsigned char *in = base_alloc(n);
	_buf_ struct buf back = BUF_INIT;
	pthread_t forward, writer;
	char byte;
	void *result;

	for (size_t i = 0; i < n; i++)
		in[i] = (unsigned char)(i * 13 + i / 1009);
	for (int i = 0; i < 3; i++)
		forwards[i] = (struct forward_port){ free_port(), (uint16_t)(7 + i) };
	start(FORWARD);
	pthread_create(&forward, NULL, run_forward, NULL);
	/* Half close: all of it comes back after our end is shut. */
	struct pour x = { dial(forwards[0].local), in, n };

	pthread_create(&writer, NULL, pour, &x);
	CHECK_OK(file_read_fd(x.fd, MIB(8), &back));
	pthread_join(writer, NULL);
	CHECK(back.len == n && !memcmp(back.data, in, n));
	close(x.fd);
	int refused = dial(forwards[1].local);

	CHECK(read(refused, &byte, 1) <= 0);
	close(refused);
	int last = dial(forwards[2].local);

	pthread_join(forward, &result);
	close(last);
	_err_ struct err *e = result;

	CHECK_STR(err_text(e), "the streaming server ended the session");
	CHECK_STR(buf_text(&srv.seen), "POST /exec/T0k HTTP/1.1| 7:error:0 7:data:0 8:error:1 8:data:1 9:error:2 9:data:2 ");
	stop();
}

TEST(ports_parse)
{
	static const struct {
		const char *text;
		int local, remote;
	} rows[] = {
		{ "80", 80, 80 },	{ "8080:80", 8080, 80 },  { ":80", 0, 80 },	   { "0:80", 0, 80 },
		{ "", -1, -1 },		{ ":", -1, -1 },	  { "80:", -1, -1 },	   { "80:0", -1, -1 },
		{ "0", -1, -1 },	{ "65536", -1, -1 },	  { "1:2:3", -1, -1 },	   { "-1", -1, -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct forward_port p;
		_err_ struct err *e = forward_parse(rows[i].text, &p);

		CHECK_INT(e ? -1 : p.local, rows[i].local);
		CHECK_INT(e ? -1 : p.remote, rows[i].remote);
	}
}

TEST_MAIN
