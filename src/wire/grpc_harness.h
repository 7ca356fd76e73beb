/* harness of gRPC's tests: our server on a thread of its own, with a method for each kind of call. */
#ifndef CRISP_GRPC_HARNESS_H
#define CRISP_GRPC_HARNESS_H

#include "base/str.h"
#include "base/test.h"
#include "wire/grpc_server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

struct fixture {
	char dir[32], path[64];
	struct grpc_server *server;
	pthread_t thread;
	int stop_fd;
	atomic_int cancelled, running, most_running, sent;
	int64_t free_wait_ns;
};

static struct fixture *current;

_unused_ static void handle_echo(struct grpc_call *c)
{
	size_t len;
	const void *p = grpc_call_body(c, &len);
	struct err *e = grpc_call_send(c, p, len);

	grpc_call_finish(c, e ? GRPC_INTERNAL : GRPC_OK, NULL);
	err_free(e);
}

_unused_ static void handle_wait(struct grpc_call *c)
{
	struct pollfd p = { .fd = grpc_call_cancel_fd(c), .events = POLLIN };

	atomic_fetch_add(&current->running, 1);
	poll(&p, 1, 20000);
	if (grpc_call_cancelled(c))
		atomic_fetch_add(&current->cancelled, 1);
	atomic_fetch_sub(&current->running, 1);
	grpc_call_finish(c, GRPC_CANCELLED, "waited");
}

_unused_ static void handle_count(struct grpc_call *c)
{
	char text[16];

	for (int i = 0; i < 1000; i++) {
		struct err *e = grpc_call_send(c, text, (size_t)snprintf(text, sizeof(text), "%d", i));

		if (e) {
			err_free(e);
			break;
		}
	}
	grpc_call_finish(c, GRPC_OK, NULL);
}

/* Sends for ever, large: ends only by an error from send. */
_unused_ static void handle_flood(struct grpc_call *c)
{
	_free_ char *block = base_alloc(KIB(256));
	struct err *e = NULL;

	while (!e) {
		e = grpc_call_send(c, block, KIB(256));
		atomic_fetch_add(&current->sent, 1);
	}
	if (err_is(e, ERR_CANCELLED))
		atomic_fetch_add(&current->cancelled, 1);
	err_free(e);
	grpc_call_finish(c, GRPC_CANCELLED, NULL);
}

_unused_ static void handle_deadline(struct grpc_call *c)
{
	char text[32];
	int64_t d = grpc_call_deadline(c);
	long long ms = d == CLOCK_NEVER ? -1 : (long long)((d - clock_mono_ns()) / NS_PER_MS);

	err_free(grpc_call_send(c, text, (size_t)snprintf(text, sizeof(text), "%lld", ms)));
	grpc_call_finish(c, GRPC_OK, NULL);
}

_unused_ static void handle_fail(struct grpc_call *c)
{
	grpc_call_finish(c, GRPC_NOT_FOUND, "pod \"web\": 100% g\xc3\xb6ne\nsecond line");
}

_unused_ static void handle_slow(struct grpc_call *c)
{
	int now = atomic_fetch_add(&current->running, 1) + 1, most = atomic_load(&current->most_running);

	while (now > most && !atomic_compare_exchange_weak(&current->most_running, &most, now))
		;
	usleep(20000);
	atomic_fetch_sub(&current->running, 1);
	handle_echo(c);
}

_unused_ static void handler(struct grpc_call *c, _unused_ void *context)
{
	static const struct {
		const char *path;
		void (*run)(struct grpc_call *c);
	} rows[] = {
		{ "/t/Echo", handle_echo },   { "/t/Wait", handle_wait },	  { "/t/Count", handle_count },
		{ "/t/Flood", handle_flood }, { "/t/Deadline", handle_deadline }, { "/t/Fail", handle_fail },
		{ "/t/Slow", handle_slow },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(grpc_call_path(c), rows[i].path)) {
			rows[i].run(c);
			return;
		}
	grpc_call_finish(c, GRPC_UNIMPLEMENTED, "unknown method");
}

_unused_ static void *serve(void *arg)
{
	struct fixture *f = arg;

	for (;;) {
		struct pollfd p[2] = { { .fd = grpc_server_fd(f->server), .events = POLLIN },
				       { .fd = f->stop_fd, .events = POLLIN } };

		poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
		err_free(grpc_server_run_once(f->server));
	}
}

_unused_ static int listen_at(struct fixture *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(f->dir, "/tmp/grpc-test-XXXXXX");
	CHECK(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	strcpy(a.sun_path, f->path);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 128) == 0);
	return fd;
}

_unused_ static struct fixture *start(void)
{
	struct fixture *f = base_alloc(sizeof(*f));

	current = f;
	CHECK_OK(grpc_server_new(listen_at(f), handler, NULL, &f->server));
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	pthread_create(&f->thread, NULL, serve, f);
	return f;
}

_unused_ static void stop(struct fixture *f)
{
	eventfd_write(f->stop_fd, 1);
	pthread_join(f->thread, NULL);
	grpc_server_free(f->server, clock_mono_ns() + f->free_wait_ns);
	close(f->stop_fd);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
}

_unused_ static struct grpc_client *dial(struct fixture *f)
{
	struct grpc_client *c = NULL;

	CHECK_OK(grpc_client_connect(f->path, &c));
	return c;
}

_unused_ static int64_t in_ms(int ms)
{
	return clock_mono_ns() + ms * NS_PER_MS;
}

_unused_ static void wait_until(atomic_int *v, int want)
{
	for (int i = 0; i < 1000 && atomic_load(v) != want; i++)
		usleep(10000);
	CHECK_INT(atomic_load(v), want);
}

#endif
