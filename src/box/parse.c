#include "box/oci.h"

#include "base/str.h"
#include "spec/json.h"

#include <string.h>

static const char *const hook_names[OCI_HOOK_KINDS] = {
	"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
};

const char *oci_hook_name(enum oci_hook_kind kind)
{
	return hook_names[kind];
}

static struct err *parse_hook(struct arena *a, yyjson_val *obj, struct oci_hook *h)
{
	size_t n;

	TRY(json_get_str(obj, "path", &h->path));
	if (!h->path || h->path[0] != '/')
		return err_new(ERR_INVALID, "path: not an absolute path");
	TRY(json_get_strings(a, obj, "args", OCI_ARGS_MAX, &h->args, &n));
	TRY(json_get_strings(a, obj, "env", OCI_ARGS_MAX, &h->env, &n));
	TRY(json_get_u64(obj, "timeout", 86400, &h->timeout_s, NULL));
	return NULL;
}

static struct err *parse_hooks(struct arena *a, yyjson_val *root, struct oci_spec *ret)
{
	yyjson_val *hooks, *arr, *v;
	size_t i, n;

	TRY(json_get_obj(root, "hooks", &hooks));
	for (int kind = 0; hooks && kind < OCI_HOOK_KINDS; kind++) {
		TRY_WRAP(json_get_arr(hooks, hook_names[kind], OCI_HOOKS_MAX, &arr), "hooks");
		ret->n_hooks[kind] = yyjson_arr_size(arr);
		ret->hooks[kind] = arena_calloc(a, ret->n_hooks[kind] + 1, sizeof(struct oci_hook));
		json_each(arr, i, n, v)
			TRY_WRAP(parse_hook(a, v, &ret->hooks[kind][i]), "hooks.%s[%zu]", hook_names[kind], i);
	}
	return NULL;
}

static struct err *parse_root(yyjson_val *root, struct oci_spec *ret)
{
	yyjson_val *obj;

	TRY(json_get_obj(root, "root", &obj));
	if (!obj)
		return err_new(ERR_INVALID, "root: missing");
	TRY_WRAP(json_get_str(obj, "path", &ret->root), "root");
	if (str_empty(ret->root))
		return err_new(ERR_INVALID, "root.path: missing");
	return err_wrap(json_get_bool(obj, "readonly", &ret->root_readonly), "root");
}

/* "1.…": a later minor version only adds members. */
static struct err *check_version(const char *version)
{
	if (!version)
		return err_new(ERR_INVALID, "ociVersion: missing");
	if (!str_starts(version, "1."))
		return err_new(ERR_INVALID, "ociVersion: \"%.32s\" is not 1.x", version);
	return NULL;
}

struct err *oci_parse_ids(struct arena *a, struct yyjson_val *obj, const char *key, struct oci_ids *ret)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(obj, key, OCI_IDS_MAX, &arr));
	ret->n = yyjson_arr_size(arr);
	ret->maps = arena_calloc(a, ret->n + 1, sizeof(*ret->maps));
	json_each(arr, i, n, v) {
		struct oci_id_map *m = &ret->maps[i];

		TRY_WRAP(json_get_u32(v, "containerID", &m->inside), "%s[%zu]", key, i);
		TRY_WRAP(json_get_u32(v, "hostID", &m->outside), "%s[%zu]", key, i);
		TRY_WRAP(json_get_u32(v, "size", &m->count), "%s[%zu]", key, i);
		if (!m->count || m->inside + m->count < m->inside || m->outside + m->count < m->outside)
			return err_new(ERR_INVALID, "%s[%zu]: empty, or past the last ID", key, i);
	}
	return NULL;
}

struct err *oci_parse(struct arena *a, const char *json, size_t len, struct oci_spec *ret)
{
	yyjson_val *root, *obj;

	*ret = (struct oci_spec){ 0 };
	if (len > OCI_SPEC_MAX)
		return err_new(ERR_EXHAUSTED, "spec of %zu bytes is larger than %u", len, OCI_SPEC_MAX);
	TRY_WRAP(json_read(a, json, len, &root), "spec");
	if (!yyjson_is_obj(root))
		return err_new(ERR_INVALID, "spec: not an object");
	TRY_WRAP(json_get_str(root, "ociVersion", &ret->version), "spec");
	TRY_WRAP(check_version(ret->version), "spec");
	TRY_WRAP(parse_root(root, ret), "spec");
	TRY_WRAP(json_get_str(root, "hostname", &ret->hostname), "spec");
	TRY_WRAP(json_get_str(root, "domainname", &ret->domainname), "spec");
	TRY_WRAP(json_get_obj(root, "process", &obj), "spec");
	if (obj) {
		ret->process = arena_alloc(a, sizeof(*ret->process));
		TRY_WRAP(oci_parse_process(a, obj, ret->process), "spec: process");
	}
	TRY_WRAP(oci_parse_mounts(a, root, ret), "spec");
	TRY_WRAP(parse_hooks(a, root, ret), "spec");
	TRY_WRAP(json_get_obj(root, "annotations", &ret->annotations), "spec");
	TRY_WRAP(json_get_obj(root, "linux", &obj), "spec");
	if (obj)
		TRY_WRAP(oci_parse_linux(a, obj, ret), "spec: linux");
	return NULL;
}
