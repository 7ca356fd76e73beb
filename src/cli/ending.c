#include "cli/ending.h"

#include "base/str.h"
#include "cli/human.h"

#include <signal.h>
#include <string.h>

#define CODE_UNSEEN 255 /* serve.h: EXIT_UNSEEN */

/* What the runtime's words mean for whoever has to repair it. */
static const struct {
	const char *words, *advice;
} start_advice[] = {
	{ "not found in $PATH", "No directory of the image's PATH has this program: is the command spelled right, is the "
				"image the right one?" },
	{ "interpreter", "The program is there, what it needs to run is not: a dynamically linked program in an image "
			 "without its libc, or a script whose #! line names a missing shell." },
	{ "exec format error", "The file is no program for this machine: an image of another architecture, a damaged "
			       "file, or a script without a #! line." },
	{ "is a directory", "The command names a directory." },
	{ "permission denied", "The file may not be executed: no x permission for this user, or a mount with noexec." },
	{ "no such file", "The image has no such file: is the command right, does a volume hide it?" },
};

static const struct {
	int number;
	const char *name, *meaning;
} signals[] = {
	{ SIGHUP, "SIGHUP", "its terminal or parent went away" },
	{ SIGINT, "SIGINT", "interrupted" },
	{ SIGQUIT, "SIGQUIT", "asked to quit with a core" },
	{ SIGILL, "SIGILL", "an instruction that this CPU does not have: is it built for a newer one?" },
	{ SIGTRAP, "SIGTRAP", "a debugger's trap" },
	{ SIGABRT, "SIGABRT", "it gave up itself (abort)" },
	{ SIGBUS, "SIGBUS", "memory that is not there: a file that was cut, or hugepages that are used up" },
	{ SIGFPE, "SIGFPE", "an arithmetic error" },
	{ SIGKILL, "SIGKILL", "killed" },
	{ SIGSEGV, "SIGSEGV", "it crashed: memory that is not its own" },
	{ SIGPIPE, "SIGPIPE", "it wrote to a pipe that nobody reads" },
	{ SIGALRM, "SIGALRM", "its own alarm" },
	{ SIGTERM, "SIGTERM", "asked to end" },
	{ SIGXCPU, "SIGXCPU", "its CPU time limit (ulimit) is used up" },
	{ SIGXFSZ, "SIGXFSZ", "its file size limit (ulimit) is passed" },
	{ SIGSYS, "SIGSYS", "a system call that its seccomp profile forbids" },
};

static const char *const library_words[] = {
	"error while loading shared libraries: ",   /* glibc, ld.so */
	"Error loading shared library ",            /* musl */
	"Error relocating ",
};

/* The line of the log in which the dynamic loader says what it misses. */
static const char *loader_line(const struct ending *e)
{
	for (size_t i = e->n_log; i > 0; i--)
		for (size_t k = 0; k < ARRAY_LEN(library_words); k++)
			if (strstr(e->log[i - 1], library_words[k]))
				return e->log[i - 1];
	return NULL;
}

static void explain_start(const struct ending *e, struct buf *ret)
{
	buf_printf(ret, "It was never started%s%s\n", str_empty(e->message) ? "." : ": ", e->message ? e->message : "");
	for (size_t i = 0; i < ARRAY_LEN(start_advice) && e->message; i++)
		if (strstr(e->message, start_advice[i].words)) {
			buf_printf(ret, "%s\n", start_advice[i].advice);
			return;
		}
}

static void explain_oom(const struct ending *e, struct buf *ret)
{
	_buf_ struct buf size = BUF_INIT;

	buf_puts(ret, "The kernel killed it for lack of memory (OOM)");
	if (e->memory_limit > 0) {
		human_size((uint64_t)e->memory_limit, 4, &size);
		buf_printf(ret, ": its limit is %s.\n", buf_text(&size));
	} else {
		buf_puts(ret, "; it has no limit of its own: its pod's, or the node's memory was used up.\n");
	}
}

static void explain_signal(const struct ending *e, int number, bool sure, struct buf *ret)
{
	const char *name = NULL, *meaning = NULL;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].number == number) {
			name = signals[i].name;
			meaning = signals[i].meaning;
		}
	buf_printf(ret, "%s signal %d", sure ? "It was ended by" : "It ended with the exit code that stands for", number);
	if (name)
		buf_printf(ret, " (%s): %s", name, meaning);
	buf_puts(ret, ".\n");
	if (e->stop_asked && (number == SIGTERM || number == SIGKILL || number == SIGINT))
		buf_puts(ret, "Stopping was asked for at that time.\n");
	else if (number == SIGKILL && sure)
		buf_puts(ret, "Nobody asked this runtime to stop it then: it was killed from within, or by someone on the "
			      "node.\n");
	if (number == SIGSYS && !e->denied)
		buf_puts(ret, "The kernel's log no longer has, or may not show, which system call it was.\n");
}

static void explain_code(const struct ending *e, struct buf *ret)
{
	const char *loader = loader_line(e);

	if (e->code == 0) {
		buf_puts(ret, "It completed: exit code 0.\n");
		return;
	}
	buf_printf(ret, "It exited by itself with code %d.\n", e->code);
	if (loader)
		buf_printf(ret, "The dynamic loader missed a library: %s\n", loader);
	else if (e->code == 126)
		buf_puts(ret, "126 is what a shell says of a command that it may not execute.\n");
	else if (e->code == 127)
		buf_puts(ret, "127 is what a shell says of a command that it does not find.\n");
}

void ending_explain(const struct ending *e, struct buf *ret)
{
	if (!e->started) {
		explain_start(e, ret);
		return;
	}
	if (e->oom)
		explain_oom(e, ret);
	else if (e->code == CODE_UNSEEN && !str_empty(e->message))
		buf_puts(ret, "How it ended was seen by nobody.\n");
	else if (e->signal > 0)
		explain_signal(e, e->signal, true, ret);
	else if (e->code > 128 && e->code <= 128 + 64)
		explain_signal(e, e->code - 128, false, ret);
	else
		explain_code(e, ret);
	if (!str_empty(e->message))
		buf_printf(ret, "The runtime says: %s\n", e->message);
}
