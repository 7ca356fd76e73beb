#include "image/registry_harness.h"

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
	return harness_main(argc, argv);
}
