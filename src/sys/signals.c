#include "sys/signals.h"

#include "base/base.h"
#include "base/str.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

#define SIGNAL_MAX 64
#define RT_FIRST   34
#define RT_SPAN    (SIGNAL_MAX - RT_FIRST)

static const struct {
	const char *name;
	int number;
} names[] = {
	{ "HUP", SIGHUP },     { "INT", SIGINT },   { "QUIT", SIGQUIT },     { "ILL", SIGILL },	  { "TRAP", SIGTRAP },
	{ "ABRT", SIGABRT },   { "IOT", SIGIOT },   { "BUS", SIGBUS },	     { "FPE", SIGFPE },	  { "KILL", SIGKILL },
	{ "USR1", SIGUSR1 },   { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },     { "PIPE", SIGPIPE }, { "ALRM", SIGALRM },
	{ "TERM", SIGTERM },   { "CHLD", SIGCHLD }, { "STKFLT", SIGSTKFLT }, { "CLD", SIGCHLD },  { "CONT", SIGCONT },
	{ "STOP", SIGSTOP },   { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN },     { "TTOU", SIGTTOU }, { "URG", SIGURG },
	{ "XCPU", SIGXCPU },   { "XFSZ", SIGXFSZ }, { "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH },
	{ "IO", SIGIO },       { "POLL", SIGPOLL }, { "PWR", SIGPWR },	     { "SYS", SIGSYS },
};

static const char *skip(const char *text, const char *prefix)
{
	return !strncasecmp(text, prefix, strlen(prefix)) ? text + strlen(prefix) : NULL;
}

/* "", or one of the two ways to write the sign and a number. */
static bool offset(const char *text, const char *sign, const char *word, uint64_t *ret)
{
	const char *digits = skip(text, sign);

	*ret = 0;
	if (!*text)
		return true;
	if (!digits)
		digits = skip(text, word);
	return digits && str_to_u64(digits, RT_SPAN, ret);
}

int signal_number(const char *name)
{
	const char *rest;
	uint64_t n;

	if (str_to_u64(name, SIGNAL_MAX, &n))
		return (int)n;
	if ((rest = skip(name, "SIGNAL_")))
		name = rest;
	if ((rest = skip(name, "SIG")))
		name = rest;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcasecmp(names[i].name, name))
			return names[i].number;
	if ((rest = skip(name, "RTMIN")) && offset(rest, "+", "PLUS", &n))
		return RT_FIRST + (int)n;
	if ((rest = skip(name, "RTMAX")) && offset(rest, "-", "MINUS", &n))
		return SIGNAL_MAX - (int)n;
	return 0;
}

void signals_reset(void)
{
	struct sigaction def = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i <= SIGNAL_MAX; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &def, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
