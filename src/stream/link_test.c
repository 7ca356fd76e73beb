/* The whole of it: serve's link, the stream process (this program again, under `stream`), real processes in
 * place of containers (pod_double.c), a SPDY client of our own. Also, for clients in other languages:
 * `link_test serve` reads requests from its input, a line each, and answers with their URLs:
 *	exec|attach|portforward [t][i][o][e] [ARGUMENT …] */
#include "stream/link.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/test.h"
#include "wire/spdy.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <yyjson.h>

/* The stream process forbids itself what leak detection needs; its sessions are looked at by session_test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:quarantine_size_mb=1"; /* freed memory kept aside would look like growth */
}

#define PATIENCE_NS (20 * NS_PER_S)

static struct stream_link *link_of_test;

static char *process_json(char *const *argv, size_t n)
{
	yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(m);

	yyjson_mut_doc_set_root(m, root);
	yyjson_mut_val *args = yyjson_mut_obj_add_arr(m, root, "args");

	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_add_str(m, args, argv[i]);
	char *text = yyjson_mut_write(m, YYJSON_WRITE_NOFLAG, NULL);

	yyjson_mut_doc_free(m);
	return text;
}

static struct err *make_url(enum stream_kind kind, const char *flags, char *const *argv, size_t n, char **ret_url)
{
	_free_ char *process = process_json(argv, n);
	struct stream_request r = { .kind = kind, .pod_dir = "/run/crisp/pods/pod1", .container = "box",
				    .process = process, .terminal = strchr(flags, 't') != NULL,
				    .want_stdin = strchr(flags, 'i') != NULL, .want_stdout = strchr(flags, 'o') != NULL,
				    .want_stderr = strchr(flags, 'e') != NULL };

	return stream_link_url(link_of_test, &r, ret_url);
}

/* A client: its connection, what came on each stream. */
struct client {
	int fd;
	struct spdy_inflater *z;
	struct spdy spdy;
	struct buf streams[12];      /* by number */
	bool fins[12], resets[12];
	bool gone;
	char answer[2048];           /* the HTTP head */
};

static void client_done(struct client *c)
{
	base_close_p(&c->fd);
	spdy_done(&c->spdy);
	spdy_inflater_free(c->z);
	for (size_t i = 0; i < ARRAY_LEN(c->streams); i++)
		buf_done(&c->streams[i]);
}
#define _client_ _cleanup_(client_done)

static int dial(const char *url)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		abort();
	return fd;
}

static bool wait_input(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, (int)(PATIENCE_NS / NS_PER_MS)) > 0;
}

/* The status, 0 if none came. */
static int client_request(struct client *c, const char *url, const char *headers)
{
	const char *path = strchr(url + strlen("http://"), '/');
	_free_ char *request = base_printf("POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers);
	size_t n = 0;

	*c = (struct client){ .fd = dial(url), .z = spdy_inflater_new() };
	spdy_init(&c->spdy, false, c->z);
	err_free(file_write_fd(c->fd, request, strlen(request)));
	while (!memmem(c->answer, n, "\r\n\r\n", 4) && n < sizeof(c->answer) - 1) {
		ssize_t did = wait_input(c->fd) ? read(c->fd, c->answer + n, 1) : 0;

		if (did <= 0)
			return 0;
		n += (size_t)did;
	}
	return atoi(c->answer + strlen("HTTP/1.1 "));
}

#define UPGRADE "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
#define V4 UPGRADE "X-Stream-Protocol-Version: v9.channel.k8s.io, v4.channel.k8s.io\r\n"

static uint32_t client_open(struct client *c, const char *type, const char *port, const char *request)
{
	struct spdy_header h[] = { { "streamtype", type }, { "port", port }, { "requestid", request } };
	_buf_ struct buf b = BUF_INIT;
	uint32_t id;

	spdy_open(&c->spdy, &b, h, !port ? 1 : !request ? 2 : 3, &id);
	err_free(file_write_fd(c->fd, b.data, b.len));
	return id;
}

static void client_send(struct client *c, uint32_t id, const void *p, size_t n, bool fin)
{
	_buf_ struct buf b = BUF_INIT;

	spdy_data(&b, id, p, n, fin);
	err_free(file_write_fd(c->fd, b.data, b.len));
}

static void take_event(struct client *c, const struct spdy_event *e)
{
	size_t id = e->id < ARRAY_LEN(c->streams) ? e->id : 0;

	if (e->type == SPDY_DATA)
		buf_append(&c->streams[id], e->data, e->len);
	c->fins[id] |= e->fin;
	c->resets[id] |= e->type == SPDY_RST_STREAM;
}

/* One read's worth. */
static void client_read(struct client *c)
{
	char b[KIB(64)];
	ssize_t n = wait_input(c->fd) ? read(c->fd, b, sizeof(b)) : 0;

	c->gone = n <= 0;
	for (size_t at = 0; !c->gone && at < (size_t)n;) {
		struct spdy_event e;
		size_t used;

		CHECK_OK(spdy_read(&c->spdy, b + at, (size_t)n - at, &used, &e));
		at += used;
		take_event(c, &e);
	}
}

static void client_read_all(struct client *c)
{
	while (!c->gone)
		client_read(c);
}

static void client_wait_fin(struct client *c, uint32_t id)
{
	while (!c->gone && !c->fins[id] && !c->resets[id])
		client_read(c);
}

static void client_wait_text(struct client *c, uint32_t id, const char *text)
{
	while (!c->gone && !strstr(buf_text(&c->streams[id]), text))
		client_read(c);
}

#define SH(script) (char *[]){ (char *)"/bin/sh", (char *)"-c", (char *)(script) }, 3

static const char success[] = "{\"status\":\"Success\"}";

TEST(exec_gives_output_and_exit_code)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "oe", SH("echo out; echo err >&2; exit 3"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	CHECK(strstr(c.answer, "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"));
	uint32_t error = client_open(&c, "error", NULL, NULL), out = client_open(&c, "stdout", NULL, NULL),
		 err = client_open(&c, "stderr", NULL, NULL);

	client_read_all(&c);
	CHECK_STR(buf_text(&c.streams[out]), "out\n");
	CHECK_STR(buf_text(&c.streams[err]), "err\n");
	CHECK_STR(buf_text(&c.streams[error]),
		  "{\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: exit status 3\","
		  "\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}");
	CHECK(c.fins[error] && c.fins[out] && c.fins[err]);
}

TEST(url_is_good_once_and_for_its_kind)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 }, again = { .fd = -1 }, other = { .fd = -1 }, wrong = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "o", SH("true"), &url));
	CHECK_STR(strrchr(url, '/') - 5, strstr(url, "/exec/")); /* …/exec/TOKEN */
	CHECK_INT(strlen(strrchr(url, '/') + 1), 64);
	_free_ char *attach = base_printf("http://%.*s/attach%s", (int)(strstr(url, "/exec/") - url - 7), url + 7,
					  strrchr(url, '/'));

	CHECK_INT(client_request(&wrong, attach, V4), 404);
	CHECK_INT(client_request(&c, url, V4), 101);
	CHECK_INT(client_request(&again, url, V4), 404);
	_free_ char *elsewhere = base_printf("%.*s/metrics", (int)(strstr(url, "/exec/") - url), url);

	CHECK_INT(client_request(&other, elsewhere, V4), 404);
}

TEST(requests_that_are_no_upgrade_are_told_so)
{
	_free_ char *url = NULL;
	_client_ struct client plain = { .fd = -1 }, version = { .fd = -1 }, body = { .fd = -1 }, fine = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "o", SH("true"), &url));
	CHECK_INT(client_request(&plain, url, ""), 400);
	CHECK_INT(client_request(&version, url, UPGRADE "X-Stream-Protocol-Version: v7\r\n"), 403);
	CHECK(strstr(version.answer, "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"));
	CHECK_INT(client_request(&body, url, "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 5\r\n"), 400);
	CHECK_INT(client_request(&fine, url, V4), 101); /* none of them used it up */
}

TEST(stdin_is_half_closed)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "io", SH("wc -c; echo after"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	uint32_t error = client_open(&c, "error", NULL, NULL), in = client_open(&c, "stdin", NULL, NULL),
		 out = client_open(&c, "stdout", NULL, NULL);

	for (int i = 0; i < 100; i++)
		client_send(&c, in, "0123456789", 10, false);
	client_send(&c, in, "", 0, true);
	client_read_all(&c);
	CHECK_STR(buf_text(&c.streams[out]), "1000\nafter\n");
	CHECK_STR(buf_text(&c.streams[error]), success);
}

TEST(failure_to_start_is_told_on_the_error_stream_of_any_version)
{
	char *none[] = { (char *)"/nonexistent/program" };

	for (int version = 4; version >= 1; version--) {
		_free_ char *url = NULL;
		_free_ char *headers = base_printf(UPGRADE "X-Stream-Protocol-Version: %s%schannel.k8s.io\r\n",
						   version == 1 ? "" : version == 2 ? "v2" : version == 3 ? "v3" : "v4",
						   version == 1 ? "" : ".");
		_client_ struct client c = { .fd = -1 };

		CHECK_OK(make_url(STREAM_EXEC, "o", none, 1, &url));
		CHECK_INT(client_request(&c, url, headers), 101);
		uint32_t error = client_open(&c, "error", NULL, NULL);

		client_open(&c, "stdout", NULL, NULL);
		client_read_all(&c);
		const char *text = buf_text(&c.streams[error]);

		CHECK(strstr(text, "Internal error occurred: error executing command in container: "));
		CHECK(strstr(text, "No such file or directory"));
		CHECK(str_starts(text, "{\"status\":\"Failure\"") == (version == 4));
	}
}

TEST(terminal_is_resized_before_and_after_the_start)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "tio", SH("stty size; read x; stty size; echo got $x; exit 7"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	uint32_t error = client_open(&c, "error", NULL, NULL), in = client_open(&c, "stdin", NULL, NULL),
		 out = client_open(&c, "stdout", NULL, NULL), size = client_open(&c, "resize", NULL, NULL);

	client_send(&c, size, "{\"Width\":132,\"Hei", 17, false);
	client_send(&c, size, "ght\":43}", 8, false);
	client_wait_text(&c, out, "\n");
	client_send(&c, size, "{\"Width\":80,\"Height\":24}", 24, false);
	client_send(&c, in, "hello\n", 6, false);
	client_read_all(&c);
	CHECK(strstr(buf_text(&c.streams[out]), "24 80") && strstr(buf_text(&c.streams[out]), "got hello"));
	CHECK(strstr(buf_text(&c.streams[error]), "\"message\":\"7\""));
}

TEST(output_is_whole_when_the_client_is_slow)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "o", SH("head -c 20000000 /dev/zero; exit 9"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	uint32_t error = client_open(&c, "error", NULL, NULL), out = client_open(&c, "stdout", NULL, NULL);

	poll(NULL, 0, 300); /* until every buffer on the way is full */
	client_read_all(&c);
	CHECK_INT(c.streams[out].len, 20000000);
	CHECK(strstr(buf_text(&c.streams[error]), "\"message\":\"9\""));
}

TEST(process_left_behind_does_not_hold_the_session)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };
	int64_t began = clock_mono_ns();

	CHECK_OK(make_url(STREAM_EXEC, "o", SH("sleep 60 & echo $!; exit 0"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	uint32_t error = client_open(&c, "error", NULL, NULL), out = client_open(&c, "stdout", NULL, NULL);

	client_wait_fin(&c, error);
	kill(atoi(buf_text(&c.streams[out])), SIGKILL);
	CHECK_STR(buf_text(&c.streams[error]), success);
	CHECK(clock_mono_ns() - began < 15 * NS_PER_S);
}

TEST(client_that_leaves_closes_the_processs_input)
{
	_free_ char *url = NULL;
	char dir[] = "/tmp/crisp-stream-XXXXXX";
	_free_ char *script = NULL;

	CHECK(mkdtemp(dir));
	script = base_printf("cat >%s/got; echo done >%s/end.new; mv %s/end.new %s/end", dir, dir, dir, dir);
	CHECK_OK(make_url(STREAM_EXEC, "i", SH(script), &url));
	{
		_client_ struct client c = { .fd = -1 };

		CHECK_INT(client_request(&c, url, V4), 101);
		client_open(&c, "error", NULL, NULL);
		client_send(&c, client_open(&c, "stdin", NULL, NULL), "abc", 3, false);
		poll(NULL, 0, 300);
	}
	_free_ char *end = base_printf("%s/end", dir), *got = base_printf("%s/got", dir);
	_buf_ struct buf b = BUF_INIT;

	for (int i = 0; i < 200 && access(end, F_OK) < 0; i++)
		poll(NULL, 0, 50);
	CHECK_OK(file_read_at(AT_FDCWD, got, 100, &b));
	CHECK_STR(buf_text(&b), "abc");
	CHECK_OK(file_remove_tree(AT_FDCWD, dir));
}

TEST(attach_carries_both_ways_until_the_container_ends)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };

	CHECK_OK(make_url(STREAM_ATTACH, "ioe", NULL, 0, &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	uint32_t error = client_open(&c, "error", NULL, NULL), in = client_open(&c, "stdin", NULL, NULL),
		 out = client_open(&c, "stdout", NULL, NULL), err = client_open(&c, "stderr", NULL, NULL);

	client_send(&c, in, "one ", 4, false);
	client_wait_text(&c, out, "one ");
	client_send(&c, in, "two", 3, true);
	client_read_all(&c);
	CHECK_STR(buf_text(&c.streams[out]), "one two");
	CHECK_STR(buf_text(&c.streams[err]), "!!");
	CHECK_STR(buf_text(&c.streams[error]), success);
}

/* A listener on a loopback port; its number in text. */
static int listen_loopback(int family, char ret_port[8])
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	void *a = family == AF_INET ? (void *)&in : (void *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in) : sizeof(in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, a, len) < 0 || listen(fd, 16) < 0 || getsockname(fd, a, &len) < 0) {
		base_close_p(&fd);
		return -1;
	}
	snprintf(ret_port, 8, "%u", ntohs(family == AF_INET ? in.sin_port : in6.sin6_port));
	return fd;
}

#define FORWARD UPGRADE "X-Stream-Protocol-Version: portforward.k8s.io\r\n"

static void forward_once(int family)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };
	char port[8], b[16] = "";
	_close_ int listener = listen_loopback(family, port);

	if (listener < 0)
		SKIP("no loopback of this family");
	CHECK_OK(make_url(STREAM_FORWARD, "", NULL, 0, &url));
	CHECK_INT(client_request(&c, url, FORWARD), 101);
	for (int i = 0; i < 2; i++) {
		const char *request = i ? "seven" : NULL;
		uint32_t error = client_open(&c, "error", port, request);

		client_send(&c, error, "", 0, true); /* kubectl writes nothing to it */
		uint32_t data = client_open(&c, "data", port, request);

		client_send(&c, data, "ping", 4, true);
		CHECK(wait_input(listener));
		_close_ int fd = accept(listener, NULL, NULL);

		CHECK_INT(recv(fd, b, 4, MSG_WAITALL), 4);
		CHECK_STR(b, "ping");
		CHECK_INT(recv(fd, b, 1, 0), 0); /* half closed */
		CHECK_INT(send(fd, "pong!", 5, 0), 5);
		base_close_p(&fd);
		client_wait_fin(&c, error);
		CHECK_STR(buf_text(&c.streams[data]), "pong!");
		CHECK(c.fins[data] && !c.streams[error].len);
	}
}

TEST(forward_reaches_127_0_0_1)
{
	forward_once(AF_INET);
}

TEST(forward_falls_back_to_loopback_of_ipv6)
{
	forward_once(AF_INET6);
}

TEST(forward_to_a_closed_port_says_so_and_goes_on)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };
	char port[8], dead_port[8];
	_close_ int listener = listen_loopback(AF_INET, port), dead = listen_loopback(AF_INET, dead_port);

	base_close_p(&dead);
	CHECK_OK(make_url(STREAM_FORWARD, "", NULL, 0, &url));
	CHECK_INT(client_request(&c, url, FORWARD), 101);
	uint32_t error = client_open(&c, "error", dead_port, "1"), data = client_open(&c, "data", dead_port, "1");

	client_wait_fin(&c, error);
	client_wait_fin(&c, data);
	_free_ char *want = base_printf("error forwarding port %s to pod pod1: dial 127.0.0.1:%s: Connection refused",
					dead_port, dead_port);

	CHECK(str_starts(buf_text(&c.streams[error]), want));
	CHECK(c.resets[data]);
	error = client_open(&c, "error", "0", "2");
	client_wait_fin(&c, error);
	CHECK(c.resets[error]);
	client_open(&c, "error", port, "3");
	client_open(&c, "data", port, "3");
	CHECK(wait_input(listener));
}

static size_t count_fds(pid_t pid)
{
	_free_ char *path = base_printf("/proc/%d/fd", pid);
	DIR *d = opendir(path);
	size_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static long resident_kib(pid_t pid)
{
	_free_ char *path = base_printf("/proc/%d/status", pid);
	_buf_ struct buf b = BUF_INIT;

	err_free(file_read_virtual(AT_FDCWD, path, 8192, &b));
	const char *line = strstr(buf_text(&b), "VmRSS:");

	return line ? atol(line + 6) : 0;
}

static pid_t parent_of(pid_t pid)
{
	_free_ char *path = base_printf("/proc/%d/status", pid);
	_buf_ struct buf b = BUF_INIT;

	err_free(file_read_virtual(AT_FDCWD, path, 8192, &b));
	const char *line = strstr(buf_text(&b), "PPid:");

	return line ? atoi(line + 5) : 0;
}

/* The stream process: our only child that is called by that word. */
static pid_t find_stream(void)
{
	for (pid_t pid = getpid() + 1; pid < getpid() + 5000; pid++) {
		_free_ char *path = base_printf("/proc/%d/cmdline", pid);
		_buf_ struct buf b = BUF_INIT;

		err_free(file_read_virtual(AT_FDCWD, path, 4096, &b));
		if (b.len > 13 && !memcmp(b.data, "crisp\0stream\0", 13) && parent_of(pid) == getpid())
			return pid;
	}
	return 0;
}

static void one_session(int i)
{
	_free_ char *url = NULL;
	_client_ struct client c = { .fd = -1 };

	CHECK_OK(make_url(STREAM_EXEC, "io", SH("cat"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	if (i % 5 == 0)
		return; /* leaves right after the upgrade */
	client_open(&c, "error", NULL, NULL);
	uint32_t in = client_open(&c, "stdin", NULL, NULL);

	client_send(&c, in, "abcdefgh", 8, i % 5 != 1);
	uint32_t out = client_open(&c, "stdout", NULL, NULL);

	if (i % 5 == 1)
		return; /* leaves with the process running */
	client_read_all(&c);
	CHECK_STR(buf_text(&c.streams[out]), "abcdefgh");
}

TEST(a_thousand_sessions_leave_nothing_behind)
{
	pid_t pid = find_stream();
	size_t fds = 0, ours = 0;
	long kib = 0;

	CHECK(pid > 0);
	for (int i = 0; i < 1100; i++) {
		if (i == 100) {
			poll(NULL, 0, 200);
			fds = count_fds(pid);
			ours = count_fds(getpid());
			kib = resident_kib(pid);
		}
		one_session(i);
	}
	for (int i = 0; i < 100 && (count_fds(pid) > fds || count_fds(getpid()) > ours); i++)
		poll(NULL, 0, 100);
	printf("stream process: %ld KiB after 100 sessions, %ld after 1100\n", kib, resident_kib(pid));
	CHECK(count_fds(pid) <= fds);
	CHECK(count_fds(getpid()) <= ours);
	CHECK(resident_kib(pid) < kib + 2048);
}

TEST(process_that_is_killed_is_started_again)
{
	pid_t pid = find_stream();
	_free_ char *url = NULL;
	int status = 0;

	CHECK(pid > 0 && kill(pid, SIGKILL) == 0);
	for (int i = 0; i < 100 && status != 101; i++) {
		_client_ struct client c = { .fd = -1 };

		free(TAKE(url));
		CHECK_OK(make_url(STREAM_EXEC, "o", SH("true"), &url));
		status = client_request(&c, url, V4);
	}
	CHECK_INT(status, 101);
}

TEST(sessions_outlive_serve)
{
	_free_ char *url = NULL, *unused = NULL;
	_client_ struct client c = { .fd = -1 };
	pid_t pid = find_stream();

	CHECK_OK(make_url(STREAM_EXEC, "io", SH("cat; exit 4"), &url));
	CHECK_INT(client_request(&c, url, V4), 101);
	uint32_t error = client_open(&c, "error", NULL, NULL), in = client_open(&c, "stdin", NULL, NULL),
		 out = client_open(&c, "stdout", NULL, NULL);

	client_send(&c, in, "before ", 7, false);
	client_wait_text(&c, out, "before");
	stream_link_stop(link_of_test);
	CHECK_OK(stream_link_start("127.0.0.1:0", 0, &link_of_test));
	client_send(&c, in, "after", 5, true);
	client_read_all(&c);
	CHECK_STR(buf_text(&c.streams[out]), "before after");
	CHECK(strstr(buf_text(&c.streams[error]), "\"message\":\"4\""));
	base_close_p(&c.fd);
	for (int i = 0; i < 1200 && find_stream() == pid; i++)
		poll(NULL, 0, 50);
	CHECK(find_stream() != pid); /* the old process ended with its last session */
	CHECK_OK(make_url(STREAM_EXEC, "o", SH("true"), &unused));
}

TEST(bad_addresses_are_refused)
{
	struct stream_link *l;

	CHECK_ERR(stream_link_start("localhost:0", 0, &l), ERR_INVALID);
	CHECK_ERR(stream_link_start("127.0.0.1", 0, &l), ERR_INVALID);
	CHECK_ERR(stream_link_start("[127.0.0.1]:1", 0, &l), ERR_INVALID);
}

static int serve_lines(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		char *words[40], *save = NULL;
		size_t n = 0;
		_free_ char *url = NULL;

		for (char *w = strtok_r(line, "\t\n", &save); w && n < 40; w = strtok_r(NULL, "\t\n", &save))
			words[n++] = w;
		if (n < 2)
			continue;
		enum stream_kind kind = words[0][0] == 'e' ? STREAM_EXEC : words[0][0] == 'a' ? STREAM_ATTACH : STREAM_FORWARD;
		struct err *e = make_url(kind, words[1], words + 2, n - 2, &url);

		printf("%s\n", e ? err_text(e) : url);
		fflush(stdout);
		err_free(e);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "stream"))
		return stream_main(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	log_init("serve", LOG_LEVEL_INFO);
	struct err *e = stream_link_start("127.0.0.1:0", getuid() ? 0 : 65534, &link_of_test);

	if (e) {
		fprintf(stderr, "%s\n", err_text(e));
		return 1;
	}
	int r = argc > 1 && !strcmp(argv[1], "serve") ? serve_lines() : test_run_all(argc > 1 ? argv[1] : NULL);

	stream_link_stop(link_of_test);
	return r;
}
