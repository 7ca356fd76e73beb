#include "wire/tls_ciphers.h"

#include "base/clock.h"

#include <mbedtls/chachapoly.h>
#include <mbedtls/gcm.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <pthread.h>

#define SAMPLE  KIB(8)
#define SAMPLES 4

static const int aes_first[] = {
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	0,
};

static const int chacha_first[] = {
	MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
	MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	0,
};

struct sample {
	mbedtls_gcm_context gcm;
	mbedtls_chachapoly_context chacha;
	unsigned char key[32], nonce[12], tag[16];
	unsigned char data[SAMPLE];
};

static void run_aes(struct sample *s)
{
	mbedtls_gcm_crypt_and_tag(&s->gcm, MBEDTLS_GCM_DECRYPT, SAMPLE, s->nonce, sizeof(s->nonce), NULL, 0, s->data,
				  s->data, sizeof(s->tag), s->tag);
}

static void run_chacha(struct sample *s)
{
	mbedtls_chachapoly_encrypt_and_tag(&s->chacha, SAMPLE, s->nonce, NULL, 0, s->data, s->data, s->tag);
}

/* The best of a few: what disturbs makes it longer, never shorter. */
static int64_t best_time(struct sample *s, void (*run)(struct sample *s))
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < SAMPLES; i++) {
		int64_t before = clock_mono_ns();

		run(s);
		best = MIN(best, clock_mono_ns() - before);
	}
	return best;
}

static const int *order;

static void measure(void)
{
	struct sample *s = base_alloc(sizeof(*s));

	mbedtls_gcm_init(&s->gcm);
	mbedtls_chachapoly_init(&s->chacha);
	bool can = !mbedtls_gcm_setkey(&s->gcm, MBEDTLS_CIPHER_ID_AES, s->key, 128) &&
		   !mbedtls_chachapoly_setkey(&s->chacha, s->key);

	order = can && best_time(s, run_aes) <= best_time(s, run_chacha) ? aes_first : chacha_first;
	mbedtls_gcm_free(&s->gcm);
	mbedtls_chachapoly_free(&s->chacha);
	free(s);
}

const int *tls_ciphers(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, measure);
	return order;
}
