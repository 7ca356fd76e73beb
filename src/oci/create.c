/* create, start, run: a container from its bundle to the running program. */
#include "base/file.h"
#include "base/str.h"
#include "box/box.h"
#include "box/cgroup.h"
#include "box/cgroup_file.h"
#include "box/oci.h"
#include "oci/verb.h"
#include "spec/json.h"
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

/* What create gathers before the container's directory is made, and the maker then needs. */
struct making {
	struct oci_call *call;
	struct oci_container *k;
	struct oci_spec spec;
	struct buf config;             /* as the bundle has it */
	struct buf completed;          /* with what oci_complete_env() adds */
	struct terminal *terminal;     /* NULL: nobody waits for its end */
	unsigned preserve_fds;
	int console, start, error;
};

static void making_done(struct making *m)
{
	int *const fds[] = { &m->console, &m->start, &m->error };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		base_close_p(fds[i]);
	buf_done(&m->config);
	buf_done(&m->completed);
}

static struct err *read_bundle(struct oci_call *c, struct making *m, const char **ret_bundle)
{
	const char *bundle = cli_text(&c->cli, "bundle");
	char path[PATH_MAX];

	if (!realpath(str_empty(bundle) ? "." : bundle, path))
		return err_errno(errno, "bundle %s", bundle ? bundle : ".");
	*ret_bundle = arena_strdup(&c->cli.arena, path);
	_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "bundle %s", path);
	TRY_WRAP(file_read_at(fd, "config.json", OCI_SPEC_MAX, &m->config), "bundle %s: config.json", path);
	return oci_parse(&c->cli.arena, buf_text(&m->config), m->config.len, &m->spec);
}

/* A cgroup that others are in would be limited, and killed, together with the container. */
static struct err *check_cgroup(const char *path)
{
	_close_ int fd = -1;
	_buf_ struct buf procs = BUF_INIT;
	struct err *e = cgroup_open(path, &fd);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	TRY(cgroup_read(fd, "cgroup.procs", &procs));
	if (procs.len)
		return err_new(ERR_PRECONDITION, "container's cgroup is not empty: processes run in %s", path);
	return NULL;
}

static struct err *check(struct making *m)
{
	if (!m->spec.process)
		return err_new(ERR_INVALID, "config.json: process: missing");
	return oci_prepare_terminal(m->terminal, m->spec.process->terminal, &m->console);
}

static struct err *complete(struct making *m, const char *bundle)
{
	struct arena *a = &m->call->cli.arena;
	const char *path = m->spec.root[0] == '/' ? m->spec.root : arena_printf(a, "%s/%s", bundle, m->spec.root);
	_close_ int root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	yyjson_mut_doc *d = json_new(a);
	yyjson_val *json;

	if (root_fd < 0)
		return err_errno(errno, "root %s", path);
	TRY(json_read(a, buf_text(&m->config), m->config.len, &json));
	yyjson_mut_val *root = yyjson_val_mut_copy(d, json);

	yyjson_mut_doc_set_root(d, root);
	oci_complete_env(a, d, yyjson_mut_obj_get(root, "process"), root_fd);
	return json_write(d, 0, &m->completed);
}

static struct err *open_fifo(int dir_fd, const char *name, int *ret_fd)
{
	if (mkfifoat(dir_fd, name, 0600) < 0)
		return err_errno(errno, "%s", name);
	/* Reading and writing: neither end waits for the other, and nobody's end of file tells of a start. */
	*ret_fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return err_errno(errno, "%s", name);
	return NULL;
}

static struct err *make(void *context, pid_t *ret_pid)
{
	struct making *m = context;
	_close_ int pidfd = -1;
	const struct box_create b = {
		.id = m->k->id,
		.spec = m->completed.data,
		.spec_len = m->completed.len,
		.bundle = m->k->bundle,
		.stdio = { 0, 1, 2 },
		.console_socket = m->console,
		.start_fd = m->start,
		.error_fd = m->error,
		.clone_parent = true,
		.systemd_cgroup = m->k->systemd_cgroup,
		.default_cgroup = m->k->id,
		.preserve_fds = m->preserve_fds,
		.bare_fd = -1, /* this process makes one container: to make a bare namespace first is no gain */
	};

	return box_create(&b, ret_pid, &pidfd);
}

/* In the container's directory; what it leaves behind, oci_destroy() removes. */
static struct err *make_container(struct making *m)
{
	struct oci_container *k = m->k;

	TRY(file_replace_at(k->dir_fd, "config.json", m->config.data, m->config.len, 0600, FILE_VOLATILE));
	TRY(oci_state_save(k));
	TRY(open_fifo(k->dir_fd, "start", &m->start));
	TRY(open_fifo(k->dir_fd, "error", &m->error));
	TRY(oci_fork_maker(make, m, &k->pid));
	k->pid_start = oci_process_start(k->pid);
	TRY(oci_state_save(k));
	return oci_write_pid_file(m->call, k->pid);
}

static struct err *create(struct oci_call *c, struct oci_container *k, struct terminal *t)
{
	_cleanup_(making_done) struct making m = {
		.call = c, .k = k, .terminal = t, .console = -1, .start = -1, .error = -1,
	};
	const char *id = c->cli.args[0], *bundle;
	char *cgroup = NULL;

	TRY(oci_check_id(id));
	TRY(oci_preserve_fds(c, &m.preserve_fds));
	TRY(read_bundle(c, &m, &bundle));
	TRY(oci_console_socket(c, &m.console));
	TRY(check(&m));
	TRY(complete(&m, bundle));
	TRY(box_cgroup_path(m.config.data, m.config.len, id, c->systemd_cgroup, &cgroup));
	const char *kept = arena_strdup(&c->cli.arena, cgroup);

	free(cgroup);
	TRY(check_cgroup(kept));
	TRY(oci_state_make(&c->cli.arena, c->root, id, k));
	k->bundle = bundle;
	k->cgroup = kept;
	k->systemd_cgroup = c->systemd_cgroup;
	k->created_ns = clock_wall_ns();
	struct err *e = make_container(&m);

	if (!e && t)
		e = terminal_take(t);
	if (!e)
		return NULL;
	struct err *undo = oci_destroy(c, k);

	if (undo)
		oci_warn(c, err_text(undo));
	err_free(undo);
	return e;
}

struct err *oci_create(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };

	return create(c, &k, NULL);
}

/* ---- start ------------------------------------------------------------------------------------ */

/* The byte that init waits for, then what it has to say: nothing if the program runs. */
static struct err *tell_init(const struct oci_container *k)
{
	_close_ int error = openat(k->dir_fd, "error", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	_close_ int start = openat(k->dir_fd, "start", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	if (error < 0 || start < 0)
		return err_errno(errno, "container %s: its init is gone", k->id);
	if (write(start, "", 1) != 1)
		return err_errno(errno, "container %s: tell its init to start", k->id);
	return oci_read_failure(error);
}

static struct err *start(struct oci_call *c, struct oci_container *k)
{
	_buf_ struct buf config = BUF_INIT;
	_close_ int pidfd = -1;
	enum oci_status status = oci_state_status(k);

	if (status != OCI_CREATED)
		return err_new(ERR_PRECONDITION, "cannot start a container in the %s state", oci_status_name(status));
	TRY(oci_state_open_init(k, &pidfd));
	TRY(oci_state_read_config(k, &config));
	struct err *e = tell_init(k);

	/* From here on it is not "created" any more, however it went. */
	unlinkat(k->dir_fd, "start", 0);
	unlinkat(k->dir_fd, "error", 0);
	if (!e)
		e = box_run_hooks(config.data, config.len, BOX_POSTSTART, k->id, k->bundle, k->pid);
	if (e)
		err_ignore(pidfd_signal(pidfd, SIGKILL));
	(void)c;
	return e;
}

struct err *oci_start(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };

	TRY(oci_open(c, true, &k));
	return start(c, &k);
}

/* ---- run -------------------------------------------------------------------------------------- */

/* Started or not, in the foreground nothing stays. */
struct err *oci_run(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	_terminal_ struct terminal t = TERMINAL_NONE;
	bool detach = cli_flag(&c->cli, "detach");

	TRY(create(c, &k, detach ? NULL : &t));
	struct err *e = start(c, &k);

	if (!e && !detach)
		e = oci_wait(k.pid, &t, &c->cli.status);
	if ((e || !detach) && !cli_flag(&c->cli, "keep")) {
		struct err *undo = oci_destroy(c, &k);

		if (undo)
			oci_warn(c, err_text(undo));
		err_free(undo);
	}
	return e;
}
