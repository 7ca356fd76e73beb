#include "base/test.h"
#include "base/toml.h"

static struct err *parse(struct arena *a, const char *text, struct toml **ret)
{
	arena_init(a);
	return toml_parse(a, "t.toml", text, strlen(text), ret);
}

TEST(toml_reads_hosts_toml)
{
	_arena_ struct arena a;
	struct toml *t;

	CHECK_OK(parse(&a,
		       "server = \"https://registry.test\" # upstream\n\n"
		       "[host.\"https://mirror.test:5000\"]\n"
		       "  capabilities = [\"pull\", 'resolve',\n # more\n]\n"
		       "  skip_verify = true\n"
		       "  client = [[\"/a.crt\", \"/a.key\"]]\n"
		       "[host.\"https://mirror.test:5000\".header]\n"
		       "x-token = \"a\\tb\\u00e9\"\n",
		       &t));
	CHECK_STR(toml_get(t, "server")->string, "https://registry.test");
	struct toml *h = toml_get(toml_get(t, "host"), "https://mirror.test:5000");

	CHECK(h && toml_get(h, "skip_verify")->boolean);
	CHECK_STR(toml_get(h, "capabilities")->last->string, "resolve");
	CHECK_STR(toml_get(h, "client")->first->first->string, "/a.crt");
	CHECK_STR(toml_unasked(t)->key, "header");
	CHECK_STR(toml_get(toml_get(h, "header"), "x-token")->string, "a\tb\xc3\xa9");
	CHECK(!toml_unasked(t));
}

TEST(toml_reads_every_kind_of_value)
{
	_arena_ struct arena a;
	struct toml *t;

	CHECK_OK(parse(&a,
		       "a = 1_000\nb = -7\nc = 0xff\nd = 1.5e3\ne = '''x\ny'''\nf = {g.h = 1, i = [ ]}\n"
		       "[[j]]\nk = 1\n[[j]]\nk = 2\n[j.l]\nm = true\n",
		       &t));
	CHECK_INT(toml_get(t, "a")->integer, 1000);
	CHECK_INT(toml_get(t, "b")->integer, -7);
	CHECK_INT(toml_get(t, "c")->integer, 255);
	CHECK(toml_get(t, "d")->number == 1500.0);
	CHECK_STR(toml_get(t, "e")->string, "x\ny");
	CHECK_INT(toml_get(toml_get(toml_get(t, "f"), "g"), "h")->integer, 1);
	CHECK_INT(toml_get(toml_get(t, "j")->last, "k")->integer, 2);
	CHECK(toml_get(toml_get(toml_get(t, "j")->last, "l"), "m")->boolean);
}

TEST(toml_errors_name_file_and_line)
{
	static const char *const bad[] = {
		"a = 1\na = 2\n", "a =\n",     "[a\n",	   "a = \"x\n", "a = 1 b = 2\n", "a = 2026-01-01\n",
		"a = [1 2]\n",	  "= 1\n",     "a = tru\n", "[a]\n[a]\n", "a = 1__0\n",	 "a = 9223372036854775808\n",
		"a = {b = 1\n}\n", "a = \"\\q\"\n", "a.b = 1\na = 2\n", "a = 01\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_arena_ struct arena a;
		struct toml *t;
		_err_ struct err *e = parse(&a, bad[i], &t);

		CHECK(err_is(e, ERR_INVALID));
		CHECK(!strncmp(err_text(e), "t.toml:", 7));
	}
}

TEST_MAIN
