/* http1_testserver.h: for tests only, as base/test.h: a certificate authority in a temporary directory, and
 * an HTTP/1.1 server on loopback, plain or TLS, whose answers each test writes byte by byte.
 *
 * Every connection has a thread; the handler is called for each request and may do what a bad server
 * does: cut, stall, lie. The process ends with the tests, so nothing waits for stuck threads.
 */
#ifndef CRISP_HTTP1_TESTSERVER_H
#define CRISP_HTTP1_TESTSERVER_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "wire/http1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- certificates ---- */

_unused_ static char test_pki_dir[64];

_unused_ static void test_pki_remove(void)
{
	err_free(file_remove_tree(AT_FDCWD, test_pki_dir));
}

/* Makes, once: ca.pem; other-ca.pem; server.{pem,key} for localhost, registry.test, *.wild.test, 127.0.0.1, ::1;
 * rsa.{pem,key} the same with RSA; elsewhere.{pem,key} for elsewhere.test; client.{pem,key}. They last a
 * day. */
_unused_ static void test_pki_make(void)
{
	static const char script[] =
		"set -e; cd \"$0\"; exec 2>log\n"
		"key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
		"ca() { key $1; openssl req -x509 -new -key $1.key -subj \"/CN=crisp test $1\" -days 1 -out $1.pem"
		" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign; }\n"
		"leaf() { [ -f $1.key ] || key $1; openssl req -new -key $1.key -subj \"/CN=$1\" -out $1.csr; "
		"printf '%s\\n' \"subjectAltName=$2\" \"extendedKeyUsage=$3\" >$1.ext; "
		"openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile $1.ext "
		"-out $1.pem; }\n"
		"ca ca; ca other-ca\n"
		"names=DNS:localhost,DNS:registry.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1\n"
		"leaf server $names serverAuth\n"
		"openssl genrsa -out rsa.key 2048\n"
		"leaf rsa $names serverAuth\n"
		"leaf elsewhere DNS:elsewhere.test,IP:192.0.2.1 serverAuth\n"
		"leaf client DNS:client.test clientAuth\n";

	if (*test_pki_dir)
		return;
	strcpy(test_pki_dir, "/tmp/crisp-test-pki-XXXXXX");
	if (!mkdtemp(test_pki_dir))
		abort();
	atexit(test_pki_remove);
	_free_ char *command = base_printf("sh -c '%s' '%s'", "eval \"$CRISP_TEST_PKI\"", test_pki_dir);

	setenv("CRISP_TEST_PKI", script, 1);
	int status = system(command);

	unsetenv("CRISP_TEST_PKI");
	if (status) {
		fprintf(stderr, "the openssl command is needed to make test certificates; see its output:\n");
		_free_ char *show = base_printf("cat %s/log >&2", test_pki_dir);

		exit(system(show) ? 1 : 1);
	}
}

/* The text of a file made above; owned. */
_unused_ static char *test_pki_text(const char *name)
{
	struct buf b = BUF_INIT;

	test_pki_make();
	_free_ char *path = base_printf("%s/%s", test_pki_dir, name);
	struct err *e = file_read_at(AT_FDCWD, path, KIB(64), &b);

	if (e) {
		fprintf(stderr, "%s\n", err_text(e));
		exit(1);
	}
	return buf_take(&b);
}

/* ---- server ---- */

struct test_conn {
	int fd;
	bool tls, closed;
	mbedtls_ssl_context ssl;
	struct test_server *server;
	struct buf in;
	struct buf body;       /* of the current request */
	char *head_bytes;
};

typedef void test_handler(struct test_conn *c, const struct http1_head *h, void *context);

struct test_server {
	int fd, port;
	bool tls;
	mbedtls_ssl_config conf;
	mbedtls_x509_crt cert, ca;
	mbedtls_pk_context key;
	test_handler *handler;
	void *context;
	atomic_int connections, requests;
	struct test_server *next;
};

/* Their threads may outlive a test: they are kept. */
_unused_ static struct test_server *test_servers;

_unused_ static int test_bio_send(void *c, const unsigned char *p, size_t n)
{
	ssize_t did = send(((struct test_conn *)c)->fd, p, n, MSG_NOSIGNAL);

	return did < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)did;
}

_unused_ static int test_bio_recv(void *c, unsigned char *p, size_t n)
{
	ssize_t did = recv(((struct test_conn *)c)->fd, p, n, 0);

	return did < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : (int)did;
}

_unused_ static void test_send(struct test_conn *c, const void *p, size_t n)
{
	const char *from = p;

	while (n > 0 && !c->closed) {
		ssize_t did = c->tls ? mbedtls_ssl_write(&c->ssl, (const unsigned char *)from, n) :
				       send(c->fd, from, n, MSG_NOSIGNAL);

		if (did <= 0) {
			c->closed = true;
			return;
		}
		from += did;
		n -= (size_t)did;
	}
}

_unused_ _printf_(2, 3) static void test_printf(struct test_conn *c, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	test_send(c, text, (size_t)n);
	free(text);
}

/* A whole answer with Content-Length; *headers* end each line with CRLF. */
_unused_ static void test_answer(struct test_conn *c, int status, const char *headers, const char *body)
{
	test_printf(c, "HTTP/1.1 %d Words\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), headers, body);
}

/* Breaks off: no close_notify. */
_unused_ static void test_cut(struct test_conn *c)
{
	c->closed = true;
}

_unused_ static ssize_t test_receive(struct test_conn *c)
{
	char *to = buf_reserve(&c->in, KIB(16));
	ssize_t n = c->tls ? mbedtls_ssl_read(&c->ssl, (unsigned char *)to, KIB(16)) : recv(c->fd, to, KIB(16), 0);

	if (n <= 0)
		return -1;
	c->in.len += (size_t)n;
	c->in.data[c->in.len] = '\0';
	return n;
}

_unused_ static bool test_request(struct test_conn *c)
{
	struct http1_head *h = base_alloc(sizeof(*h));
	const char *length;
	size_t n, want;

	while (!(n = c->in.len ? http1_head_len(c->in.data, c->in.len) : 0))
		if (test_receive(c) < 0) {
			free(h);
			return false;
		}
	free(c->head_bytes);
	c->head_bytes = base_strndup(c->in.data, n);
	buf_consume(&c->in, n);
	err_free(http1_parse_request(c->head_bytes, n, h));
	length = h->n_headers ? http1_header(h, "Content-Length") : NULL;
	want = length ? (size_t)atoi(length) : 0;
	while (c->in.len < want && test_receive(c) > 0)
		;
	buf_clear(&c->body);
	buf_append(&c->body, c->in.data, MIN(want, c->in.len));
	buf_consume(&c->in, want);
	c->server->requests++;
	c->server->handler(c, h, c->server->context);
	free(h);
	return !c->closed;
}

_unused_ static void *test_connection(void *arg)
{
	struct test_conn *c = arg;

	mbedtls_ssl_init(&c->ssl);
	if (c->server->tls) {
		c->tls = true;
		mbedtls_ssl_setup(&c->ssl, &c->server->conf);
		mbedtls_ssl_set_bio(&c->ssl, c, test_bio_send, test_bio_recv, NULL);
		c->closed = mbedtls_ssl_handshake(&c->ssl) != 0;
	}
	while (!c->closed && test_request(c))
		;
	mbedtls_ssl_free(&c->ssl);
	close(c->fd);
	buf_done(&c->in);
	buf_done(&c->body);
	free(c->head_bytes);
	free(c);
	return NULL;
}

_unused_ static void test_thread(void *(*run)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, run, arg))
		abort();
	pthread_detach(t);
}

_unused_ static void *test_accept(void *arg)
{
	struct test_server *s = arg;

	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		struct test_conn *c = base_alloc(sizeof(*c));

		c->fd = fd;
		c->server = s;
		s->connections++;
		test_thread(test_connection, c);
	}
}

_unused_ static void test_server_tls(struct test_server *s, const char *cert, bool ask_client)
{
	_free_ char *cert_name = base_printf("%s.pem", cert), *key_name = base_printf("%s.key", cert);
	_free_ char *cert_text = test_pki_text(cert_name), *key_text = test_pki_text(key_name);
	_free_ char *ca_text = test_pki_text("ca.pem");

	psa_crypto_init();
	s->tls = true;
	mbedtls_ssl_config_init(&s->conf);
	mbedtls_x509_crt_init(&s->cert);
	mbedtls_x509_crt_init(&s->ca);
	mbedtls_pk_init(&s->key);
	mbedtls_x509_crt_parse(&s->cert, (unsigned char *)cert_text, strlen(cert_text) + 1);
	mbedtls_x509_crt_parse(&s->ca, (unsigned char *)ca_text, strlen(ca_text) + 1);
	mbedtls_pk_parse_key(&s->key, (unsigned char *)key_text, strlen(key_text) + 1, NULL, 0, mbedtls_psa_get_random,
			     MBEDTLS_PSA_RANDOM_STATE);
	mbedtls_ssl_config_defaults(&s->conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
				    MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_rng(&s->conf, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
	mbedtls_ssl_conf_own_cert(&s->conf, &s->cert, &s->key);
	mbedtls_ssl_conf_ca_chain(&s->conf, &s->ca, NULL);
	mbedtls_ssl_conf_authmode(&s->conf, ask_client ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
}

/* *cert*: which of the certificates above, NULL for plain http. On 127.0.0.1, any port: s->port. */
_unused_ static struct test_server *test_server_new(const char *cert, bool ask_client, test_handler *handler, void *context)
{
	struct test_server *s = base_alloc(sizeof(*s));
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	signal(SIGPIPE, SIG_IGN);
	s->handler = handler;
	s->context = context;
	s->next = test_servers;
	test_servers = s;
	if (cert)
		test_server_tls(s, cert, ask_client);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, len) < 0 || listen(s->fd, 64) < 0 ||
	    getsockname(s->fd, (struct sockaddr *)&at, &len) < 0) {
		perror("test server");
		exit(1);
	}
	s->port = ntohs(at.sin_port);
	test_thread(test_accept, s);
	return s;
}

#endif
