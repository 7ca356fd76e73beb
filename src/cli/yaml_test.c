/* YAML to JSON: what each form becomes, what is refused. */
#include "cli/yaml.h"

#include "base/test.h"
#include "cri/pbjson.h"

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

/* What `-o yaml` writes is read back as what it was: text stays text, whatever it looks like. */
TEST(our_own_yaml_comes_back)
{
	static const char *const texts[] = {
		"",	"yes",	"No",	 "on",	   "y",	    "null",  "~",	"12",	   "-3",     "0644", "0x1f", "1e3",    ".5",
		"1:30", "a: b", "a #b", "# x",	   "- x",   "-",     "? x",	"&a",	   "*a",     "!t",   "%d",   "@a",     "`a",
		" lead", "trail ", "{a}", "[a]",   "a,b",   "|",     ">",	"\"q\"",   "'q'",    "\\",   "a\nb",  "a\tb",   "\x1b[2J",
		"\xc3\xa9", "\xe2\x80\xa8", "a\xe2\x80\xa9z", "\xc2\x85", "\xef\xbb\xbf", "---", "...", "=",  "<<",    "true",	"2001-01-01", "1_000", "a:",   ":a",   "/a/b:c",
		".inf", ".nan", "+1",	 "0o17",   "FALSE", "Null",
	};
	Runtime__V1__ContainerConfig m = RUNTIME__V1__CONTAINER_CONFIG__INIT;
	_arena_ struct arena a;
	_buf_ struct buf yaml = BUF_INIT, json = BUF_INIT;
	ProtobufCMessage *back;

	arena_init(&a);
	m.n_command = ARRAY_LEN(texts);
	m.command = (char **)(uintptr_t)texts;
	m.n_labels = ARRAY_LEN(texts);
	m.labels = arena_calloc(&a, m.n_labels, sizeof(*m.labels));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		m.labels[i] = arena_alloc(&a, sizeof(**m.labels));
		runtime__v1__container_config__labels_entry__init(m.labels[i]);
		m.labels[i]->key = arena_strdup(&a, strcmp(texts[i], "<<") ? texts[i] : "x");
		m.labels[i]->value = (char *)(uintptr_t)texts[i];
	}
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	pbjson_write_yaml(pbjson_tree(doc, &m.base), &yaml);
	yyjson_mut_doc_free(doc);
	CHECK_OK(yaml_to_json(buf_text(&yaml), yaml.len, &json));
	CHECK_OK(pbjson_parse(&a, &runtime__v1__container_config__descriptor, buf_text(&json), json.len, &back));
	const Runtime__V1__ContainerConfig *got = PACK_AS(ContainerConfig, back);

	CHECK_INT(got->n_command, ARRAY_LEN(texts));
	CHECK_INT(got->n_labels, ARRAY_LEN(texts));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		CHECK_STR(got->command[i], texts[i]);
	for (size_t i = 0; i < got->n_labels; i++)
		CHECK(!strcmp(got->labels[i]->key, "x") || !strcmp(got->labels[i]->key, got->labels[i]->value));
}

TEST_MAIN
