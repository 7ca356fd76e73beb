#include "base/str.h"
#include "spec/build.h"

#include <inttypes.h>

static void put_namespace(struct build *b, yyjson_mut_val *arr, const char *type, const char *path)
{
	yyjson_mut_val *obj = yyjson_mut_arr_add_obj(b->doc, arr);

	json_put_str(b->doc, obj, "type", type);
	json_put_str(b->doc, obj, "path", path);
}

static struct err *put_pid_namespace(struct build *b, yyjson_mut_val *arr)
{
	switch (b->ns->pid) {
	case RUNTIME__V1__NAMESPACE_MODE__NODE:
		return NULL;
	case RUNTIME__V1__NAMESPACE_MODE__CONTAINER:
		put_namespace(b, arr, "pid", NULL);
		return NULL;
	case RUNTIME__V1__NAMESPACE_MODE__POD:
	case RUNTIME__V1__NAMESPACE_MODE__TARGET:
		if (!b->in->ns_pid)
			return err_new(ERR_INVALID, "the PID namespace to join is not known");
		put_namespace(b, arr, "pid", b->in->ns_pid);
		return NULL;
	default:
		return err_new(ERR_INVALID, "unknown mode %d of the PID namespace", (int)b->ns->pid);
	}
}

struct err *build_ids(struct build *b, yyjson_mut_val *obj, const char *key, Runtime__V1__IDMapping *const *ids,
		      size_t n)
{
	if (n > BUILD_IDS_MAX)
		return err_new(ERR_INVALID, "%s: %zu lines, at most %d", key, n, BUILD_IDS_MAX);
	yyjson_mut_val *arr = json_put_arr(b->doc, obj, key);

	for (size_t i = 0; i < n; i++) {
		yyjson_mut_val *v = yyjson_mut_arr_add_obj(b->doc, arr);

		if (!ids[i]->length || ids[i]->container_id + ids[i]->length < ids[i]->container_id ||
		    ids[i]->host_id + ids[i]->length < ids[i]->host_id)
			return err_new(ERR_INVALID, "%s: line %zu is empty or goes past the last ID", key, i);
		yyjson_mut_obj_add_uint(b->doc, v, "containerID", ids[i]->container_id);
		yyjson_mut_obj_add_uint(b->doc, v, "hostID", ids[i]->host_id);
		yyjson_mut_obj_add_uint(b->doc, v, "size", ids[i]->length);
	}
	return NULL;
}

static struct err *put_user_namespace(struct build *b, yyjson_mut_val *linux_obj, yyjson_mut_val *arr)
{
	const Runtime__V1__UserNamespace *u = b->ns->userns_options;
	bool wanted = u && u->mode == RUNTIME__V1__NAMESPACE_MODE__POD;

	if (wanted && (!u->n_uids || !u->n_gids))
		return err_new(ERR_INVALID, "a user namespace without ID mappings");
	if (wanted && !b->in->ns_user)
		return err_new(ERR_INVALID, "the container wants a user namespace, its pod has none");
	if (!b->in->ns_user)
		return NULL;
	/* The pod's is joined; the mappings are for mounts and devices. */
	put_namespace(b, arr, "user", b->in->ns_user);
	if (!u)
		return NULL;
	TRY(build_ids(b, linux_obj, "uidMappings", u->uids, u->n_uids));
	return build_ids(b, linux_obj, "gidMappings", u->gids, u->n_gids);
}

static struct err *put_pod_namespace(struct build *b, yyjson_mut_val *arr, const char *type, const char *path,
				     Runtime__V1__NamespaceMode mode)
{
	if (path)
		put_namespace(b, arr, type, path);
	else if (mode != RUNTIME__V1__NAMESPACE_MODE__NODE)
		return err_new(ERR_INVALID, "the pod's %s namespace is not known", type);
	return NULL;
}

static struct err *put_namespaces(struct build *b, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *arr = json_put_arr(b->doc, linux_obj, "namespaces");

	put_namespace(b, arr, "mount", NULL);
	/* A privileged container manages the node's cgroups, so it sees them; in a user namespace it has no right to them. */
	if (!b->sc->privileged || b->in->ns_user)
		put_namespace(b, arr, "cgroup", NULL);
	TRY(put_user_namespace(b, linux_obj, arr));
	TRY(put_pid_namespace(b, arr));
	TRY(put_pod_namespace(b, arr, "network", b->in->ns_net, b->ns->network));
	TRY(put_pod_namespace(b, arr, "ipc", b->in->ns_ipc, b->ns->ipc));
	/* The node's name goes with the node's network. */
	return put_pod_namespace(b, arr, "uts", b->in->ns_uts, b->ns->network);
}

static struct err *check_paths(const char *what, char *const *paths, size_t n)
{
	if (n > BUILD_PATHS_MAX)
		return err_new(ERR_INVALID, "%s: more than %d", what, BUILD_PATHS_MAX);
	for (size_t i = 0; i < n; i++)
		if (paths[i][0] != '/')
			return err_new(ERR_INVALID, "%s: \"%.256s\" is not an absolute path", what, paths[i]);
	return NULL;
}

static struct err *put_paths(struct build *b, yyjson_mut_val *linux_obj)
{
	if (b->sc->privileged)
		return NULL;
	TRY(check_paths("masked_paths", b->sc->masked_paths, b->sc->n_masked_paths));
	TRY(check_paths("readonly_paths", b->sc->readonly_paths, b->sc->n_readonly_paths));
	json_put_strings(b->doc, linux_obj, "maskedPaths", (const char *const *)b->sc->masked_paths, b->sc->n_masked_paths);
	json_put_strings(b->doc, linux_obj, "readonlyPaths", (const char *const *)b->sc->readonly_paths,
			 b->sc->n_readonly_paths);
	return NULL;
}

/* Mounts that spread need a root that lets them. */
static const char *propagation(const struct build *b)
{
	const char *word = "rprivate";

	for (size_t i = 0; i < b->in->container->n_mounts; i++) {
		switch (b->in->container->mounts[i]->propagation) {
		case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL:
			return "rshared";
		case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER:
			word = "rslave";
			break;
		default:
			break;
		}
	}
	return word;
}

static void put_rule(struct build *b, yyjson_mut_val *arr, bool allow, const struct spec_device *d)
{
	yyjson_mut_val *obj = yyjson_mut_arr_add_obj(b->doc, arr);
	char type[2] = { d ? d->type : 'a', '\0' };

	yyjson_mut_obj_add_bool(b->doc, obj, "allow", allow);
	yyjson_mut_obj_add_strcpy(b->doc, obj, "type", type);
	if (d) {
		yyjson_mut_obj_add_sint(b->doc, obj, "major", d->major);
		yyjson_mut_obj_add_sint(b->doc, obj, "minor", d->minor);
	}
	json_put_str(b->doc, obj, "access", d ? d->access : "rwm");
}

static void put_device_rules(struct build *b, yyjson_mut_val *resources)
{
	yyjson_mut_val *arr = json_put_arr(b->doc, resources, "devices");
	bool all = b->sc->privileged && !b->in->only_listed_devices;

	put_rule(b, arr, all, NULL);
	for (size_t i = 0; !all && i < b->in->n_devices; i++)
		put_rule(b, arr, true, &b->in->devices[i]);
}

void build_devices(struct build *b, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *arr = json_put_arr(b->doc, linux_obj, "devices");

	for (size_t i = 0; i < b->in->n_devices; i++) {
		const struct spec_device *d = &b->in->devices[i];
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(b->doc, arr);
		char type[2] = { d->type, '\0' };

		json_put_str(b->doc, obj, "path", build_clean_path(b->arena, d->path));
		yyjson_mut_obj_add_strcpy(b->doc, obj, "type", type);
		yyjson_mut_obj_add_sint(b->doc, obj, "major", d->major);
		yyjson_mut_obj_add_sint(b->doc, obj, "minor", d->minor);
		yyjson_mut_obj_add_uint(b->doc, obj, "fileMode", d->mode);
		yyjson_mut_obj_add_uint(b->doc, obj, "uid", d->uid);
		yyjson_mut_obj_add_uint(b->doc, obj, "gid", d->gid);
	}
}

static void put_cpu(struct build *b, yyjson_mut_val *resources)
{
	const struct cgroup_resources *r = &b->resources;
	yyjson_mut_val *obj = json_put_obj(b->doc, resources, "cpu");

	if (r->has_cpu_shares)
		yyjson_mut_obj_add_uint(b->doc, obj, "shares", r->cpu_shares);
	if (r->has_cpu_quota)
		yyjson_mut_obj_add_sint(b->doc, obj, "quota", r->cpu_quota);
	if (r->has_cpu_period)
		yyjson_mut_obj_add_uint(b->doc, obj, "period", r->cpu_period);
	json_put_str(b->doc, obj, "cpus", r->cpus);
	json_put_str(b->doc, obj, "mems", r->mems);
}

static void put_memory(struct build *b, yyjson_mut_val *resources)
{
	const struct cgroup_resources *r = &b->resources;
	yyjson_mut_val *obj = json_put_obj(b->doc, resources, "memory");

	if (r->has_memory)
		yyjson_mut_obj_add_sint(b->doc, obj, "limit", r->memory);
	if (r->has_swap)
		yyjson_mut_obj_add_sint(b->doc, obj, "swap", r->swap);
}

void build_resources(struct build *b, yyjson_mut_val *linux_obj)
{
	const struct cgroup_resources *r = &b->resources;
	yyjson_mut_val *resources = json_put_obj(b->doc, linux_obj, "resources"), *obj;

	put_device_rules(b, resources);
	put_cpu(b, resources);
	put_memory(b, resources);
	if (b->in->pids_limit)
		yyjson_mut_obj_add_uint(b->doc, json_put_obj(b->doc, resources, "pids"), "limit", b->in->pids_limit);
	obj = r->n_hugepages ? json_put_arr(b->doc, resources, "hugepageLimits") : NULL;
	for (size_t i = 0; i < r->n_hugepages; i++) {
		yyjson_mut_val *page = yyjson_mut_arr_add_obj(b->doc, obj);

		json_put_str(b->doc, page, "pageSize", r->hugepages[i].size);
		yyjson_mut_obj_add_uint(b->doc, page, "limit", r->hugepages[i].limit);
	}
	obj = r->n_unified ? json_put_obj(b->doc, resources, "unified") : NULL;
	for (size_t i = 0; i < r->n_unified; i++)
		json_put_str(b->doc, obj, r->unified[i].key, r->unified[i].value);
}

struct err *build_linux(struct build *b, yyjson_mut_val *root)
{
	yyjson_mut_val *obj = json_put_obj(b->doc, root, "linux");

	TRY(put_namespaces(b, obj));
	json_put_str(b->doc, obj, "cgroupsPath", b->in->cgroups_path);
	build_devices(b, obj);
	build_resources(b, obj);
	json_put_str(b->doc, obj, "rootfsPropagation", propagation(b));
	TRY(put_paths(b, obj));
	json_put_str(b->doc, obj, "mountLabel", b->in->selinux_mount);
	return build_seccomp(b, obj);
}
