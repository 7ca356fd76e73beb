/* tls_verify.h: inside tls: what the verification of one certificate chain found, and how to say it. */
#ifndef CRISP_TLS_VERIFY_H
#define CRISP_TLS_VERIFY_H

#include "base/err.h"

#include <mbedtls/x509_crt.h>

struct tls_verify {
	const char *host;         /* borrowed */
	bool host_is_ip;          /* then the comparison is ours: mbedtls was not told the name */
	bool skip;
	uint32_t flags;           /* of all certificates together */
	char issuer[256];         /* of the certificate whose signer is unknown */
	char names[512];          /* the leaf's, when they do not fit */
	char date[32];            /* the one that is past or to come */
	bool date_of_issuer;      /* it is not the leaf's */
};

/* For mbedtls_ssl_set_verify(); *context* is the struct above. */
int tls_verify_certificate(void *context, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* The sentence, e.g. "certificate of a:5000 expired on 2024-05-06T07:08:09Z (it is 2026-…)". */
struct err *tls_verify_error(const struct tls_verify *v, const char *peer) _must_check_;

#endif
