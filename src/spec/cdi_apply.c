/* A CDI device's edits, made in a runtime spec. What cdi_parse() checked is not checked again. */
#include "spec/cdi.h"

#include "base/str.h"
#include "spec/json.h"

#include <string.h>

struct target {
	struct arena *arena;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
	cdi_look *look;
};

static yyjson_mut_val *child(const struct target *t, yyjson_mut_val *parent, const char *key, bool array)
{
	yyjson_mut_val *v = yyjson_mut_obj_get(parent, key);

	if (v)
		return v;
	return array ? json_put_arr(t->doc, parent, key) : json_put_obj(t->doc, parent, key);
}

static yyjson_mut_val *copy(const struct target *t, yyjson_val *v)
{
	return yyjson_val_mut_copy(t->doc, v);
}

/* Takes out of *arr* what *same* says. */
static void drop(yyjson_mut_val *arr, bool (*same)(yyjson_mut_val *v, const char *what), const char *what)
{
	for (size_t i = yyjson_mut_arr_size(arr); i-- > 0;)
		if (same(yyjson_mut_arr_get(arr, i), what))
			yyjson_mut_arr_remove(arr, i);
}

static bool is_variable(yyjson_mut_val *v, const char *what)
{
	const char *s = yyjson_mut_get_str(v);
	size_t n = strcspn(what, "=");

	return s && !strncmp(s, what, n) && s[n] == '=';
}

static bool is_node(yyjson_mut_val *v, const char *what)
{
	return str_eq(yyjson_mut_get_str(yyjson_mut_obj_get(v, "path")), what);
}

static void add_env(const struct target *t, yyjson_val *edits)
{
	yyjson_mut_val *env = child(t, child(t, t->root, "process", false), "env", true);
	yyjson_val *arr = yyjson_obj_get(edits, "env"), *v;
	size_t i, n;

	json_each(arr, i, n, v) {
		drop(env, is_variable, yyjson_get_str(v));
		yyjson_mut_arr_append(env, copy(t, v));
	}
}

/* SPEC.md: what is not said is what the node's own device is. */
static struct err *look_at(const struct target *t, yyjson_val *node, struct spec_device *d)
{
	const char *host = NULL, *type = NULL, *access = NULL;
	bool has_major = false, has_minor = false;
	uint64_t mode = 0666, uid, gid;
	bool has_uid = false, has_gid = false;
	yyjson_mut_val *user = child(t, child(t, t->root, "process", false), "user", false);

	TRY(json_get_str(node, "path", &d->path));
	TRY(json_get_str(node, "hostPath", &host));
	TRY(json_get_str(node, "type", &type));
	TRY(json_get_str(node, "permissions", &access));
	TRY(json_get_i64(node, "major", &d->major, &has_major));
	TRY(json_get_i64(node, "minor", &d->minor, &has_minor));
	if (str_empty(type) || ((!has_major || !has_minor) && *type != 'p')) {
		const char *path = d->path;

		TRY(t->look(str_empty(host) ? path : host, d));
		d->path = path;
		mode = d->mode;
	} else {
		d->type = *type == 'u' ? 'c' : *type;
	}
	/* The user of the container can use what it is given, where nothing else is said. */
	uid = yyjson_mut_get_uint(yyjson_mut_obj_get(user, "uid"));
	gid = yyjson_mut_get_uint(yyjson_mut_obj_get(user, "gid"));
	TRY(json_get_u64(node, "fileMode", UINT32_MAX, &mode, NULL));
	TRY(json_get_u64(node, "uid", UINT32_MAX, &uid, &has_uid));
	TRY(json_get_u64(node, "gid", UINT32_MAX, &gid, &has_gid));
	d->mode = (uint32_t)mode & 07777;
	d->uid = (uint32_t)uid;
	d->gid = (uint32_t)gid;
	d->access = str_empty(access) ? "rwm" : access;
	return NULL;
}

static void put_numbers(const struct target *t, yyjson_mut_val *obj, const struct spec_device *d)
{
	yyjson_mut_obj_add_strn(t->doc, obj, "type", arena_strndup(t->arena, &d->type, 1), 1);
	if (d->type == 'p')
		return;
	yyjson_mut_obj_add_int(t->doc, obj, "major", d->major);
	yyjson_mut_obj_add_int(t->doc, obj, "minor", d->minor);
}

static struct err *add_node(const struct target *t, yyjson_val *node)
{
	yyjson_mut_val *linux_obj = child(t, t->root, "linux", false), *obj = yyjson_mut_obj(t->doc);
	yyjson_mut_val *devices = child(t, linux_obj, "devices", true);
	yyjson_mut_val *rules = child(t, child(t, linux_obj, "resources", false), "devices", true);
	struct spec_device d = { 0 };

	TRY(look_at(t, node, &d));
	drop(devices, is_node, d.path);
	json_put_str(t->doc, obj, "path", d.path);
	put_numbers(t, obj, &d);
	yyjson_mut_obj_add_uint(t->doc, obj, "fileMode", d.mode);
	yyjson_mut_obj_add_uint(t->doc, obj, "uid", d.uid);
	yyjson_mut_obj_add_uint(t->doc, obj, "gid", d.gid);
	yyjson_mut_arr_append(devices, obj);
	if (d.type == 'p')
		return NULL;
	obj = yyjson_mut_obj(t->doc);
	yyjson_mut_obj_add_bool(t->doc, obj, "allow", true);
	put_numbers(t, obj, &d);
	json_put_str(t->doc, obj, "access", d.access);
	yyjson_mut_arr_append(rules, obj);
	return NULL;
}

static void add_mount(const struct target *t, yyjson_val *m)
{
	yyjson_mut_val *obj = yyjson_mut_obj(t->doc);
	yyjson_val *options = yyjson_obj_get(m, "options");
	const char *type = yyjson_get_str(yyjson_obj_get(m, "type"));

	json_put_str(t->doc, obj, "destination", yyjson_get_str(yyjson_obj_get(m, "containerPath")));
	json_put_str(t->doc, obj, "source", yyjson_get_str(yyjson_obj_get(m, "hostPath")));
	json_put_str(t->doc, obj, "type", str_empty(type) ? "bind" : type);
	if (yyjson_is_arr(options))
		yyjson_mut_obj_add_val(t->doc, obj, "options", copy(t, options));
	yyjson_mut_arr_append(child(t, t->root, "mounts", true), obj);
}

static void add_hook(const struct target *t, yyjson_val *h)
{
	static const char *const keys[] = { "path", "args", "env", "timeout" };
	const char *name = yyjson_get_str(yyjson_obj_get(h, "hookName"));
	yyjson_mut_val *obj = yyjson_mut_obj(t->doc);

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		yyjson_val *v = yyjson_obj_get(h, keys[i]);

		if (v && !yyjson_is_null(v))
			yyjson_mut_obj_add_val(t->doc, obj, keys[i], copy(t, v));
	}
	yyjson_mut_arr_append(child(t, child(t, t->root, "hooks", false), name, true), obj);
}

static void add_gids(const struct target *t, yyjson_val *edits)
{
	yyjson_val *arr = yyjson_obj_get(edits, "additionalGids"), *v;
	size_t i, n;

	json_each(arr, i, n, v) {
		yyjson_mut_val *user = child(t, child(t, t->root, "process", false), "user", false);

		/* SPEC.md: 0 is passed over. */
		if (yyjson_get_uint(v))
			yyjson_mut_arr_append(child(t, user, "additionalGids", true), copy(t, v));
	}
}

static struct err *add_edits(const struct target *t, yyjson_val *edits)
{
	yyjson_val *arr, *v;
	size_t i, n;

	add_env(t, edits);
	arr = yyjson_obj_get(edits, "deviceNodes");
	json_each(arr, i, n, v)
		TRY_WRAP(add_node(t, v), "deviceNodes[%zu]", i);
	arr = yyjson_obj_get(edits, "mounts");
	json_each(arr, i, n, v)
		add_mount(t, v);
	arr = yyjson_obj_get(edits, "hooks");
	json_each(arr, i, n, v)
		add_hook(t, v);
	add_gids(t, edits);
	return NULL;
}

struct err *cdi_apply(const char *json, size_t len, const struct yyjson_val *const *edits, size_t n, cdi_look *look,
		      struct buf *ret)
{
	_arena_ struct arena a;
	yyjson_val *root;

	arena_init(&a);
	TRY(json_read(&a, json, len, &root));
	yyjson_mut_doc *doc = json_new(&a);
	const struct target t = { &a, doc, yyjson_val_mut_copy(doc, root), look };

	yyjson_mut_doc_set_root(doc, t.root);
	for (size_t i = 0; i < n; i++)
		if (edits[i])
			TRY(add_edits(&t, (yyjson_val *)(uintptr_t)edits[i]));
	buf_clear(ret);
	return json_write(doc, 0, ret);
}
