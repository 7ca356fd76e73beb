#include "stream/listen.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 512

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static struct err *parse(const char *text, union address *ret, socklen_t *ret_len)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || !str_to_u64(colon + 1, UINT16_MAX, &port))
		return err_new(ERR_INVALID, "\"%s\" is not ADDRESS:PORT", text);
	bool six = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
	_free_ char *host = six ? base_strndup(text + 1, (size_t)(colon - text) - 2)
				: base_strndup(text, (size_t)(colon - text));

	*ret = (union address){ 0 };
	if (six && inet_pton(AF_INET6, host, &ret->six.sin6_addr) == 1) {
		ret->six.sin6_family = AF_INET6;
		ret->six.sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(ret->six);
	} else if (!six && inet_pton(AF_INET, host, &ret->four.sin_addr) == 1) {
		ret->four.sin_family = AF_INET;
		ret->four.sin_port = htons((uint16_t)port);
		*ret_len = sizeof(ret->four);
	} else {
		return err_new(ERR_INVALID, "\"%s\" is not a numeric address", host);
	}
	return NULL;
}

static char *describe(const union address *a)
{
	char host[INET6_ADDRSTRLEN];

	if (a->any.sa_family == AF_INET6)
		return base_printf("[%s]:%u", inet_ntop(AF_INET6, &a->six.sin6_addr, host, sizeof(host)),
				   ntohs(a->six.sin6_port));
	return base_printf("%s:%u", inet_ntop(AF_INET, &a->four.sin_addr, host, sizeof(host)), ntohs(a->four.sin_port));
}

struct err *listen_on(const char *address, int *ret_fd, char **ret_host)
{
	union address a;
	socklen_t len;
	int one = 1;

	TRY(parse(address, &a, &len));
	_close_ int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_errno(errno, "socket for %s", address);
	/* The process of a serve that was killed may hold a fixed port for the moment until it notices. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, &a.any, len) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(errno, "listen on %s", address);
	if (getsockname(fd, &a.any, &len) < 0)
		return err_errno(errno, "listen on %s", address);
	*ret_fd = TAKE_FD(fd);
	*ret_host = describe(&a);
	return NULL;
}
