/* A seccomp profile from a file: OCI's linux.seccomp, or the form that Docker made of it, which most profiles that are
 * passed around have: rules with conditions on capabilities, architecture and kernel, and a map of architectures. */
#include "base/str.h"
#include "spec/build.h"
#include "spec/seccomp_table.h"
#include "sys/caps.h"

#include <stdio.h>
#include <string.h>

#define FILE_RULES_MAX 4096
#define FILE_WORDS_MAX 256

/* The oldest kernel that crisp runs on: what a rule wants beyond it is not promised. */
#define FLOOR_MAJOR 6
#define FLOOR_MINOR 12

static struct err *ask_caps(struct build *b, yyjson_val *filter, size_t *ret_n, size_t *ret_have)
{
	char **names;

	TRY(json_get_strings(b->arena, filter, "caps", FILE_WORDS_MAX, &names, ret_n));
	*ret_have = 0;
	for (size_t i = 0; i < *ret_n; i++) {
		int cap = caps_from_name(names[i]);

		/* One that we do not know nobody has. */
		*ret_have += cap >= 0 && (b->caps >> cap & 1);
	}
	return NULL;
}

static struct err *ask_arches(struct build *b, yyjson_val *filter, size_t *ret_n, bool *ret_ours)
{
	char **names;

	TRY(json_get_strings(b->arena, filter, "arches", FILE_WORDS_MAX, &names, ret_n));
	*ret_ours = false;
	for (size_t i = 0; i < *ret_n; i++)
		*ret_ours = *ret_ours || !strcmp(names[i], seccomp_go_arch);
	return NULL;
}

static struct err *ask_kernel(yyjson_val *filter, bool *ret_asked, bool *ret_have)
{
	const char *text = NULL;
	unsigned int major, minor;
	char end;

	TRY(json_get_str(filter, "minKernel", &text));
	*ret_asked = !str_empty(text);
	*ret_have = true;
	if (!*ret_asked)
		return NULL;
	if (sscanf(text, "%u.%u%c", &major, &minor, &end) != 2)
		return err_new(ERR_INVALID, "minKernel: \"%.32s\" is not MAJOR.MINOR", text);
	*ret_have = major < FLOOR_MAJOR || (major == FLOOR_MAJOR && minor <= FLOOR_MINOR);
	return NULL;
}

/* Docker's rule: everything that is included must hold, nothing that is excluded may. */
static struct err *rule_counts(struct build *b, yyjson_val *rule, bool *ret)
{
	yyjson_val *in = NULL, *out = NULL;
	size_t n_caps, have, n_arches;
	bool ours, asked, kernel;

	TRY(json_get_obj(rule, "includes", &in));
	TRY(json_get_obj(rule, "excludes", &out));
	TRY(ask_caps(b, in, &n_caps, &have));
	TRY(ask_arches(b, in, &n_arches, &ours));
	TRY(ask_kernel(in, &asked, &kernel));
	*ret = have == n_caps && (!n_arches || ours) && kernel;
	TRY(ask_caps(b, out, &n_caps, &have));
	TRY(ask_arches(b, out, &n_arches, &ours));
	TRY(ask_kernel(out, &asked, &kernel));
	*ret = *ret && !have && !ours && !(asked && kernel);
	return NULL;
}

/* Without what only Docker's form has. */
static struct err *put_rule(struct build *b, yyjson_mut_val *rules, yyjson_val *rule)
{
	const char *name = NULL;
	bool counts;

	if (!yyjson_is_obj(rule))
		return err_new(ERR_INVALID, "not an object");
	TRY(rule_counts(b, rule, &counts));
	if (!counts)
		return NULL;
	yyjson_mut_val *copy = yyjson_val_mut_copy(b->doc, rule);

	TRY(json_get_str(rule, "name", &name));
	if (!str_empty(name) && !yyjson_obj_get(rule, "names"))
		yyjson_mut_arr_add_str(b->doc, json_put_arr(b->doc, copy, "names"), name);
	yyjson_mut_obj_remove_key(copy, "name");
	yyjson_mut_obj_remove_key(copy, "includes");
	yyjson_mut_obj_remove_key(copy, "excludes");
	yyjson_mut_obj_remove_key(copy, "comment");
	yyjson_mut_arr_append(rules, copy);
	return NULL;
}

/* Ours and those that it can run besides; a map without ours: the native one alone. */
static struct err *put_arches(struct build *b, yyjson_mut_val *obj, yyjson_val *map)
{
	yyjson_mut_val *arr = json_put_arr(b->doc, obj, "architectures");
	yyjson_val *v;
	size_t i, n;

	json_each(map, i, n, v) {
		const char *name = NULL;
		char **more;
		size_t n_more;

		TRY(json_get_str(v, "architecture", &name));
		if (!str_eq(name, seccomp_arches[0]))
			continue;
		TRY(json_get_strings(b->arena, v, "subArchitectures", FILE_WORDS_MAX, &more, &n_more));
		yyjson_mut_arr_add_str(b->doc, arr, name);
		for (size_t j = 0; j < n_more; j++)
			yyjson_mut_arr_add_str(b->doc, arr, more[j]);
	}
	return NULL;
}

struct err *build_seccomp_file(struct build *b, yyjson_val *profile, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *obj = yyjson_val_mut_copy(b->doc, profile), *rules;
	yyjson_val *map = NULL, *list = NULL, *v;
	size_t i, n;

	TRY(json_get_arr(profile, "archMap", FILE_WORDS_MAX, &map));
	TRY(json_get_arr(profile, "syscalls", FILE_RULES_MAX, &list));
	if (map && yyjson_obj_get(profile, "architectures"))
		return err_new(ERR_INVALID, "both architectures and archMap");
	if (map)
		TRY_WRAP(put_arches(b, obj, map), "archMap");
	yyjson_mut_obj_remove_key(obj, "archMap");
	if (list) {
		yyjson_mut_obj_remove_key(obj, "syscalls");
		rules = json_put_arr(b->doc, obj, "syscalls");
		json_each(list, i, n, v)
			TRY_WRAP(put_rule(b, rules, v), "syscalls[%zu]", i);
	}
	yyjson_mut_obj_add_val(b->doc, linux_obj, "seccomp", obj);
	return NULL;
}
