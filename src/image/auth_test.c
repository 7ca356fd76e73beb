#include "base/test.h"
#include "base/log.h"
#include "base/str.h"
#include "image/auth.h"

struct golden {
	const char *line;
	enum auth_scheme scheme;
	const char *realm, *service, *scope;
};

static const struct golden challenges[] = {
	{ "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/nginx:pull\"",
	  AUTH_BEARER, "https://auth.docker.io/token", "registry.docker.io", "repository:library/nginx:pull" },
	{ "bearer Realm=\"r\" , SERVICE=\"s\" ,scope=\"a b,c\",error=\"insufficient_scope\"", AUTH_BEARER, "r", "s", "a b,c" },
	{ "Basic realm=\"Registry \\\"Realm\\\"\"", AUTH_BASIC, "Registry \"Realm\"", "", "" },
	{ "Basic", AUTH_BASIC, "", "", "" },
	{ "Basic realm=x, Bearer realm=\"t\",service=y", AUTH_BEARER, "t", "y", "" },
	{ "Bearer realm=\"t\",service=y, Basic realm=x", AUTH_BEARER, "t", "y", "" },
	{ "Negotiate YII=, Basic realm=\"x\"", AUTH_BASIC, "x", "", "" },
	{ "Digest qop=\"auth\", nonce=\"n\"", AUTH_NONE, "", "", "" },
	{ "Bearer", AUTH_NONE, "", "", "" },
	{ "Bearer realm=\"", AUTH_NONE, "", "", "" },
	{ "Bearer realm=\"x\\", AUTH_NONE, "", "", "" },
	{ "Bearer realm = \"t\"", AUTH_BEARER, "t", "", "" },
	{ "Bearer realm=https://host/token,service=x", AUTH_BEARER, "https://host/token", "x", "" },
	{ "", AUTH_NONE, "", "", "" },
	{ ",,,", AUTH_NONE, "", "", "" },
	{ "\"quoted\"", AUTH_NONE, "", "", "" },
};

TEST(challenges_are_parsed)
{
	for (size_t i = 0; i < ARRAY_LEN(challenges); i++) {
		_challenge_ struct auth_challenge c = { 0 };

		auth_challenge_parse(challenges[i].line, &c);
		if (c.scheme != challenges[i].scheme)
			fprintf(stderr, "%s\n", challenges[i].line);
		CHECK_INT(c.scheme, challenges[i].scheme);
		CHECK_STR(c.realm, challenges[i].realm);
		CHECK_STR(c.service, challenges[i].service);
		CHECK_STR(c.scope, challenges[i].scope);
	}
}

TEST(challenges_of_several_lines)
{
	char text[] = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=a\r\nwww-authenticate: Bearer realm=\"b\"\r\n\r\n";
	struct http1_head h;
	_challenge_ struct auth_challenge c = { 0 };

	CHECK_OK(http1_parse_response(text, strlen(text), &h));
	auth_challenge_of(&h, &c);
	CHECK_INT(c.scheme, AUTH_BEARER);
	CHECK_STR(c.realm, "b");
}

TEST(credentials_from_their_pieces)
{
	_credential_ struct credential c = { 0 };

	CHECK_OK(credential_make("u", "p", "eDp5", "", NULL, &c));
	CHECK_STR(c.username, "u");
	CHECK_STR(c.password, "p");
	credential_done(&c);
	CHECK_OK(credential_make("", "", "dXNlcjpwYTpzcw==", "", "", &c));
	CHECK_STR(c.username, "user");
	CHECK_STR(c.password, "pa:ss");
	_free_ char *basic = auth_basic(&c);

	CHECK_STR(basic, "Basic dXNlcjpwYTpzcw==");
	credential_done(&c);
	CHECK_OK(credential_make("<token>", "identity", "", "", "", &c));
	CHECK(!c.username && !c.password);
	CHECK_STR(c.identity_token, "identity");
	credential_done(&c);
	CHECK_OK(credential_make(NULL, NULL, NULL, NULL, "t", &c));
	CHECK_STR(c.registry_token, "t");
	CHECK(!auth_basic(&c));
	credential_done(&c);
	CHECK_OK(credential_make(NULL, "", NULL, NULL, NULL, &c));
	CHECK(credential_empty(&c));
	CHECK_ERR(credential_make(NULL, NULL, "!!!", NULL, NULL, &c), ERR_INVALID);
	CHECK_ERR(credential_make(NULL, NULL, "eHk=", NULL, NULL, &c), ERR_INVALID);
	CHECK_ERR(credential_make(NULL, NULL, "eAA6eQ==", NULL, NULL, &c), ERR_INVALID);
}

static const char auth_json[] =
	"{\"auths\":{"
	"\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnA=\"},"
	"\"registry.test:5000\":{\"username\":\"host\",\"password\":\"p\"},"
	"\"registry.test:5000/team\":{\"username\":\"team\",\"password\":\"p\"},"
	"\"registry.test:5000/team/app\":{\"username\":\"app\",\"password\":\"p\"},"
	"\"https://other.test/v2/\":{\"identitytoken\":\"it\"},"
	"\"http://plain.test\":{\"registrytoken\":\"rt\"},"
	"\"Upper.test\":{\"username\":\"upper\"},"
	"\"empty.test\":{},"
	"\"number.test\":{\"username\":1},"
	"\"list.test\":[]},"
	"\"credHelpers\":{\"helper.test\":\"x\"},\"credsStore\":\"y\"}";

static const char *found(const char *host, const char *repository)
{
	static char text[64];
	_credential_ struct credential c = { 0 };
	bool yes;

	CHECK_OK(auth_file_find(auth_json, strlen(auth_json), host, repository, &yes, &c));
	if (!yes)
		return "nothing";
	snprintf(text, sizeof(text), "%s", c.username ? c.username : c.identity_token ? c.identity_token : c.registry_token);
	return text;
}

TEST(auth_file_by_host_and_path)
{
	CHECK_STR(found("docker.io", "library/nginx"), "hub");
	CHECK_STR(found("registry-1.docker.io", "library/nginx"), "hub");
	CHECK_STR(found("registry.test:5000", "x"), "host");
	CHECK_STR(found("registry.test:5000", "team"), "team");
	CHECK_STR(found("registry.test:5000", "team/x"), "team");
	CHECK_STR(found("registry.test:5000", "teams/x"), "host");
	CHECK_STR(found("registry.test:5000", "team/app"), "app");
	CHECK_STR(found("registry.test:5000", "team/app/x"), "app");
	CHECK_STR(found("registry.test:5000", "team/apps"), "team");
	CHECK_STR(found("registry.test", "x"), "nothing");
	CHECK_STR(found("registry.test:500", "x"), "nothing");
	CHECK_STR(found("other.test", "x"), "it");
	CHECK_STR(found("plain.test", "x"), "rt");
	CHECK_STR(found("upper.test", "x"), "upper");
	CHECK_STR(found("empty.test", "x"), "nothing");
	CHECK_STR(found("list.test", "x"), "nothing");
	CHECK_STR(found("helper.test", "x"), "nothing");
	CHECK_STR(found("evil-registry.test:5000", "x"), "nothing");
}

TEST(auth_file_errors_hold_no_secrets)
{
	struct credential c = { 0 };
	bool yes;
	static const char *const bad[] = {
		"{\"auths\":{\"a\":{\"auth\":\"s3cret\"}}}", "{\"auths\":{\"a\":{\"username\":\"s3cret\\u0000\"}}}",
		"{\"auths\":{\"a\":{\"password\":[\"s3cret\"]}}}", "{\"auths\":[\"s3cret\"]}", "s3cret",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err *e = auth_file_find(bad[i], strlen(bad[i]), "a", "x", &yes, &c);

		CHECK(e && !strstr(err_text(e), "s3cret"));
		CHECK_ERR(e, ERR_INVALID);
	}
	CHECK_OK(auth_file_find("{}", 2, "a", "x", &yes, &c));
	CHECK(!yes);
}

TEST(token_answers)
{
	char *token;
	static const char *const bad[] = { "{}", "{\"token\":\"\"}", "{\"token\":1}", "{\"token\":\"a b\"}", "{\"token\":\"a\\r\\nX: y\"}", "[]",
					   "{\"token\":\"\xc3\xa9\"}", "no" };

	CHECK_OK(auth_token_parse("{\"token\":\"abc.def\",\"expires_in\":300}", 36, &token));
	CHECK_STR(token, "abc.def");
	auth_forget(token);
	CHECK_OK(auth_token_parse("{\"access_token\":\"x\"}", 20, &token));
	CHECK_STR(token, "x");
	auth_forget(token);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err *e = auth_token_parse(bad[i], strlen(bad[i]), &token);

		CHECK(e);
		err_free(e);
	}
}

int main(int argc, char **argv)
{
	log_init("test", LOG_LEVEL_ERROR);
	return test_run_all(argc > 1 ? argv[1] : NULL);
}
