#include "base/str.h"
#include "box/oci.h"
#include "box/seccomp.h"
#include "spec/json.h"

#include <ctype.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#define ERRNO_MAX 4095   /* MAX_ERRNO */
#define TRACE_MAX 0xffff /* SECCOMP_RET_DATA */

static const struct {
	const char *name;
	uint32_t action;
	bool takes_errno;
} actions[] = {
	{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, false },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, false },
	{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP, false },
	{ "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true },
	{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true },
	{ "SCMP_ACT_LOG", SECCOMP_RET_LOG, false },
	{ "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, false },
};

static const char *const op_names[] = {
	[SECCOMP_OP_NE] = "SCMP_CMP_NE", [SECCOMP_OP_LT] = "SCMP_CMP_LT", [SECCOMP_OP_LE] = "SCMP_CMP_LE",
	[SECCOMP_OP_EQ] = "SCMP_CMP_EQ", [SECCOMP_OP_GE] = "SCMP_CMP_GE", [SECCOMP_OP_GT] = "SCMP_CMP_GT",
	[SECCOMP_OP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
};

static const struct {
	const char *name;
	uint32_t flag;
} flag_names[] = {
	/* One thread only, when the filter is loaded: nothing to synchronise. */
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
};

const char *oci_seccomp_action(size_t i)
{
	return i < ARRAY_LEN(actions) ? actions[i].name : NULL;
}

const char *oci_seccomp_operator(size_t i)
{
	return i < ARRAY_LEN(op_names) ? op_names[i] : NULL;
}

const char *oci_seccomp_flag(size_t i)
{
	return i < ARRAY_LEN(flag_names) ? flag_names[i].name : NULL;
}

/* *key* "action" and *errno_key* "errnoRet", or the default's names. */
static struct err *parse_action(yyjson_val *obj, const char *key, const char *errno_key, uint32_t *ret)
{
	const char *name = NULL;
	uint64_t data = EPERM;

	TRY(json_get_str(obj, key, &name));
	for (size_t i = 0; name && i < ARRAY_LEN(actions); i++) {
		if (strcmp(actions[i].name, name) != 0)
			continue;
		*ret = actions[i].action;
		if (!actions[i].takes_errno)
			return NULL;
		TRY(json_get_u64(obj, errno_key, *ret == SECCOMP_RET_ERRNO ? ERRNO_MAX : TRACE_MAX, &data, NULL));
		*ret |= (uint32_t)data;
		return NULL;
	}
	if (name && !strcmp(name, "SCMP_ACT_NOTIFY"))
		return err_new(ERR_UNIMPLEMENTED, "%s: SCMP_ACT_NOTIFY is not supported", key);
	return err_new(ERR_INVALID, "%s: no action is called \"%.64s\"", key, name ? name : "");
}

static struct err *parse_arg(yyjson_val *obj, struct oci_seccomp_arg *arg)
{
	const char *op = NULL;
	uint64_t index = 0;

	TRY(json_get_u64(obj, "index", 5, &index, NULL));
	TRY(json_get_u64(obj, "value", UINT64_MAX, &arg->value, NULL));
	TRY(json_get_u64(obj, "valueTwo", UINT64_MAX, &arg->value_two, NULL));
	TRY(json_get_str(obj, "op", &op));
	arg->index = (unsigned int)index;
	for (unsigned int i = 0; op && i < ARRAY_LEN(op_names); i++) {
		if (strcmp(op_names[i], op) != 0)
			continue;
		arg->op = i;
		return NULL;
	}
	return err_new(ERR_INVALID, "op: no comparison is called \"%.64s\"", op ? op : "");
}

static struct err *parse_rule(struct arena *a, yyjson_val *obj, struct oci_seccomp_rule *r)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_strings(a, obj, "names", OCI_SYSCALLS_MAX, &r->names, &r->n_names));
	if (!r->n_names)
		return err_new(ERR_INVALID, "names: none");
	TRY(parse_action(obj, "action", "errnoRet", &r->action));
	TRY(json_get_arr(obj, "args", 64, &arr));
	r->n_args = yyjson_arr_size(arr);
	r->args = arena_calloc(a, r->n_args + 1, sizeof(*r->args));
	json_each(arr, i, n, v)
		TRY_WRAP(parse_arg(v, &r->args[i]), "args[%zu]", i);
	return NULL;
}

/* runc's rule: an argument that is compared twice means "or": one rule each. */
static bool repeats_argument(const struct oci_seccomp_rule *r)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < r->n_args; i++) {
		if (seen & 1u << r->args[i].index)
			return true;
		seen |= 1u << r->args[i].index;
	}
	return false;
}

static struct err *parse_rules(struct arena *a, yyjson_val *obj, struct oci_seccomp *s)
{
	yyjson_val *arr, *v;
	size_t i, n, total = 0;

	TRY(json_get_arr(obj, "syscalls", OCI_SYSCALLS_MAX, &arr));
	/* With the "or" rule, one may become as many as it has arguments. */
	json_each(arr, i, n, v)
		total += MAX(yyjson_arr_size(yyjson_obj_get(v, "args")), (size_t)1);
	s->rules = arena_calloc(a, total + 1, sizeof(*s->rules));
	json_each(arr, i, n, v) {
		struct oci_seccomp_rule r = { 0 };

		TRY_WRAP(parse_rule(a, v, &r), "syscalls[%zu]", i);
		if (!repeats_argument(&r)) {
			s->rules[s->n_rules++] = r;
			continue;
		}
		for (size_t j = 0; j < r.n_args; j++) {
			struct oci_seccomp_rule one = r;

			one.args = &r.args[j];
			one.n_args = 1;
			s->rules[s->n_rules++] = one;
		}
	}
	return NULL;
}

static struct err *parse_arches(struct arena *a, yyjson_val *obj, struct oci_seccomp *s)
{
	char **names;
	size_t n;

	TRY(json_get_strings(a, obj, "architectures", 64, &names, &n));
	s->arches = arena_calloc(a, n + 1, sizeof(*s->arches));
	for (size_t i = 0; i < n; i++) {
		char lower[32] = "";
		const char *name = str_starts(names[i], "SCMP_ARCH_") ? names[i] + strlen("SCMP_ARCH_") : "";

		for (size_t j = 0; name[j] && j < sizeof(lower) - 1; j++)
			lower[j] = (char)tolower((unsigned char)name[j]);
		uint32_t arch = seccomp_arch_resolve_name(lower);

		/* One that libseccomp does not know cannot run here: passed over, as runc does. */
		if (arch)
			s->arches[s->n_arches++] = arch;
	}
	return NULL;
}

static struct err *parse_flags(struct arena *a, yyjson_val *obj, struct oci_seccomp *s)
{
	char **names;
	size_t n;

	TRY(json_get_strings(a, obj, "flags", 16, &names, &n));
	for (size_t i = 0; i < n; i++) {
		size_t j = 0;

		while (j < ARRAY_LEN(flag_names) && strcmp(flag_names[j].name, names[i]) != 0)
			j++;
		if (j == ARRAY_LEN(flag_names))
			return err_new(ERR_INVALID, "flags: \"%.64s\" is not supported", names[i]);
		s->flags |= flag_names[j].flag;
	}
	return NULL;
}

struct err *oci_parse_seccomp(struct arena *a, struct yyjson_val *obj, struct oci_spec *ret)
{
	const char *listener = NULL;
	struct oci_seccomp *s = arena_alloc(a, sizeof(*s));

	TRY(json_get_str(obj, "listenerPath", &listener));
	if (!str_empty(listener))
		return err_new(ERR_UNIMPLEMENTED, "listenerPath is not supported");
	TRY(parse_action(obj, "defaultAction", "defaultErrnoRet", &s->default_action));
	TRY(parse_arches(a, obj, s));
	TRY(parse_flags(a, obj, s));
	TRY(parse_rules(a, obj, s));
	ret->seccomp = s;
	return NULL;
}
