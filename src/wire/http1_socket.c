#include "wire/http1_socket.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* One address of several gets so long before the next is tried. */
#define ADDRESS_TIMEOUT (10 * NS_PER_S)
#define ADDRESSES_MAX   8

static struct err *finish_connect(int fd, int64_t deadline_ns)
{
	int e = 0;
	socklen_t len = sizeof(e);

	TRY(file_wait_fd(fd, POLLOUT, deadline_ns));
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		return err_errno(errno, "getsockopt");
	return e ? err_as(err_errno(e, "connect"), ERR_UNAVAILABLE) : NULL;
}

static struct err *connect_to(const struct addrinfo *a, int64_t deadline_ns, int *ret_fd)
{
	_close_ int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	int on = 1;

	if (fd < 0)
		return err_as(err_errno(errno, "socket"), ERR_UNAVAILABLE);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return err_as(err_errno(errno, "connect"), ERR_UNAVAILABLE);
		TRY(finish_connect(fd, deadline_ns));
	}
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

static struct err *resolve(const char *host, uint16_t port, struct addrinfo **ret)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP, .ai_flags = AI_NUMERICSERV };
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	int n = getaddrinfo(host, service, &hints, ret);

	if (n == 0)
		return NULL;
	/* The name service's definite answer: asking again soon gets the same. */
	if (n == EAI_NONAME)
		return err_new(ERR_PRECONDITION, "there is no host of the name %s", host);
	if (n == EAI_SYSTEM)
		return err_as(err_errno(errno, "look up %s", host), ERR_UNAVAILABLE);
	return err_new(ERR_UNAVAILABLE, "look up %s: %s", host, gai_strerror(n));
}

struct err *http1_socket_connect(const char *host, uint16_t port, int64_t deadline_ns, int *ret_fd)
{
	struct addrinfo *list = NULL;
	struct err *e = NULL;
	int tried = 0;

	TRY(resolve(host, port, &list));
	for (struct addrinfo *a = list; a && tried < ADDRESSES_MAX; a = a->ai_next, tried++) {
		int64_t until = clock_mono_ns() + ADDRESS_TIMEOUT;

		err_free(e);
		e = connect_to(a, a->ai_next ? MIN(until, deadline_ns) : deadline_ns, ret_fd);
		if (!e)
			break;
	}
	freeaddrinfo(list);
	return err_wrap(e, "%s port %u", host, port);
}

struct err *http1_socket_read(int fd, void *p, size_t n, int64_t deadline_ns, size_t *ret_n)
{
	for (;;) {
		ssize_t did = recv(fd, p, n, 0);

		if (did >= 0) {
			*ret_n = (size_t)did;
			return NULL;
		}
		if (errno == EAGAIN)
			TRY(file_wait_fd(fd, POLLIN, deadline_ns));
		else if (errno != EINTR)
			return err_as(err_errno(errno, "receive"), ERR_UNAVAILABLE);
	}
}

struct err *http1_socket_write(int fd, const void *p, size_t n, int64_t deadline_ns)
{
	const char *from = p;

	while (n > 0) {
		ssize_t did = send(fd, from, n, MSG_NOSIGNAL);

		if (did >= 0) {
			from += did;
			n -= (size_t)did;
		} else if (errno == EAGAIN) {
			TRY(file_wait_fd(fd, POLLOUT, deadline_ns));
		} else if (errno != EINTR) {
			return err_as(err_errno(errno, "send"), ERR_UNAVAILABLE);
		}
	}
	return NULL;
}

char *http1_base64(const void *p, size_t n)
{
	size_t room = (n + 2) / 3 * 4 + 1, len;
	char *out = base_alloc(room);

	if (mbedtls_base64_encode((unsigned char *)out, room, &len, p, n))
		abort(); /* only for too little room */
	return out;
}

bool http1_base64_decode(const char *text, char **ret, size_t *ret_len)
{
	static const char *const padding[] = { "", "", "==", "=" };
	size_t n = strcspn(text, "="), len = 0;
	_free_ char *padded = base_printf("%.*s%s", (int)n, text, padding[n % 4]);
	_free_ char *out = base_alloc(n + 1);

	/* mbedtls passes over line breaks, which nobody here writes. */
	if (n > INT32_MAX || n % 4 == 1 || strpbrk(text, " \t\r\n") ||
	    (text[n] && strcmp(text + n, padding[n % 4]) != 0) ||
	    mbedtls_base64_decode((unsigned char *)out, n + 1, &len, (unsigned char *)padded, strlen(padded)))
		return false;
	out[len] = '\0';
	if (ret_len)
		*ret_len = len;
	*ret = TAKE(out);
	return true;
}
