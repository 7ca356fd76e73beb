/* One connection after the other: a line in, the text out, the connection closed. */
#include "cri/pages.h"

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "cri/serve.h"
#include "stream/listen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define THREAD_STACK KIB(64)

struct listener {
	struct serve *serve;
	const struct pages *pages;
	int fd;
};

static bool starts(const char *p, size_t n, const char *word)
{
	return n >= strlen(word) && !memcmp(p, word, strlen(word));
}

int pages_request(const char *p, size_t n, char ret_path[PAGES_PATH_MAX])
{
	static const char get[] = "GET ";

	if (!memmem(p, n, "\r\n\r\n", 4))
		return n < PAGES_REQUEST_MAX ? 0 : 431;
	if (!starts(p, n, get))
		return 405;
	const char *path = p + strlen(get), *line_end = memchr(p, '\r', n);
	const char *end = memmem(path, (size_t)(line_end - path), " HTTP/1.", 8);

	if (!end || *path != '/')
		return 400;
	size_t len = (size_t)(end - path);
	const char *query = memchr(path, '?', len);

	len = query ? (size_t)(query - path) : len;
	if (len >= PAGES_PATH_MAX || memchr(path, '\0', len))
		return 404;
	memcpy(ret_path, path, len);
	ret_path[len] = '\0';
	return 200;
}

/* True when *fd* is ready in time. */
static bool wait_for(int fd, short events, int64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	while ((n = poll(&p, 1, clock_ms_until(deadline_ns))) < 0 && errno == EINTR)
		;
	return n > 0;
}

static int read_request(int fd, int64_t deadline_ns, char ret_path[PAGES_PATH_MAX])
{
	char text[PAGES_REQUEST_MAX];
	size_t n = 0;

	for (;;) {
		int status = pages_request(text, n, ret_path);

		if (status)
			return status;
		if (!wait_for(fd, POLLIN, deadline_ns))
			return 408;
		ssize_t got = recv(fd, text + n, sizeof(text) - n, MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return -1;
		n += got > 0 ? (size_t)got : 0;
	}
}

static void send_all(int fd, const char *p, size_t n, int64_t deadline_ns)
{
	while (n && wait_for(fd, POLLOUT, deadline_ns)) {
		ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return;
		p += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
}

static const char *reason(int status)
{
	return status == 200 ? "OK" : status == 404 ? "Not Found" : "Refused";
}

static void answer(const struct listener *l, int fd)
{
	_buf_ struct buf body = BUF_INIT, out = BUF_INIT;
	char path[PAGES_PATH_MAX];
	int64_t deadline = clock_mono_ns() + PAGES_WAIT_NS;
	int status = read_request(fd, deadline, path);

	if (status < 0)
		return;
	if (status == 200)
		status = l->pages->answer(l->serve, path, &body);
	buf_printf(&out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
		   reason(status), l->pages->type, body.len);
	buf_append(&out, buf_text(&body), body.len);
	send_all(fd, buf_text(&out), out.len, deadline);
}

static void *run(void *arg)
{
	struct listener *l = arg;

	while (wait_for(l->fd, POLLIN, CLOCK_NEVER)) {
		_close_ int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			answer(l, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(NULL, 0, 1000); /* it would be ready again at once */
	}
	return NULL;
}

static struct err *open_socket(const char *address, int *ret_fd)
{
	_free_ char *host = NULL;

	if (str_starts(address, "unix://"))
		return serve_listen(address, ret_fd);
	if (!str_starts(address, "127.") && !str_starts(address, "[::1]:"))
		return err_new(ERR_INVALID, "\"%s\" is neither unix:///PATH nor a loopback ADDRESS:PORT", address);
	return listen_on(address, ret_fd, &host);
}

struct err *pages_start(struct serve *s, const struct pages *p, const char *address)
{
	int fd = -1;

	if (str_empty(address))
		return NULL;
	TRY_WRAP(open_socket(address, &fd), "%s", p->key);
	struct listener *l = base_alloc(sizeof(*l));

	*l = (struct listener){ s, p, fd };
	struct err *e = thread_start(NULL, THREAD_STACK, run, l);

	if (e) {
		close(fd);
		free(l);
		return err_wrap(e, "%s", p->key);
	}
	log_info("%s at %s", p->what, address);
	return NULL;
}
