#include "base/str.h"
#include "box/oci.h"
#include "spec/json.h"

#include <sched.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
	const char *name;
	int flag;
} namespaces[OCI_NS_KINDS] = {
	[OCI_NS_USER] = { "user", CLONE_NEWUSER },  [OCI_NS_PID] = { "pid", CLONE_NEWPID },
	[OCI_NS_NET] = { "network", CLONE_NEWNET }, [OCI_NS_IPC] = { "ipc", CLONE_NEWIPC },
	[OCI_NS_UTS] = { "uts", CLONE_NEWUTS },	    [OCI_NS_MOUNT] = { "mount", CLONE_NEWNS },
	[OCI_NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP },
};

int oci_namespace_flag(enum oci_namespace_kind kind)
{
	return namespaces[kind].flag;
}

const char *oci_namespace_name(enum oci_namespace_kind kind)
{
	return namespaces[kind].name;
}

static struct err *parse_namespace(yyjson_val *obj, struct oci_spec *ret)
{
	const char *type = NULL, *path = NULL;

	TRY(json_get_str(obj, "type", &type));
	TRY(json_get_str(obj, "path", &path));
	for (int i = 0; type && i < OCI_NS_KINDS; i++) {
		if (strcmp(namespaces[i].name, type) != 0)
			continue;
		if (ret->ns[i].wanted)
			return err_new(ERR_INVALID, "%s is there twice", type);
		ret->ns[i].wanted = true;
		ret->ns[i].path = str_empty(path) ? NULL : path;
		return NULL;
	}
	if (type && !strcmp(type, "time"))
		return err_new(ERR_UNIMPLEMENTED, "time namespaces are not supported");
	return err_new(ERR_INVALID, "no namespace is called \"%.32s\"", type ? type : "");
}

static struct err *parse_namespaces(yyjson_val *linux_obj, struct oci_spec *ret)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(linux_obj, "namespaces", OCI_NS_KINDS + 1, &arr));
	json_each(arr, i, n, v)
		TRY_WRAP(parse_namespace(v, ret), "namespaces[%zu]", i);
	if (!ret->ns[OCI_NS_MOUNT].wanted || ret->ns[OCI_NS_MOUNT].path)
		return err_new(ERR_UNIMPLEMENTED, "namespaces: a new mount namespace is needed");
	if (ret->ns[OCI_NS_CGROUP].path)
		return err_new(ERR_UNIMPLEMENTED, "namespaces: a cgroup namespace cannot be joined");
	if (ret->ns[OCI_NS_USER].wanted && !ret->ns[OCI_NS_USER].path && (!ret->uids.n || !ret->gids.n))
		return err_new(ERR_INVALID, "namespaces: a new user namespace needs uidMappings and gidMappings");
	if (!ret->ns[OCI_NS_USER].wanted && (ret->uids.n || ret->gids.n))
		return err_new(ERR_INVALID, "uidMappings: without a user namespace");
	return NULL;
}

static struct err *parse_device(yyjson_val *obj, struct oci_device *d)
{
	const char *type = NULL;
	uint64_t mode = 0666;

	TRY(json_get_str(obj, "path", &d->path));
	TRY(json_get_str(obj, "type", &type));
	TRY(json_get_u32(obj, "major", &d->major));
	TRY(json_get_u32(obj, "minor", &d->minor));
	TRY(json_get_u64(obj, "fileMode", UINT32_MAX, &mode, NULL));
	TRY(json_get_u32(obj, "uid", &d->uid));
	TRY(json_get_u32(obj, "gid", &d->gid));
	if (!d->path || d->path[0] != '/')
		return err_new(ERR_INVALID, "path: not an absolute path");
	if (!type || strlen(type) != 1 || !strchr("cubp", type[0]))
		return err_new(ERR_INVALID, "type: not c, u, b or p");
	d->type = type[0] == 'u' ? 'c' : type[0];
	/* fileMode may carry the file type's bits too. */
	d->mode = (uint32_t)mode & 07777;
	return NULL;
}

static struct err *parse_devices(struct arena *a, yyjson_val *linux_obj, struct oci_spec *ret)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(linux_obj, "devices", OCI_DEVICES_MAX, &arr));
	ret->n_devices = yyjson_arr_size(arr);
	ret->devices = arena_calloc(a, ret->n_devices + 1, sizeof(*ret->devices));
	json_each(arr, i, n, v)
		TRY_WRAP(parse_device(v, &ret->devices[i]), "devices[%zu]", i);
	return NULL;
}

/* An object of strings: sysctl, unified. */
static struct err *parse_pairs(struct arena *a, yyjson_val *parent, const char *key, struct cgroup_pair **ret,
			       size_t *ret_n)
{
	yyjson_val *obj, *k, *v;
	size_t i, n;

	TRY(json_get_obj(parent, key, &obj));
	if (yyjson_obj_size(obj) > OCI_SYSCTLS_MAX)
		return err_new(ERR_EXHAUSTED, "%s: more than %d members", key, OCI_SYSCTLS_MAX);
	struct cgroup_pair *pairs = arena_calloc(a, yyjson_obj_size(obj) + 1, sizeof(*pairs));

	json_each_member(obj, i, n, k, v) {
		if (!yyjson_is_str(v) || strlen(yyjson_get_str(v)) != yyjson_get_len(v) ||
		    strlen(yyjson_get_str(k)) != yyjson_get_len(k))
			return err_new(ERR_INVALID, "%s.%.64s: not a string", key, yyjson_get_str(k));
		pairs[i] = (struct cgroup_pair){ yyjson_get_str(k), yyjson_get_str(v) };
	}
	*ret = pairs;
	*ret_n = yyjson_obj_size(obj);
	return NULL;
}

static struct err *parse_propagation(yyjson_val *linux_obj, uint64_t *ret)
{
	static const struct {
		const char *word;
		uint64_t propagation;
	} words[] = {
		{ "private", MS_PRIVATE }, { "rprivate", MS_PRIVATE }, { "slave", MS_SLAVE },
		{ "rslave", MS_SLAVE },	   { "shared", MS_SHARED },    { "rshared", MS_SHARED },
		{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE },
	};
	const char *s = NULL;

	TRY(json_get_str(linux_obj, "rootfsPropagation", &s));
	if (str_empty(s))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(words[i].word, s) != 0)
			continue;
		*ret = words[i].propagation;
		return NULL;
	}
	return err_new(ERR_INVALID, "rootfsPropagation: \"%.32s\"", s);
}

static struct err *check_paths(const char *key, char *const *paths)
{
	for (size_t i = 0; paths[i]; i++)
		if (paths[i][0] != '/')
			return err_new(ERR_INVALID, "%s: \"%.256s\" is not an absolute path", key, paths[i]);
	return NULL;
}

struct err *oci_parse_linux(struct arena *a, struct yyjson_val *obj, struct oci_spec *ret)
{
	static const char *const unsupported[] = { "intelRdt", "personality", "timeOffsets" };
	yyjson_val *v;

	for (size_t i = 0; i < ARRAY_LEN(unsupported); i++) {
		TRY(json_get_obj(obj, unsupported[i], &v));
		if (v && yyjson_obj_size(v))
			return err_new(ERR_UNIMPLEMENTED, "%s is not supported", unsupported[i]);
	}
	TRY(oci_parse_ids(a, obj, "uidMappings", &ret->uids));
	TRY(oci_parse_ids(a, obj, "gidMappings", &ret->gids));
	TRY(parse_namespaces(obj, ret));
	TRY(parse_devices(a, obj, ret));
	TRY(parse_pairs(a, obj, "sysctl", &ret->sysctls, &ret->n_sysctls));
	TRY(json_get_str(obj, "cgroupsPath", &ret->cgroups_path));
	if (str_empty(ret->cgroups_path))
		ret->cgroups_path = NULL;
	TRY(parse_propagation(obj, &ret->rootfs_propagation));
	TRY(json_get_strings(a, obj, "maskedPaths", OCI_PATHS_MAX, &ret->masked, &ret->n_masked));
	TRY(check_paths("maskedPaths", ret->masked));
	TRY(json_get_strings(a, obj, "readonlyPaths", OCI_PATHS_MAX, &ret->readonly, &ret->n_readonly));
	TRY(check_paths("readonlyPaths", ret->readonly));
	TRY(json_get_str(obj, "mountLabel", &ret->mount_label));
	TRY(json_get_obj(obj, "resources", &v));
	TRY_WRAP(oci_parse_resources(a, v, ret), "resources");
	TRY(json_get_obj(obj, "seccomp", &v));
	return v ? err_wrap(oci_parse_seccomp(a, v, ret), "seccomp") : NULL;
}
