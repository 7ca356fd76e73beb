#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "oci/role.h"
#include "oci/verb.h"
#include "spec/json.h"
#include "sys/spawn.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BUNDLE   { 'b', "bundle", "DIR", "the bundle's directory; default: the working directory" }
#define CONSOLE  { 0, "console-socket", "PATH", "a unix socket that takes the terminal's master" }
#define PID_FILE { 0, "pid-file", "FILE", "where to write the process's number" }
#define PRESERVE { 0, "preserve-fds", "N", "so many descriptors from 3 on are the program's too" }
#define FORMAT   { 'f', "format", "table|json", "of the output" }
#define NO_PIVOT { 0, "no-pivot", NULL, "not supported: the root is always pivoted into" }
#define KEYRING  { 0, "no-new-keyring", NULL, "always so" }
#define END      { 0 }

static const struct cli_option create_options[] = { BUNDLE, CONSOLE, PID_FILE, PRESERVE, NO_PIVOT, KEYRING, END };
static const struct cli_option run_options[] = {
	BUNDLE, CONSOLE, PID_FILE, PRESERVE, NO_PIVOT, KEYRING,
	{ 'd', "detach", NULL, "do not wait for its end" },
	{ 0, "keep", NULL, "do not delete it at its end" },
	{ 0, "no-subreaper", NULL, "always so" },
	END,
};
static const struct cli_option list_options[] = { FORMAT, { 'q', "quiet", NULL, "print IDs only" }, END };
static const struct cli_option kill_options[] = { { 'a', "all", NULL, "all its processes" }, END };
static const struct cli_option delete_options[] = { { 'f', "force", NULL, "kill it first if it runs" }, END };
static const struct cli_option exec_options[] = {
	CONSOLE, PID_FILE, PRESERVE,
	{ 'p', "process", "FILE", "an OCI process object; else the container's own with what follows" },
	{ 'd', "detach", NULL, "do not wait for its end" },
	{ 't', "tty", NULL, "with a terminal" },
	{ 0, "cwd", "DIR", "working directory" },
	{ 'e', "env", "NAME=VALUE", "may be repeated" },
	{ 'u', "user", "UID[:GID]", "" },
	{ 'g', "additional-gids", "GID", "may be repeated" },
	{ 'c', "cap", "CAPABILITY", "one more; may be repeated" },
	{ 0, "no-new-privs", NULL, "" },
	{ 0, "apparmor", "PROFILE", "" },
	{ 0, "process-label", "LABEL", "SELinux" },
	{ 0, "ignore-paused", NULL, "also in a paused container" },
	END,
};
static const struct cli_option ps_options[] = { FORMAT, END };
static const struct cli_option update_options[] = {
	{ 'r', "resources", "FILE", "an OCI resources object; - is standard input" },
	{ 0, "memory", "BYTES", "-1: no limit" },
	{ 0, "memory-swap", "BYTES", "memory and swap" },
	{ 0, "memory-reservation", "BYTES", "" },
	{ 0, "cpu-share", "N", "" },
	{ 0, "cpu-quota", "MICROSECONDS", "" },
	{ 0, "cpu-period", "MICROSECONDS", "" },
	{ 0, "cpuset-cpus", "LIST", "" },
	{ 0, "cpuset-mems", "LIST", "" },
	{ 0, "pids-limit", "N", "" },
	END,
};

#define VERB(name, help, usage, options, min, max, flags) \
	{ { #name, help, usage, options, NULL, min, max, flags }, oci_##name, false }
#define ENTERS(name, help, usage, options, min, max, flags) \
	{ { #name, help, usage, options, NULL, min, max, flags }, oci_##name, true }

const struct oci_verb oci_verbs[] = {
	ENTERS(create, "make a container", "ID", create_options, 1, 1, 0),
	VERB(start, "run its program", "ID", NULL, 1, 1, 0),
	ENTERS(run, "create and start", "ID", run_options, 1, 1, 0),
	VERB(state, "print its state", "ID", NULL, 1, 1, 0),
	VERB(list, "list containers", "", list_options, 0, 0, 0),
	VERB(kill, "send a signal (TERM)", "ID [SIGNAL]", kill_options, 1, 2, 0),
	VERB(delete, "remove what is left of it", "ID", delete_options, 1, 1, 0),
	ENTERS(exec, "run a further program in it", "ID [COMMAND...]", exec_options, 1, -1, CLI_REST_IS_COMMAND),
	VERB(ps, "list its processes", "ID", ps_options, 1, -1, CLI_REST_IS_COMMAND),
	VERB(pause, "suspend its processes", "ID", NULL, 1, 1, 0),
	VERB(resume, "let them go on", "ID", NULL, 1, 1, 0),
	VERB(update, "change its limits", "ID", update_options, 1, 1, 0),
	VERB(features, "print what this runtime can do", "", NULL, 0, 0, 0),
	{ { 0 }, NULL, false },
};

/* Options that stand before the verb; runc's, so those that mean nothing here are taken too. */
enum { EARLY_ROOT, EARLY_LOG, EARLY_FORMAT, EARLY_CRIU, EARLY_ROOTLESS, EARLY_SYSTEMD, EARLY_DEBUG, EARLY_N };

static const struct cli_early early_rows[EARLY_N] = {
	[EARLY_ROOT] = { "--root", NULL, true },
	[EARLY_LOG] = { "--log", NULL, true },
	[EARLY_FORMAT] = { "--log-format", NULL, true },
	[EARLY_CRIU] = { "--criu", NULL, true },
	[EARLY_ROOTLESS] = { "--rootless", NULL, true },
	[EARLY_SYSTEMD] = { "--systemd-cgroup", NULL, false },
	[EARLY_DEBUG] = { "--debug", NULL, false },
};

static const struct oci_verb *find_verb(const char *name)
{
	for (const struct oci_verb *v = oci_verbs; v->verb.name; v++)
		if (!strcmp(v->verb.name, name))
			return v;
	return NULL;
}

static struct err *parse_early(struct oci_call *c, int argc, char **argv, int *ret_verb)
{
	const char *early[EARLY_N] = { [EARLY_ROOT] = OCI_ROOT, [EARLY_FORMAT] = "text", [EARLY_SYSTEMD] = "false" };

	/* An error is told where the options before it say. */
	struct err *e = cli_parse_early(early_rows, EARLY_N, argc, argv, early, ret_verb);

	c->root = early[EARLY_ROOT];
	c->log = early[EARLY_LOG];
	c->log_json = !strcmp(early[EARLY_FORMAT], "json");
	c->systemd_cgroup = strcmp(early[EARLY_SYSTEMD], "false") != 0;
	if (e)
		return e;
	if (!c->log_json && strcmp(early[EARLY_FORMAT], "text"))
		return err_new(ERR_INVALID, "--log-format: text or json");
	return *ret_verb < argc ? NULL : err_new(ERR_INVALID, "a verb is missing");
}

/* ---- whose command line it is ----------------------------------------------------------------- */

/* Whether what follows the verb is ours: one word alone, or *by_id* a container that we have. */
static bool fits(const struct oci_verb *v, int argc, char **argv, bool by_id)
{
	struct cli c = { .verb = &v->verb };

	arena_init(&c.arena);
	struct err *e = cli_parse(&c, argc, argv);
	bool ours = !e && (by_id ? c.n_args > 0 && oci_state_exists(OCI_ROOT, c.args[0]) : c.n_args == 1);

	err_free(e);
	arena_done(&c.arena);
	return ours;
}

bool oci_is_asked(int argc, char **argv)
{
	static const char *const names[] = { "runc", "crun", "crisp-oci" };
	static const char *const by_form[] = { "create", "run" };
	static const char *const by_id[] = { "start", "exec", "ps", "update" };
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], name))
			return true;
	if (argc < 2)
		return false;
	/* --debug is the client's option too, and comes alone only there. */
	if (cli_find_early(early_rows, EARLY_N, argv[1]) < EARLY_N && strcmp(argv[1], "--debug"))
		return true;
	const struct oci_verb *v = find_verb(argv[1]);

	if (!v)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(by_form); i++)
		if (!strcmp(by_form[i], argv[1]))
			return fits(v, argc - 2, argv + 2, false);
	for (size_t i = 0; i < ARRAY_LEN(by_id); i++)
		if (!strcmp(by_id[i], argv[1]))
			return fits(v, argc - 2, argv + 2, true);
	return true;
}

/* ---- words ------------------------------------------------------------------------------------ */

/* As logrus writes it: containerd's shim and conmon read the last error from there. */
static void log_json(struct oci_call *c, const char *level, const char *text, struct buf *line)
{
	yyjson_mut_doc *d = json_new(&c->cli.arena);
	yyjson_mut_val *root = yyjson_mut_obj(d);
	char now[CLOCK_TEXT_MAX];
	bool changed;

	clock_format(clock_wall_ns(), now);
	yyjson_mut_doc_set_root(d, root);
	json_put_str(d, root, "level", level);
	json_put_str(d, root, "msg", json_make_text(&c->cli.arena, text, strlen(text), &changed));
	json_put_str(d, root, "time", now);
	err_ignore(json_write(d, 0, line));
	buf_putc(line, '\n');
}

static void say(struct oci_call *c, const char *level, const char *text)
{
	_buf_ struct buf line = BUF_INIT, plain = BUF_INIT;
	_close_ int fd = c->log ? open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;

	buf_printf(&plain, "crisp: %s%s\n", strcmp(level, "warning") ? "" : "warning: ", text);
	if (c->log_json)
		log_json(c, level, text, &line);
	if (fd >= 0)
		err_ignore(file_write_fd(fd, c->log_json ? line.data : plain.data, c->log_json ? line.len : plain.len));
	err_ignore(file_write_fd(2, plain.data, plain.len));
}

void oci_warn(struct oci_call *c, const char *text)
{
	say(c, "warning", text);
}

static struct err *run(struct oci_call *c, const struct oci_verb *v, int argc, char **argv)
{
	c->cli.verb = &v->verb;
	TRY(cli_parse(&c->cli, argc, argv));
	if (cli_flag(&c->cli, "no-pivot"))
		return err_new(ERR_UNIMPLEMENTED, "--no-pivot is not supported: without a pivot the container's root "
						  "could be left");
	return v->run(c);
}

int oci_main(int argc, char **argv)
{
	struct oci_call c = { 0 };
	int at = 0;

	arena_init(&c.cli.arena);
	struct err *e = parse_early(&c, argc, argv, &at);
	const struct oci_verb *v = e ? NULL : find_verb(argv[at]);

	if (!e && !v)
		e = err_new(ERR_UNIMPLEMENTED, "the OCI runtime has no verb %s", argv[at]);
	if (!e && v->enters)
		e = spawn_protect_self(argv);
	if (!e)
		e = run(&c, v, argc - at - 1, argv + at + 1);
	if (err_is(e, ERR_CANCELLED) && cli_flag(&c.cli, "help")) {
		err_free(e);
		cli_print_help(&v->verb);
		e = NULL;
	}
	if (e)
		say(&c, "error", err_text(e));
	int status = e ? 1 : c.cli.status;

	err_free(e);
	arena_done(&c.cli.arena);
	return status;
}
