#include "base/test.h"
#include "base/buf.h"
#include "image/config.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}"

static struct arena arena;

static struct err *parse(const char *json, struct image_config *c)
{
	arena_done(&arena);
	arena_init(&arena);
	return image_config_parse(&arena, json, strlen(json), c);
}

TEST(config_whole)
{
	struct image_config c;

	CHECK_OK(parse("{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\",\"created\":\"2024-01-01T00:00:00Z\","
		       "\"config\":{\"User\":\"1000:100\",\"WorkingDir\":\"/srv\",\"StopSignal\":\"SIGQUIT\","
		       "\"Env\":[\"PATH=/bin\",\"A=\"],\"Entrypoint\":[\"/bin/sh\",\"-c\"],\"Cmd\":[\"echo \\u00e9\"],"
		       "\"Volumes\":{\"/data\":{},\"/log\":{}},\"Labels\":{\"a\":\"b\",\"c\":\"\"},"
		       "\"ExposedPorts\":{\"80/tcp\":{}}}," ROOTFS ",\"history\":[{}]}", &c));
	CHECK_STR(c.architecture, "arm64");
	CHECK_STR(c.os, "linux");
	CHECK_STR(c.variant, "v8");
	CHECK_STR(c.user, "1000:100");
	CHECK_STR(c.working_dir, "/srv");
	CHECK_STR(c.stop_signal, "SIGQUIT");
	CHECK_STR(c.env[0], "PATH=/bin");
	CHECK_STR(c.env[1], "A=");
	CHECK(!c.env[2]);
	CHECK_STR(c.entrypoint[1], "-c");
	CHECK_STR(c.cmd[0], "echo \xc3\xa9");
	CHECK_STR(c.volumes[1], "/log");
	CHECK(!c.volumes[2]);
	CHECK_INT(c.n_labels, 2);
	CHECK_STR(c.labels[0].key, "a");
	CHECK_STR(c.labels[0].value, "b");
	CHECK_INT(c.n_diff_ids, 1);
	CHECK_STR(c.diff_ids[0], D);
}

TEST(config_smallest_and_null_members)
{
	struct image_config c;

	CHECK_OK(parse("{" ROOTFS "}", &c));
	CHECK_STR(c.user, "");
	CHECK(!c.env[0] && !c.cmd[0] && !c.entrypoint[0] && !c.volumes[0]);
	CHECK_INT(c.n_labels, 0);
	CHECK_OK(parse("{\"config\":{\"Env\":null,\"Cmd\":null,\"Entrypoint\":null,\"Volumes\":null,\"Labels\":null,"
		       "\"User\":null}," ROOTFS "}", &c));
	CHECK(!c.env[0] && !c.cmd[0] && !c.entrypoint[0] && !c.volumes[0]);
	CHECK_OK(parse("{\"config\":null,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null}}", &c));
	CHECK_INT(c.n_diff_ids, 0);
}

TEST(bad_configs_are_refused)
{
	static const char *const bad[] = {
		"", "null", "[]", "{", "{}", "{\"rootfs\":[]}", "{\"rootfs\":{}}",
		"{\"rootfs\":{\"type\":\"other\",\"diff_ids\":[]}}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:xyz\"]}}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":\"" D "\"}}",
		"{\"config\":[]," ROOTFS "}",
		"{\"config\":{\"User\":0}," ROOTFS "}",
		"{\"config\":{\"Env\":[\"A=b\\u0000c\"]}," ROOTFS "}",
		"{\"config\":{\"Env\":{\"A\":\"b\"}}," ROOTFS "}",
		"{\"config\":{\"Labels\":{\"a\":1}}," ROOTFS "}",
		"{\"config\":{\"Labels\":{\"a\\u0000\":\"\"}}," ROOTFS "}",
		"{\"config\":{\"Volumes\":[\"/a\"]}," ROOTFS "}",
		"{" ROOTFS "} trailing",
		"{\"os\":\"\xff\"," ROOTFS "}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct image_config c;
		struct err *e = parse(bad[i], &c);

		if (!e)
			fprintf(stderr, "accepted: %s\n", bad[i]);
		CHECK_ERR(e, ERR_INVALID);
	}
}

TEST(config_lists_are_bounded)
{
	struct image_config c;
	_buf_ struct buf env = BUF_INIT, labels = BUF_INIT, ids = BUF_INIT;

	for (int i = 0; i <= IMAGE_STRINGS_MAX; i++) {
		buf_printf(&env, "%s\"\"", i ? "," : "");
		buf_printf(&labels, "%s\"%d\":\"\"", i ? "," : "", i);
	}
	for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
		buf_printf(&ids, "%s\"" D "\"", i ? "," : "");
	_free_ char *many_env = base_printf("{\"config\":{\"Env\":[%s]}," ROOTFS "}", env.data);
	_free_ char *many_labels = base_printf("{\"config\":{\"Labels\":{%s}}," ROOTFS "}", labels.data);
	_free_ char *many_volumes = base_printf("{\"config\":{\"Volumes\":{%s}}," ROOTFS "}", labels.data);
	_free_ char *many_ids = base_printf("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}", ids.data);

	CHECK_ERR(parse(many_env, &c), ERR_EXHAUSTED);
	CHECK_ERR(parse(many_labels, &c), ERR_EXHAUSTED);
	CHECK_ERR(parse(many_volumes, &c), ERR_EXHAUSTED);
	CHECK_ERR(parse(many_ids, &c), ERR_EXHAUSTED);
}

int main(int argc, char **argv)
{
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	arena_done(&arena);
	return status;
}
