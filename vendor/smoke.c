/*
 * One call into each library that crisp is linked with, so that a build with a broken part fails here and
 * not in a room's test. Run by vendor/make.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <isa-l/igzip_lib.h>
#include <linux/mount.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <nghttp2/nghttp2.h>
#include <psa/crypto.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/random.h>
#include <yyjson.h>
#include <zstd.h>

#include "cri/api.pb-c.h"
#include "versions.h"

#define CHECK(x) do { if (!(x)) { fprintf(stderr, "smoke: %s\n", #x); return 1; } } while (0)

/* "crisp\n" as gzip and as zstd make it */
static unsigned char gz[] = {
	0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x4b, 0x2e, 0xca, 0x2c, 0x2e, 0xe0,
	0x02, 0x00, 0x90, 0x91, 0xc3, 0x63, 0x06, 0x00, 0x00, 0x00,
};
static const unsigned char zst[] = {
	0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x31, 0x00, 0x00, 0x63, 0x72, 0x69, 0x73, 0x70, 0x0a,
};

static int check_inflate(void)
{
	struct inflate_state *state = calloc(1, sizeof(*state));
	unsigned char out[16];

	CHECK(state);
	isal_inflate_init(state);
	state->next_in = gz;
	state->avail_in = sizeof(gz);
	state->next_out = out;
	state->avail_out = sizeof(out);
	state->crc_flag = ISAL_GZIP;
	CHECK(isal_inflate(state) == ISAL_DECOMP_OK);
	CHECK(state->block_state == ISAL_BLOCK_FINISH);
	CHECK(state->total_out == 6 && !memcmp(out, "crisp\n", 6));

	/* a wrong checksum is seen: the dispatched CRC is the right one */
	gz[18] ^= 1;
	isal_inflate_reset(state);
	state->next_in = gz;
	state->avail_in = sizeof(gz);
	state->next_out = out;
	state->avail_out = sizeof(out);
	state->crc_flag = ISAL_GZIP;
	CHECK(isal_inflate(state) == ISAL_INCORRECT_CHECKSUM);
	gz[18] ^= 1;
	free(state);
	return 0;
}

static int check_zstd(void)
{
	unsigned char out[16];

	CHECK(ZSTD_decompress(out, sizeof(out), zst, sizeof(zst)) == 6 && !memcmp(out, "crisp\n", 6));
	return 0;
}

static int check_json(void)
{
	static const char text[] = "{\"a\":[1,2]}";
	yyjson_doc *doc = yyjson_read(text, sizeof(text) - 1, 0);

	CHECK(doc);
	CHECK(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "a")) == 2);
	yyjson_doc_free(doc);
	CHECK(!yyjson_read("[1,]", 4, 0));
	return 0;
}

static int check_messages(void)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
	Runtime__V1__VersionRequest *back;
	unsigned char wire[32];
	size_t n;

	request.version = (char *)(uintptr_t)"v1";
	n = runtime__v1__version_request__pack(&request, wire);
	back = runtime__v1__version_request__unpack(NULL, n, wire);
	CHECK(back && !strcmp(back->version, "v1"));
	runtime__v1__version_request__free_unpacked(back, NULL);
	return 0;
}

static int check_http2(void)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;

	CHECK(!nghttp2_session_callbacks_new(&callbacks));
	CHECK(!nghttp2_session_server_new(&session, callbacks, NULL));
	CHECK(nghttp2_session_want_read(session));
	nghttp2_session_del(session);
	nghttp2_session_callbacks_del(callbacks);
	return 0;
}

static int check_privileges(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	cap_value_t cap;

	CHECK(filter);
	CHECK(!seccomp_rule_add(filter, SCMP_ACT_ERRNO(1), SCMP_SYS(mount), 0));
	CHECK(seccomp_syscall_resolve_name("openat2") == SCMP_SYS(openat2));
	seccomp_release(filter);
	CHECK(!cap_from_name("cap_sys_admin", &cap) && cap == CAP_SYS_ADMIN);
	/* 6.12's headers, whatever the host has */
	CHECK(STATMOUNT_MNT_OPTS);
	return 0;
}

static mbedtls_time_t the_epoch(mbedtls_time_t *time)
{
	(void)time;
	return 0;
}

static int check_tls(void)
{
	/* FIPS 180-2, appendix B.1 */
	static const unsigned char sum[32] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	unsigned char out[32];

	CHECK(!mbedtls_sha256((const unsigned char *)"abc", 3, out, 0) && !memcmp(out, sum, 32));
	CHECK(!mbedtls_platform_set_time(the_epoch) && mbedtls_time(NULL) == 0);
	CHECK(psa_crypto_init() == PSA_SUCCESS);
	mbedtls_ssl_config_init(&config);
	mbedtls_ssl_init(&ssl);
	CHECK(!mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
					   MBEDTLS_SSL_PRESET_DEFAULT));
	mbedtls_ssl_conf_rng(&config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
	CHECK(!mbedtls_ssl_setup(&ssl, &config));
	mbedtls_ssl_free(&ssl);
	mbedtls_ssl_config_free(&config);
	mbedtls_psa_crypto_free();
	return 0;
}

#define VERSION(name, version) name " " version " "

/* crisp's own is src/wire/tls_entropy.c. */
int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen);

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen)
{
	ssize_t n = getrandom(output, len, 0);

	(void)data;
	*olen = n < 0 ? 0 : (size_t)n;
	return n < 0 ? -1 : 0;
}

int main(void)
{
	CHECK(strlen(VENDOR_PARTS(VERSION)) > 0);
	return check_inflate() || check_zstd() || check_json() || check_messages() || check_http2() ||
	       check_privileges() || check_tls();
}
