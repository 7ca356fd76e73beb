/* cli.h: the client verbs: crictl's, so that a node without a shell can be looked at.
 *
 * They speak CRI to the socket and use nothing else of the running serve, so they work against any CRI runtime.
 * Whatever the server says is escaped before it reaches a terminal.
 */
#ifndef CRISP_CLI_H
#define CRISP_CLI_H

struct cli_option;
struct cli;
struct err;

struct cli_verb {
	const char *name;
	const char *help;                       /* one line */
	const char *usage;                      /* the arguments, as in a synopsis */
	const struct cli_option *options;       /* ends with an empty one; NULL: none */
	struct err *(*run)(struct cli *c);
	int min_args, max_args;                 /* max -1: any number */
	int flags;                              /* enum cli_verb_flags */
};

/* Ends with a name of NULL. */
extern const struct cli_verb cli_verbs[];

/* `crisp [--runtime-endpoint …] VERB …`: argv[0] is crisp. Returns the exit status. */
int cli_main(int argc, char **argv);

#endif
