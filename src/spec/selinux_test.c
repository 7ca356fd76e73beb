#include "base/test.h"
#include "spec/selinux.h"

#include <errno.h>
#include <string.h>

static Runtime__V1__SELinuxOption option(const char *user, const char *role, const char *type, const char *level)
{
	Runtime__V1__SELinuxOption o = RUNTIME__V1__SELINUX_OPTION__INIT;

	o.user = (char *)(uintptr_t)user;
	o.role = (char *)(uintptr_t)role;
	o.type = (char *)(uintptr_t)type;
	o.level = (char *)(uintptr_t)level;
	return o;
}

static struct err *labels(const struct selinux_input *in, char ret[2][SELINUX_LABEL_MAX])
{
	_arena_ struct arena a;
	const char *process, *mount;

	arena_init(&a);
	TRY(selinux_labels(&a, in, &process, &mount));
	snprintf(ret[0], SELINUX_LABEL_MAX, "%s", process);
	snprintf(ret[1], SELINUX_LABEL_MAX, "%s", mount);
	return NULL;
}

TEST(labels_of_a_container)
{
	struct selinux_policy policy;
	Runtime__V1__SELinuxOption none = RUNTIME__V1__SELINUX_OPTION__INIT, type = option("", "", "mine_t", ""),
				   level = option("", "", "", "s0:c7,c8"), all = option("u", "r", "t", "s1");
	const struct {
		const Runtime__V1__SELinuxOption *container, *pod;
		bool privileged;
		const char *process, *mount;
	} rows[] = {
		{ NULL, NULL, false, "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2" },
		{ &none, &none, false, "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2" },
		{ &type, NULL, false, "system_u:system_r:mine_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2" },
		{ &level, NULL, false, "system_u:system_r:container_t:s0:c7,c8", "system_u:object_r:container_file_t:s0:c7,c8" },
		{ &all, &type, false, "u:r:t:s1", "system_u:object_r:container_file_t:s1" },
		{ &none, &type, false, "system_u:system_r:mine_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2" },
		{ NULL, NULL, true, "system_u:system_r:spc_t:s0", "system_u:object_r:container_file_t:s0:c1,c2" },
		{ &type, NULL, true, "system_u:system_r:mine_t:s0", "system_u:object_r:container_file_t:s0:c1,c2" },
	};

	selinux_policy_init(&policy, "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct selinux_input in = { &policy, rows[i].container, rows[i].pod, "s0:c1,c2", rows[i].privileged };
		char got[2][SELINUX_LABEL_MAX];

		CHECK_OK(labels(&in, got));
		CHECK_STR(got[0], rows[i].process);
		CHECK_STR(got[1], rows[i].mount);
	}
}

TEST(words_that_no_label_has)
{
	struct selinux_policy policy;
	static const char *const bad[] = { "a:b", "a b", "a\n", "a\"", "a\001" };

	selinux_policy_init(&policy, "");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		Runtime__V1__SELinuxOption o = option("", "", bad[i], "");
		const struct selinux_input in = { &policy, &o, NULL, "s0", false };
		char got[2][SELINUX_LABEL_MAX];

		CHECK_ERR(labels(&in, got), ERR_INVALID);
	}
	char longer[600];

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	Runtime__V1__SELinuxOption o = option(longer, "", "", "");
	const struct selinux_input in = { &policy, &o, NULL, "s0", false };
	char got[2][SELINUX_LABEL_MAX];

	CHECK_ERR(labels(&in, got), ERR_INVALID);
}

TEST(contexts_of_the_policy)
{
	static const char *const texts[] = {
		"process = \"a_u:b_r:c_t:s0\"\nfile=\"d_u:e_r:f_t:s0\"\nro_file = \"x:y:z:s0\"\n",
		"# process = \"no:no:no\"\n  process=\"a_u:b_r:c_t\"\n\nfile  =  \"d_u:e_r:f_t:s0:c1\"",
	};
	static const char *const bad[] = { "process", "process =", "process = \"", "process = \"a:b", "process = \"a\"", "processes = \"a:b:c\"",
					   "file = \"::::\"" };
	struct selinux_policy p;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		selinux_policy_init(&p, texts[i]);
		CHECK_STR(p.process.user, "a_u");
		CHECK_STR(p.process.role, "b_r");
		CHECK_STR(p.process.type, "c_t");
		CHECK_STR(p.file.user, "d_u");
		CHECK_STR(p.file.type, "f_t");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		selinux_policy_init(&p, bad[i]);
		CHECK_STR(p.process.type, "container_t");
		CHECK_STR(p.file.type, "container_file_t");
	}
}

TEST(name_of_the_policy)
{
	char name[16];

	CHECK(selinux_policy_name("SELINUX=enforcing\n# SELINUXTYPE=no\nSELINUXTYPE=targeted\n", name, sizeof(name)));
	CHECK_STR(name, "targeted");
	CHECK(!selinux_policy_name("", name, sizeof(name)));
	CHECK(!selinux_policy_name("SELINUXTYPE=", name, sizeof(name)));
	CHECK(!selinux_policy_name("SELINUXTYPE=../../etc", name, sizeof(name)));
	CHECK(!selinux_policy_name("SELINUXTYPE=a-name-that-is-far-too-long", name, sizeof(name)));
}

TEST(pairs_are_all_different_and_ordered)
{
	static char seen[SELINUX_CATEGORIES][SELINUX_CATEGORIES];
	char level[SELINUX_LEVEL_MAX];
	unsigned a, b;

	for (uint32_t i = 0; i < SELINUX_PAIRS; i += i < 2000 || i > SELINUX_PAIRS - 2000 ? 1 : 997) {
		selinux_pair(i, level);
		CHECK_INT(sscanf(level, "s0:c%u,c%u", &a, &b), 2);
		CHECK(a < b && b < SELINUX_CATEGORIES && !seen[a][b]);
		seen[a][b] = 1;
	}
	selinux_pair(SELINUX_PAIRS - 1, level);
	CHECK_STR(level, "s0:c1022,c1023");
	selinux_pair(SELINUX_PAIRS, level);
	CHECK_STR(level, "s0:c0,c1");
}

TEST_MAIN
