/* One scraper after the other: a line in, the text out, the connection closed. */
#include "cri/telemetry.h"

#include "base/file.h"
#include "base/log.h"
#include "cri/serve.h"
#include "stream/listen.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define THREAD_STACK KIB(64)

struct exporter {
	struct serve *serve;
	int listen_fd;
};

static bool starts(const char *p, size_t n, const char *word)
{
	return n >= strlen(word) && !memcmp(p, word, strlen(word));
}

int telemetry_request(const char *p, size_t n)
{
	static const char path[] = "GET /metrics";

	if (!memmem(p, n, "\r\n\r\n", 4))
		return n < TELEMETRY_REQUEST_MAX ? 0 : 431;
	if (!starts(p, n, "GET "))
		return 405;
	if (!starts(p, n, path) || (p[sizeof(path) - 1] != ' ' && p[sizeof(path) - 1] != '?'))
		return 404;
	const char *end = memchr(p, '\r', n), *version = memmem(p, (size_t)(end - p), " HTTP/1.", 8);

	return version ? 200 : 400;
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

static int read_request(int fd, int64_t deadline_ns)
{
	char text[TELEMETRY_REQUEST_MAX];
	size_t n = 0;

	for (;;) {
		int status = telemetry_request(text, n);

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

static void answer(struct serve *s, int fd)
{
	_buf_ struct buf body = BUF_INIT, out = BUF_INIT;
	int64_t deadline = clock_mono_ns() + TELEMETRY_WAIT_NS;
	int status = read_request(fd, deadline);

	if (status < 0)
		return;
	if (status == 200)
		telemetry_write(s, &body);
	buf_printf(&out,
		   "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n",
		   status, status == 200 ? "OK" : "Refused", body.len);
	buf_append(&out, buf_text(&body), body.len);
	send_all(fd, buf_text(&out), out.len, deadline);
}

static void *run(void *arg)
{
	struct exporter *x = arg;

	while (wait_for(x->listen_fd, POLLIN, CLOCK_NEVER)) {
		_close_ int fd = accept4(x->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			answer(x->serve, fd);
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

static int start_thread(struct exporter *x)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&thread, &attr, run, x);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

struct err *telemetry_start(struct serve *s, const char *address)
{
	int fd = -1;

	if (str_empty(address))
		return NULL;
	TRY_WRAP(open_socket(address, &fd), "metrics_listen");
	struct exporter *x = base_alloc(sizeof(*x));

	*x = (struct exporter){ s, fd };
	int r = start_thread(x);

	if (r) {
		close(fd);
		free(x);
		return err_errno(r, "metrics_listen: thread");
	}
	log_info("serve's own metrics are at %s", address);
	return NULL;
}
