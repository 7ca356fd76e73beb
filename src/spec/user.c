#include "spec/user.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* (uid_t)-1 means "no change" to setresuid(2): never an ID. */
#define USER_ID_MAX (UINT32_MAX - 1)

#define USER_NAME_MAX 256

/* A line's fields, split at colons in place. */
#define USER_FIELDS_MAX 8

struct line {
	char *fields[USER_FIELDS_MAX];
	size_t n;
};

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

/* Rule R7. Digits are an ID and nothing else; *ret_numeric false: a name. */
static struct err *parse_id(const char *what, const char *s, bool *ret_numeric, uint32_t *ret_id)
{
	uint64_t v;

	*ret_numeric = all_digits(s);
	if (!*ret_numeric)
		return NULL;
	if (!str_to_u64(s, USER_ID_MAX, &v))
		return err_new(ERR_INVALID, "%s %.32s is out of range (0 to %u)", what, s, USER_ID_MAX);
	*ret_id = (uint32_t)v;
	return NULL;
}

static struct err *check_id(const char *what, int64_t v, uint32_t *ret)
{
	if (v < 0 || v > (int64_t)USER_ID_MAX)
		return err_new(ERR_INVALID, "%s %lld is out of range (0 to %u)", what, (long long)v,
			       USER_ID_MAX);
	*ret = (uint32_t)v;
	return NULL;
}

/* The next line of *text*, split; false at the end. Comments and empty lines are skipped. */
static bool next_line(struct arena *a, const char **text, struct line *l)
{
	while (**text) {
		size_t len = strcspn(*text, "\n");
		const char *start = *text;

		*text += len + ((*text)[len] == '\n');
		if (!len || *start == '#')
			continue;
		char *s = arena_strndup(a, start, len);

		l->n = 0;
		while (s && l->n < USER_FIELDS_MAX)
			l->fields[l->n++] = strsep(&s, ":");
		return true;
	}
	return false;
}

struct passwd_entry {
	const char *name, *home;
	uint32_t uid, gid;
};

/* Fields of passwd(5): name, password, UID, GID, comment, home, shell. Lines that are not so are
 * passed over, as getpwnam(3) does. */
static bool find_passwd(struct arena *a, const char *text, const char *name, const uint32_t *uid,
			struct passwd_entry *ret)
{
	struct line l;
	uint64_t u, g;

	while (next_line(a, &text, &l)) {
		if (l.n < 6 || !*l.fields[0] || !str_to_u64(l.fields[2], USER_ID_MAX, &u) ||
		    !str_to_u64(l.fields[3], USER_ID_MAX, &g))
			continue;
		if (name ? strcmp(l.fields[0], name) != 0 : u != *uid)
			continue;
		*ret = (struct passwd_entry){ l.fields[0], l.fields[5], (uint32_t)u, (uint32_t)g };
		return true;
	}
	return false;
}

/* Fields of group(5): name, password, GID, members. */
static bool find_group(struct arena *a, const char *text, const char *name, uint32_t *ret_gid)
{
	struct line l;
	uint64_t g;

	while (next_line(a, &text, &l)) {
		if (l.n < 3 || strcmp(l.fields[0], name) != 0 || !str_to_u64(l.fields[2], USER_ID_MAX, &g))
			continue;
		*ret_gid = (uint32_t)g;
		return true;
	}
	return false;
}

static struct err *add_group(struct user *u, uint32_t gid)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (u->groups[i] == gid)
			return NULL;
	if (u->n_groups == USER_GROUPS_MAX)
		return err_new(ERR_EXHAUSTED, "user has more than %d groups", USER_GROUPS_MAX);
	u->groups[u->n_groups++] = gid;
	return NULL;
}

static bool is_member(char *members, const char *name)
{
	char *m;

	while ((m = strsep(&members, ",")))
		if (!strcmp(m, name))
			return true;
	return false;
}

static struct err *add_memberships(struct arena *a, const char *text, struct user *u)
{
	struct line l;
	uint64_t g;

	while (next_line(a, &text, &l)) {
		if (l.n < 4 || !str_to_u64(l.fields[2], USER_ID_MAX, &g))
			continue;
		if (is_member(l.fields[3], u->name))
			TRY(add_group(u, (uint32_t)g));
	}
	return NULL;
}

/* The user part: an ID or a name that must exist. Sets uid, gid, name, home. */
static struct err *resolve_name(struct arena *a, const char *name, const char *passwd, struct user *u)
{
	struct passwd_entry p;
	bool numeric;

	if (strlen(name) > USER_NAME_MAX)
		return err_new(ERR_INVALID, "user name of %zu bytes is too long", strlen(name));
	TRY(parse_id("user", name, &numeric, &u->uid));
	if (!find_passwd(a, passwd, numeric ? NULL : name, &u->uid, &p)) {
		if (!numeric)
			return err_new(ERR_INVALID, "user \"%s\" is not in the image's /etc/passwd", name);
		return NULL;
	}
	u->uid = p.uid;
	u->gid = p.gid;
	u->name = p.name;
	if (p.home[0] == '/')
		u->home = p.home;
	return NULL;
}

static struct err *resolve_group(struct arena *a, const char *name, const char *group, struct user *u)
{
	bool numeric;

	if (strlen(name) > USER_NAME_MAX)
		return err_new(ERR_INVALID, "group name of %zu bytes is too long", strlen(name));
	TRY(parse_id("group", name, &numeric, &u->gid));
	if (!numeric && !find_group(a, group, name, &u->gid))
		return err_new(ERR_INVALID, "group \"%s\" is not in the image's /etc/group", name);
	return NULL;
}

/* The image's USER: "", "user", "user:group", ":group". */
static struct err *resolve_image_user(struct arena *a, const char *spec, const char *passwd,
				      const char *group, struct user *u)
{
	const char *colon = strchr(spec, ':');
	char *name = colon ? arena_strndup(a, spec, (size_t)(colon - spec)) : arena_strdup(a, spec);

	TRY(resolve_name(a, *name ? name : "0", passwd, u));
	if (colon && colon[1])
		TRY(resolve_group(a, colon + 1, group, u));
	return NULL;
}

static struct err *resolve_ids(struct arena *a, const struct user_request *q, const char *passwd,
			       const char *group, struct user *u)
{
	if (q->has_uid) {
		char digits[24];

		TRY(check_id("run_as_user", q->uid, &u->uid));
		snprintf(digits, sizeof(digits), "%u", u->uid);
		return resolve_name(a, digits, passwd, u);
	}
	if (!str_empty(q->name))
		return err_wrap(resolve_name(a, q->name, passwd, u), "run_as_username");
	if (q->has_gid)
		return err_new(ERR_INVALID, "run_as_group needs run_as_user or run_as_username");
	return err_wrap(resolve_image_user(a, q->image_user ? q->image_user : "", passwd, group, u),
			"the image's USER");
}

struct err *user_resolve(struct arena *a, const struct user_request *q, const char *passwd,
			 const char *group, struct user *ret)
{
	struct user u = { .name = "", .home = "/" };
	uint32_t gid;

	if (q->has_uid && !str_empty(q->name))
		return err_new(ERR_INVALID, "both run_as_user and run_as_username are set");
	TRY(resolve_ids(a, q, passwd, group, &u));
	if (q->has_gid)
		TRY(check_id("run_as_group", q->gid, &u.gid));
	u.groups = arena_calloc(a, USER_GROUPS_MAX, sizeof(*u.groups));
	/* Without its primary group among them a process could drop that group and pass a file's
	 * "this group may not" (CVE-2022-2995, CVE-2023-25173). */
	TRY(add_group(&u, u.gid));
	if (!q->strict_groups && *u.name)
		TRY(add_memberships(a, group, &u));
	for (size_t i = 0; i < q->n_groups; i++) {
		TRY(check_id("supplemental group", q->groups[i], &gid));
		TRY(add_group(&u, gid));
	}
	*ret = u;
	return NULL;
}
