/* A container's terminal on the caller's: two pairs of ours, and a program behind the inner one. */
#include "oci/terminal.h"

#include "base/test.h"
#include "oci/verb.h"
#include "sys/pass.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct pair {
	int master, slave;
};

static struct pair open_pair(void)
{
	struct pair p = { .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) };

	CHECK(p.master >= 0 && grantpt(p.master) == 0 && unlockpt(p.master) == 0);
	p.slave = open(ptsname(p.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(p.slave >= 0);
	return p;
}

static void close_pair(struct pair *p)
{
	close(p->master);
	close(p->slave);
}

/* Reads lines of the inner terminal: says its size, exits with 7 at "end". */
static _noreturn_ void program(int tty)
{
	char line[64];
	ssize_t n;

	while ((n = read(tty, line, sizeof(line) - 1)) > 0) {
		struct winsize size = { 0 };

		line[n] = '\0';
		if (!strcmp(line, "end\n")) {
			dprintf(tty, "last words\n");
			_exit(7);
		}
		ioctl(tty, TIOCGWINSZ, &size);
		dprintf(tty, "%dx%d %s", size.ws_col, size.ws_row, line);
	}
	_exit(1);
}

/* What `crisp run` does once box has sent the master. */
static _noreturn_ void runner(const struct pair *outer, struct pair *inner)
{
	struct terminal t = TERMINAL_NONE;
	int console = -1, code = -1;

	setsid();
	if (dup2(outer->slave, 0) < 0 || dup2(outer->slave, 1) < 0)
		_exit(100);
	ioctl(0, TIOCSCTTY, 0);
	struct err *e = terminal_prepare(&t, &console);
	pid_t pid = e ? -1 : fork();

	if (pid == 0) {
		close(inner->master);
		program(inner->slave);
	}
	if (!e)
		e = pass_send(console, inner->master, "/dev/ptmx", strlen("/dev/ptmx"));
	close(console);
	close_pair(inner);
	if (!e)
		e = terminal_take(&t);
	if (!e)
		e = oci_wait(pid, &t, &code);
	terminal_done(&t);
	_exit(e ? 101 : code);
}

/* Until *words* have come on the outer terminal. */
static void expect(int master, const char *words)
{
	char text[4096] = "";
	size_t n = 0;

	while (!strstr(text, words) && n < sizeof(text) - 1) {
		struct pollfd p = { .fd = master, .events = POLLIN };

		if (poll(&p, 1, 10000) <= 0)
			break;
		ssize_t got = read(master, text + n, sizeof(text) - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
		text[n] = '\0';
	}
	if (!strstr(text, words))
		fprintf(stderr, "shown: %s\n", text);
	CHECK(strstr(text, words) != NULL);
}

static void type(int master, const char *text)
{
	CHECK(write(master, text, strlen(text)) == (ssize_t)strlen(text));
}

TEST(a_terminal_on_the_callers_own)
{
	struct pair outer = open_pair(), inner = open_pair();
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct termios before, after;
	int status;

	CHECK(ioctl(outer.slave, TIOCSWINSZ, &size) == 0 && tcgetattr(outer.slave, &before) == 0);
	pid_t pid = fork();

	if (pid == 0)
		runner(&outer, &inner);
	close_pair(&inner);
	type(outer.master, "one\n"); /* perhaps before it is raw: a line either way */
	expect(outer.master, "80x24 one\r\n");
	CHECK(tcgetattr(outer.slave, &after) == 0 && !(after.c_lflag & (ICANON | ECHO)));
	size.ws_col = 99;
	CHECK(ioctl(outer.slave, TIOCSWINSZ, &size) == 0); /* the kernel tells the terminal's foreground group */
	CHECK(kill(pid, SIGWINCH) == 0);
	type(outer.master, "two\r");
	expect(outer.master, "x24 two\r\n");
	type(outer.master, "three\r");
	expect(outer.master, "99x24 three\r\n");
	type(outer.master, "end\r");
	expect(outer.master, "last words\r\n");
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(WEXITSTATUS(status), 7);
	CHECK(tcgetattr(outer.slave, &after) == 0 && after.c_lflag == before.c_lflag && after.c_iflag == before.c_iflag);
	close_pair(&outer);
}

/* Nobody stays to serve it: said before anything is made; and a socket for a process that has none. */
TEST(a_terminal_that_nobody_serves)
{
	struct terminal t = TERMINAL_NONE;
	int console = -1, given = 5;

	CHECK_ERR(oci_prepare_terminal(NULL, true, &console), ERR_INVALID);
	CHECK_OK(oci_prepare_terminal(NULL, false, &console));
	CHECK_OK(oci_prepare_terminal(NULL, true, &given));
	CHECK_ERR(oci_prepare_terminal(&t, false, &given), ERR_INVALID);
	CHECK(console == -1 && given == 5 && t.socket == -1);
	CHECK_OK(oci_prepare_terminal(&t, true, &console));
	CHECK(console >= 0);
	close(console);
	CHECK_ERR(terminal_take(&t), ERR_INTERNAL);
	terminal_done(&t);
}

TEST_MAIN
