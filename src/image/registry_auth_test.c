/* Credentials, and where they go: token services, redirects. */
#include "image/registry_harness.h"

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

int main(int argc, char **argv)
{
	return harness_main(argc, argv);
}
