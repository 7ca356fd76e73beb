/* http1_socket.h: beneath the client: names to addresses to a TCP connection, reads and writes with
 * deadlines, base64. */
#ifndef CRISP_HTTP1_SOCKET_H
#define CRISP_HTTP1_SOCKET_H

#include "base/err.h"

/* Tries the addresses of *host* in the resolver's order (RFC 6724). *ret_fd is non-blocking. */
struct err *http1_socket_connect(const char *host, uint16_t port, int64_t deadline_ns, int *ret_fd) _must_check_;

struct err *http1_socket_read(int fd, void *p, size_t n, int64_t deadline_ns, size_t *ret_n) _must_check_;
struct err *http1_socket_write(int fd, const void *p, size_t n, int64_t deadline_ns) _must_check_;

/* Owned; RFC 4648 section 4, with padding. */
char *http1_base64(const void *p, size_t n);
/* Whole text, padding optional, no other characters; false if it is not base64. *ret_len may be NULL. */
bool http1_base64_decode(const char *text, char **ret, size_t *ret_len);

#endif
