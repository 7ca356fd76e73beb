/* user.h: who a container runs as: CRI's security context and the image's USER, resolved with the
 * image's own /etc/passwd and /etc/group (texts, read and bounded by the caller).
 *
 * Rule R7: digits are an ID, 0…2^32-2, never a name; digits that overflow are an error.
 */
#ifndef CRISP_USER_H
#define CRISP_USER_H

#include "base/arena.h"
#include "base/err.h"

#define USER_FILE_MAX   (1u << 20)  /* bytes of passwd, of group */
#define USER_GROUPS_MAX 1024        /* supplementary groups of one user */

struct user {
	uint32_t uid, gid;
	uint32_t *groups;           /* additional, without duplicates */
	size_t n_groups;
	const char *name;           /* "" if unknown */
	const char *home;           /* from passwd, "/" if unknown; only ever an environment default */
};

struct user_request {
	bool has_uid, has_gid;
	int64_t uid, gid;           /* run_as_user, run_as_group */
	const char *name;           /* run_as_username, "" if none */
	const char *image_user;     /* the image's USER */
	const int64_t *groups;      /* supplemental_groups (fsGroup among them) */
	size_t n_groups;
	bool strict_groups;         /* SupplementalGroupsPolicy Strict: the image's memberships do not count */
};

/* *passwd*, *group*: the files' text, "" where missing. */
struct err *user_resolve(struct arena *a, const struct user_request *q, const char *passwd,
			 const char *group, struct user *ret) _must_check_;

#endif
