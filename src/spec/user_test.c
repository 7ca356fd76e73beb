#include "base/test.h"
#include "spec/user.h"

#include <stdio.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# comment\n"
			     "\n"
			     "web:x:1000:1001:Web,,,:/srv/web:/bin/sh\n"
			     "broken:x:abc:1:::\n"
			     "short:x:5\n"
			     "4294967296:x:0:0::/root:/bin/sh\n"
			     "1234:x:0:0:digits as a name:/root:/bin/sh\n"
			     "relative:x:77:77::home:/bin/sh";
static const char group[] = "root:x:0:\nweb:x:1001:\nextra:x:2000:web,other\nmore:x:2001:other,web\n"
			    "self:x:1001:web\nbad:x:99999999999:web\n";

/* "uid gid name home groups" */
static const char *show(const struct user *u)
{
	static char text[512];
	int n = snprintf(text, sizeof(text), "%u %u %s %s", u->uid, u->gid, u->name, u->home);

	for (size_t i = 0; i < u->n_groups; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %u", u->groups[i]);
	return text;
}

TEST(user_golden)
{
	static const int64_t groups[] = { 3000, 2000, 3000 };
	static const struct {
		struct user_request q;
		const char *want;   /* NULL: ERR_INVALID */
	} cases[] = {
		{ { .image_user = "" }, "0 0 root /root 0" },
		{ { .image_user = NULL }, "0 0 root /root 0" },
		{ { .image_user = "web" }, "1000 1001 web /srv/web 1001 2000 2001" },
		{ { .image_user = "1000" }, "1000 1001 web /srv/web 1001 2000 2001" },
		{ { .image_user = "web:extra" }, "1000 2000 web /srv/web 2000 2001 1001" },
		{ { .image_user = "5555" }, "5555 0  / 0" },
		{ { .image_user = "5555:7" }, "5555 7  / 7" },
		{ { .image_user = ":extra" }, "0 2000 root /root 2000" },
		{ { .image_user = "relative" }, "77 77 relative / 77" },
		{ { .image_user = "nobody" }, NULL },
		{ { .image_user = "web:nogroup" }, NULL },
		{ { .image_user = "broken" }, NULL },
		{ { .image_user = "4294967295" }, NULL },
		{ { .image_user = "-1" }, NULL },
		{ { .image_user = "+1" }, NULL },
		{ { .image_user = "0x10" }, NULL },
		{ { .image_user = "web", .has_uid = true, .uid = 12 }, "12 0  / 0" },
		{ { .image_user = "web", .has_uid = true, .uid = 1000, .has_gid = true, .gid = 8 },
		  "1000 8 web /srv/web 8 2000 2001 1001" },
		{ { .name = "web" }, "1000 1001 web /srv/web 1001 2000 2001" },
		{ { .name = "web", .strict_groups = true }, "1000 1001 web /srv/web 1001" },
		{ { .name = "ghost" }, NULL },
		{ { .has_uid = true, .uid = 5, .groups = groups, .n_groups = 3 }, "5 0  / 0 3000 2000" },
		{ { .name = "web", .groups = groups, .n_groups = 3, .strict_groups = true },
		  "1000 1001 web /srv/web 1001 3000 2000" },
		{ { .image_user = "web", .has_gid = true, .gid = 8 }, NULL },
		{ { .name = "web", .has_uid = true, .uid = 3 }, NULL },
		{ { .has_uid = true, .uid = -1 }, NULL },
		{ { .has_uid = true, .uid = 4294967295 }, NULL },
		{ { .has_uid = true, .uid = 4294967294 }, "4294967294 0  / 0" },
		{ { .has_uid = true, .uid = 1, .has_gid = true, .gid = 4294967296 }, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_arena_ struct arena a;
		struct user u;

		arena_init(&a);
		if (cases[i].want) {
			CHECK_OK(user_resolve(&a, &cases[i].q, passwd, group, &u));
			CHECK_STR(show(&u), cases[i].want);
		} else {
			CHECK_ERR(user_resolve(&a, &cases[i].q, passwd, group, &u), ERR_INVALID);
		}
		arena_done(&a);
	}
}

/* Digits that overflow must not be looked up as a name that the image's passwd maps to root. */
TEST(cve_2026_46680_cve_2024_40635_overflow_is_no_name)
{
	_arena_ struct arena a;
	struct user u;

	arena_init(&a);
	CHECK_ERR(user_resolve(&a, &(struct user_request){ .image_user = "4294967296" }, passwd, group, &u),
		  ERR_INVALID);
	CHECK_ERR(user_resolve(&a, &(struct user_request){ .image_user = "99999999999999999999999" }, passwd,
			       group, &u),
		  ERR_INVALID);
	/* Digits are an ID even where passwd has such a name. */
	CHECK_OK(user_resolve(&a, &(struct user_request){ .image_user = "1234" }, passwd, group, &u));
	CHECK_INT(u.uid, 1234);
	arena_done(&a);
}

TEST(cve_2023_25173_primary_group_is_supplementary)
{
	_arena_ struct arena a;
	struct user u;

	arena_init(&a);
	CHECK_OK(user_resolve(&a, &(struct user_request){ .has_uid = true, .uid = 9, .has_gid = true,
							  .gid = 33, .strict_groups = true },
			      passwd, group, &u));
	CHECK_INT(u.n_groups, 1);
	CHECK_INT(u.groups[0], 33);
	arena_done(&a);
}

TEST_MAIN
