/* crisp completion bash: made from the table of verbs; names and IDs are asked for as one types. */
#include "cli/output.h"

#include <string.h>

/* What stands for an argument. */
static const struct {
	const char *verbs, *command;
} arguments[] = {
	{ "inspectp|stopp|rmp|statsp|port-forward|create",
	  "$(\"$1\" pods --no-trunc 2>/dev/null | awk 'NR > 1 { print $1 }')" },
	{ "inspecti|rmi|images", "$(\"$1\" images -o json 2>/dev/null | sed -n 's/^ *\"\\([^ ]*[:@][^ ]*\\)\",*$/\\1/p')" },
	{ "inspect|logs|exec|attach|stats|start|stop|rm|update|checkpoint", "$(\"$1\" ps -aq 2>/dev/null)" },
	{ "explain", "$(\"$1\" ps -aq 2>/dev/null; \"$1\" pods -v 2>/dev/null | sed -n 's/^\\(ID\\|Name\\): //p')" },
	{ "completion", "bash" },
	{ "help", "$verbs" },
};

static void put_options(const struct cli_option *list, bool only_valued, struct buf *b)
{
	const char *gap = "";

	for (const struct cli_option *o = list; o && o->name; o++) {
		if (only_valued && !o->value)
			continue;
		buf_printf(b, "%s--%s", gap, o->name);
		gap = only_valued ? "|" : " ";
		if (only_valued && o->letter)
			buf_printf(b, "|-%c", o->letter);
	}
}

/* Options of which the next word is the value: nothing of ours is offered for it. */
static void put_valued(struct buf *b)
{
	buf_puts(b, "\tcase $verb:$before in\n");
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		_buf_ struct buf names = BUF_INIT;

		put_options(v->options, true, &names);
		for (const char *s = buf_text(&names); *s;) {
			size_t n = strcspn(s, "|");

			buf_printf(b, "%s%s:%.*s", s == buf_text(&names) ? "\t" : "|", v->name, (int)n, s);
			s += n + (s[n] == '|');
		}
		if (names.len)
			buf_puts(b, ") return ;;\n");
	}
	buf_puts(b, "\tesac\n");
}

struct err *cli_completion(struct cli *c)
{
	_buf_ struct buf b = BUF_INIT;

	if (c->n_args && strcmp(c->args[0], "bash"))
		return err_new(ERR_UNIMPLEMENTED, "there is a script for bash only, not for %s", c->args[0]);
	buf_puts(&b, "_crisp()\n{\n\tlocal verbs='");
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		buf_printf(&b, "%s%s", v == cli_verbs ? "" : " ", v->name);
	buf_puts(&b, " help serve check' word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb='' words='' i\n"
		     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		     "\t\tcase ${COMP_WORDS[i]} in\n"
		     "\t\t-c|-r|-i|-t|--config|--runtime-endpoint|--image-endpoint|--timeout) ((i++)) ;;\n"
		     "\t\t-*) ;;\n\t\t*) verb=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n");
	put_valued(&b);
	buf_puts(&b, "\tcase $verb:$word in\n"
		     "\t:-*) words='--config --runtime-endpoint --image-endpoint --timeout --debug --help' ;;\n"
		     "\t:*) words=$verbs ;;\n");
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		buf_printf(&b, "\t%s:-*) words='", v->name);
		put_options(v->options, false, &b);
		buf_puts(&b, v->options ? " --help' ;;\n" : "--help' ;;\n");
	}
	buf_puts(&b, "\tesac\n\tcase $word:$verb in\n\t-*) ;;\n");
	for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
		buf_puts(&b, "\t");
		for (const char *s = arguments[i].verbs; *s;) {
			size_t n = strcspn(s, "|");

			buf_printf(&b, "%s*:%.*s", s == arguments[i].verbs ? "" : "|", (int)n, s);
			s += n + (s[n] == '|');
		}
		buf_printf(&b, ") words=%s ;;\n", arguments[i].command);
	}
	buf_puts(&b, "\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
		     "complete -o default -F _crisp crisp crictl\n");
	return output_text(&b);
}
