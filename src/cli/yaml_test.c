/* YAML to JSON: what each form becomes, what is refused. */
#include "cli/yaml.h"

#include "base/test.h"

static void becomes(const char *yaml, const char *json)
{
	_buf_ struct buf b = BUF_INIT;

	CHECK_OK(yaml_to_json(yaml, strlen(yaml), &b));
	CHECK_STR(buf_text(&b), json);
}

static void refused(const char *yaml, const char *words)
{
	_buf_ struct buf b = BUF_INIT;
	_err_ struct err *e = yaml_to_json(yaml, strlen(yaml), &b);

	CHECK(e);
	if (!strstr(err_text(e), words))
		fprintf(stderr, "%s\n", err_text(e));
	CHECK(strstr(err_text(e), words));
}

TEST(a_pod_configuration)
{
	becomes("metadata:\n  name: web\n  namespace: default\n  attempt: 1\n  uid: \"1\"\nlog_directory: /tmp\nlinux: {}\n",
		"{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"attempt\":1,\"uid\":\"1\"},"
		"\"log_directory\":\"/tmp\",\"linux\":{}}");
	becomes("command:\n- sh\n- -c\n- |\n  echo \"a\"\n  exit 1\n", "{\"command\":[\"sh\",\"-c\",\"echo \\\"a\\\"\\u000aexit 1\\u000a\"]}");
	becomes("{\"a\": [1, 2, {\"b\": null}]}", "{\"a\":[1,2,{\"b\":null}]}");
	becomes("---\na: b # comment\n...\n", "{\"a\":\"b\"}");
}

TEST(scalars)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "12", "12" },		{ "-3", "-3" },		{ "+3", "3" },		 { "0644", "420" },
		{ "0x1F", "31" },	{ "0o17", "15" },	{ "089", "89" },	 { "1.5", "1.5" },
		{ ".5", "0.5" },	{ "1e3", "1000" },	{ "1.2.3", "\"1.2.3\"" }, { "true", "true" },
		{ "Yes", "true" },	{ "off", "false" },	{ "~", "null" },	 { "", "null" },
		{ "\"yes\"", "\"yes\"" }, { "'12'", "\"12\"" },	{ "!!str 12", "\"12\"" }, { "12a", "\"12a\"" },
		{ "18446744073709551615", "18446744073709551615" },
		{ "18446744073709551616", "1.8446744073709552e+19" },
		{ "\"\\0\\x7f\\t\"", "\"\\u0000\\u007f\\u0009\"" }, { "2001-01-01", "\"2001-01-01\"" },
		{ ".inf", "\".inf\"" },	{ "-", "[null]" },	{ "0", "0" },		 { "-0", "-0" },
		{ "1_000", "\"1_000\"" }, { "y", "\"y\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_free_ char *yaml = base_printf("a: %s\n", rows[i].yaml), *json = base_printf("{\"a\":%s}", rows[i].json);

		if (!strcmp(rows[i].yaml, "-")) {
			becomes("-\n", rows[i].json);
			continue;
		}
		becomes(yaml, json);
	}
}

TEST(what_is_refused)
{
	_buf_ struct buf deep = BUF_INIT;

	refused("", "empty");
	refused("a: &x 1\nb: *x\n", "line 1: anchors");
	refused("a: 1\nb: *x\n", "line 2: ");
	refused("a:\n  <<: {b: 1}\n", "merge keys");
	refused("a: !foo 1\n", "tag");
	refused("a: 1\n---\nb: 2\n", "second document");
	refused("[a]: 1\n", "a key is text");
	refused("a: b: c\n", "line 1: not YAML");
	refused("a: 1\n\tb: 2\n", "not YAML");
	refused("a: \"\xff\"\n", "not YAML");
	for (int i = 0; i < 10000; i++)
		buf_putc(&deep, '[');
	refused(buf_text(&deep), "nested deeper");
}

TEST_MAIN
