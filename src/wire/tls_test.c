#include "base/test.h"
#include "base/log.h"
#include "wire/http1_testserver.h"
#include "wire/tls.h"
#include "wire/tls_ciphers.h"

static char *ca, *other_ca;
static char version[16], cipher[64]; /* of the last connection */

static void hello(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_answer(c, 200, "", "hello");
}

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int64_t soon(void)
{
	return clock_mono_ns() + 20 * NS_PER_S;
}

static struct tls_config *config(const char *trusted, bool skip)
{
	struct tls_config *c = NULL;

	CHECK_OK(tls_config_new(&(struct tls_options){ .ca = (const char *[]){ trusted, NULL }, .skip_verify = skip }, &c));
	return c;
}

/* Handshake and one request. */
static struct err *talk(int port, struct tls_config *c, const char *host)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct tls *t = NULL;
	char answer[512];
	size_t n = 0, got = 1;
	_free_ char *peer = base_printf("%s:%d", host, port);
	struct err *e = tls_connect(c, dial(port), host, peer, soon(), &t);

	if (!e)
		e = tls_write(t, request, strlen(request), soon());
	while (!e && got && !memmem(answer, n, "hello", 5)) {
		e = tls_read(t, answer + n, sizeof(answer) - n, soon(), &got);
		n += e ? 0 : got;
	}
	if (!e) {
		snprintf(version, sizeof(version), "%s", tls_version(t));
		snprintf(cipher, sizeof(cipher), "%s", tls_cipher(t));
	}
	tls_free(t);
	return e;
}

TEST(tls_verified_server)
{
	struct test_server *s = test_server_new("server", false, hello, NULL);
	struct tls_config *c = config(ca, false);

	CHECK_OK(talk(s->port, c, "registry.test"));
	CHECK_STR(version, "TLSv1.3");
	CHECK_STR(cipher, tls_ciphers()[0] == MBEDTLS_TLS1_3_AES_128_GCM_SHA256 ? "TLS1-3-AES-128-GCM-SHA256" :
										  "TLS1-3-CHACHA20-POLY1305-SHA256");
	CHECK_OK(talk(s->port, c, "Registry.TEST"));
	CHECK_OK(talk(s->port, c, "a.wild.test"));
	CHECK_OK(talk(s->port, c, "127.0.0.1"));
	CHECK_OK(talk(s->port, c, "::1"));
	tls_config_free(c);
}

TEST(tls_rsa_server)
{
	struct test_server *s = test_server_new("rsa", false, hello, NULL);
	struct tls_config *c = config(ca, false);

	CHECK_OK(talk(s->port, c, "registry.test"));
	tls_config_free(c);
}

TEST(tls_unknown_authority)
{
	struct test_server *s = test_server_new("server", false, hello, NULL);
	struct tls_config *c = config(other_ca, false);

	check_says(talk(s->port, c, "registry.test"), ERR_PRECONDITION, "is not signed by a known authority");
	tls_config_free(c);
}

TEST(tls_wrong_name)
{
	struct test_server *s = test_server_new("elsewhere", false, hello, NULL);
	struct tls_config *c = config(ca, false);

	check_says(talk(s->port, c, "registry.test"), ERR_PRECONDITION,
		   "is for elsewhere.test, 192.0.2.1, not for registry.test");
	check_says(talk(s->port, c, "127.0.0.1"), ERR_PRECONDITION, "is for elsewhere.test, 192.0.2.1, not for 127.0.0.1");
	CHECK_OK(talk(s->port, c, "192.0.2.1"));
	tls_config_free(c);
}

TEST(tls_wildcard_is_one_label)
{
	struct test_server *s = test_server_new("server", false, hello, NULL);
	struct tls_config *c = config(ca, false);

	check_says(talk(s->port, c, "a.b.wild.test"), ERR_PRECONDITION, "not for a.b.wild.test");
	check_says(talk(s->port, c, "wild.test"), ERR_PRECONDITION, "not for wild.test");
	tls_config_free(c);
}

static int64_t next_week(void)
{
	return time(NULL) + 7 * 86400;
}

TEST(tls_expired)
{
	struct test_server *s = test_server_new("server", false, hello, NULL);
	struct tls_config *c = config(ca, false);

	tls_set_clock(next_week);
	struct err *e = talk(s->port, c, "registry.test");

	tls_set_clock(NULL);
	check_says(e, ERR_PRECONDITION, "expired on 20");
	tls_config_free(c);
}

static int64_t epoch(void)
{
	return 0;
}

/* The build is older than certificates made a moment ago: with a clock at 1970 it is the build that they
 * are judged by, and the words say which time that is. */
TEST(tls_clock_behind_the_build)
{
	struct test_server *s = test_server_new("server", false, hello, NULL);
	struct tls_config *c = config(ca, false);

	tls_set_clock(epoch);
	int64_t now = tls_now();
	struct err *e = talk(s->port, c, "registry.test");

	tls_set_clock(NULL);
	CHECK(now > 1700000000 && now <= time(NULL));
	check_says(e, ERR_PRECONDITION, "is not valid before 20");
	tls_config_free(c);
}

TEST(tls_skip_verify)
{
	struct test_server *s = test_server_new("elsewhere", false, hello, NULL);
	struct tls_config *c = config(other_ca, true);

	CHECK_OK(talk(s->port, c, "registry.test"));
	CHECK_OK(talk(s->port, c, "127.0.0.1"));
	tls_config_free(c);
}

TEST(tls_client_certificate)
{
	struct test_server *s = test_server_new("server", true, hello, NULL);
	_free_ char *cert = test_pki_text("client.pem"), *key = test_pki_text("client.key");
	_free_ char *wrong = test_pki_text("server.key");
	struct tls_options o = { .ca = (const char *[]){ ca, NULL }, .cert = cert, .key = key };
	struct tls_config *with = NULL, *without = config(ca, false), *bad;

	CHECK_OK(tls_config_new(&o, &with));
	CHECK_OK(talk(s->port, with, "registry.test"));
	CHECK_STR(version, "TLSv1.3");
	/* mbedtls' server sends its alert under the wrong keys in 1.3, and none in 1.2. */
	mbedtls_ssl_conf_max_tls_version(&s->conf, MBEDTLS_SSL_VERSION_TLS1_2);
	CHECK_OK(talk(s->port, with, "registry.test"));
	CHECK_STR(version, "TLSv1.2");
	check_says(talk(s->port, without, "registry.test"), ERR_UNAVAILABLE, "client certificate");
	o.key = wrong;
	check_says(tls_config_new(&o, &bad), ERR_INVALID, "does not belong");
	o.key = "nonsense";
	check_says(tls_config_new(&o, &bad), ERR_INVALID, "client key");
	tls_config_free(with);
	tls_config_free(without);
}

TEST(tls_bad_authorities)
{
	struct tls_config *c;
	struct tls_options nonsense = { .ca = (const char *[]){ ca, "nonsense", NULL } };
	struct tls_options none = { .ca = NULL };

	check_says(tls_config_new(&nonsense, &c), ERR_INVALID, "CA certificates");
	check_says(tls_config_new(&none, &c), ERR_PRECONDITION, "no CA certificates");
}

TEST(tls_with_a_plain_server)
{
	struct test_server *s = test_server_new(NULL, false, hello, NULL);
	struct tls_config *c = config(ca, false);
	struct tls *t;

	/* What it answers to a handshake does not begin like TLS; or it just waits for a head to end. */
	struct err *e = tls_connect(c, dial(s->port), "registry.test", "peer", clock_mono_ns() + NS_PER_S / 5, &t);

	CHECK_ERR(e, ERR_TIMEOUT);

	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	CHECK(write(pair[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28) == 28);
	check_says(tls_connect(c, pair[0], "registry.test", "peer", soon(), &t), ERR_PRECONDITION, "does not speak TLS");
	close(pair[1]);
	tls_config_free(c);
}

static void cut_short(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_printf(c, "HTTP/1.1 200 OK\r\n\r\nhalf of it");
	test_cut(c);
}

TEST(tls_truncation_is_no_end)
{
	struct test_server *s = test_server_new("server", false, cut_short, NULL);
	struct tls_config *c = config(ca, false);

	check_says(talk(s->port, c, "registry.test"), ERR_UNAVAILABLE, "broke off");
	tls_config_free(c);
}

int main(int argc, char **argv)
{
	log_init("test", LOG_LEVEL_ERROR);
	ca = test_pki_text("ca.pem");
	other_ca = test_pki_text("other-ca.pem");
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	free(ca);
	free(other_ca);
	return status;
}
