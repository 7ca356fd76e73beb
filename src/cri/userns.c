#include "cri/userns.h"

#include "base/str.h"
#include "cri/serve.h"

#include <errno.h>
#include <fcntl.h>

typedef Runtime__V1__IDMapping map;

static const Runtime__V1__UserNamespace *options_of(const struct pod *p)
{
	const Runtime__V1__UserNamespace *u = pod_namespace_options(p)->userns_options;

	return u && u->mode == RUNTIME__V1__NAMESPACE_MODE__POD ? u : NULL;
}

bool userns_wanted(const struct pod *p)
{
	return options_of(p);
}

/* The place of *id* in *maps*; NULL: it has none. */
static const map *find(map *const *maps, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (id >= maps[i]->container_id && id - maps[i]->container_id < maps[i]->length)
			return maps[i];
	return NULL;
}

static bool overlap(uint32_t a, uint32_t a_len, uint32_t b, uint32_t b_len)
{
	return a < (uint64_t)b + b_len && b < (uint64_t)a + a_len;
}

/* As the kernel takes them (user_namespaces(7)), said before anything is made. */
static struct err *check_maps(const char *what, map *const *maps, size_t n)
{
	if (n == 0)
		return err_new(ERR_INVALID, "mode POD needs mappings, and there are none of %s", what);
	if (n > MONITOR_MAPS_MAX)
		return err_new(ERR_INVALID, "%zu mappings of %s: the kernel takes %d", n, what, MONITOR_MAPS_MAX);
	for (size_t i = 0; i < n; i++) {
		const map *m = maps[i];

		if (!m->length || (uint64_t)m->container_id + m->length > UINT32_MAX ||
		    (uint64_t)m->host_id + m->length > UINT32_MAX)
			return err_new(ERR_INVALID, "a mapping of %s is empty or goes past the last ID: %u to %u, %u of them",
				       what, m->container_id, m->host_id, m->length);
		for (size_t k = 0; k < i; k++)
			if (overlap(m->container_id, m->length, maps[k]->container_id, maps[k]->length) ||
			    overlap(m->host_id, m->length, maps[k]->host_id, maps[k]->length))
				return err_new(ERR_INVALID, "two mappings of %s overlap", what);
	}
	if (!find(maps, n, 0))
		return err_new(ERR_INVALID, "no mapping of %s has 0, the container's root", what);
	return NULL;
}

static struct err *check(const Runtime__V1__NamespaceOption *ns)
{
	const Runtime__V1__UserNamespace *u = ns->userns_options;

	if (u->mode == RUNTIME__V1__NAMESPACE_MODE__NODE) {
		if (u->n_uids || u->n_gids)
			return err_new(ERR_INVALID, "mode NODE has no mappings, but there are %zu of users and %zu of groups",
				       u->n_uids, u->n_gids);
		return NULL;
	}
	if (u->mode != RUNTIME__V1__NAMESPACE_MODE__POD)
		return err_new(ERR_INVALID, "mode %d is neither POD nor NODE", (int)u->mode);
	TRY(check_maps("users", u->uids, u->n_uids));
	TRY(check_maps("groups", u->gids, u->n_gids));
	/* The kernel mounts neither their procfs nor their mqueue for who is not root there. */
	if (ns->pid == RUNTIME__V1__NAMESPACE_MODE__NODE || ns->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE)
		return err_new(ERR_INVALID, "a pod with users of its own cannot have the node's %s namespace",
			       ns->pid == RUNTIME__V1__NAMESPACE_MODE__NODE ? "PID" : "IPC");
	return NULL;
}

struct err *userns_check(const Runtime__V1__NamespaceOption *ns)
{
	if (!ns || !ns->userns_options)
		return NULL;
	return err_wrap(check(ns), "user namespace");
}

static struct pod_id_map *copy(struct arena *a, map *const *from, size_t n)
{
	struct pod_id_map *list = arena_calloc(a, n + 1, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = (struct pod_id_map){ from[i]->container_id, from[i]->host_id, from[i]->length };
	return list;
}

void userns_maps(struct arena *a, const struct pod *p, struct pod_start *ret)
{
	const Runtime__V1__UserNamespace *u = options_of(p);

	if (!u)
		return;
	ret->uid_maps = copy(a, u->uids, u->n_uids);
	ret->gid_maps = copy(a, u->gids, u->n_gids);
	ret->n_uid_maps = u->n_uids;
	ret->n_gid_maps = u->n_gids;
}

void userns_root(const struct pod *p, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const Runtime__V1__UserNamespace *u = options_of(p);
	const map *uid = u ? find(u->uids, u->n_uids, 0) : NULL, *gid = u ? find(u->gids, u->n_gids, 0) : NULL;

	*ret_uid = uid ? uid->host_id : 0;
	*ret_gid = gid ? gid->host_id : 0;
}

struct err *userns_check_user(const struct container *c)
{
	const Runtime__V1__UserNamespace *u = options_of(c->pod);

	if (!u)
		return NULL;
	if (!find(u->uids, u->n_uids, c->uid))
		return err_new(ERR_INVALID, "user %u is not mapped in the pod's user namespace", c->uid);
	for (size_t i = 0; i < c->n_groups; i++)
		if (!find(u->gids, u->n_gids, c->groups[i]))
			return err_new(ERR_INVALID, "group %u is not mapped in the pod's user namespace", c->groups[i]);
	return NULL;
}

void userns_clip(const struct pod *p, uint32_t *uid, uint32_t *gid)
{
	const Runtime__V1__UserNamespace *u = options_of(p);

	if (u && !find(u->uids, u->n_uids, *uid))
		*uid = 0;
	if (u && !find(u->gids, u->n_gids, *gid))
		*gid = 0;
}

uint32_t userns_last_group(const struct pod *p)
{
	const Runtime__V1__UserNamespace *u = options_of(p);
	const map *m = u ? find(u->gids, u->n_gids, 0) : NULL;

	return m ? m->length - 1 : INT32_MAX;
}

struct err *userns_open(const struct pod *p, int *ret_fd)
{
	*ret_fd = -1;
	if (!userns_wanted(p))
		return NULL;
	if (!p->ns_user)
		return err_new(ERR_PRECONDITION, "the pod's user namespace is gone");
	*ret_fd = open(p->ns_user, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_errno(errno, "user namespace %s", p->ns_user);
	return NULL;
}
