#include "cli/cli.h"

#include "base/file.h"
#include "base/str.h"
#include "cli/human.h"
#include "cli/settings.h"
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
	static const struct {
		const char *alias, *name;
	} aliases[] = { { "image", "images" }, { "img", "images" } };

	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (!strcmp(aliases[i].alias, name))
			name = aliases[i].name;
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

/* Options that stand before the verb, where crictl's users put them. */
enum { EARLY_CONFIG, EARLY_RUNTIME, EARLY_IMAGE, EARLY_TIMEOUT, EARLY_DEBUG, EARLY_N };

static const struct cli_early early_rows[EARLY_N] = {
	[EARLY_CONFIG] = { "--config", "-c", true },
	[EARLY_RUNTIME] = { "--runtime-endpoint", "-r", true },
	[EARLY_IMAGE] = { "--image-endpoint", "-i", true },
	[EARLY_TIMEOUT] = { "--timeout", "-t", true },
	[EARLY_DEBUG] = { "--debug", "-D", false },
};

static const char *first_of(const char *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!str_empty(from[i]))
			return from[i];
	return NULL;
}

static struct err *set_endpoint(const char *const *from, size_t n, const char **ret)
{
	const char *address = first_of(from, n);

	if (str_starts(address, "unix://"))
		address += strlen("unix://");
	if (address[0] != '/')
		return err_new(ERR_INVALID, "\"%s\" is not the address of a unix socket (unix:///path)", address);
	*ret = address;
	return NULL;
}

static struct err *set_endpoints(struct cli *c, const char *const *early)
{
	const char *runtime[] = { cli_text(c, "runtime-endpoint"), early[EARLY_RUNTIME], getenv("CRISP_SOCKET"),
				  getenv("CONTAINER_RUNTIME_ENDPOINT"), c->settings.runtime_endpoint, CLI_ENDPOINT };

	TRY(set_endpoint(runtime, ARRAY_LEN(runtime), &c->endpoint));
	/* An endpoint that is asked for is for both. */
	bool asked = cli_text(c, "runtime-endpoint") || early[EARLY_RUNTIME];
	const char *image[] = { early[EARLY_IMAGE], asked ? c->endpoint : NULL, getenv("IMAGE_SERVICE_ENDPOINT"),
				getenv("CONTAINER_RUNTIME_ENDPOINT") || getenv("CRISP_SOCKET") ? c->endpoint : NULL,
				c->settings.image_endpoint, c->endpoint };

	return set_endpoint(image, ARRAY_LEN(image), &c->image_endpoint);
}

static struct err *read_settings(struct cli *c, const char *const *early)
{
	const char *from[] = { early[EARLY_CONFIG], getenv("CRI_CONFIG_FILE") };

	c->settings.file = first_of(from, ARRAY_LEN(from));
	c->settings.file_asked = c->settings.file != NULL;
	if (!c->settings.file)
		c->settings.file = SETTINGS_FILE;
	/* What `config` is about to write need not be there. */
	if (c->verb->run == cli_config)
		return NULL;
	TRY(settings_read(&c->arena, &c->settings));
	if (early[EARLY_DEBUG])
		c->settings.debug = strcmp(early[EARLY_DEBUG], "false") != 0;
	return NULL;
}

static struct err *set_timeout(struct cli *c, const char *const *early)
{
	const char *text = early[EARLY_TIMEOUT];

	c->timeout_ns = c->settings.timeout_ns;
	/* stop has an option of this name for itself. */
	for (size_t i = 0; i < c->n_given; i++)
		if (!strcmp(c->given[i].option->name, "timeout") && !c->given[i].option->letter)
			text = c->given[i].value;
	if (text && !cli_parse_duration(text, &c->timeout_ns))
		return err_new(ERR_INVALID, "--timeout: \"%s\" is not a duration such as 30s or 5m", text);
	return NULL;
}

static struct err *run(struct cli *c, const char *const *early, int argc, char **argv)
{
	TRY(cli_parse(c, argc, argv));
	TRY(read_settings(c, early));
	TRY(set_endpoints(c, early));
	TRY(set_timeout(c, early));
	return c->verb->run(c);
}

int cli_main(int argc, char **argv)
{
	const char *early[EARLY_N] = { NULL };
	struct cli c = { 0 };
	int at;
	struct err *e = cli_parse_early(early_rows, EARLY_N, argc, argv, early, &at);

	if (e)
		return complain(NULL, e);
	if (at >= argc)
		return complain(NULL, err_new(ERR_INVALID, "a verb is missing: crisp --help lists them"));
	const char *word = argv[at];

	/* help VERB is VERB --help. */
	if (!strcmp(word, "help") && at + 1 < argc && (c.verb = find_verb(argv[at + 1]))) {
		cli_print_help(c.verb);
		return 0;
	}
	c.verb = find_verb(word);
	if (!c.verb)
		return complain(NULL, err_new(ERR_INVALID, "there is no verb %s: crisp --help lists them", word));
	arena_init(&c.arena);
	e = run(&c, early, argc - at - 1, argv + at + 1);
	bool help = err_is(e, ERR_CANCELLED) && cli_flag(&c, "help");

	grpc_client_free(c.client);
	grpc_client_free(c.image_client);
	arena_done(&c.arena);
	if (help) {
		err_free(e);
		cli_print_help(c.verb);
		return 0;
	}
	return e ? complain(c.verb->name, e) : c.status;
}
