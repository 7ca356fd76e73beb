/* exec and attach. */
#include "cli/containers.h"
#include "cli/output.h"
#include "cli/remote.h"

#include "base/file.h"

#include <string.h>

#define EXEC_SLACK_NS (10 * NS_PER_S)  /* past the command's own timeout */

static const char *const filters[] = { "image", "label", "last", "latest", "name", "pod", "state" };

static bool filtered(const struct cli *c)
{
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		if (cli_text(c, filters[i]))
			return true;
	return false;
}

static struct err *check_transport(const struct cli *c)
{
	const char *word = cli_text(c, "transport");

	if (word && strcmp(word, "spdy"))
		return err_new(ERR_UNIMPLEMENTED, "--transport: this client speaks spdy only, not %s", word);
	return NULL;
}

/* The command after *skip* arguments; kubectl's users put -- before it. */
static struct err *command(struct cli *c, size_t skip, char ***ret, size_t *ret_n)
{
	skip += c->n_args > skip && !strcmp(c->args[skip], "--");
	if (c->n_args <= skip)
		return err_new(ERR_INVALID, "usage: crisp exec [OPTIONS] %s", c->verb->usage);
	*ret = c->args + skip;
	*ret_n = c->n_args - skip;
	return NULL;
}

static struct err *exec_sync(struct cli *c, const char *id, char **cmd, size_t n_cmd)
{
	Runtime__V1__ExecSyncRequest q = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
	Runtime__V1__ExecSyncResponse *r;
	int64_t timeout = c->timeout_ns;

	q.container_id = (char *)id;
	q.cmd = cmd;
	q.n_cmd = n_cmd;
	q.timeout = (timeout + NS_PER_S - 1) / NS_PER_S;
	/* The command's time is not the call's. */
	c->timeout_ns = 0;
	TRY(cli_call(c, "ExecSync", &q, timeout ? timeout + EXEC_SLACK_NS : CLOCK_NEVER, &r));
	TRY_WRAP(file_write_fd(1, r->stdout.data, r->stdout.len), "standard output");
	TRY_WRAP(file_write_fd(2, r->stderr.data, r->stderr.len), "standard error");
	c->status = r->exit_code & 0xff;
	return NULL;
}

static struct err *exec_one(struct cli *c, const char *id, char **cmd, size_t n_cmd)
{
	Runtime__V1__ExecRequest q = RUNTIME__V1__EXEC_REQUEST__INIT;
	Runtime__V1__ExecResponse *r;
	struct remote remote = { .want_stdin = cli_flag(c, "interactive"), .terminal = cli_flag(c, "tty") };

	if (cli_flag(c, "sync"))
		return exec_sync(c, id, cmd, n_cmd);
	q.container_id = (char *)id;
	q.cmd = cmd;
	q.n_cmd = n_cmd;
	q.tty = remote.terminal;
	q.stdin = remote.want_stdin;
	q.stdout = true;
	/* A terminal has one output (api.proto: stderr must be false with tty). */
	q.stderr = !remote.terminal;
	TRY(cli_call(c, "Exec", &q, CLI_QUERY_NS, &r));
	remote.url = r->url;
	return remote_run(&remote, &c->status);
}

/* In all that the filters pick, one after another; the first bad status is the run's. */
static struct err *exec_many(struct cli *c)
{
	Runtime__V1__ListContainersResponse *r;
	char **cmd;
	size_t n_cmd;
	int worst = 0;

	TRY(command(c, 0, &cmd, &n_cmd));
	TRY(containers_list(c, false, &r));
	if (r->n_containers == 0)
		return err_new(ERR_NOT_FOUND, "no container fits the filters");
	for (size_t i = 0; i < r->n_containers; i++) {
		if (!cli_flag(c, "quiet"))
			TRY(output_printf("%s:\n", r->containers[i]->id));
		c->status = 0;
		struct err *e = exec_one(c, r->containers[i]->id, cmd, n_cmd);

		if (e && !cli_flag(c, "ignore-errors"))
			return err_wrap(e, "container %s", r->containers[i]->id);
		err_ignore(e);
		worst = worst ? worst : c->status;
	}
	c->status = worst;
	return NULL;
}

struct err *cli_exec(struct cli *c)
{
	const char *id;
	char **cmd;
	size_t n_cmd;
	struct err *e;

	TRY(check_transport(c));
	if (filtered(c)) {
		e = exec_many(c);
	} else {
		TRY(command(c, 1, &cmd, &n_cmd));
		TRY(cli_find_container(c, c->args[0], &id));
		e = exec_one(c, id, cmd, n_cmd);
	}
	if (!cli_flag(c, "ignore-errors"))
		return e;
	err_ignore(e);
	c->status = 0;
	return NULL;
}

struct err *cli_attach(struct cli *c)
{
	Runtime__V1__AttachRequest q = RUNTIME__V1__ATTACH_REQUEST__INIT;
	Runtime__V1__AttachResponse *r;
	struct remote remote = { .want_stdin = cli_flag(c, "stdin"), .terminal = cli_flag(c, "tty") };
	const char *id;

	TRY(check_transport(c));
	TRY(cli_find_container(c, c->args[0], &id));
	q.container_id = (char *)id;
	q.stdin = remote.want_stdin;
	q.tty = remote.terminal;
	q.stdout = true;
	q.stderr = !remote.terminal;
	TRY(cli_call(c, "Attach", &q, CLI_QUERY_NS, &r));
	remote.url = r->url;
	return remote_run(&remote, &c->status);
}
