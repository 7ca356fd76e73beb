/* What runc does to a process's environment besides the specification, and containerd relies on. */
#include "base/buf.h"
#include "base/str.h"
#include "oci/verb.h"
#include "spec/json.h"
#include "spec/user.h"
#include "sys/path.h"

#include <string.h>

struct variable {
	const char *text;
	size_t name_len, index;
};

/* By name, and of one name the last first. */
static int compare(const void *a, const void *b)
{
	const struct variable *x = a, *y = b;
	int order = memcmp(x->text, y->text, MIN(x->name_len, y->name_len));

	if (order || x->name_len != y->name_len)
		return order ? order : x->name_len < y->name_len ? -1 : 1;
	return x->index > y->index ? -1 : 1;
}

static bool same_name(const struct variable *x, const struct variable *y)
{
	return x->name_len == y->name_len && !memcmp(x->text, y->text, x->name_len);
}

/* Of variables that are there twice the last counts; the C library would find the first. */
static yyjson_mut_val *without_repeats(struct arena *a, yyjson_mut_doc *d, yyjson_mut_val *env, bool *ret_home)
{
	size_t i, max, n = yyjson_mut_arr_size(env);
	struct variable *list = arena_calloc(a, n + 1, sizeof(*list));
	bool *drop = arena_calloc(a, n + 1, sizeof(*drop));
	yyjson_mut_val *out = yyjson_mut_arr(d), *v;

	yyjson_mut_arr_foreach(env, i, max, v) {
		const char *s = yyjson_mut_get_str(v);

		list[i] = (struct variable){ s ? s : "", strcspn(s ? s : "", "="), i };
		*ret_home |= str_starts(list[i].text, "HOME=");
	}
	qsort(list, n, sizeof(*list), compare);
	for (i = 1; i < n; i++)
		drop[list[i].index] = same_name(&list[i - 1], &list[i]);
	yyjson_mut_arr_foreach(env, i, max, v)
		if (!drop[i])
			yyjson_mut_arr_append(out, yyjson_mut_val_mut_copy(d, v));
	return out;
}

/* As the container's /etc/passwd has it; the file is the image's. */
static struct err *find_home(struct arena *a, yyjson_mut_val *process, int root_fd, const char **ret)
{
	yyjson_mut_val *user = yyjson_mut_obj_get(process, "user");
	_buf_ struct buf passwd = BUF_INIT;
	const struct user_request q = {
		.has_uid = true, .uid = (int64_t)yyjson_mut_get_uint(yyjson_mut_obj_get(user, "uid")), .name = "", .image_user = "",
	};
	struct user u;
	struct err *e = path_read_root(root_fd, "etc/passwd", USER_FILE_MAX, &passwd);

	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	TRY(user_resolve(a, &q, buf_text(&passwd), "", &u));
	*ret = u.home;
	return NULL;
}

void oci_complete_env(struct arena *a, yyjson_mut_doc *d, yyjson_mut_val *process, int root_fd)
{
	yyjson_mut_val *env = yyjson_mut_obj_get(process, "env");
	const char *home = "/";
	bool has_home = false;

	if (env && !yyjson_mut_is_arr(env))
		return; /* the parser says so */
	yyjson_mut_val *out = without_repeats(a, d, env ? env : yyjson_mut_arr(d), &has_home);

	if (!has_home) {
		err_ignore(find_home(a, process, root_fd, &home));
		yyjson_mut_arr_add_str(d, out, arena_printf(a, "HOME=%s", home));
	}
	yyjson_mut_obj_put(process, yyjson_mut_str(d, "env"), out);
}
