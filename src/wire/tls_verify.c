#include "wire/tls_verify.h"

#include "base/buf.h"
#include "base/clock.h"
#include "wire/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool san_is_ip(const mbedtls_x509_sequence *san, const void *ip, size_t len)
{
	return (san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS && san->buf.len == len &&
	       !memcmp(san->buf.p, ip, len);
}

static bool names_ip(const mbedtls_x509_crt *crt, const char *host)
{
	unsigned char ip[16];
	size_t len = strchr(host, ':') ? 16 : 4;

	if (inet_pton(len == 16 ? AF_INET6 : AF_INET, host, ip) != 1)
		return false;
	for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s; s = s->next)
		if (san_is_ip(s, ip, len))
			return true;
	return false;
}

/* The names that a certificate is for, as people read them. */
static void note_names(struct tls_verify *v, const mbedtls_x509_crt *crt)
{
	_buf_ struct buf b = { .max = sizeof(v->names) - 1 };

	for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s && s->buf.p; s = s->next) {
		int type = s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
		char ip[INET6_ADDRSTRLEN];

		if (type == MBEDTLS_X509_SAN_DNS_NAME)
			buf_printf(&b, "%s%.*s", b.len ? ", " : "", (int)MIN(s->buf.len, (size_t)253), s->buf.p);
		else if (type == MBEDTLS_X509_SAN_IP_ADDRESS && (s->buf.len == 4 || s->buf.len == 16) &&
			 inet_ntop(s->buf.len == 4 ? AF_INET : AF_INET6, s->buf.p, ip, sizeof(ip)))
			buf_printf(&b, "%s%s", b.len ? ", " : "", ip);
	}
	/* Whatever the certificate's maker put there, people read it. */
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.data[i] < 0x20 || (unsigned char)b.data[i] >= 0x7f)
			b.data[i] = '?';
	if (b.len)
		snprintf(v->names, sizeof(v->names), "%s", b.data);
	else if (mbedtls_x509_dn_gets(v->names, sizeof(v->names), &crt->subject) < 0)
		snprintf(v->names, sizeof(v->names), "a subject too long to show");
}

static void note_date(struct tls_verify *v, const mbedtls_x509_time *t, int depth)
{
	snprintf(v->date, sizeof(v->date), "%04d-%02d-%02dT%02d:%02d:%02dZ", t->year, t->mon, t->day, t->hour,
		 t->min, t->sec);
	v->date_of_issuer = depth > 0;
}

int tls_verify_certificate(void *context, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct tls_verify *v = context;

	if (depth == 0 && v->host_is_ip && !names_ip(crt, v->host))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED &&
	    mbedtls_x509_dn_gets(v->issuer, sizeof(v->issuer), &crt->issuer) < 0)
		snprintf(v->issuer, sizeof(v->issuer), "a name too long to show");
	if (*flags & MBEDTLS_X509_BADCERT_EXPIRED)
		note_date(v, &crt->valid_to, depth);
	else if (*flags & MBEDTLS_X509_BADCERT_FUTURE)
		note_date(v, &crt->valid_from, depth);
	if (*flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
		note_names(v, crt);
	v->flags |= *flags;
	if (v->skip)
		*flags = 0;
	return 0;
}

static void say_time(struct buf *b, const struct tls_verify *v)
{
	const char *verb = v->flags & MBEDTLS_X509_BADCERT_EXPIRED ? "expired on" : "is not valid before";
	char now[CLOCK_TEXT_MAX];

	clock_format(tls_now() * NS_PER_S, now);
	buf_printf(b, "%s%s %s (this node's clock says %.19sZ)",
		   v->date_of_issuer ? "has an issuer whose own certificate " : "", verb, v->date, now);
}

struct err *tls_verify_error(const struct tls_verify *v, const char *peer)
{
	static const uint32_t usage = MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
				      MBEDTLS_X509_BADCERT_NS_CERT_TYPE;
	static const uint32_t weak = MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
				     MBEDTLS_X509_BADCERT_BAD_KEY;
	_buf_ struct buf b = BUF_INIT;

	if (v->flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE))
		say_time(&b, v);
	if (v->flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
		buf_printf(&b, "%sis for %s, not for %s", b.len ? ", and " : "", v->names, v->host);
	if (v->flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
		buf_printf(&b, "%sis not signed by a known authority (its issuer is %s)", b.len ? ", and " : "", v->issuer);
	if (v->flags & weak)
		buf_printf(&b, "%shas a signature or key too weak to be trusted", b.len ? ", and " : "");
	if (v->flags & usage)
		buf_printf(&b, "%sis not made for a TLS server", b.len ? ", and " : "");
	if (!b.len)
		buf_printf(&b, "cannot be trusted (flags 0x%x)", v->flags);
	return err_new(ERR_PRECONDITION, "certificate of %s %s", peer, b.data);
}
