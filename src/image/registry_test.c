#include "base/test.h"
#include "base/log.h"
#include "image/manifest.h"
#include "image/registry.h"
#include "wire/http1_socket.h"
#include "wire/http1_testserver.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BLOB "/v2/team/app/blobs/" DIGEST
#define MANIFEST "/v2/team/app/manifests/latest"

static int64_t soon(void)
{
	return clock_mono_ns() + 30 * NS_PER_S;
}

/* ---- what a test says about its endpoints ---- */

static struct registry_config config;

static struct registry_endpoint *endpoint(const struct test_server *s, const char *name)
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

static void credential(struct registry_endpoint *e, const char *user, const char *password)
{
	struct credential c = { (char *)user, (char *)password, NULL, NULL };

	registry_endpoint_add_credential(e, &c);
}

/* The configuration goes through its own encoding, as in life. */
static struct registry *registry(void)
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

static struct err *manifest(struct registry *r, const char *by, char **ret_body)
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

static void check_manifest(struct registry *r, const char *by, const char *want)
{
	_free_ char *body = NULL;

	CHECK_OK(manifest(r, by, &body));
	CHECK_STR(body, want);
}

static struct err *no_manifest(struct registry *r)
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

static void *read_pipe(void *arg)
{
	struct reader *r = arg;

	err_free(file_read_fd(r->from, MIB(64), &r->got));
	return NULL;
}

static struct err *blob_timed(struct registry *r, uint64_t size, int64_t idle_ns, char **ret_got)
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

static struct err *blob(struct registry *r, uint64_t size, char **ret_got)
{
	return blob_timed(r, size, 20 * NS_PER_S, ret_got);
}

static void check_blob(struct registry *r, const char *want)
{
	_free_ char *got = NULL;

	CHECK_OK(blob(r, strlen(want), &got));
	CHECK_STR(got, want);
}

static struct err *no_blob(struct registry *r, uint64_t size)
{
	_free_ char *got = NULL;
	struct err *e = blob(r, size, &got);

	CHECK(e);
	return e;
}

static void check_says(struct err *e, enum err_kind kind, const char *words)
{
	if (!e || !strstr(err_text(e), words))
		fprintf(stderr, "%s, want: %s\n", e ? err_text(e) : "success", words);
	CHECK(e && strstr(err_text(e), words));
	CHECK_ERR(e, kind);
}

static bool path_is(const struct http1_head *h, const char *path)
{
	return !strcmp(h->target, path);
}

static const char *header(const struct http1_head *h, const char *name)
{
	const char *s = http1_header(h, name);

	return s ? s : "";
}

/* What a handler saw that a test wants to know. */
static struct {
	_Atomic int manifests, blobs, tokens, others;
	char text[2048];
} seen;

static void look(const char *fmt, ...) _printf_(1, 2);
static void look(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(seen.text, sizeof(seen.text), fmt, ap);
	va_end(ap);
}

/* ---- plain running ---- */

static void simple(struct test_conn *c, const struct http1_head *h, void *context)
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

static void check_simple(const char *cert, const char *name)
{
	struct test_server *s = test_server_new(cert, false, simple, NULL);

	endpoint(s, name);
	struct registry *r = registry();

	check_manifest(r, "latest", "the manifest");
	CHECK(strstr(seen.text, "application/vnd.oci.image.index.v1+json"));
	CHECK(strstr(seen.text, "|identity|crisp/"));
	check_blob(r, "the blob");
	check_blob(r, "the blob");
	CHECK_INT(s->connections, 1);
	char *body = NULL;
	struct err *e = manifest(r, "v2", &body);

	CHECK(e && strstr(err_text(e), "/v2/team/app/manifests/v2: status 404 Words: manifest  unknown; X"));
	CHECK_ERR(e, ERR_NOT_FOUND);
	registry_free(r);
}

TEST(registry_plain)
{
	check_simple(NULL, "localhost");
}

TEST(registry_tls)
{
	check_simple("server", "localhost");
	check_simple("server", "127.0.0.1");
}

TEST(registry_with_an_unknown_authority)
{
	struct test_server *s = test_server_new("server", false, simple, NULL);
	struct registry_endpoint *e = endpoint(s, "localhost");

	free(e->at.ca.items[0]);
	e->at.ca.items[0] = test_pki_text("other-ca.pem");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_PRECONDITION, "is not signed by a known authority");
	CHECK_INT(s->requests, 0);
	CHECK_INT(s->connections, 1); /* not tried again */
	registry_free(r);
}

TEST(registry_with_a_wrong_name)
{
	struct test_server *s = test_server_new("elsewhere", false, simple, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_PRECONDITION, "is for elsewhere.test, 192.0.2.1, not for localhost");
	CHECK_INT(s->requests, 0);
	registry_free(r);
}

TEST(registry_skip_verify)
{
	struct test_server *s = test_server_new("elsewhere", false, simple, NULL);

	endpoint(s, "localhost")->at.skip_verify = true;
	struct registry *r = registry();

	check_manifest(r, "latest", "the manifest");
	registry_free(r);
}

TEST(registry_client_certificate)
{
	struct test_server *s = test_server_new("server", true, simple, NULL);
	struct registry_endpoint *e = endpoint(s, "localhost");

	e->at.cert = test_pki_text("client.pem");
	e->at.key = test_pki_text("client.key");
	struct registry *r = registry();

	check_manifest(r, "latest", "the manifest");
	registry_free(r);
}

/* ---- limits ---- */

static void endless(struct test_conn *c, const struct http1_head *h, void *context)
{
	char mebibyte[4096];

	(void)h;
	(void)context;
	memset(mebibyte, 'x', sizeof(mebibyte));
	test_printf(c, "HTTP/1.1 200 OK\r\n\r\n");
	while (!c->closed)
		test_send(c, mebibyte, sizeof(mebibyte));
}

TEST(endless_bodies)
{
	struct test_server *s = test_server_new(NULL, false, endless, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_EXHAUSTED, "larger than the limit of 4194304 bytes");
	check_says(no_blob(r, 100000), ERR_CORRUPT, "longer than the 100000 bytes");
	registry_free(r);
}

static void wrong_size(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_answer(c, 200, "", "ten bytes.");
}

TEST(blob_of_another_size_than_the_manifest_says)
{
	struct test_server *s = test_server_new(NULL, false, wrong_size, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_blob(r, 11), ERR_CORRUPT, "it has 10 bytes, the manifest says 11");
	check_says(no_blob(r, 9), ERR_CORRUPT, "it has 10 bytes, the manifest says 9");
	CHECK_INT(s->requests, 2);
	registry_free(r);
}

static void encoded(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_answer(c, 200, "Content-Encoding: gzip\r\n", "x");
}

TEST(encoded_answers_are_refused)
{
	struct test_server *s = test_server_new(NULL, false, encoded, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_INVALID, "encoded (gzip)");
	registry_free(r);
}

TEST(empty_blob_needs_no_request)
{
	struct test_server *s = test_server_new(NULL, false, wrong_size, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_blob(r, "");
	CHECK_INT(s->requests, 0);
	registry_free(r);
}

/* ---- cuts and resumption ---- */

#define LONG "0123456789abcdefghijklmnopqrstuvwxyz"

/* Gives ten bytes, then cuts; the next time ten more from where it was asked to go on. */
static void cutting(struct test_conn *c, const struct http1_head *h, void *context)
{
	const char *range = header(h, "Range");
	int from = 0, size = (int)strlen(LONG);

	(void)context;
	seen.blobs++;
	if (*range && sscanf(range, "bytes=%d-", &from) == 1)
		test_printf(c, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n%.10s", from,
			    size - 1, size, size - from, LONG + from);
	else
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%.10s", size, LONG);
	if (from + 10 < size)
		test_cut(c);
}

TEST(cut_blob_is_resumed)
{
	struct test_server *s = test_server_new(NULL, false, cutting, NULL);
	struct test_server *tls = test_server_new("server", false, cutting, NULL);

	seen.blobs = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_blob(r, LONG);
	CHECK_INT(seen.blobs, 4);
	registry_free(r);
	endpoint(tls, "localhost");
	r = registry();
	check_blob(r, LONG);
	registry_free(r);
}

/* Knows no ranges: begins again each time, and gets further each time. */
static void rangeless(struct test_conn *c, const struct http1_head *h, void *context)
{
	int n = ++seen.blobs * 10;

	(void)h;
	(void)context;
	test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", strlen(LONG), n, LONG);
	if ((size_t)n < strlen(LONG))
		test_cut(c);
}

TEST(cut_blob_without_ranges)
{
	struct test_server *s = test_server_new(NULL, false, rangeless, NULL);

	seen.blobs = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_blob(r, LONG);
	CHECK_INT(seen.blobs, 4);
	registry_free(r);
}

static void wrong_range(struct test_conn *c, const struct http1_head *h, void *context)
{
	static const char *const ranges[] = { "bytes 11-35/36", "bytes 10-35/37", "bytes 10-34/36", "bytes 9-35/36",
					      "bytes 10-35", "10-35/36", "bytes */36", "bytes 10-35/36x", "" };

	if (!*header(h, "Range")) {
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n%.10s", LONG);
		test_cut(c);
		return;
	}
	test_printf(c, "HTTP/1.1 206 Partial\r\nContent-Range: %s\r\nContent-Length: 26\r\n\r\n%s", ranges[*(int *)context],
		    LONG + 10);
}

TEST(another_range_than_asked_is_refused)
{
	int which = 0;
	struct test_server *s = test_server_new(NULL, false, wrong_range, &which);

	for (; which < 9; which++) {
		endpoint(s, "localhost");
		struct registry *r = registry();

		check_says(no_blob(r, strlen(LONG)), ERR_INVALID, "resumes with another range");
		registry_free(r);
	}
}

static void always_cut(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	seen.blobs++;
	test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.10s", strlen(LONG), LONG);
	test_cut(c);
}

TEST(cuts_without_progress_end)
{
	struct test_server *s = test_server_new(NULL, false, always_cut, NULL);

	seen.blobs = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_blob(r, strlen(LONG)), ERR_UNAVAILABLE, "connection closed 26 bytes before the end");
	CHECK_INT(seen.blobs, 1 + REGISTRY_ROUNDS_MAX - 1);
	registry_free(r);
}

static void stalling(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)context;
	if (!*header(h, "Range"))
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n%.10s", LONG);
	else
		test_printf(c, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-35/*\r\n\r\n%s", LONG + 10);
	if (*header(h, "Range"))
		test_cut(c);
}

TEST(stalled_blob_is_a_cut)
{
	struct test_server *s = test_server_new(NULL, false, stalling, NULL);
	_free_ char *got = NULL;

	endpoint(s, "localhost");
	struct registry *r = registry();

	CHECK_OK(blob_timed(r, strlen(LONG), NS_PER_S / 2, &got));
	CHECK_STR(got, LONG);
	registry_free(r);
}

TEST(blob_that_nobody_reads_is_given_up)
{
	struct test_server *s = test_server_new(NULL, false, simple, NULL);
	int fds[2];

	endpoint(s, "localhost");
	struct registry *r = registry();

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	close(fds[0]);
	CHECK_ERR(registry_blob(r, &(struct registry_blob){ DIGEST, 8, fds[1], NS_PER_S }), ERR_CANCELLED);
	close(fds[1]);
	CHECK_INT(s->requests, 1);
	registry_free(r);
}

/* ---- trouble that passes ---- */

static void troubled(struct test_conn *c, const struct http1_head *h, void *context)
{
	static const int statuses[] = { 503, 429, 500, 408, 200 };
	int n = seen.manifests++;

	(void)h;
	(void)context;
	if (statuses[n] == 200)
		test_answer(c, 200, "", "at last");
	else
		test_answer(c, statuses[n], n == 1 ? "Retry-After: 1\r\n" : "", "<html>down</html>");
}

TEST(trouble_that_passes)
{
	struct test_server *s = test_server_new(NULL, false, troubled, NULL);
	int64_t before = clock_mono_ns();

	seen.manifests = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_manifest(r, "latest", "at last");
	CHECK_INT(seen.manifests, 5);
	CHECK(clock_mono_ns() - before >= NS_PER_S);
	registry_free(r);
}

static void down(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	seen.manifests++;
	test_answer(c, 503, "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "{\"errors\":[{\"message\":\"over capacity\"}]}");
}

TEST(trouble_that_stays)
{
	struct test_server *s = test_server_new(NULL, false, down, NULL);

	seen.manifests = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_UNAVAILABLE, "status 503 Words: over capacity");
	CHECK_INT(seen.manifests, REGISTRY_ROUNDS_MAX);
	registry_free(r);
}

TEST(deadline_ends_the_rounds)
{
	struct test_server *s = test_server_new(NULL, false, down, NULL);
	_buf_ struct buf b = BUF_INIT;
	char *type = NULL;

	endpoint(s, "localhost");
	struct registry *r = registry();

	registry_set_backoff(r, 3600 * NS_PER_S);
	check_says(registry_manifest(r, "latest", clock_mono_ns() + NS_PER_S / 2, &b, &type), ERR_UNAVAILABLE, "503");
	registry_free(r);
}

/* ---- credentials ---- */

/* A registry behind a token server at the same address. *context*: the port, as it goes into the realm. */
static void with_tokens(struct test_conn *c, const struct http1_head *h, void *context)
{
	int n;

	if (!strncmp(h->target, "/token?", 7) || path_is(h, "/token")) {
		n = ++seen.tokens;
		look("%s %s|%s|%s", h->method, h->target, header(h, "Authorization"), buf_text(&c->body));
		if (!strcmp(header(h, "Authorization"), "Basic YmFkOmJhZA==")) {
			test_answer(c, 401, "", "{\"errors\":[{\"message\":\"bad user\"}]}");
			return;
		}
		_free_ char *body = base_printf("{\"token\":\"token-%d\"}", n);

		test_answer(c, 200, "", body);
		return;
	}
	_free_ char *want = base_printf("Bearer token-%d", seen.tokens);

	if (seen.tokens && !strcmp(header(h, "Authorization"), want)) {
		test_answer(c, 200, "", "granted");
		return;
	}
	seen.others++;
	_free_ char *challenge = base_printf("WWW-Authenticate: Bearer realm=\"http://localhost:%d/token\",service=\"the service\","
					     "scope=\"repository:team/app:pull\"\r\n", c->server->port);
	(void)context;
	test_answer(c, 401, challenge, "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}");
}

static struct registry *tokens(struct test_server **ret, const char *user, const char *password)
{
	*ret = test_server_new(NULL, false, with_tokens, NULL);
	seen.tokens = seen.others = 0;
	struct registry_endpoint *e = endpoint(*ret, "localhost");

	if (user)
		credential(e, user, password);
	return registry();
}

TEST(token_with_a_password)
{
	struct test_server *s;
	struct registry *r = tokens(&s, "user", "pass");

	check_manifest(r, "latest", "granted");
	CHECK_STR(seen.text, "GET /token?service=the%20service&scope=repository%3Ateam%2Fapp%3Apull|Basic dXNlcjpwYXNz|");
	check_manifest(r, "latest", "granted");
	CHECK_INT(seen.tokens, 1);
	CHECK_INT(seen.others, 1);
	/* It expires: another one is had. */
	seen.tokens++;
	check_blob(r, "granted");
	CHECK_INT(seen.tokens, 3);
	registry_free(r);
}

TEST(token_without_credentials)
{
	struct test_server *s;
	struct registry *r = tokens(&s, NULL, NULL);

	check_manifest(r, "latest", "granted");
	CHECK_STR(seen.text, "GET /token?service=the%20service&scope=repository%3Ateam%2Fapp%3Apull||");
	registry_free(r);
}

TEST(token_by_identity_token)
{
	struct test_server *s = test_server_new(NULL, false, with_tokens, NULL);
	struct credential c = { .identity_token = (char *)"id&entity" };

	seen.tokens = seen.others = 0;
	registry_endpoint_add_credential(endpoint(s, "localhost"), &c);
	struct registry *r = registry();

	check_manifest(r, "latest", "granted");
	CHECK_STR(seen.text, "POST /token||grant_type=refresh_token&client_id=crisp&refresh_token=id%26entity"
			     "&service=the%20service&scope=repository%3Ateam%2Fapp%3Apull");
	registry_free(r);
}

TEST(registry_token_is_sent_as_it_is)
{
	struct test_server *s = test_server_new(NULL, false, with_tokens, NULL);
	struct credential c = { .registry_token = (char *)"token-7" };

	seen.tokens = 7;
	registry_endpoint_add_credential(endpoint(s, "localhost"), &c);
	struct registry *r = registry();

	check_manifest(r, "latest", "granted");
	CHECK_INT(seen.tokens, 7);
	registry_free(r);
}

TEST(refused_password_says_so_without_saying_it)
{
	struct test_server *s;
	struct registry *r = tokens(&s, "bad", "bad");
	struct err *e = no_manifest(r);

	CHECK(strstr(err_text(e), "/token: status 401 Words: bad user"));
	CHECK(!strstr(err_text(e), "YmFkOmJhZA"));
	CHECK_ERR(e, ERR_AUTH);
	CHECK_INT(seen.tokens, 1);
	/* And stays refused. */
	CHECK_ERR(no_manifest(r), ERR_AUTH);
	CHECK_INT(seen.tokens, 1);
	registry_free(r);
}

TEST(second_credential_after_the_first_is_refused)
{
	struct test_server *s = test_server_new(NULL, false, with_tokens, NULL);
	struct registry_endpoint *e = endpoint(s, "localhost");

	seen.tokens = seen.others = 0;
	credential(e, "bad", "bad");
	credential(e, "user", "pass");
	struct registry *r = registry();

	check_manifest(r, "latest", "granted");
	CHECK_INT(seen.tokens, 2);
	registry_free(r);
}

static void with_basic(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)context;
	if (!strcmp(header(h, "Authorization"), "Basic dXNlcjpwYXNz"))
		test_answer(c, 200, "", "granted");
	else
		test_answer(c, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "{\"errors\":[{\"message\":\"authentication required\"}]}");
	seen.others++;
}

TEST(basic_authentication)
{
	struct test_server *s = test_server_new("server", false, with_basic, NULL);

	seen.others = 0;
	credential(endpoint(s, "localhost"), "user", "pass");
	struct registry *r = registry();

	check_manifest(r, "latest", "granted");
	check_blob(r, "granted");
	CHECK_INT(seen.others, 3);
	CHECK_INT(s->connections, 1);
	registry_free(r);

	credential(endpoint(s, "localhost"), "user", "wrong");
	r = registry();
	check_says(no_manifest(r), ERR_AUTH, "refuses the credentials (status 401): authentication required");
	registry_free(r);

	endpoint(s, "localhost");
	r = registry();
	check_says(no_manifest(r), ERR_AUTH, "there are none for it");
	registry_free(r);
}

static void always_401(struct test_conn *c, const struct http1_head *h, void *context)
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

TEST(token_that_is_refused)
{
	struct test_server *s = test_server_new(NULL, false, always_401, (char *)":");

	seen.others = 0;
	credential(endpoint(s, "localhost"), "user", "pass");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_AUTH, "refuses the credentials");
	CHECK_INT(seen.others, 2);
	registry_free(r);
	endpoint(s, "localhost");
	r = registry();
	check_says(no_manifest(r), ERR_AUTH, "refuses an anonymous token");
	registry_free(r);
}

TEST(challenges_that_cannot_be_met)
{
	static const char *const bad[][2] = {
		{ "", "without a challenge" },
		{ "WWW-Authenticate: Negotiate\r\n", "without a challenge" },
		{ "WWW-Authenticate: Bearer realm=\"ftp://x/\"\r\n", "token server" },
		{ "WWW-Authenticate: Bearer realm=\"http://u:p@x/\"\r\n", "token server" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct test_server *s = test_server_new(NULL, false, always_401, (char *)bad[i][0]);

		credential(endpoint(s, "localhost"), "user", "pass");
		struct registry *r = registry();
		_err_ struct err *e = no_manifest(r);

		CHECK(strstr(err_text(e), bad[i][1]));
		registry_free(r);
	}
}

TEST(password_does_not_leave_https_for_http)
{
	struct test_server *s = test_server_new("server", false, always_401, (char *)":");

	credential(endpoint(s, "localhost"), "user", "pass");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_INVALID, "is not asked: the registry speaks https");
	registry_free(r);
}

/* ---- redirects ---- */

/* The registry: wants a password, and sends blobs elsewhere, to the server that is *context*. */
static void redirecting(struct test_conn *c, const struct http1_head *h, void *context)
{
	const struct test_server *to = context;
	_free_ char *location = base_printf("Location: http%s://localhost:%d/storage?signature=secret\r\n", to->tls ? "s" : "",
					    to->port);

	if (strcmp(header(h, "Authorization"), "Basic dXNlcjpwYXNz") != 0)
		test_answer(c, 401, "WWW-Authenticate: Basic realm=x\r\n", "");
	else if (path_is(h, BLOB))
		test_answer(c, 307, location, "");
	else if (path_is(h, MANIFEST))
		test_answer(c, 302, "Location: ../moved/latest\r\n", "");
	else if (path_is(h, "/v2/team/app/moved/latest"))
		test_answer(c, 200, "", header(h, "X-Configured"));
	else
		test_answer(c, 404, "", "");
}

static void storage(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)context;
	look("%s|%s|%s|%s", h->target, header(h, "Authorization"), header(h, "X-Configured"), header(h, "Host"));
	seen.others++;
	test_answer(c, 200, "", "from storage");
}

static struct registry *redirected(struct test_server *to, const char *cert)
{
	struct test_server *s = test_server_new(cert, false, redirecting, to);
	struct registry_endpoint *e = endpoint(s, "localhost");

	credential(e, "user", "pass");
	strv_push(&e->at.headers, "X-Configured: yes");
	return registry();
}

TEST(redirect_elsewhere_carries_no_authorization)
{
	struct test_server *to = test_server_new("server", false, storage, NULL);
	struct registry *r = redirected(to, "server");
	_free_ char *want = base_printf("/storage?signature=secret|||localhost:%d", to->port);

	check_blob(r, "from storage");
	CHECK_STR(seen.text, want);
	registry_free(r);
}

TEST(redirect_at_home_carries_it)
{
	struct test_server *to = test_server_new(NULL, false, storage, NULL);
	struct registry *r = redirected(to, NULL);

	check_manifest(r, "latest", "yes");
	registry_free(r);
}

TEST(redirect_elsewhere_that_asks_for_a_password_gets_none)
{
	struct test_server *to = test_server_new(NULL, false, always_401, (char *)"WWW-Authenticate: Basic realm=x\r\n");

	seen.others = 0;
	struct registry *r = redirected(to, NULL);

	check_says(no_blob(r, 5), ERR_AUTH, "/storage: status 401");
	CHECK_INT(seen.others, 1);
	registry_free(r);
}

TEST(redirect_from_https_to_http_is_not_followed)
{
	struct test_server *to = test_server_new(NULL, false, storage, NULL);

	seen.others = 0;
	struct registry *r = redirected(to, "server");
	struct err *e = no_blob(r, 12);

	CHECK(!strstr(err_text(e), "secret"));
	check_says(e, ERR_INVALID, "redirect from https to http://localhost is not followed");
	CHECK_INT(seen.others, 0);
	registry_free(r);
}

TEST(skip_verify_does_not_follow_redirects)
{
	struct test_server *to = test_server_new("elsewhere", false, storage, NULL);
	struct test_server *s = test_server_new("elsewhere", false, redirecting, to);
	struct registry_endpoint *e = endpoint(s, "localhost");

	credential(e, "user", "pass");
	e->at.skip_verify = true;
	struct registry *r = registry();

	check_says(no_blob(r, 12), ERR_PRECONDITION, "is for elsewhere.test");
	registry_free(r);
}

static void looping(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	seen.others++;
	test_answer(c, 302, "Location: /v2/team/app/around\r\n", "");
}

static void nowhere(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	test_answer(c, 302, context, "");
}

TEST(redirects_end)
{
	struct test_server *s = test_server_new(NULL, false, looping, NULL);

	seen.others = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_INVALID, "more than 5 redirects");
	CHECK_INT(seen.others, 1 + REGISTRY_REDIRECTS_MAX);
	registry_free(r);
	s = test_server_new(NULL, false, nowhere, (char *)"");
	endpoint(s, "localhost");
	r = registry();
	check_says(no_manifest(r), ERR_INVALID, "without a Location");
	registry_free(r);
	s = test_server_new(NULL, false, nowhere, (char *)"Location: file:///etc/passwd\r\n");
	endpoint(s, "localhost");
	r = registry();
	check_says(no_manifest(r), ERR_INVALID, "scheme");
	registry_free(r);
}

/* ---- mirrors ---- */

static void named(struct test_conn *c, const struct http1_head *h, void *context)
{
	char *name = context;
	size_t n = strlen(seen.text);

	snprintf(seen.text + n, sizeof(seen.text) - n, "%s%s ", name, strchr(h->target, '?') ? strchr(h->target, '?') : "");
	if (*name == '!')
		test_answer(c, 404, "", "");
	else
		test_answer(c, 200, "", name);
}

static struct registry_endpoint *mirror(const struct test_server *s)
{
	struct registry_endpoint *e = endpoint(s, "localhost");

	e->at.server = false;
	e->at.namespace = base_strdup("registry.test:5000");
	return e;
}

TEST(mirrors_in_order_and_by_capability)
{
	struct test_server *a = test_server_new(NULL, false, named, (char *)"!a");
	struct test_server *b = test_server_new(NULL, false, named, (char *)"b");
	struct test_server *c = test_server_new(NULL, false, named, (char *)"c");

	look("%s", "");
	mirror(a);
	mirror(b)->at.resolve = false;
	endpoint(c, "localhost");
	struct registry *r = registry();

	check_manifest(r, "latest", "c");
	CHECK_STR(seen.text, "!a?ns=registry.test%3A5000 c ");
	look("%s", "");
	check_manifest(r, DIGEST, "b");
	CHECK_STR(seen.text, "!a?ns=registry.test%3A5000 b?ns=registry.test%3A5000 ");
	check_blob(r, "b");
	registry_free(r);
}

TEST(all_endpoints_that_failed_are_named)
{
	struct test_server *a = test_server_new(NULL, false, named, (char *)"!a");
	struct test_server *b = test_server_new("elsewhere", false, named, (char *)"b");
	struct test_server *c = test_server_new(NULL, false, always_401, (char *)"");

	mirror(a);
	mirror(b);
	endpoint(c, "localhost");
	struct registry *r = registry();
	struct err *e = no_manifest(r);

	CHECK(strstr(err_text(e), "status 404"));
	CHECK(strstr(err_text(e), "; https://localhost:"));
	CHECK(strstr(err_text(e), "is for elsewhere.test"));
	CHECK(strstr(err_text(e), "status 401"));
	CHECK_ERR(e, ERR_AUTH);
	registry_free(r);
}

TEST(mirror_that_is_down_is_passed_over)
{
	struct test_server *a = test_server_new(NULL, false, named, (char *)"a");
	struct test_server *b = test_server_new(NULL, false, named, (char *)"b");

	shutdown(a->fd, SHUT_RDWR);
	close(a->fd);
	mirror(a);
	endpoint(b, "localhost");
	struct registry *r = registry();

	check_manifest(r, "latest", "b");
	check_blob(r, "b");
	registry_free(r);
}

TEST(no_host_may_be_asked)
{
	struct test_server *a = test_server_new(NULL, false, named, (char *)"a");

	endpoint(a, "localhost")->at.pull = false;
	struct registry *r = registry();

	check_says(no_blob(r, 1), ERR_PRECONDITION, "hosts.toml of registry.test");
	registry_free(r);
}

TEST(blob_resumes_at_another_endpoint)
{
	struct test_server *a = test_server_new(NULL, false, always_cut, NULL);
	struct test_server *b = test_server_new(NULL, false, cutting, NULL);

	mirror(a);
	endpoint(b, "localhost");
	struct registry *r = registry();

	check_blob(r, LONG);
	registry_free(r);
}

/* ---- through a proxy ---- */

static void plain_proxy(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)context;
	look("%s|%s", h->target, header(h, "Proxy-Authorization"));
	test_answer(c, 200, "", "proxied");
}

TEST(registry_through_a_proxy)
{
	struct test_server *via = test_server_new(NULL, false, plain_proxy, NULL);
	struct registry_endpoint *e = endpoint(via, "registry.test");

	e->at.url.port = 80;
	config.http_proxy = base_printf("http://user:pass@localhost:%d", via->port);
	struct registry *r = registry();

	check_manifest(r, "latest", "proxied");
	CHECK_STR(seen.text, "http://registry.test" MANIFEST "|Basic dXNlcjpwYXNz");
	registry_free(r);
}

/* ---- the configuration itself ---- */

TEST(registry_configs_that_are_not_whole)
{
	static const char *const bad[] = {
		"", "{}", "{\"host\":\"a\"}", "{\"host\":\"a\",\"endpoints\":[]}", "{\"host\":\"a\",\"endpoints\":[{}]}",
		"{\"host\":\"a\",\"endpoints\":[{\"host\":\"b\",\"port\":1,\"path\":\"\",\"repository\":\"r\",\"cert\":\"x\"}]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct registry_config c;

		CHECK_ERR(registry_config_decode(bad[i], strlen(bad[i]), &c), ERR_INVALID);
	}
}

TEST(credentials_in_latin_1_go_over)
{
	struct registry_config c = { 0 };
	struct test_server s = { .port = 1 };
	_secret_ char *json = NULL;

	credential(endpoint(&s, "localhost"), "us\xe9r", "p\xe9");
	CHECK_OK(registry_config_encode(&config, &json));
	registry_config_done(&config);
	CHECK_OK(registry_config_decode(json, strlen(json), &c));
	CHECK_STR(c.endpoints[0].credentials[0].username, "us\xe9r");
	CHECK_STR(c.endpoints[0].credentials[0].password, "p\xe9");
	registry_config_done(&c);
}

int main(int argc, char **argv)
{
	log_init("test", getenv("CRISP_TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return test_run_all(argc > 1 ? argv[1] : NULL);
}
