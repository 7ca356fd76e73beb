#include "oci/terminal.h"

#include "base/file.h"
#include "sys/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct err *terminal_prepare(struct terminal *t, int *ret_console)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "socketpair");
	t->socket = pair[0];
	*ret_console = pair[1];
	return NULL;
}

static void make_raw(struct terminal *t)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return;
	raw = t->before;
	cfmakeraw(&raw);
	t->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void terminal_resize(struct terminal *t)
{
	struct winsize size;

	if (t->master >= 0 && (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) &&
	    size.ws_row && size.ws_col)
		ioctl(t->master, TIOCSWINSZ, &size);
}

struct err *terminal_take(struct terminal *t)
{
	char name[PASS_NAME_MAX];
	size_t len;

	if (t->socket < 0)
		return NULL;
	struct err *e = err_wrap(pass_receive(t->socket, name, &len, &t->master), "no terminal was sent");

	base_close_p(&t->socket);
	t->socket = -1;
	if (e)
		return e;
	fcntl(t->master, F_SETFL, O_RDWR | O_NONBLOCK);
	terminal_resize(t);
	make_raw(t);
	return NULL;
}

/* False once nobody in the container has the terminal open (EIO), or when nothing is there. */
static bool pass_output(struct terminal *t, struct err **ret_error)
{
	char chunk[TERMINAL_CHUNK];
	ssize_t n = read(t->master, chunk, sizeof(chunk));

	if (n > 0) {
		*ret_error = file_write_fd(STDOUT_FILENO, chunk, (size_t)n);
		return !*ret_error;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return errno == EINTR;
	base_close_p(&t->master);
	t->master = -1;
	return false;
}

static void take_input(struct terminal *t)
{
	ssize_t n = read(STDIN_FILENO, t->input, sizeof(t->input));

	if (n > 0)
		t->n_input = (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		t->input_over = true;
}

static void pass_input(struct terminal *t)
{
	ssize_t n = write(t->master, t->input, t->n_input);

	if (n <= 0)
		return;
	t->n_input -= (size_t)n;
	memmove(t->input, t->input + n, t->n_input);
}

struct err *terminal_wait(struct terminal *t, int fd)
{
	struct err *e = NULL;

	while (!e) {
		bool want_input = t->master >= 0 && !t->input_over && !t->n_input;
		struct pollfd p[] = {
			{ .fd = fd, .events = POLLIN },
			{ .fd = t->master, .events = (short)(POLLIN | (t->n_input ? POLLOUT : 0)) },
			{ .fd = want_input ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return err_errno(errno, "poll");
		if (p[2].revents)
			take_input(t);
		if (p[1].revents & POLLOUT)
			pass_input(t);
		if (p[1].revents & (POLLIN | POLLHUP | POLLERR))
			pass_output(t, &e);
		if (p[0].revents)
			break;
	}
	return err_wrap(e, "terminal");
}

/* EIO ends it as soon as the last of the container's is gone: the kernel gives all that was written first. */
static void drain(struct terminal *t)
{
	struct err *e = NULL;

	while (t->master >= 0 && !e) {
		struct pollfd p = { .fd = t->master, .events = POLLIN };

		if (poll(&p, 1, TERMINAL_QUIET_MS) <= 0)
			break;
		pass_output(t, &e);
	}
	err_free(e);
}

void terminal_done(struct terminal *t)
{
	drain(t);
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
	t->raw = false;
	base_close_p(&t->socket);
	base_close_p(&t->master);
	*t = TERMINAL_NONE;
}
