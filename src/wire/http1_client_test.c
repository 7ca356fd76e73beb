#include "base/test.h"
#include "base/log.h"
#include "base/str.h"
#include "wire/http1_client.h"
#include "wire/http1_socket.h"
#include "wire/http1_testserver.h"

#include <netinet/in.h>

static int64_t soon(void)
{
	return clock_mono_ns() + 20 * NS_PER_S;
}

/* A server that answers by the path. */
static void by_path(struct test_conn *c, const struct http1_head *h, void *context)
{
	const char *path = h->target;

	(void)context;
	if (!strcmp(path, "/length"))
		test_answer(c, 200, "X-Seen: yes\r\n", "of known length");
	else if (!strcmp(path, "/chunked"))
		test_printf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nin two \r\n6;x\r\npieces\r\n0\r\nA: b\r\n\r\n");
	else if (!strcmp(path, "/close")) {
		test_printf(c, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
		if (c->tls)
			mbedtls_ssl_close_notify(&c->ssl);
		test_cut(c);
	} else if (!strcmp(path, "/cut")) {
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
		test_cut(c);
	} else if (!strcmp(path, "/interim")) {
		test_printf(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
		test_answer(c, 200, "", "at last");
	} else if (!strcmp(path, "/interims")) {
		for (int i = 0; i < 100; i++)
			test_printf(c, "HTTP/1.1 100 Continue\r\n\r\n");
	} else if (!strcmp(path, "/huge-head")) {
		test_printf(c, "HTTP/1.1 200 OK\r\n");
		for (int i = 0; i < 100000 && !c->closed; i++)
			test_printf(c, "X-%d: y\r\n", i);
	} else if (!strcmp(path, "/post")) {
		test_answer(c, 200, "", buf_text(&c->body));
	} else if (!strcmp(path, "/stall")) {
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
	} else if (!strcmp(path, "/last")) {
		test_answer(c, 200, "Connection: close\r\n", "bye");
		test_cut(c);
	} else if (!strcmp(path, "/hangup")) {
		test_answer(c, 200, "", "I hang up");
		test_cut(c);
	} else {
		test_answer(c, 404, "", "");
	}
}

static struct tls_config *trusting(void)
{
	_free_ char *ca = test_pki_text("ca.pem");
	struct tls_config *c = NULL;

	CHECK_OK(tls_config_new(&(struct tls_options){ .ca = (const char *[]){ ca, NULL } }, &c));
	return c;
}

static struct http1_conn *dial(const struct test_server *s, struct tls_config *tls)
{
	_free_ char *text = base_printf("http%s://localhost:%d", tls ? "s" : "", s->port);
	_url_ struct url to = { 0 };
	struct http1_conn *c = NULL;

	CHECK_OK(url_parse(text, &to));
	CHECK_OK(http1_connect(&(struct http1_dial){ &to, NULL, tls, soon() }, &c));
	return c;
}

static struct err *read_all(struct http1_conn *c, int64_t deadline_ns, struct buf *ret)
{
	char piece[5];
	size_t n;

	do {
		TRY(http1_read(c, piece, sizeof(piece), deadline_ns, &n));
		buf_append(ret, piece, n);
	} while (n);
	return NULL;
}

static struct err *get(struct http1_conn *c, const char *path, struct buf *ret_body)
{
	const struct http1_head *h;

	buf_clear(ret_body);
	TRY(http1_send(c, &(struct http1_request){ .method = "GET", .target = path }, soon()));
	TRY(http1_receive(c, soon(), &h));
	return read_all(c, soon(), ret_body);
}

static void check_get(struct http1_conn *c, const char *path, const char *want)
{
	_buf_ struct buf b = BUF_INIT;

	CHECK_OK(get(c, path, &b));
	CHECK_STR(buf_text(&b), want);
}

static void check_bodies(const char *cert)
{
	struct test_server *s = test_server_new(cert, false, by_path, NULL);
	struct tls_config *tls = cert ? trusting() : NULL;
	struct http1_conn *c = dial(s, tls);
	_buf_ struct buf b = BUF_INIT;

	check_get(c, "/length", "of known length");
	CHECK(http1_reusable(c));
	check_get(c, "/chunked", "in two pieces");
	CHECK(http1_reusable(c));
	check_get(c, "/interim", "at last");
	CHECK(http1_reusable(c) && http1_still_idle(c));
	check_get(c, "/nothing", "");
	CHECK_INT(s->connections, 1);
	check_get(c, "/close", "until the end");
	CHECK(!http1_reusable(c));
	http1_close(c);

	c = dial(s, tls);
	check_get(c, "/last", "bye");
	CHECK(!http1_reusable(c));
	http1_close(c);

	c = dial(s, tls);
	CHECK_ERR(get(c, "/cut", &b), ERR_UNAVAILABLE);
	CHECK_STR(b.data, "only this");
	CHECK(!http1_reusable(c));
	http1_close(c);
	tls_config_free(tls);
}

TEST(http1_client_plain)
{
	check_bodies(NULL);
}

TEST(http1_client_tls)
{
	check_bodies("server");
}

TEST(http1_client_posts)
{
	struct test_server *s = test_server_new(NULL, false, by_path, NULL);
	struct http1_conn *c = dial(s, NULL);
	const char *const headers[] = { "Content-Type: text/plain", NULL }, *const bad[] = { "A: b\r\nC: d", NULL };
	struct http1_request q = { "POST", "/post", headers, "the body", 8 };
	const struct http1_head *h;
	_buf_ struct buf b = BUF_INIT;

	CHECK_OK(http1_send(c, &q, soon()));
	CHECK_OK(http1_receive(c, soon(), &h));
	CHECK_OK(read_all(c, soon(), &b));
	CHECK_STR(b.data, "the body");
	q.headers = bad;
	CHECK_ERR(http1_send(c, &q, soon()), ERR_INVALID);
	http1_close(c);
}

TEST(http1_client_limits)
{
	struct test_server *s = test_server_new(NULL, false, by_path, NULL);
	_buf_ struct buf b = BUF_INIT;
	struct http1_conn *c = dial(s, NULL);

	CHECK_ERR(get(c, "/huge-head", &b), ERR_EXHAUSTED);
	http1_close(c);
	c = dial(s, NULL);
	CHECK_ERR(get(c, "/interims", &b), ERR_INVALID);
	http1_close(c);
}

TEST(http1_client_deadlines)
{
	struct test_server *s = test_server_new(NULL, false, by_path, NULL);
	struct http1_conn *c = dial(s, NULL);
	const struct http1_head *h;
	_buf_ struct buf b = BUF_INIT;

	CHECK_OK(http1_send(c, &(struct http1_request){ .method = "GET", .target = "/stall" }, soon()));
	CHECK_OK(http1_receive(c, soon(), &h));
	CHECK_ERR(read_all(c, clock_mono_ns() + NS_PER_S / 10, &b), ERR_TIMEOUT);
	CHECK_STR(b.data, "only this");
	http1_close(c);
}

TEST(http1_client_sees_that_a_kept_connection_went)
{
	struct test_server *s = test_server_new(NULL, false, by_path, NULL);
	struct http1_conn *c = dial(s, NULL);
	_buf_ struct buf b = BUF_INIT;

	check_get(c, "/hangup", "I hang up");
	CHECK(http1_reusable(c));
	CHECK(!http1_was_stale(c));
	CHECK_ERR(get(c, "/length", &b), ERR_UNAVAILABLE);
	CHECK(http1_was_stale(c));
	CHECK(!http1_still_idle(c));
	http1_close(c);
}

TEST(http1_client_connection_refused)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct url to = { .host = (char *)"127.0.0.1", .target = (char *)"/" };
	struct http1_conn *c;

	CHECK(bind(fd, (struct sockaddr *)&at, len) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	to.port = ntohs(at.sin_port);
	struct err *e = http1_connect(&(struct http1_dial){ &to, NULL, NULL, soon() }, &c);

	CHECK(e && strstr(err_text(e), "Connection refused"));
	CHECK_ERR(e, ERR_UNAVAILABLE);
}

/* ---- through a proxy ---- */

struct relay {
	int from, to;
};

static void *relay_run(void *arg)
{
	struct relay r = *(struct relay *)arg;
	char p[4096];
	ssize_t n;

	free(arg);
	while ((n = recv(r.from, p, sizeof(p), 0)) > 0 && send(r.to, p, (size_t)n, MSG_NOSIGNAL) == n)
		;
	shutdown(r.to, SHUT_RDWR);
	return NULL;
}

/* The proxy: leads every name to the server whose port is *context*. */
static void proxy(struct test_conn *c, const struct http1_head *h, void *context)
{
	const struct test_server *to = context;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)to->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *auth = http1_header(h, "Proxy-Authorization");

	if (!auth || strcmp(auth, "Basic dXNlcjpwdw==") != 0) {
		test_answer(c, 407, "", "");
		return;
	}
	if (!strcmp(h->method, "GET")) {
		test_answer(c, 200, "", h->target);
		return;
	}
	if (strcmp(h->target, "registry.test:5000") != 0) {
		test_answer(c, 403, "", "");
		return;
	}
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct relay *up = base_alloc(sizeof(*up)), *down = base_alloc(sizeof(*down));

	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		abort();
	test_printf(c, "HTTP/1.1 200 Connection established\r\n\r\n");
	*up = (struct relay){ c->fd, fd };
	*down = (struct relay){ fd, c->fd };
	pthread_t t;

	if (pthread_create(&t, NULL, relay_run, up))
		abort();
	relay_run(down);
	shutdown(fd, SHUT_RDWR);
	pthread_join(t, NULL);
	close(fd);
	test_cut(c);
}

static struct err *dial_through(const struct test_server *via, const char *user, const char *to_text, struct tls_config *tls,
				struct http1_conn **ret)
{
	_free_ char *text = base_printf("http://%s127.0.0.1:%d", user, via->port);
	_url_ struct url p = { 0 }, to = { 0 };

	CHECK_OK(url_parse(text, &p));
	CHECK_OK(url_parse(to_text, &to));
	return http1_connect(&(struct http1_dial){ &to, &p, tls, soon() }, ret);
}

TEST(http1_client_through_a_proxy)
{
	struct test_server *s = test_server_new("server", false, by_path, NULL);
	struct test_server *via = test_server_new(NULL, false, proxy, s);
	struct tls_config *tls = trusting();
	struct http1_conn *c;

	CHECK_OK(dial_through(via, "user:pw@", "https://registry.test:5000/", tls, &c));
	check_get(c, "/length", "of known length");
	check_get(c, "/chunked", "in two pieces");
	http1_close(c);
	CHECK_OK(dial_through(via, "user:pw@", "http://plain.test/", NULL, &c));
	check_get(c, "/x?y", "http://plain.test/x?y");
	http1_close(c);
	CHECK_ERR(dial_through(via, "", "https://registry.test:5000/", tls, &c), ERR_AUTH);
	CHECK_ERR(dial_through(via, "user:pw@", "https://forbidden.test:5000/", tls, &c), ERR_UNAVAILABLE);
	tls_config_free(tls);
}

TEST(base64)
{
	static const char *const pairs[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xff\xfe\xfd", "//79" },
	};
	static const char *const bad[] = { "Z", "Zg=", "Z===", "Zm9v=", "Zm 9v", "Zm9v\n", "Zm_v", "=", "Zg==Zg==", "Zm9=v" };
	char *out;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		_free_ char *to = http1_base64(pairs[i][0], strlen(pairs[i][0]));
		size_t n;

		CHECK_STR(to, pairs[i][1]);
		CHECK(http1_base64_decode(to, &out, &n));
		CHECK_STR(out, pairs[i][0]);
		CHECK_INT(n, strlen(pairs[i][0]));
		free(out);
	}
	CHECK(http1_base64_decode("Zm8", &out, NULL));
	CHECK_STR(out, "fo");
	free(out);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (http1_base64_decode(bad[i], &out, NULL)) {
			fprintf(stderr, "accepted %s\n", bad[i]);
			CHECK(false);
		}
}

int main(int argc, char **argv)
{
	log_init("test", LOG_LEVEL_ERROR);
	return test_run_all(argc > 1 ? argv[1] : NULL);
}
