#include "net/list.h"

#include "base/file.h"
#include "base/str.h"
#include "net/cni.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

static const char *const known_versions[] = {
	"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", CNI_VERSION_NEWEST,
};

static void mut_doc_free_p(yyjson_mut_doc **d)
{
	yyjson_mut_doc_free(*d);
}
static void doc_free_p(yyjson_doc **d)
{
	yyjson_doc_free(*d);
}

void cni_list_done(struct cni_list *l)
{
	yyjson_doc_free(l->doc);
	*l = (struct cni_list){ 0 };
}

const char *cni_plugin_type(yyjson_val *plugin)
{
	return yyjson_get_str(yyjson_obj_get(plugin, "type"));
}

bool cni_name_ok(const char *s)
{
	for (const char *c = s; *c; c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

		if (!letter && (c == s || !strchr("_.-", *c)))
			return false;
	}
	return *s && strlen(s) <= 255;
}

static bool parse_version(const char *s, unsigned ret[3])
{
	for (int i = 0; i < 3; i++) {
		char *end;

		if (*s < '0' || *s > '9')
			return false;
		ret[i] = (unsigned)strtoul(s, &end, 10);
		if (*end != (i < 2 ? '.' : '\0'))
			return false;
		s = end + 1;
	}
	return true;
}

bool cni_version_at_least(const char *a, const char *b)
{
	unsigned x[3], y[3];

	if (!parse_version(a, x) || !parse_version(b, y))
		return false;
	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return x[i] > y[i];
	return true;
}

static bool version_known(const char *v)
{
	for (size_t i = 0; i < ARRAY_LEN(known_versions); i++)
		if (!strcmp(known_versions[i], v))
			return true;
	return false;
}

/* SPEC.md "Version considerations": the newest of cniVersions and cniVersion that we know; with
 * neither given it is 0.1.0. */
static struct err *choose_version(yyjson_val *root, const char **ret)
{
	yyjson_val *one = yyjson_obj_get(root, "cniVersion"), *many = yyjson_obj_get(root, "cniVersions"), *v;
	const char *best = NULL;
	size_t i, n;

	if ((one && !yyjson_is_str(one)) || (many && !yyjson_is_arr(many)))
		return err_new(ERR_INVALID, "cniVersion is not a string, or cniVersions not a list");
	if (one && *yyjson_get_str(one) && version_known(yyjson_get_str(one)))
		best = yyjson_get_str(one);
	yyjson_arr_foreach(many, i, n, v) {
		const char *s = yyjson_get_str(v);

		if (!s)
			return err_new(ERR_INVALID, "cniVersions: entry %zu is not a string", i);
		if (version_known(s) && (!best || cni_version_at_least(s, best)))
			best = s;
	}
	if (!best && one && *yyjson_get_str(one))
		return err_new(ERR_INVALID, "cniVersion \"%s\" is not one of those known here (up to %s)",
			       yyjson_get_str(one), CNI_VERSION_NEWEST);
	if (!best && many)
		return err_new(ERR_INVALID, "cniVersions has none that is known here (up to %s)",
			       CNI_VERSION_NEWEST);
	*ret = best ? best : "0.1.0";
	return NULL;
}

/* libcni takes these as booleans or as words. */
static struct err *read_bool(yyjson_val *root, const char *key, bool *ret)
{
	yyjson_val *v = yyjson_obj_get(root, key);
	const char *s = yyjson_get_str(v);

	if (!v || yyjson_is_bool(v))
		*ret = yyjson_get_bool(v);
	else if (s && !strcasecmp(s, "true"))
		*ret = true;
	else if (s && !strcasecmp(s, "false"))
		*ret = false;
	else
		return err_new(ERR_INVALID, "%s is neither true nor false", key);
	return NULL;
}

static struct err *check_plugin(yyjson_val *plugin, size_t i)
{
	const char *type = cni_plugin_type(plugin);
	yyjson_val *caps = yyjson_obj_get(plugin, "capabilities");

	if (!type || !file_name_ok(type))
		return err_new(ERR_INVALID, "plugin %zu has no `type`, or one that is no file name", i + 1);
	if (caps && !yyjson_is_obj(caps))
		return err_new(ERR_INVALID, "plugin %zu (%s): `capabilities` is not an object", i + 1, type);
	return NULL;
}

struct err *cni_list_view(yyjson_val *root, struct cni_list *ret)
{
	struct cni_list l = { .root = root };
	yyjson_val *plugin;
	size_t i, n;

	l.name = yyjson_get_str(yyjson_obj_get(root, "name"));
	if (!l.name || !cni_name_ok(l.name))
		return err_new(ERR_INVALID, "no network `name`, or one with other than letters, digits and _.-");
	TRY(choose_version(root, &l.version));
	TRY(read_bool(root, "disableCheck", &l.disable_check));
	TRY(read_bool(root, "disableGC", &l.disable_gc));
	l.plugins = yyjson_obj_get(root, "plugins");
	if (!yyjson_is_arr(l.plugins) || yyjson_arr_size(l.plugins) == 0)
		return err_new(ERR_INVALID, "no `plugins`");
	if (yyjson_arr_size(l.plugins) > CNI_PLUGINS_MAX)
		return err_new(ERR_INVALID, "more than %d plugins", CNI_PLUGINS_MAX);
	yyjson_arr_foreach(l.plugins, i, n, plugin)
		TRY(check_plugin(plugin, i));
	*ret = l;
	return NULL;
}

static struct err *read_json(const char *text, size_t len, yyjson_doc **ret)
{
	yyjson_read_err e;

	*ret = yyjson_read_opts((char *)text, len, YYJSON_READ_NOFLAG, NULL, &e);
	if (!*ret)
		return err_new(ERR_INVALID, "not JSON: %s at byte %zu", e.msg, e.pos);
	if (yyjson_is_obj(yyjson_doc_get_root(*ret)))
		return NULL;
	yyjson_doc_free(*ret);
	*ret = NULL;
	return err_new(ERR_INVALID, "not a JSON object");
}

/* The normal form: list keys copied, a single plugin wrapped into a list, *extra* plugins appended. */
static yyjson_doc *normalise(yyjson_val *root, const char *version, bool disable_check, bool disable_gc,
			     yyjson_doc *const *extra, size_t n_extra)
{
	_cleanup_(mut_doc_free_p) yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *to = yyjson_mut_obj(m), *arr = yyjson_mut_arr(m);
	yyjson_val *plugins = yyjson_obj_get(root, "plugins"), *name = yyjson_obj_get(root, "name"), *p;
	size_t i, n;

	yyjson_mut_doc_set_root(m, to);
	if (name)
		yyjson_mut_obj_add_val(m, to, "name", yyjson_val_mut_copy(m, name));
	yyjson_mut_obj_add_strcpy(m, to, "cniVersion", version);
	yyjson_mut_obj_add_bool(m, to, "disableCheck", disable_check);
	yyjson_mut_obj_add_bool(m, to, "disableGC", disable_gc);
	yyjson_mut_obj_add_val(m, to, "plugins", arr);
	yyjson_arr_foreach(plugins, i, n, p)
		yyjson_mut_arr_append(arr, yyjson_val_mut_copy(m, p));
	if (!plugins && cni_plugin_type(root))
		yyjson_mut_arr_append(arr, yyjson_val_mut_copy(m, root));
	for (i = 0; i < n_extra; i++)
		yyjson_mut_arr_append(arr, yyjson_val_mut_copy(m, yyjson_doc_get_root(extra[i])));
	return yyjson_mut_doc_imut_copy(m, NULL);
}

/* From the text of a file and the documents of further plugins to a list that owns its document. */
static struct err *make_list(yyjson_val *root, yyjson_doc *const *extra, size_t n_extra, struct cni_list *ret)
{
	yyjson_val *plugins = yyjson_obj_get(root, "plugins");
	const char *version;
	bool disable_check, disable_gc;

	if (plugins && !yyjson_is_arr(plugins))
		return err_new(ERR_INVALID, "`plugins` is not a list");
	TRY(choose_version(root, &version));
	TRY(read_bool(root, "disableCheck", &disable_check));
	TRY(read_bool(root, "disableGC", &disable_gc));
	_cleanup_(doc_free_p) yyjson_doc *doc = normalise(root, version, disable_check, disable_gc, extra, n_extra);

	if (!doc)
		return err_new(ERR_EXHAUSTED, "out of memory");
	TRY(cni_list_view(yyjson_doc_get_root(doc), ret));
	ret->doc = TAKE(doc);
	return NULL;
}

struct err *cni_list_parse(const char *text, size_t len, struct cni_list *ret, bool *ret_more)
{
	_cleanup_(doc_free_p) yyjson_doc *doc = NULL;
	bool inlined;

	TRY(read_json(text, len, &doc));
	yyjson_val *root = yyjson_doc_get_root(doc);

	TRY(read_bool(root, "loadOnlyInlinedPlugins", &inlined));
	TRY(make_list(root, NULL, 0, ret));
	*ret_more = !inlined && !cni_plugin_type(root);
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool wanted_name(const char *name, bool conf_only)
{
	if (name[0] == '.' || !file_name_ok(name))
		return false;
	if (str_ends(name, ".conf"))
		return true;
	return !conf_only && (str_ends(name, ".conflist") || str_ends(name, ".json"));
}

static void close_dir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Sorted names of the configuration files in a directory; a missing one has none. */
static struct err *file_names(int dirfd, const char *dir, bool conf_only, struct strv *ret)
{
	int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(close_dir_p) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (!d && errno == ENOENT)
		return NULL;
	if (!d)
		return err_errno(errno, "read %s", dir);
	while ((ent = readdir(d))) {
		if (!wanted_name(ent->d_name, conf_only))
			continue;
		if (ret->len == CNI_FILES_MAX)
			return err_new(ERR_EXHAUSTED, "%s: more than %d files", dir, CNI_FILES_MAX);
		strv_push(ret, ent->d_name);
	}
	if (ret->len)
		qsort(ret->items, ret->len, sizeof(*ret->items), by_name);
	return NULL;
}

/* Files of a configuration directory may be links (an operator's choice; only root writes there). */
static struct err *read_conf(int dirfd, const char *name, struct buf *ret)
{
	_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_errno(errno, "open");
	return file_read_fd(fd, CNI_CONFIG_MAX, ret);
}

struct extra {
	yyjson_doc *docs[CNI_PLUGINS_MAX];
	size_t n;
};

static void extra_done(struct extra *x)
{
	for (size_t i = 0; i < x->n; i++)
		yyjson_doc_free(x->docs[i]);
}

/* SPEC.md 1.1: unless loadOnlyInlinedPlugins, NAME/\*.conf beside the file hold further plugins. */
static struct err *read_extra(int dirfd, const char *name, struct extra *x)
{
	_strv_ struct strv files = { 0 };

	TRY(file_names(dirfd, name, true, &files));
	for (size_t i = 0; i < files.len; i++) {
		_free_ char *path = base_printf("%s/%s", name, files.items[i]);
		_buf_ struct buf text = BUF_INIT;

		if (x->n == CNI_PLUGINS_MAX)
			return err_new(ERR_INVALID, "more than %d plugins in %s", CNI_PLUGINS_MAX, name);
		TRY_WRAP(read_conf(dirfd, path, &text), "%s", path);
		TRY_WRAP(read_json(buf_text(&text), text.len, &x->docs[x->n]), "%s", path);
		x->n++;
	}
	return NULL;
}

static struct err *load_file(int dirfd, const char *file, struct cni_list *ret)
{
	_cleanup_(doc_free_p) yyjson_doc *doc = NULL;
	_cleanup_(extra_done) struct extra x = { .n = 0 };
	_buf_ struct buf text = BUF_INIT;
	bool inlined;

	TRY(read_conf(dirfd, file, &text));
	TRY(read_json(buf_text(&text), text.len, &doc));
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *name = yyjson_get_str(yyjson_obj_get(root, "name"));

	TRY(read_bool(root, "loadOnlyInlinedPlugins", &inlined));
	if (str_ends(file, ".conflist") && name && cni_name_ok(name) && !inlined)
		TRY(read_extra(dirfd, name, &x));
	return make_list(root, x.docs, x.n, ret);
}

struct err *cni_list_load(const char *dir, struct cni_list *ret)
{
	_strv_ struct strv files = { 0 };
	_err_ struct err *first = NULL;
	_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		return err_errno(errno, "open %s", dir);
	if (fd >= 0)
		TRY(file_names(fd, ".", false, &files));
	for (size_t i = 0; i < files.len; i++) {
		struct err *e = load_file(fd, files.items[i], ret);

		if (!e)
			return NULL;
		e = err_wrap(e, "%s/%s", dir, files.items[i]);
		if (first)
			err_ignore(e);
		else
			first = e;
	}
	if (first)
		return TAKE(first);
	return err_new(ERR_UNAVAILABLE, "no network configuration in %s yet", dir);
}
