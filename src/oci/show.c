/* state, list, ps: what is known of containers. */
#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "box/cgroup_file.h"
#include "cli/output.h"
#include "oci/verb.h"
#include "spec/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_MAX KIB(4)

/* What of the configuration the state shows. */
struct shown {
	const char *version, *rootfs;
	yyjson_val *annotations;
};

static struct err *read_shown(const struct oci_container *k, struct shown *ret)
{
	_buf_ struct buf config = BUF_INIT;
	yyjson_val *json, *root = NULL;
	const char *path = NULL;

	TRY(oci_state_read_config(k, &config));
	TRY(json_read(k->arena, buf_text(&config), config.len, &json));
	TRY(json_get_str(json, "ociVersion", &ret->version));
	TRY(json_get_obj(json, "annotations", &ret->annotations));
	TRY(json_get_obj(json, "root", &root));
	TRY(json_get_str(root, "path", &path));
	if (path)
		ret->rootfs = path[0] == '/' ? path : arena_printf(k->arena, "%s/%s", k->bundle, path);
	return NULL;
}

/* runtime-spec, runtime.md, "State"; rootfs, created and owner as runc adds them. */
static struct err *add_state(const struct oci_container *k, yyjson_mut_doc *d, yyjson_mut_val *obj)
{
	enum oci_status status = oci_state_status(k);
	struct shown s = { .version = "1.2.0" };
	char created[CLOCK_TEXT_MAX];
	struct err *e = k->bundle ? read_shown(k, &s) : NULL;

	if (e)
		return e;
	clock_format(k->created_ns, created);
	json_put_str(d, obj, "ociVersion", s.version);
	json_put_str(d, obj, "id", k->id);
	yyjson_mut_obj_add_int(d, obj, "pid", status == OCI_STOPPED ? 0 : k->pid);
	json_put_str(d, obj, "status", oci_status_name(status));
	json_put_str(d, obj, "bundle", k->bundle);
	json_put_str(d, obj, "rootfs", s.rootfs);
	json_put_str(d, obj, "created", arena_strdup(k->arena, created));
	if (s.annotations)
		yyjson_mut_obj_add_val(d, obj, "annotations", yyjson_val_mut_copy(d, s.annotations));
	json_put_str(d, obj, "owner", "root");
	return NULL;
}

static struct err *print(yyjson_mut_doc *d, bool pretty)
{
	_buf_ struct buf text = BUF_INIT;

	TRY(json_write(d, pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : 0, &text));
	buf_putc(&text, '\n');
	return file_write_fd(1, text.data, text.len);
}

struct err *oci_state(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	yyjson_mut_doc *d = json_new(&c->cli.arena);
	yyjson_mut_val *obj = yyjson_mut_obj(d);

	TRY(oci_open(c, false, &k));
	yyjson_mut_doc_set_root(d, obj);
	TRY(add_state(&k, d, obj));
	return print(d, true);
}

/* ---- list ------------------------------------------------------------------------------------- */

static void print_row(const struct oci_container *k, struct buf *out)
{
	enum oci_status status = oci_state_status(k);
	char created[CLOCK_TEXT_MAX];

	clock_format(k->created_ns, created);
	buf_printf(out, "%-64s %-8d %-9s %-40s %s\n", k->id, status == OCI_STOPPED ? 0 : (int)k->pid,
		   oci_status_name(status), k->bundle ? k->bundle : "", created);
}

struct err *oci_list(struct oci_call *c)
{
	const char *format = cli_text(&c->cli, "format");
	bool quiet = cli_flag(&c->cli, "quiet"), json = str_eq(format, "json");
	yyjson_mut_doc *d = json_new(&c->cli.arena);
	yyjson_mut_val *arr = yyjson_mut_arr(d);
	_buf_ struct buf out = BUF_INIT;
	char **ids;

	if (format && !json && strcmp(format, "table") != 0)
		return err_new(ERR_INVALID, "--format: \"%.32s\" is neither table nor json", format);
	TRY(oci_state_list(&c->cli.arena, c->root, &ids));
	yyjson_mut_doc_set_root(d, arr);
	if (!quiet && !json)
		buf_printf(&out, "%-64s %-8s %-9s %-40s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED");
	for (; *ids; ids++) {
		_container_ struct oci_container k = { .dir_fd = -1 };
		yyjson_mut_val *obj = yyjson_mut_obj(d);
		struct err *e = oci_state_open(&c->cli.arena, c->root, *ids, false, &k);

		if (!e && json)
			e = add_state(&k, d, obj);
		if (err_is(e, ERR_NOT_FOUND)) {
			err_free(e); /* deleted meanwhile */
			continue;
		}
		if (e)
			return e;
		if (json)
			yyjson_mut_arr_append(arr, obj);
		else if (quiet)
			buf_printf(&out, "%s\n", k.id);
		else
			print_row(&k, &out);
	}
	return json ? print(d, false) : file_write_fd(1, buf_text(&out), out.len);
}

/* ---- ps --------------------------------------------------------------------------------------- */

/* What it was called with, else its name. */
static void print_process(uint64_t pid, struct buf *out)
{
	_buf_ struct buf text = BUF_INIT;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%llu/cmdline", (unsigned long long)pid);
	struct err *e = file_read_virtual(AT_FDCWD, path, COMMAND_MAX, &text);

	err_free(e);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 127)
			text.data[i] = ' ';
	buf_printf(out, "%-8llu %s\n", (unsigned long long)pid, buf_text(&text));
}

struct err *oci_ps(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	_buf_ struct buf procs = BUF_INIT, out = BUF_INIT;
	const char *format = cli_text(&c->cli, "format");
	bool json = str_eq(format, "json");
	yyjson_mut_doc *d = json_new(&c->cli.arena);
	yyjson_mut_val *arr = yyjson_mut_arr(d);
	_close_ int fd = -1;

	if (format && !json && strcmp(format, "table") != 0)
		return err_new(ERR_INVALID, "--format: \"%.32s\" is neither table nor json", format);
	TRY(oci_open(c, false, &k));
	if (!k.cgroup)
		return err_new(ERR_PRECONDITION, "container not running: %s is being made", k.id);
	struct err *e = cgroup_open(k.cgroup, &fd);

	if (!e)
		e = cgroup_read(fd, "cgroup.procs", &procs);
	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	yyjson_mut_doc_set_root(d, arr);
	buf_puts(&out, "PID      COMMAND\n");
	for (char *s = procs.data, *line; s && (line = strsep(&s, "\n"));) {
		uint64_t pid;

		if (!str_to_u64(line, INT32_MAX, &pid))
			continue;
		yyjson_mut_arr_add_uint(d, arr, pid);
		if (!json)
			print_process(pid, &out);
	}
	return json ? print(d, false) : file_write_fd(1, out.data, out.len);
}
