#include "cli/cli.h"

#include "base/file.h"
#include "base/str.h"
#include "cli/human.h"
#include "cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line, whatever the server's words hold. */
static int complain(const char *verb, struct err *e)
{
	_buf_ struct buf line = BUF_INIT;

	buf_puts(&line, "crisp: ");
	if (verb)
		buf_printf(&line, "%s: ", verb);
	human_escape(err_text(e), strlen(err_text(e)), &line);
	buf_putc(&line, '\n');
	err_ignore(file_write_fd(2, buf_text(&line), line.len));
	err_free(e);
	return 1;
}

static const struct cli_verb *find_verb(const char *name)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

/* Options that stand before the verb, where crictl's users put them. */
struct early {
	const char *endpoint, *timeout;
	int next;                 /* index of the verb */
};

static struct err *parse_early(int argc, char **argv, struct early *ret)
{
	static const struct {
		const char *name, *letter;
	} rows[] = { { "--runtime-endpoint", "-r" }, { "--image-endpoint", "-i" }, { "--timeout", "-t" } };
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		const char *value = NULL;
		size_t k, len = strcspn(argv[i], "=");

		for (k = 0; k < ARRAY_LEN(rows); k++)
			if ((strlen(rows[k].name) == len && !strncmp(argv[i], rows[k].name, len)) ||
			    !strcmp(argv[i], rows[k].letter))
				break;
		if (k == ARRAY_LEN(rows))
			return err_new(ERR_INVALID, "there is no option %s before the verb", argv[i]);
		if (argv[i][len] == '=')
			value = argv[i] + len + 1;
		else if (++i < argc)
			value = argv[i];
		else
			return err_new(ERR_INVALID, "%s takes a value", argv[i - 1]);
		if (k == 2)
			ret->timeout = value;
		else
			ret->endpoint = value;
	}
	ret->next = i;
	return NULL;
}

static struct err *set_endpoint(struct cli *c, const struct early *early)
{
	const char *from[] = { cli_text(c, "runtime-endpoint"), early->endpoint, getenv("CRISP_SOCKET"),
			       getenv("CONTAINER_RUNTIME_ENDPOINT") };

	c->endpoint = CLI_ENDPOINT;
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		if (str_empty(from[i]))
			continue;
		c->endpoint = from[i];
		break;
	}
	if (str_starts(c->endpoint, "unix://"))
		c->endpoint += 7;
	if (c->endpoint[0] != '/')
		return err_new(ERR_INVALID, "\"%s\" is not the address of a unix socket (unix:///path)", c->endpoint);
	return NULL;
}

static struct err *set_timeout(struct cli *c, const struct early *early)
{
	const char *text = early->timeout;

	/* stop has an option of this name for itself. */
	for (size_t i = 0; i < c->n_given; i++)
		if (!strcmp(c->given[i].option->name, "timeout") && !c->given[i].option->letter)
			text = c->given[i].value;
	if (text && !cli_parse_duration(text, &c->timeout_ns))
		return err_new(ERR_INVALID, "--timeout: \"%s\" is not a duration such as 30s or 5m", text);
	return NULL;
}

static struct err *run(struct cli *c, const struct early *early, int argc, char **argv)
{
	TRY(cli_parse(c, argc, argv));
	TRY(set_endpoint(c, early));
	TRY(set_timeout(c, early));
	return c->verb->run(c);
}

int cli_main(int argc, char **argv)
{
	struct early early = { 0 };
	struct cli c = { 0 };
	struct err *e = parse_early(argc, argv, &early);

	if (e)
		return complain(NULL, e);
	if (early.next >= argc)
		return complain(NULL, err_new(ERR_INVALID, "a verb is missing: crisp --help lists them"));
	c.verb = find_verb(argv[early.next]);
	if (!c.verb)
		return complain(NULL, err_new(ERR_INVALID, "there is no verb %s: crisp --help lists them",
					      argv[early.next]));
	arena_init(&c.arena);
	e = run(&c, &early, argc - early.next - 1, argv + early.next + 1);
	bool help = err_is(e, ERR_CANCELLED) && cli_flag(&c, "help");

	grpc_client_free(c.client);
	arena_done(&c.arena);
	if (help) {
		err_free(e);
		cli_print_help(c.verb);
		return 0;
	}
	return e ? complain(c.verb->name, e) : c.status;
}
