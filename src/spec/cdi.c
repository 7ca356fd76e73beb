#include "spec/cdi.h"

#include "base/str.h"
#include "spec/json.h"

#include <ctype.h>
#include <string.h>

static const char *const hook_names[] = { "prestart", "createRuntime", "createContainer", "startContainer", "poststart",
					  "poststop" };

/* ---- names ------------------------------------------------------------------------------------ */

/* SPEC.md, "Kind", "Device names": begins (devices: and ends) with a letter or digit, of vendors and classes a letter. */
static bool is_word(const char *s, size_t n, const char *between, bool letter_first)
{
	if (n == 0 || !isalnum((unsigned char)s[0]) || (letter_first && !isalpha((unsigned char)s[0])) ||
	    !isalnum((unsigned char)s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(between, s[i]))
			return false;
	return true;
}

static bool is_kind(const char *s, size_t n)
{
	const char *slash = memchr(s, '/', n);
	size_t vendor = slash ? (size_t)(slash - s) : 0;

	return slash && is_word(s, vendor, "_-.", true) && is_word(slash + 1, n - vendor - 1, "_-", true);
}

static bool is_device(const char *s)
{
	return is_word(s, strlen(s), "_-.:", false);
}

struct err *cdi_split_name(struct arena *a, const char *full, const char **ret_kind, const char **ret_name)
{
	const char *equals = strchr(full, '=');

	if (strlen(full) > CDI_NAME_MAX || !equals || !is_kind(full, (size_t)(equals - full)) || !is_device(equals + 1))
		return err_new(ERR_INVALID, "CDI device \"%.256s\": not VENDOR/CLASS=NAME", full);
	*ret_kind = arena_strndup(a, full, (size_t)(equals - full));
	*ret_name = arena_strdup(a, equals + 1);
	return NULL;
}

/* ---- checking --------------------------------------------------------------------------------- */

static struct err *get_path(yyjson_val *obj, const char *key, bool needed, const char **ret)
{
	*ret = NULL;
	TRY(json_get_str(obj, key, ret));
	if (needed && str_empty(*ret))
		return err_new(ERR_INVALID, "%s: missing", key);
	if (*ret && (*ret)[0] != '/')
		return err_new(ERR_INVALID, "%s: \"%.256s\" is not an absolute path", key, *ret);
	return NULL;
}

static struct err *check_node(struct arena *a, yyjson_val *obj)
{
	const char *path, *type = NULL, *permissions = NULL;
	int64_t number;
	uint64_t v;
	bool has;

	(void)a;
	TRY(get_path(obj, "path", true, &path));
	TRY(get_path(obj, "hostPath", false, &path));
	TRY(json_get_str(obj, "type", &type));
	TRY(json_get_str(obj, "permissions", &permissions));
	TRY(json_get_i64(obj, "major", &number, &has));
	TRY(json_get_i64(obj, "minor", &number, &has));
	TRY(json_get_u64(obj, "fileMode", UINT32_MAX, &v, NULL));
	TRY(json_get_u64(obj, "uid", UINT32_MAX - 1, &v, NULL));
	TRY(json_get_u64(obj, "gid", UINT32_MAX - 1, &v, NULL));
	if (!str_empty(type) && (strlen(type) != 1 || !strchr("bcup", *type)))
		return err_new(ERR_INVALID, "type: not b, c, u or p");
	if (permissions && permissions[strspn(permissions, "rwm")])
		return err_new(ERR_INVALID, "permissions: \"%.16s\" is not of r, w, m", permissions);
	return NULL;
}

static struct err *check_mount(struct arena *a, yyjson_val *obj)
{
	const char *path, *type = NULL;
	char **options;
	size_t n;

	TRY(get_path(obj, "hostPath", true, &path));
	TRY(get_path(obj, "containerPath", true, &path));
	TRY(json_get_str(obj, "type", &type));
	return json_get_strings(a, obj, "options", 128, &options, &n);
}

static struct err *check_hook(struct arena *a, yyjson_val *obj)
{
	const char *name = NULL, *path;
	char **words;
	uint64_t seconds;
	size_t n;

	TRY(json_get_str(obj, "hookName", &name));
	TRY(get_path(obj, "path", true, &path));
	TRY(json_get_strings(a, obj, "args", CDI_EDITS_MAX, &words, &n));
	TRY(json_get_strings(a, obj, "env", CDI_EDITS_MAX, &words, &n));
	TRY(json_get_u64(obj, "timeout", 86400, &seconds, NULL));
	for (size_t i = 0; name && i < ARRAY_LEN(hook_names); i++)
		if (!strcmp(hook_names[i], name))
			return NULL;
	return err_new(ERR_INVALID, "hookName: no hook is called \"%.32s\"", name ? name : "");
}

static struct err *check_list(struct arena *a, yyjson_val *edits, const char *key,
			      struct err *(*check)(struct arena *a, yyjson_val *obj))
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(edits, key, CDI_EDITS_MAX, &arr));
	json_each(arr, i, n, v) {
		if (!yyjson_is_obj(v))
			return err_new(ERR_INVALID, "%s[%zu]: not an object", key, i);
		TRY_WRAP(check(a, v), "%s[%zu]", key, i);
	}
	return NULL;
}

/* intelRdt and netDevices need what this program does not do; the first says nothing of the device itself. */
static struct err *check_edits(struct arena *a, yyjson_val *edits)
{
	yyjson_val *arr, *v;
	size_t i, n;
	char **env;

	TRY(json_get_strings(a, edits, "env", CDI_EDITS_MAX, &env, &n));
	for (i = 0; i < n; i++)
		if (!strchr(env[i], '=') || env[i][0] == '=')
			return err_new(ERR_INVALID, "env[%zu]: not NAME=VALUE", i);
	TRY(check_list(a, edits, "deviceNodes", check_node));
	TRY(check_list(a, edits, "mounts", check_mount));
	TRY(check_list(a, edits, "hooks", check_hook));
	TRY(json_get_arr(edits, "additionalGids", CDI_EDITS_MAX, &arr));
	json_each(arr, i, n, v)
		if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= UINT32_MAX)
			return err_new(ERR_INVALID, "additionalGids[%zu]: no group ID", i);
	TRY(json_get_arr(edits, "netDevices", CDI_EDITS_MAX, &arr));
	return yyjson_arr_size(arr) ? err_new(ERR_UNIMPLEMENTED, "netDevices are not supported") : NULL;
}

static struct err *parse_device(struct arena *a, yyjson_val *obj, struct cdi_device *d)
{
	yyjson_val *edits = NULL;

	TRY(json_get_str(obj, "name", &d->name));
	if (!d->name || !is_device(d->name))
		return err_new(ERR_INVALID, "name: \"%.64s\" is no device's name", d->name ? d->name : "");
	TRY(json_get_obj(obj, "containerEdits", &edits));
	d->edits = edits;
	return err_wrap(check_edits(a, edits), "%s", d->name);
}

/* "0.3.0" to "1.…". */
static bool is_version(const char *v)
{
	return v && (str_starts(v, "1.") || (str_starts(v, "0.") && v[2] >= '3' && v[2] <= '9' && v[3] == '.'));
}

struct err *cdi_parse(struct arena *a, const char *json, size_t len, struct cdi_spec *ret)
{
	yyjson_val *root, *arr, *v, *edits = NULL;
	const char *version = NULL;
	size_t i, n;

	*ret = (struct cdi_spec){ 0 };
	if (len > CDI_FILE_MAX)
		return err_new(ERR_EXHAUSTED, "%zu bytes: larger than %u", len, CDI_FILE_MAX);
	TRY(json_read(a, json, len, &root));
	if (!yyjson_is_obj(root))
		return err_new(ERR_INVALID, "not an object");
	TRY(json_get_str(root, "cdiVersion", &version));
	if (!is_version(version))
		return err_new(ERR_INVALID, "cdiVersion: \"%.16s\" is not from 0.3.0 to 1.x", version ? version : "");
	TRY(json_get_str(root, "kind", &ret->kind));
	if (!ret->kind || !is_kind(ret->kind, strlen(ret->kind)))
		return err_new(ERR_INVALID, "kind: \"%.128s\" is not VENDOR/CLASS", ret->kind ? ret->kind : "");
	TRY(json_get_obj(root, "containerEdits", &edits));
	TRY_WRAP(check_edits(a, edits), "containerEdits");
	ret->edits = edits;
	TRY(json_get_arr(root, "devices", CDI_DEVICES_MAX, &arr));
	ret->n_devices = yyjson_arr_size(arr);
	ret->devices = arena_calloc(a, ret->n_devices + 1, sizeof(*ret->devices));
	json_each(arr, i, n, v) {
		TRY_WRAP(parse_device(a, v, &ret->devices[i]), "devices[%zu]", i);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(ret->devices[k].name, ret->devices[i].name))
				return err_new(ERR_INVALID, "devices: \"%.64s\" is there twice", ret->devices[i].name);
	}
	return NULL;
}
