/* Which AppArmor profile a container gets. */
#include "base/test.h"
#include "spec/json.h"
#include "spec/spec.h"

#include <errno.h>

enum { DEFAULT, UNCONFINED, LOCALHOST, NOT_SAID, OLD };

static const struct row {
	const char *node;       /* RuntimeDefault's profile, NULL: no AppArmor */
	bool privileged;
	int kind;
	const char *ref;        /* for OLD the word itself */
	const char *want;       /* NULL: none; "!": an error */
} rows[] = {
	{ "crisp-default", false, NOT_SAID, "", "crisp-default" },
	{ "crisp-default", true, NOT_SAID, "", NULL },
	{ "crisp-default", false, DEFAULT, "", "crisp-default" },
	{ "crisp-default", true, DEFAULT, "", NULL },
	{ "crisp-default", false, UNCONFINED, "", NULL },
	{ "crisp-default", false, LOCALHOST, "mine", "mine" },
	{ "crisp-default", false, LOCALHOST, "localhost/mine", "mine" },
	{ "crisp-default", true, LOCALHOST, "mine", "mine" },
	{ "crisp-default", false, LOCALHOST, "", "!" },
	{ "crisp-default", false, LOCALHOST, "localhost/", "!" },
	{ "crisp-default", false, LOCALHOST, "a b", "!" },
	{ "crisp-default", false, LOCALHOST, "a\nexec unconfined", "!" },
	{ "crisp-default", false, LOCALHOST, "unconfined", NULL },
	{ "crisp-default", false, OLD, "runtime/default", "crisp-default" },
	{ "crisp-default", false, OLD, "unconfined", NULL },
	{ "crisp-default", false, OLD, "localhost/mine", "mine" },
	{ "crisp-default", false, OLD, "localhost/", "!" },
	{ "crisp-default", false, OLD, "mine", "!" },
	{ "of-the-os", false, DEFAULT, "", "of-the-os" },
	{ "unconfined", false, DEFAULT, "", NULL },
	{ NULL, false, NOT_SAID, "", NULL },
	{ NULL, false, UNCONFINED, "", NULL },
	{ NULL, true, DEFAULT, "", NULL },
	{ NULL, false, DEFAULT, "", "!" },
	{ NULL, false, LOCALHOST, "mine", "!" },
	{ NULL, false, OLD, "localhost/mine", "!" },
};

static Runtime__V1__SecurityProfile__ProfileType type_of(int kind)
{
	return kind == DEFAULT	  ? RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault :
	       kind == UNCONFINED ? RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined :
				    RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static struct err *build(const struct row *row, struct arena *a, const char **ret)
{
	static char *no_strings[] = { NULL };
	static char *entrypoint[] = { (char *)"/entry", NULL };
	const struct image_config image = {
		.user = "", .working_dir = "", .env = no_strings, .entrypoint = entrypoint, .cmd = no_strings,
		.volumes = no_strings, .diff_ids = no_strings,
	};
	const struct user user = { .name = "", .home = "/" };
	Runtime__V1__ContainerConfig c = RUNTIME__V1__CONTAINER_CONFIG__INIT;
	Runtime__V1__LinuxContainerConfig l = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT;
	Runtime__V1__LinuxContainerSecurityContext sc = RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	Runtime__V1__NamespaceOption ns = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;
	_buf_ struct buf out = BUF_INIT;
	yyjson_val *root, *process;

	c.linux = &l;
	l.security_context = &sc;
	sc.namespace_options = &ns;
	sc.privileged = row->privileged;
	ns.pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	p.profile_type = type_of(row->kind);
	p.localhost_ref = (char *)(uintptr_t)row->ref;
	if (row->kind == OLD)
		sc.apparmor_profile = (char *)(uintptr_t)row->ref;
	else if (row->kind != NOT_SAID)
		sc.apparmor = &p;
	const struct spec_input in = {
		.container = &c, .image = &image, .user = &user, .id = "id", .rootfs = "/r", .cgroups_path = "/c",
		.ns_net = "/n", .ns_ipc = "/i", .ns_uts = "/u", .apparmor = row->node,
	};

	TRY(spec_build(&in, &out));
	TRY(json_read(a, buf_text(&out), out.len, &root));
	TRY(json_get_obj(root, "process", &process));
	*ret = NULL;
	return json_get_str(process, "apparmorProfile", ret);
}

TEST(profile_of_a_container)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		_arena_ struct arena a;
		const char *got = NULL;

		arena_init(&a);
		struct err *e = build(row, &a, &got);

		if (row->want && !strcmp(row->want, "!")) {
			CHECK_ERR(e, ERR_INVALID);
			continue;
		}
		CHECK_OK(e);
		CHECK_STR(got ? got : "-", row->want ? row->want : "-");
	}
}

TEST_MAIN
