#include "spec/spec.h"

#include "base/str.h"
#include "spec/extension.h"
#include "spec/json.h"

#include <string.h>

/* The container's process without what belongs to its own start: oomScoreAdj stays, consoleSize goes. */
static void change_process(yyjson_mut_doc *d, yyjson_mut_val *p, char *const *args, size_t n_args, bool terminal)
{
	yyjson_mut_obj_remove_key(p, "args");
	yyjson_mut_obj_remove_key(p, "terminal");
	yyjson_mut_obj_remove_key(p, "consoleSize");
	json_put_strings(d, p, "args", (const char *const *)args, n_args);
	yyjson_mut_obj_add_bool(d, p, "terminal", terminal);
}

/* A terminal's program wants to know what it is, as that of a container made with one does. */
static void add_term(yyjson_mut_doc *d, yyjson_mut_val *p)
{
	yyjson_mut_val *env = yyjson_mut_obj_get(p, "env"), *v;
	size_t i, n;

	if (!env)
		env = json_put_arr(d, p, "env");
	yyjson_mut_arr_foreach(env, i, n, v)
		if (yyjson_mut_is_str(v) && str_starts(yyjson_mut_get_str(v), "TERM="))
			return;
	yyjson_mut_arr_add_str(d, env, "TERM=xterm");
}

struct err *spec_build_exec(const char *spec_json, size_t len, char *const *args, size_t n_args, bool terminal,
			    struct buf *ret_json)
{
	_arena_ struct arena a;
	yyjson_val *root, *process, *linux_obj, *seccomp = NULL;

	arena_init(&a);
	if (!n_args || !args[0] || !*args[0])
		return err_new(ERR_INVALID, "exec: no command");
	TRY_WRAP(json_read(&a, spec_json, len, &root), "the container's spec");
	TRY_WRAP(json_get_obj(root, "process", &process), "the container's spec");
	TRY_WRAP(json_get_obj(root, "linux", &linux_obj), "the container's spec");
	TRY_WRAP(json_get_obj(linux_obj, "seccomp", &seccomp), "the container's spec");
	if (!process)
		return err_new(ERR_CORRUPT, "the container's spec has no process");
	yyjson_mut_doc *d = json_new(&a);
	yyjson_mut_val *p = yyjson_val_mut_copy(d, process);

	yyjson_mut_doc_set_root(d, p);
	change_process(d, p, args, n_args, terminal);
	if (terminal)
		add_term(d, p);
	if (seccomp)
		yyjson_mut_obj_add_val(d, p, EXTENSION_SECCOMP, yyjson_val_mut_copy(d, seccomp));
	return json_write(d, 0, ret_json);
}
