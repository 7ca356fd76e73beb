/* CDI: what is taken, what is refused and in which words, and what becomes of a runtime spec. */
#include "base/str.h"
#include "base/test.h"
#include "spec/cdi.h"

static struct err *look(const char *path, struct spec_device *ret)
{
	if (!str_eq(path, "/dev/there"))
		return err_new(ERR_NOT_FOUND, "%s: No such file or directory", path);
	*ret = (struct spec_device){ .type = 'b', .major = 7, .minor = 9, .mode = 0640 };
	return NULL;
}

static struct err *parse(struct arena *a, const char *json, struct cdi_spec *ret)
{
	return cdi_parse(a, json, strlen(json), ret);
}

TEST(cdi_names)
{
	static const char *const good[] = { "vendor.com/net=eth0", "v/c=1", "a-b.c/d_e=x:1.2-3_4" };
	static const char *const bad[] = { "", "vendor.com/net", "=x", "v/c=", "/c=x", "v/=x", "1v/c=x", "v/c/d=x", "v/c=x/y",
					   "v/c=-x", "v/c=x-", "v/c=..", "v/c=x\n", "v /c=x", "v/c=x=y" };
	_arena_ struct arena a;
	const char *kind, *name;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_OK(cdi_split_name(&a, good[i], &kind, &name));
	CHECK_STR(kind, "a-b.c/d_e");
	CHECK_STR(name, "x:1.2-3_4");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(cdi_split_name(&a, bad[i], &kind, &name), ERR_INVALID);
}

#define SPEC(edits) "{\"cdiVersion\":\"0.5.0\",\"kind\":\"v.com/c\",\"devices\":[{\"name\":\"d\",\"containerEdits\":" edits "}]}"

TEST(cdi_refused)
{
	static const struct {
		const char *json, *words;
	} rows[] = {
		{ "[]", "not an object" },
		{ "{\"kind\":\"v/c\"}", "cdiVersion" },
		{ "{\"cdiVersion\":\"0.2.0\",\"kind\":\"v/c\"}", "cdiVersion" },
		{ "{\"cdiVersion\":\"2.0.0\",\"kind\":\"v/c\"}", "cdiVersion" },
		{ "{\"cdiVersion\":\"0.5.0\",\"kind\":\"v\"}", "kind" },
		{ SPEC("{\"env\":[\"=x\"]}"), "devices[0]: d: env[0]" },
		{ SPEC("{\"env\":[7]}"), "env" },
		{ SPEC("{\"mounts\":[{\"hostPath\":\"x\",\"containerPath\":\"/y\"}]}"), "mounts[0]: hostPath: \"x\"" },
		{ SPEC("{\"mounts\":[{\"hostPath\":\"/x\"}]}"), "containerPath: missing" },
		{ SPEC("{\"mounts\":[7]}"), "mounts[0]: not an object" },
		{ SPEC("{\"deviceNodes\":[{\"path\":\"dev/x\"}]}"), "path: \"dev/x\"" },
		{ SPEC("{\"deviceNodes\":[{\"path\":\"/dev/x\",\"type\":\"x\"}]}"), "type" },
		{ SPEC("{\"deviceNodes\":[{\"path\":\"/dev/x\",\"permissions\":\"rx\"}]}"), "permissions" },
		{ SPEC("{\"hooks\":[{\"hookName\":\"sometime\",\"path\":\"/x\"}]}"), "no hook is called \"sometime\"" },
		{ SPEC("{\"hooks\":[{\"hookName\":\"poststop\",\"path\":\"x\"}]}"), "path" },
		{ SPEC("{\"additionalGids\":[-1]}"), "additionalGids[0]" },
		{ SPEC("{\"netDevices\":[{}]}"), "netDevices" },
		{ "{\"cdiVersion\":\"0.5.0\",\"kind\":\"v/c\",\"devices\":[{\"name\":\"a\"},{\"name\":\"a\"}]}", "there twice" },
		{ "{\"cdiVersion\":\"0.5.0\",\"kind\":\"v/c\",\"devices\":[{\"name\":\"../a\"}]}", "no device's name" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_arena_ struct arena a;
		struct cdi_spec spec;

		arena_init(&a);
		_err_ struct err *e = parse(&a, rows[i].json, &spec);

		if (!e || !strstr(err_text(e), rows[i].words))
			fprintf(stderr, "row %zu: %s\n", i, e ? err_text(e) : "no error");
		CHECK(e && strstr(err_text(e), rows[i].words));
	}
}

static void check_edit(const char *before, const char *edits, const char *after)
{
	_arena_ struct arena a;
	_buf_ struct buf out = BUF_INIT;
	_free_ char *json = base_printf("{\"cdiVersion\":\"1.0.0\",\"kind\":\"v/c\",\"devices\":[{\"name\":\"d\","
					"\"containerEdits\":%s}]}", edits);
	struct cdi_spec spec;

	arena_init(&a);
	CHECK_OK(parse(&a, json, &spec));
	CHECK_OK(cdi_apply(before, strlen(before), &spec.devices[0].edits, 1, look, &out));
	CHECK_STR(buf_text(&out), after);
}

TEST(cdi_edits)
{
	/* A variable takes the place of one that is there. */
	check_edit("{\"process\":{\"env\":[\"A=1\",\"AB=2\"]}}", "{\"env\":[\"A=3\"]}", "{\"process\":{\"env\":[\"AB=2\",\"A=3\"]}}");
	check_edit("{\"process\":{\"env\":[],\"user\":{\"uid\":5,\"gid\":6}},\"linux\":{}}",
		   "{\"deviceNodes\":[{\"path\":\"/dev/x\",\"hostPath\":\"/dev/there\"}]}",
		   "{\"process\":{\"env\":[],\"user\":{\"uid\":5,\"gid\":6}},\"linux\":{\"devices\":[{\"path\":\"/dev/x\",\"type\":\"b\","
		   "\"major\":7,\"minor\":9,\"fileMode\":416,\"uid\":5,\"gid\":6}],\"resources\":{\"devices\":[{\"allow\":true,"
		   "\"type\":\"b\",\"major\":7,\"minor\":9,\"access\":\"rwm\"}]}}}");
	check_edit("{\"process\":{\"env\":[],\"user\":{}},\"mounts\":[],\"hooks\":{}}",
		   "{\"mounts\":[{\"hostPath\":\"/a\",\"containerPath\":\"/b\",\"options\":[\"ro\"]}],"
		   "\"hooks\":[{\"hookName\":\"poststop\",\"path\":\"/h\",\"args\":[\"h\"],\"timeout\":2}],\"additionalGids\":[0,7]}",
		   "{\"process\":{\"env\":[],\"user\":{\"additionalGids\":[7]}},\"mounts\":[{\"destination\":\"/b\",\"source\":\"/a\","
		   "\"type\":\"bind\",\"options\":[\"ro\"]}],\"hooks\":{\"poststop\":[{\"path\":\"/h\",\"args\":[\"h\"],\"timeout\":2}]}}");
}

TEST(cdi_device_that_is_not_there)
{
	static const char json[] = SPEC("{\"deviceNodes\":[{\"path\":\"/dev/absent\"}]}");
	_arena_ struct arena a;
	_buf_ struct buf out = BUF_INIT;
	struct cdi_spec spec;

	arena_init(&a);
	CHECK_OK(parse(&a, json, &spec));
	_err_ struct err *e = cdi_apply("{}", 2, &spec.devices[0].edits, 1, look, &out);

	CHECK(e && strstr(err_text(e), "deviceNodes[0]: /dev/absent"));
}

TEST_MAIN
