#include "base/str.h"
#include "box/oci.h"
#include "spec/extension.h"
#include "spec/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{ "RLIMIT_CPU", RLIMIT_CPU },           { "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_DATA", RLIMIT_DATA },         { "RLIMIT_STACK", RLIMIT_STACK },
	{ "RLIMIT_CORE", RLIMIT_CORE },         { "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },       { "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },   { "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },       { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE }, { "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },     { "RLIMIT_RTTIME", RLIMIT_RTTIME },
};

static struct err *parse_rlimit(yyjson_val *obj, struct oci_rlimit *r)
{
	TRY(json_get_str(obj, "type", &r->name));
	TRY(json_get_u64(obj, "soft", UINT64_MAX, &r->soft, NULL));
	TRY(json_get_u64(obj, "hard", UINT64_MAX, &r->hard, NULL));
	for (size_t i = 0; r->name && i < ARRAY_LEN(rlimit_names); i++) {
		if (strcmp(rlimit_names[i].name, r->name) != 0)
			continue;
		r->resource = rlimit_names[i].resource;
		return NULL;
	}
	return err_new(ERR_INVALID, "type: no resource limit is called \"%.64s\"", r->name ? r->name : "");
}

static struct err *parse_rlimits(struct arena *a, yyjson_val *obj, struct oci_process *p)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(obj, "rlimits", ARRAY_LEN(rlimit_names), &arr));
	p->n_rlimits = yyjson_arr_size(arr);
	p->rlimits = arena_calloc(a, p->n_rlimits + 1, sizeof(*p->rlimits));
	json_each(arr, i, n, v) {
		TRY_WRAP(parse_rlimit(v, &p->rlimits[i]), "rlimits[%zu]", i);
		for (size_t j = 0; j < i; j++)
			if (p->rlimits[j].resource == p->rlimits[i].resource)
				return err_new(ERR_INVALID, "rlimits: %s is there twice", p->rlimits[i].name);
	}
	return NULL;
}

static struct err *parse_cap_set(struct arena *a, yyjson_val *caps, const char *key, uint64_t *ret)
{
	char **names;
	size_t n;

	TRY(json_get_strings(a, caps, key, 256, &names, &n));
	for (size_t i = 0; i < n; i++) {
		int cap = caps_from_name(names[i]);

		if (cap < 0)
			return err_new(ERR_INVALID, "%s: unknown capability \"%.64s\"", key, names[i]);
		*ret |= UINT64_C(1) << cap;
	}
	return NULL;
}

static struct err *parse_caps(struct arena *a, yyjson_val *process, struct caps *c)
{
	yyjson_val *caps;

	TRY(json_get_obj(process, "capabilities", &caps));
	TRY_WRAP(parse_cap_set(a, caps, "bounding", &c->bounding), "capabilities");
	TRY_WRAP(parse_cap_set(a, caps, "effective", &c->effective), "capabilities");
	TRY_WRAP(parse_cap_set(a, caps, "permitted", &c->permitted), "capabilities");
	TRY_WRAP(parse_cap_set(a, caps, "inheritable", &c->inheritable), "capabilities");
	TRY_WRAP(parse_cap_set(a, caps, "ambient", &c->ambient), "capabilities");
	if (c->effective & ~c->permitted)
		return err_new(ERR_INVALID, "capabilities: some are effective but not permitted");
	return NULL;
}

static struct err *parse_user(struct arena *a, yyjson_val *process, struct oci_process *p)
{
	yyjson_val *user, *arr, *v;
	size_t i, n;
	uint64_t mask = 0;

	TRY(json_get_obj(process, "user", &user));
	TRY_WRAP(json_get_u32(user, "uid", &p->uid), "user");
	TRY_WRAP(json_get_u32(user, "gid", &p->gid), "user");
	/* setresuid(2) reads -1 as "leave it": the process would stay root. */
	if (p->uid == UINT32_MAX || p->gid == UINT32_MAX)
		return err_new(ERR_INVALID, "user: %u is no ID", UINT32_MAX);
	TRY_WRAP(json_get_u64(user, "umask", 0777, &mask, &p->has_umask), "user");
	p->umask = (uint32_t)mask;
	TRY_WRAP(json_get_arr(user, "additionalGids", OCI_GROUPS_MAX, &arr), "user");
	p->n_groups = yyjson_arr_size(arr);
	p->groups = arena_calloc(a, p->n_groups + 1, sizeof(*p->groups));
	json_each(arr, i, n, v) {
		if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= UINT32_MAX)
			return err_new(ERR_INVALID, "user.additionalGids[%zu]: no group ID", i);
		p->groups[i] = (uint32_t)yyjson_get_uint(v);
	}
	return NULL;
}

static struct err *parse_console(yyjson_val *process, struct oci_process *p)
{
	yyjson_val *size;
	uint64_t rows = 0, columns = 0;

	TRY(json_get_bool(process, "terminal", &p->terminal));
	TRY(json_get_obj(process, "consoleSize", &size));
	TRY_WRAP(json_get_u64(size, "height", UINT16_MAX, &rows, NULL), "consoleSize");
	TRY_WRAP(json_get_u64(size, "width", UINT16_MAX, &columns, NULL), "consoleSize");
	p->rows = (uint16_t)rows;
	p->columns = (uint16_t)columns;
	return NULL;
}

/* Puts the bytes in place of their readable form. */
static struct err *parse_raw_env(struct arena *a, yyjson_val *process, struct oci_process *p)
{
	yyjson_val *obj, *k, *v;
	size_t i, n;

	TRY(json_get_obj(process, EXTENSION_ENV, &obj));
	json_each_member(obj, i, n, k, v) {
		const char *hex = yyjson_is_str(v) ? yyjson_get_str(v) : "";
		size_t len = strlen(hex) / 2;
		uint64_t index;

		if (!str_to_u64(yyjson_get_str(k), OCI_ARGS_MAX, &index) || index >= p->n_env || !len || strlen(hex) % 2)
			return err_new(ERR_INVALID, "%s: malformed", EXTENSION_ENV);
		char *raw = arena_alloc(a, len + 1);

		for (size_t j = 0; j < len; j++) {
			int high = str_hex_digit(hex[2 * j]), low = str_hex_digit(hex[2 * j + 1]);

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return err_new(ERR_INVALID, "%s: malformed", EXTENSION_ENV);
			raw[j] = (char)(high << 4 | low);
		}
		p->env[index] = raw;
	}
	return NULL;
}

static struct err *check_env(const struct oci_process *p)
{
	for (size_t i = 0; i < p->n_env; i++)
		if (!strchr(p->env[i], '=') || p->env[i][0] == '=')
			return err_new(ERR_INVALID, "env[%zu]: not NAME=VALUE", i);
	return NULL;
}

/* Members that would change how the process runs, and that this program does not carry out. */
static struct err *check_unsupported(yyjson_val *process)
{
	static const char *const keys[] = { "scheduler", "ioPriority", "execCPUAffinity" };
	yyjson_val *v;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		TRY(json_get_obj(process, keys[i], &v));
		if (v)
			return err_new(ERR_UNIMPLEMENTED, "%s is not supported", keys[i]);
	}
	return NULL;
}

struct err *oci_parse_process(struct arena *a, struct yyjson_val *obj, struct oci_process *p)
{
	int64_t score = 0;

	*p = (struct oci_process){ 0 };
	TRY(parse_console(obj, p));
	TRY(parse_user(a, obj, p));
	TRY(json_get_strings(a, obj, "args", OCI_ARGS_MAX, &p->args, &p->n_args));
	if (!p->n_args || !*p->args[0])
		return err_new(ERR_INVALID, "args: no command");
	TRY(json_get_strings(a, obj, "env", OCI_ARGS_MAX, &p->env, &p->n_env));
	TRY(parse_raw_env(a, obj, p));
	TRY(check_env(p));
	p->cwd = "/";
	TRY(json_get_str(obj, "cwd", &p->cwd));
	if (p->cwd[0] != '/')
		return err_new(ERR_INVALID, "cwd: \"%.256s\" is not an absolute path", p->cwd);
	TRY(parse_caps(a, obj, &p->caps));
	TRY(parse_rlimits(a, obj, p));
	TRY(json_get_bool(obj, "noNewPrivileges", &p->no_new_privs));
	TRY(json_get_str(obj, "apparmorProfile", &p->apparmor));
	TRY(json_get_str(obj, "selinuxLabel", &p->selinux));
	TRY(json_get_i64(obj, "oomScoreAdj", &score, &p->has_oom_score_adj));
	if (score < -1000 || score > 1000)
		return err_new(ERR_INVALID, "oomScoreAdj: %lld is not from -1000 to 1000", (long long)score);
	p->oom_score_adj = (int)score;
	return check_unsupported(obj);
}

struct err *oci_parse_process_json(struct arena *a, const char *json, size_t len, struct oci_process *ret)
{
	yyjson_val *root;

	if (len > OCI_SPEC_MAX)
		return err_new(ERR_EXHAUSTED, "process of %zu bytes is larger than %u", len, OCI_SPEC_MAX);
	TRY_WRAP(json_read(a, json, len, &root), "process");
	if (!yyjson_is_obj(root))
		return err_new(ERR_INVALID, "process: not an object");
	return err_wrap(oci_parse_process(a, root, ret), "process");
}
