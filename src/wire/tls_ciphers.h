/* tls_ciphers.h: inside tls: which cipher suites are offered, the one that is fastest here first. */
#ifndef CRISP_TLS_CIPHERS_H
#define CRISP_TLS_CIPHERS_H

/* mbedtls' numbers, ended by 0. All are AEAD with ephemeral keys. Servers that have no wish of their own
 * (Go's among them) take the first. Measures once, a fraction of a millisecond. */
const int *tls_ciphers(void);

#endif
