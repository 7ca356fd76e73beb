/* exec: a further program in a container. */
#include "base/file.h"
#include "base/str.h"
#include "box/box.h"
#include "box/oci.h"
#include "oci/verb.h"
#include "spec/extension.h"
#include "spec/json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

struct entering {
	const struct oci_container *k;
	struct buf process;
	bool terminal;
	unsigned preserve_fds;
	int pidfd, console, error[2];
};

static void entering_done(struct entering *x)
{
	int *const fds[] = { &x->pidfd, &x->console, &x->error[0], &x->error[1] };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		base_close_p(fds[i]);
	buf_done(&x->process);
}

static struct err *set_user(yyjson_mut_doc *d, yyjson_mut_val *process, const char *text)
{
	_free_ char *uid = base_strndup(text, strcspn(text, ":"));
	const char *gid = text[strlen(uid)] ? text + strlen(uid) + 1 : "0";
	yyjson_mut_val *user = yyjson_mut_obj(d);
	uint64_t u, g;

	if (!str_to_u64(uid, UINT32_MAX - 1, &u) || !str_to_u64(gid, UINT32_MAX - 1, &g))
		return err_new(ERR_INVALID, "--user: \"%.64s\" is not UID[:GID]", text);
	yyjson_mut_obj_add_uint(d, user, "uid", u);
	yyjson_mut_obj_add_uint(d, user, "gid", g);
	yyjson_mut_obj_put(process, yyjson_mut_str(d, "user"), user);
	return NULL;
}

static yyjson_mut_val *get_or_add(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, bool array)
{
	yyjson_mut_val *v = yyjson_mut_obj_get(obj, key);

	if (v)
		return v;
	v = array ? yyjson_mut_arr(d) : yyjson_mut_obj(d);
	yyjson_mut_obj_add(obj, yyjson_mut_str(d, key), v);
	return v;
}

static void put(yyjson_mut_doc *d, yyjson_mut_val *process, const char *key, const char *text)
{
	if (text)
		yyjson_mut_obj_put(process, yyjson_mut_str(d, key), yyjson_mut_str(d, text));
}

static void add_caps(struct oci_call *c, yyjson_mut_doc *d, yyjson_mut_val *process)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	yyjson_mut_val *caps = get_or_add(d, process, "capabilities", false);
	const char *cap;

	for (size_t i = 0; (cap = cli_text_n(&c->cli, "cap", i)); i++)
		for (size_t k = 0; k < ARRAY_LEN(sets); k++)
			yyjson_mut_arr_add_str(d, get_or_add(d, caps, sets[k], true), cap);
}

/* The container's own process with the command and what the options change. */
static struct err *from_options(struct oci_call *c, yyjson_mut_doc *d, yyjson_mut_val *process)
{
	yyjson_mut_val *args = yyjson_mut_arr(d);
	const char *text;
	uint64_t gid;

	if (c->cli.n_args < 2)
		return err_new(ERR_INVALID, "exec: neither --process nor a command");
	for (size_t i = 1; i < c->cli.n_args; i++)
		yyjson_mut_arr_add_str(d, args, c->cli.args[i]);
	yyjson_mut_obj_put(process, yyjson_mut_str(d, "args"), args);
	put(d, process, "cwd", cli_text(&c->cli, "cwd"));
	put(d, process, "apparmorProfile", cli_text(&c->cli, "apparmor"));
	put(d, process, "selinuxLabel", cli_text(&c->cli, "process-label"));
	yyjson_mut_obj_put(process, yyjson_mut_str(d, "terminal"), yyjson_mut_bool(d, cli_flag(&c->cli, "tty")));
	if (cli_flag(&c->cli, "no-new-privs"))
		yyjson_mut_obj_put(process, yyjson_mut_str(d, "noNewPrivileges"), yyjson_mut_bool(d, true));
	for (size_t i = 0; (text = cli_text_n(&c->cli, "env", i)); i++)
		yyjson_mut_arr_add_str(d, get_or_add(d, process, "env", true), text);
	if ((text = cli_text(&c->cli, "user")))
		TRY(set_user(d, process, text));
	for (size_t i = 0; (text = cli_text_n(&c->cli, "additional-gids", i)); i++) {
		if (!str_to_u64(text, UINT32_MAX - 1, &gid))
			return err_new(ERR_INVALID, "--additional-gids: \"%.32s\" is not a group ID", text);
		yyjson_mut_arr_add_uint(d, get_or_add(d, get_or_add(d, process, "user", false), "additionalGids", true),
					gid);
	}
	add_caps(c, d, process);
	return NULL;
}

/* The process as JSON, with the container's seccomp profile beside it: setns(2) does not bring that along. */
static struct err *make_process(struct oci_call *c, struct entering *x)
{
	struct arena *a = &c->cli.arena;
	const char *file = cli_text(&c->cli, "process");
	_buf_ struct buf config = BUF_INIT, text = BUF_INIT;
	yyjson_mut_doc *d = json_new(a);
	yyjson_val *root, *process = NULL, *linux_obj = NULL, *seccomp = NULL;

	TRY(oci_state_read_config(x->k, &config));
	TRY_WRAP(json_read(a, buf_text(&config), config.len, &root), "config.json");
	TRY(json_get_obj(root, "process", &process));
	TRY(json_get_obj(root, "linux", &linux_obj));
	TRY(json_get_obj(linux_obj, "seccomp", &seccomp));
	if (file) {
		TRY_WRAP(file_read_at(AT_FDCWD, file, OCI_SPEC_MAX, &text), "--process %s", file);
		TRY_WRAP(json_read(a, buf_text(&text), text.len, &process), "--process %s", file);
	}
	if (!yyjson_is_obj(process))
		return err_new(ERR_INVALID, "exec: the process is not an object");
	yyjson_mut_val *copy = yyjson_val_mut_copy(d, process);

	yyjson_mut_doc_set_root(d, copy);
	yyjson_mut_obj_remove_key(copy, EXTENSION_SECCOMP);
	if (!file)
		TRY(from_options(c, d, copy));
	else if (cli_flag(&c->cli, "tty"))
		yyjson_mut_obj_put(copy, yyjson_mut_str(d, "terminal"), yyjson_mut_bool(d, true));
	x->terminal = yyjson_mut_is_true(yyjson_mut_obj_get(copy, "terminal"));
	_close_ int root_fd = open(arena_printf(a, "/proc/%d/root", (int)x->k->pid), O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root_fd >= 0)
		oci_complete_env(a, d, copy, root_fd);
	if (seccomp)
		yyjson_mut_obj_add_val(d, copy, EXTENSION_SECCOMP, yyjson_val_mut_copy(d, seccomp));
	return json_write(d, 0, &x->process);
}

static struct err *enter(void *context, pid_t *ret_pid)
{
	struct entering *x = context;
	_close_ int pidfd = -1;
	const struct box_exec b = {
		.process = x->process.data,
		.process_len = x->process.len,
		.target = x->k->pid,
		.target_pidfd = x->pidfd,
		.cgroup = x->k->cgroup,
		.stdio = { 0, 1, 2 },
		.console_socket = x->console,
		.error_fd = x->error[1],
		.clone_parent = true,
		.preserve_fds = x->preserve_fds,
	};

	return box_exec(&b, ret_pid, &pidfd);
}

/* Without a lock: execs do not wait for each other. */
struct err *oci_exec(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	_cleanup_(entering_done) struct entering x = { .k = &k, .pidfd = -1, .console = -1, .error = { -1, -1 } };
	_terminal_ struct terminal t = TERMINAL_NONE;
	bool detach = cli_flag(&c->cli, "detach");
	pid_t pid;

	TRY(oci_preserve_fds(c, &x.preserve_fds));
	TRY(oci_open(c, false, &k));
	enum oci_status status = oci_state_status(&k);

	if (status == OCI_PAUSED && !cli_flag(&c->cli, "ignore-paused"))
		return err_new(ERR_PRECONDITION, "cannot exec in a paused container (use --ignore-paused to override)");
	if (status != OCI_RUNNING && status != OCI_PAUSED && status != OCI_CREATED)
		return err_new(ERR_PRECONDITION, "cannot exec in a %s container", oci_status_name(status));
	TRY(oci_state_open_init(&k, &x.pidfd));
	TRY(make_process(c, &x));
	TRY(oci_console_socket(c, &x.console));
	TRY(oci_prepare_terminal(detach ? NULL : &t, x.terminal, &x.console));
	if (pipe2(x.error, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	TRY_WRAP(oci_fork_maker(enter, &x, &pid), "exec failed");
	close(TAKE_FD(x.error[1]));
	struct err *e = oci_read_failure(x.error[0]);

	if (!e)
		e = oci_write_pid_file(c, pid);
	if (!e)
		e = terminal_take(&t);
	if (e)
		kill(pid, SIGKILL);
	if (e)
		return err_wrap(e, "exec failed");
	return detach ? NULL : oci_wait(pid, &t, &c->cli.status);
}
