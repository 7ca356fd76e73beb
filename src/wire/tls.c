#include "wire/tls.h"

#include "base/file.h"
#include "base/log.h"
#include "wire/tls_ciphers.h"
#include "wire/tls_verify.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <poll.h>
#include <psa/crypto.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct tls_config {
	mbedtls_ssl_config ssl;
	mbedtls_x509_crt ca, cert;
	mbedtls_pk_context key;
	bool skip_verify;
};

struct tls {
	mbedtls_ssl_context ssl;
	struct tls_verify verify;
	char *host, *peer;
	int fd;
};

/* ---- time ---- */

static int64_t (*clock_source)(void);

int64_t tls_now(void)
{
	int64_t now = clock_source ? clock_source() : (int64_t)time(NULL);

	return MAX(now, (int64_t)CRISP_BUILD_TIME);
}

static mbedtls_time_t mbedtls_now(mbedtls_time_t *ret)
{
	mbedtls_time_t now = (mbedtls_time_t)tls_now();

	if (ret)
		*ret = now;
	return now;
}

void tls_set_clock(int64_t (*seconds)(void))
{
	clock_source = seconds;
}

static bool initialised;

static void init_once(void)
{
	mbedtls_platform_set_time(mbedtls_now);
	initialised = psa_crypto_init() == PSA_SUCCESS;
	if ((int64_t)time(NULL) < (int64_t)CRISP_BUILD_TIME) {
		char built[CLOCK_TEXT_MAX];

		clock_format((int64_t)CRISP_BUILD_TIME * NS_PER_S, built);
		log_warn("the clock is behind: certificates are judged as of this program's build, %s", built);
	}
}

struct err *tls_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
	return initialised ? NULL : err_new(ERR_INTERNAL, "TLS: no cryptography (is there getrandom?)");
}

/* ---- configuration ---- */

static struct err *mbedtls_err(enum err_kind kind, int code, const char *what)
{
	char text[160];

	mbedtls_strerror(code, text, sizeof(text));
	return err_new(kind, "%s: %s", what, text);
}

static struct err *parse_ca(mbedtls_x509_crt *chain, const char *pem)
{
	int n = mbedtls_x509_crt_parse(chain, (const unsigned char *)pem, strlen(pem) + 1);

	if (n < 0)
		return mbedtls_err(ERR_INVALID, n, "CA certificates");
	if (n > 0)
		log_debug("%d CA certificates left out: of a kind unknown here", n);
	return NULL;
}

static struct err *parse_client(struct tls_config *c, const struct tls_options *o)
{
	const unsigned char *cert = (const unsigned char *)o->cert, *key = (const unsigned char *)o->key;
	int n = mbedtls_x509_crt_parse(&c->cert, cert, strlen(o->cert) + 1);

	if (n)
		return n < 0 ? mbedtls_err(ERR_INVALID, n, "client certificate") :
			       err_new(ERR_INVALID, "client certificate: %d of its certificates cannot be read", n);
	n = mbedtls_pk_parse_key(&c->key, key, strlen(o->key) + 1, NULL, 0, mbedtls_psa_get_random,
				 MBEDTLS_PSA_RANDOM_STATE);
	if (n)
		return mbedtls_err(ERR_INVALID, n, "client key");
	if (mbedtls_pk_check_pair(&c->cert.pk, &c->key, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE))
		return err_new(ERR_INVALID, "client key does not belong to the client certificate");
	n = mbedtls_ssl_conf_own_cert(&c->ssl, &c->cert, &c->key);
	return n ? mbedtls_err(ERR_INVALID, n, "client certificate") : NULL;
}

static struct err *configure(struct tls_config *c, const struct tls_options *o)
{
	static const char *const alpn[] = { "http/1.1", NULL };
	int n = mbedtls_ssl_config_defaults(&c->ssl, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
					    MBEDTLS_SSL_PRESET_DEFAULT);

	if (n)
		return mbedtls_err(ERR_INTERNAL, n, "TLS");
	c->skip_verify = o->skip_verify;
	mbedtls_ssl_conf_rng(&c->ssl, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
	mbedtls_ssl_conf_min_tls_version(&c->ssl, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_authmode(&c->ssl, o->skip_verify ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_ciphersuites(&c->ssl, tls_ciphers());
	mbedtls_ssl_conf_alpn_protocols(&c->ssl, (const char **)alpn);
	for (const char *const *ca = o->ca; ca && *ca; ca++)
		TRY(parse_ca(&c->ca, *ca));
	if (!c->ca.version && !o->skip_verify)
		return err_new(ERR_PRECONDITION, "there are no CA certificates on this node to check a server against");
	mbedtls_ssl_conf_ca_chain(&c->ssl, &c->ca, NULL);
	return o->cert ? parse_client(c, o) : NULL;
}

struct err *tls_config_new(const struct tls_options *o, struct tls_config **ret)
{
	TRY(tls_init());
	struct tls_config *c = base_alloc(sizeof(*c));

	mbedtls_ssl_config_init(&c->ssl);
	mbedtls_x509_crt_init(&c->ca);
	mbedtls_x509_crt_init(&c->cert);
	mbedtls_pk_init(&c->key);
	struct err *e = configure(c, o);

	if (e) {
		tls_config_free(c);
		return e;
	}
	*ret = c;
	return NULL;
}

void tls_config_free(struct tls_config *c)
{
	if (!c)
		return;
	mbedtls_ssl_config_free(&c->ssl);
	mbedtls_x509_crt_free(&c->ca);
	mbedtls_x509_crt_free(&c->cert);
	mbedtls_pk_free(&c->key);
	free(c);
}

/* ---- connections ---- */

static int bio_send(void *context, const unsigned char *p, size_t n)
{
	ssize_t did = send(((struct tls *)context)->fd, p, n, MSG_NOSIGNAL);

	if (did >= 0)
		return (int)did;
	/* The other side hung up. What it said last, an alert with its reason perhaps, can still be read:
	 * let the next read find it, or the end. */
	if (errno == EPIPE || errno == ECONNRESET)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int bio_recv(void *context, unsigned char *p, size_t n)
{
	ssize_t did = recv(((struct tls *)context)->fd, p, n, 0);

	if (did >= 0)
		return (int)did;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
}

/* After *code* from mbedtls: NULL means call again. */
static struct err *wait_ready(struct tls *t, int code, int64_t deadline_ns)
{
	short events = code == MBEDTLS_ERR_SSL_WANT_READ ? POLLIN : POLLOUT;

	if (code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
		return NULL;
	if (code != MBEDTLS_ERR_SSL_WANT_READ && code != MBEDTLS_ERR_SSL_WANT_WRITE)
		return mbedtls_err(ERR_UNAVAILABLE, code, "TLS");
	return file_wait_fd(t->fd, events, deadline_ns);
}

static struct err *handshake_error(struct tls *t, int code)
{
	if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || (t->verify.flags && !t->verify.skip))
		return tls_verify_error(&t->verify, t->peer);
	if (code == MBEDTLS_ERR_SSL_INVALID_RECORD)
		return err_new(ERR_PRECONDITION, "%s does not speak TLS: is it a plain http server?", t->peer);
	if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		return err_new(ERR_PRECONDITION, "%s ended the TLS handshake with an alert (it may ask for a client "
			       "certificate or for other versions than 1.2 and 1.3)", t->peer);
	if (code == MBEDTLS_ERR_SSL_CONN_EOF || code == 0)
		return err_new(ERR_UNAVAILABLE, "%s closed the connection during the TLS handshake (it may ask for a "
						"client certificate)", t->peer);
	_free_ char *what = base_printf("TLS handshake with %s", t->peer);

	return mbedtls_err(ERR_UNAVAILABLE, code, what);
}

static struct err *handshake(struct tls *t, int64_t deadline_ns)
{
	for (;;) {
		int n = mbedtls_ssl_handshake(&t->ssl);

		if (n == 0) {
			log_debug("%s: %s, %s", t->peer, tls_version(t), tls_cipher(t));
			return NULL;
		}
		if (n != MBEDTLS_ERR_SSL_WANT_READ && n != MBEDTLS_ERR_SSL_WANT_WRITE)
			return handshake_error(t, n);
		TRY_WRAP(wait_ready(t, n, deadline_ns), "TLS handshake with %s", t->peer);
	}
}

static struct err *begin(struct tls *t, struct tls_config *c, int64_t deadline_ns)
{
	int n = mbedtls_ssl_setup(&t->ssl, &c->ssl);

	/* An IP address is no server name (RFC 6066 section 3): it is compared in tls_verify. */
	if (!n)
		n = mbedtls_ssl_set_hostname(&t->ssl, t->verify.host_is_ip ? NULL : t->host);
	if (n)
		return mbedtls_err(ERR_INTERNAL, n, "TLS");
	mbedtls_ssl_set_verify(&t->ssl, tls_verify_certificate, &t->verify);
	mbedtls_ssl_set_bio(&t->ssl, t, bio_send, bio_recv, NULL);
	return handshake(t, deadline_ns);
}

static bool is_ip(const char *host)
{
	unsigned char ip[16];

	return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

struct err *tls_connect(struct tls_config *c, int fd, const char *host, const char *peer, int64_t deadline_ns,
			struct tls **ret)
{
	struct tls *t = base_alloc(sizeof(*t));

	t->fd = fd;
	t->host = base_strdup(host);
	t->peer = base_strdup(peer);
	t->verify = (struct tls_verify){ .host = t->host, .host_is_ip = is_ip(host), .skip = c->skip_verify };
	mbedtls_ssl_init(&t->ssl);
	struct err *e = begin(t, c, deadline_ns);

	if (e) {
		tls_free(t);
		return e;
	}
	*ret = t;
	return NULL;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	if (mbedtls_ssl_is_handshake_over(&t->ssl))
		mbedtls_ssl_close_notify(&t->ssl);
	mbedtls_ssl_free(&t->ssl);
	base_close_p(&t->fd);
	free(t->host);
	free(t->peer);
	free(t);
}

struct err *tls_read(struct tls *t, void *p, size_t n, int64_t deadline_ns, size_t *ret_n)
{
	for (;;) {
		int did = mbedtls_ssl_read(&t->ssl, p, n);

		if (did > 0 || did == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
			*ret_n = did > 0 ? (size_t)did : 0;
			return NULL;
		}
		if (did == 0 || did == MBEDTLS_ERR_SSL_CONN_EOF)
			return err_new(ERR_UNAVAILABLE, "connection broke off");
		/* A TLS 1.3 server refuses a client's certificate only now. */
		if (did == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
			return err_new(ERR_PRECONDITION, "%s ended the connection with a TLS alert (it may ask for "
				       "another client certificate)", t->peer);
		TRY(wait_ready(t, did, deadline_ns));
	}
}

struct err *tls_write(struct tls *t, const void *p, size_t n, int64_t deadline_ns)
{
	const unsigned char *from = p;

	while (n > 0) {
		int did = mbedtls_ssl_write(&t->ssl, from, n);

		if (did <= 0) {
			TRY(wait_ready(t, did, deadline_ns));
			continue;
		}
		from += did;
		n -= (size_t)did;
	}
	return NULL;
}

bool tls_pending(const struct tls *t)
{
	return mbedtls_ssl_get_bytes_avail(&t->ssl) > 0 || mbedtls_ssl_check_pending(&t->ssl);
}

int tls_fd(const struct tls *t)
{
	return t->fd;
}

const char *tls_version(const struct tls *t)
{
	return mbedtls_ssl_get_version(&t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return mbedtls_ssl_get_ciphersuite(&t->ssl);
}
