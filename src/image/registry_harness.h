/* harness of the registry client's tests: a configuration that goes to the client as in life, what it fetched, and what the
 * servers of wire/http1_testserver.h saw. */
#ifndef CRISP_REGISTRY_HARNESS_H
#define CRISP_REGISTRY_HARNESS_H

#include "base/test.h"
#include "base/log.h"
#include "image/manifest.h"
#include "image/registry.h"
#include "wire/http1_socket.h"
#include "wire/http1_testserver.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BLOB "/v2/team/app/blobs/" DIGEST
#define MANIFEST "/v2/team/app/manifests/latest"

_unused_ static int64_t soon(void)
{
	return clock_mono_ns() + 30 * NS_PER_S;
}

/* ---- what a test says about its endpoints ---- */

static struct registry_config config;

_unused_ static struct registry_endpoint *endpoint(const struct test_server *s, const char *name)
{
	_free_ char *text = base_printf("http%s://%s:%d/v2", s->tls ? "s" : "", name, s->port);

	config.endpoints = base_realloc(config.endpoints, config.n_endpoints + 1, sizeof(*config.endpoints));
	struct registry_endpoint *e = &config.endpoints[config.n_endpoints++];

	*e = (struct registry_endpoint){ .at = { .repository = base_strdup("team/app"), .pull = true, .resolve = true,
						 .server = true } };
	CHECK_OK(url_parse(text, &e->at.url));
	if (s->tls)
		strv_push_take(&e->at.ca, test_pki_text("ca.pem"));
	if (!config.host)
		config.host = base_strdup("registry.test");
	return e;
}

_unused_ static void credential(struct registry_endpoint *e, const char *user, const char *password)
{
	struct credential c = { (char *)user, (char *)password, NULL, NULL };

	registry_endpoint_add_credential(e, &c);
}

/* The configuration goes through its own encoding, as in life. */
_unused_ static struct registry *registry(void)
{
	_secret_ char *json = NULL;
	_registry_config_ struct registry_config again = { 0 };

	CHECK_OK(registry_config_encode(&config, &json));
	registry_config_done(&config);
	CHECK_OK(registry_config_decode(json, strlen(json), &again));
	struct registry *r = registry_new(&again);

	registry_set_backoff(r, NS_PER_MS);
	return r;
}

_unused_ static struct err *manifest(struct registry *r, const char *by, char **ret_body)
{
	struct buf b = BUF_INIT;
	_free_ char *type = NULL;
	struct err *e = registry_manifest(r, by, soon(), &b, &type);

	if (e)
		buf_done(&b);
	else
		*ret_body = buf_take(&b);
	return e;
}

_unused_ static void check_manifest(struct registry *r, const char *by, const char *want)
{
	_free_ char *body = NULL;

	CHECK_OK(manifest(r, by, &body));
	CHECK_STR(body, want);
}

_unused_ static struct err *no_manifest(struct registry *r)
{
	char *body = NULL;
	struct err *e = manifest(r, "latest", &body);

	CHECK(e);
	return e;
}

struct reader {
	int from;
	struct buf got;
};

_unused_ static void *read_pipe(void *arg)
{
	struct reader *r = arg;

	err_free(file_read_fd(r->from, MIB(64), &r->got));
	return NULL;
}

_unused_ static struct err *blob_timed(struct registry *r, uint64_t size, int64_t idle_ns, char **ret_got)
{
	struct reader reader = { 0 };
	pthread_t t;
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	reader.from = fds[0];
	CHECK(pthread_create(&t, NULL, read_pipe, &reader) == 0);
	struct err *e = registry_blob(r, &(struct registry_blob){ DIGEST, size, fds[1], idle_ns });

	close(fds[1]);
	pthread_join(t, NULL);
	close(fds[0]);
	*ret_got = base_strndup(reader.got.len ? reader.got.data : "", reader.got.len);
	buf_done(&reader.got);
	return e;
}

_unused_ static struct err *blob(struct registry *r, uint64_t size, char **ret_got)
{
	return blob_timed(r, size, 20 * NS_PER_S, ret_got);
}

_unused_ static void check_blob(struct registry *r, const char *want)
{
	_free_ char *got = NULL;

	CHECK_OK(blob(r, strlen(want), &got));
	CHECK_STR(got, want);
}

_unused_ static struct err *no_blob(struct registry *r, uint64_t size)
{
	_free_ char *got = NULL;
	struct err *e = blob(r, size, &got);

	CHECK(e);
	return e;
}

_unused_ static bool path_is(const struct http1_head *h, const char *path)
{
	return !strcmp(h->target, path);
}

_unused_ static const char *header(const struct http1_head *h, const char *name)
{
	const char *s = http1_header(h, name);

	return s ? s : "";
}

/* What a handler saw that a test wants to know. */
static struct {
	_Atomic int manifests, blobs, tokens, others;
	char text[2048];
} seen;

_unused_ static _printf_(1, 2) void look(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(seen.text, sizeof(seen.text), fmt, ap);
	va_end(ap);
}

/* ---- answers that several tests want ---- */

_unused_ static void simple(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)context;
	look("%s|%s|%s", header(h, "Accept"), header(h, "Accept-Encoding"), header(h, "User-Agent"));
	if (path_is(h, MANIFEST))
		test_answer(c, 200, "Content-Type: application/x\r\n", "the manifest");
	else if (path_is(h, BLOB))
		test_answer(c, 200, "", "the blob");
	else
		test_answer(c, 404, "", "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest\\n unknown\"},{\"code\":\"X\"}]}");
}

_unused_ static void always_401(struct test_conn *c, const struct http1_head *h, void *context)
{
	const char *challenge = context;

	if (!strncmp(h->target, "/token", 6)) {
		test_answer(c, 200, "", "{\"token\":\"useless\"}");
		return;
	}
	_free_ char *line = *challenge == ':' ? base_printf("WWW-Authenticate: Bearer realm=\"http://localhost:%d/token\"\r\n",
							     c->server->port) :
						base_printf("%s", challenge);
	seen.others++;
	test_answer(c, 401, line, "");
}

_unused_ static struct registry_endpoint *mirror(const struct test_server *s)
{
	struct registry_endpoint *e = endpoint(s, "localhost");

	e->at.server = false;
	e->at.namespace = base_strdup("registry.test:5000");
	return e;
}

_unused_ static int harness_main(int argc, char **argv)
{
	log_init("test", getenv("CRISP_TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return test_run_all(argc > 1 ? argv[1] : NULL);
}

#endif
