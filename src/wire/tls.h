/* tls.h: a TLS 1.2 and 1.3 client that verifies (mbedtls): chain, name and time, always, unless its
 * configuration says skip_verify.
 *
 * It reads no file: certificates and keys come as PEM text. A tls_config is made once and may serve many
 * connections of several threads; a connection belongs to one thread at a time. Time is the later of the
 * clock and the day this binary was built, so that a node without a battery-backed clock can pull.
 */
#ifndef CRISP_TLS_H
#define CRISP_TLS_H

#include "base/clock.h"
#include "base/err.h"

struct tls_config;
struct tls;

struct tls_options {
	const char *const *ca;    /* NULL-terminated list of PEM texts, each of any number of certificates */
	const char *cert, *key;   /* the client's, PEM; both or neither NULL */
	bool skip_verify;         /* only where the administrator wrote so */
};

/* Once a process, before the rest; cheap to call again. Says so in the log when the clock is wrong. */
struct err *tls_init(void) _must_check_;
/* For tests: where the time, in seconds since 1970, comes from. NULL: the clock. */
void tls_set_clock(int64_t (*seconds)(void));
/* What certificates are judged by. */
int64_t tls_now(void);

/* Certificates of the lists that cannot be read (an algorithm unknown here) are left out, but one at
 * least of each text must do. */
struct err *tls_config_new(const struct tls_options *o, struct tls_config **ret) _must_check_;
void tls_config_free(struct tls_config *c);

/* Handshake over the connected, non-blocking *fd* (owned from now on, also on error) with *host*, whose
 * name or IP address the certificate must carry. What is wrong with a certificate is said in words and
 * is ERR_PRECONDITION: trying again does not help. *peer* names the other side in errors. */
struct err *tls_connect(struct tls_config *c, int fd, const char *host, const char *peer, int64_t deadline_ns,
			struct tls **ret) _must_check_;
void tls_free(struct tls *t);      /* with close_notify, if that can go out at once */

/* At least one byte; *ret_n 0: the other side ended the stream properly. A connection that just breaks
 * off is ERR_UNAVAILABLE, so that nobody can shorten a body. */
struct err *tls_read(struct tls *t, void *p, size_t n, int64_t deadline_ns, size_t *ret_n) _must_check_;
struct err *tls_write(struct tls *t, const void *p, size_t n, int64_t deadline_ns) _must_check_;
/* True if bytes have been received that tls_read() would give at once. */
bool tls_pending(const struct tls *t);
int tls_fd(const struct tls *t);
const char *tls_version(const struct tls *t);   /* "TLSv1.3" */
const char *tls_cipher(const struct tls *t);    /* "TLS1-3-AES-128-GCM-SHA256" */

#endif
