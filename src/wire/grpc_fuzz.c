/* Bytes to a server's connection: HTTP/2, HPACK, gRPC framing. The first byte chooses how much of a proper
 * beginning is put before them; calls run at once, on this thread, and answer in several ways. */
#include "wire/grpc_server.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct grpc_server *server;
static char address[64];

static void handler(struct grpc_call *c, _unused_ void *context)
{
	size_t len;
	const unsigned char *body = grpc_call_body(c, &len);
	unsigned kind = len ? body[0] : 0;

	(void)grpc_call_deadline(c);
	for (unsigned i = 0; i < (kind & 3); i++)
		err_free(grpc_call_send(c, body, len));
	grpc_call_finish(c, kind & 4 ? GRPC_INTERNAL : GRPC_OK, kind & 8 ? grpc_call_path(c) : NULL);
}

static void run_now(struct grpc_server *s, struct grpc_call *c)
{
	pthread_mutex_lock(&s->lock);
	c->refs++;
	pthread_mutex_unlock(&s->lock);
	handler(c, NULL);
}

static void start(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	log_set_level(LOG_LEVEL_ERROR);
	snprintf(address, sizeof(address), "%cgrpc-fuzz-%d", '\0', (int)getpid());
	memcpy(a.sun_path, address, sizeof(address));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4))
		abort();
	struct err *e = grpc_server_new(fd, handler, NULL, &server);

	if (e)
		abort();
	server->submit = run_now;
}

static void turn(int fd)
{
	char sink[65536];

	err_free(grpc_server_run_once(server));
	while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		err_free(grpc_server_run_once(server));
}

/* In pieces of *step* bytes, so that frames are cut anywhere. */
static void feed(int fd, const uint8_t *p, size_t n, size_t step)
{
	while (n > 0) {
		ssize_t k = send(fd, p, MIN(n, step), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
		turn(fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (!server)
		start();
	if (n < 1)
		return 0;
	memcpy(a.sun_path, address, sizeof(address));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		abort();
	turn(fd);
	if (p[0] & 1)
		feed(fd, (const uint8_t *)preface, sizeof(preface), SIZE_MAX);
	feed(fd, p + 1, n - 1, p[0] & 2 ? 7 : SIZE_MAX);
	turn(fd);
	close(fd);
	err_free(grpc_server_run_once(server));
	if (server->n_connections || server->body_bytes || server->reply_bytes || !list_empty(&server->touched))
		abort();
	return 0;
}
