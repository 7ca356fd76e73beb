#include "box/oci.h"
#include "spec/json.h"

#include <string.h>

static struct err *parse_memory(yyjson_val *res, struct cgroup_resources *r)
{
	yyjson_val *obj;
	int64_t low = 0;

	TRY(json_get_obj(res, "memory", &obj));
	TRY(json_get_i64(obj, "limit", &r->memory, &r->has_memory));
	TRY(json_get_i64(obj, "swap", &r->swap, &r->has_swap));
	TRY(json_get_i64(obj, "reservation", &low, &r->has_memory_low));
	if (low < 0)
		r->has_memory_low = false;
	r->memory_low = low < 0 ? 0 : (uint64_t)low;
	/* 0 is how many writers say "not set". */
	r->has_memory = r->has_memory && r->memory != 0;
	r->has_swap = r->has_swap && r->swap != 0;
	return NULL;
}

static struct err *parse_cpu(yyjson_val *res, struct cgroup_resources *r)
{
	yyjson_val *obj;

	TRY(json_get_obj(res, "cpu", &obj));
	TRY(json_get_u64(obj, "shares", UINT64_MAX, &r->cpu_shares, &r->has_cpu_shares));
	TRY(json_get_i64(obj, "quota", &r->cpu_quota, &r->has_cpu_quota));
	TRY(json_get_u64(obj, "period", UINT64_MAX, &r->cpu_period, &r->has_cpu_period));
	TRY(json_get_str(obj, "cpus", &r->cpus));
	TRY(json_get_str(obj, "mems", &r->mems));
	r->has_cpu_shares = r->has_cpu_shares && r->cpu_shares != 0;
	r->has_cpu_quota = r->has_cpu_quota && r->cpu_quota != 0;
	r->has_cpu_period = r->has_cpu_period && r->cpu_period != 0;
	return NULL;
}

static struct err *parse_hugepages(struct arena *a, yyjson_val *res, struct cgroup_resources *r)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(res, "hugepageLimits", 64, &arr));
	struct cgroup_hugepage *pages = arena_calloc(a, yyjson_arr_size(arr) + 1, sizeof(*pages));

	json_each(arr, i, n, v) {
		TRY_WRAP(json_get_str(v, "pageSize", &pages[i].size), "hugepageLimits[%zu]", i);
		TRY_WRAP(json_get_u64(v, "limit", UINT64_MAX, &pages[i].limit, NULL), "hugepageLimits[%zu]", i);
		if (!pages[i].size)
			return err_new(ERR_INVALID, "hugepageLimits[%zu].pageSize: missing", i);
	}
	r->hugepages = pages;
	r->n_hugepages = yyjson_arr_size(arr);
	return NULL;
}

static struct err *parse_unified(struct arena *a, yyjson_val *res, struct cgroup_resources *r)
{
	yyjson_val *obj, *k, *v;
	size_t i, n;

	TRY(json_get_obj(res, "unified", &obj));
	if (yyjson_obj_size(obj) > OCI_SYSCTLS_MAX)
		return err_new(ERR_EXHAUSTED, "unified: more than %d members", OCI_SYSCTLS_MAX);
	struct cgroup_pair *pairs = arena_calloc(a, yyjson_obj_size(obj) + 1, sizeof(*pairs));

	json_each_member(obj, i, n, k, v) {
		pairs[i].key = yyjson_get_str(k);
		TRY_WRAP(json_get_str(obj, pairs[i].key, &pairs[i].value), "unified");
		if (!pairs[i].value || strlen(pairs[i].key) != yyjson_get_len(k))
			return err_new(ERR_INVALID, "unified.%.64s: no value", pairs[i].key);
	}
	r->unified = pairs;
	r->n_unified = yyjson_obj_size(obj);
	return NULL;
}

static struct err *parse_device_rule(yyjson_val *obj, struct cgroup_device *d)
{
	const char *type = "a", *access = "rwm";

	d->major = d->minor = -1;
	TRY(json_get_bool(obj, "allow", &d->allow));
	TRY(json_get_str(obj, "type", &type));
	TRY(json_get_str(obj, "access", &access));
	TRY(json_get_i64(obj, "major", &d->major, NULL));
	TRY(json_get_i64(obj, "minor", &d->minor, NULL));
	if (strlen(type) > 1 || (*type && !strchr("abc", *type)))
		return err_new(ERR_INVALID, "type: not a, b or c");
	d->type = *type ? *type : 'a';
	for (const char *s = access; *s; s++) {
		d->read |= *s == 'r';
		d->write |= *s == 'w';
		d->mknod |= *s == 'm';
		if (!strchr("rwm", *s))
			return err_new(ERR_INVALID, "access: \"%.16s\" is not of r, w, m", access);
	}
	if (d->major < -1 || d->major > UINT32_MAX || d->minor < -1 || d->minor > UINT32_MAX)
		return err_new(ERR_INVALID, "major, minor: out of range");
	return NULL;
}

static struct err *parse_device_rules(struct arena *a, yyjson_val *res, struct oci_spec *ret)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(res, "devices", OCI_DEVICES_MAX, &arr));
	ret->n_device_rules = yyjson_arr_size(arr);
	ret->device_rules = arena_calloc(a, ret->n_device_rules + 1, sizeof(*ret->device_rules));
	json_each(arr, i, n, v)
		TRY_WRAP(parse_device_rule(v, &ret->device_rules[i]), "devices[%zu]", i);
	return NULL;
}

struct err *oci_parse_resources(struct arena *a, struct yyjson_val *obj, struct oci_spec *ret)
{
	struct cgroup_resources *r = &ret->resources;
	yyjson_val *pids;

	TRY(parse_memory(obj, r));
	TRY(parse_cpu(obj, r));
	TRY(json_get_obj(obj, "pids", &pids));
	TRY_WRAP(json_get_i64(pids, "limit", &r->pids, &r->has_pids), "pids");
	/* runtime-spec: 0 or less is no limit; older writers leave 0 for "not set". */
	r->has_pids = r->has_pids && r->pids != 0;
	TRY(parse_hugepages(a, obj, r));
	TRY(parse_unified(a, obj, r));
	return parse_device_rules(a, obj, ret);
}

struct err *oci_parse_resources_json(struct arena *a, const char *json, size_t len, struct oci_spec *ret)
{
	yyjson_val *root;

	*ret = (struct oci_spec){ 0 };
	TRY_WRAP(json_read(a, json, len, &root), "resources");
	if (!yyjson_is_obj(root))
		return err_new(ERR_INVALID, "resources: not an object");
	return err_wrap(oci_parse_resources(a, root, ret), "resources");
}
