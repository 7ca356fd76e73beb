/* listen.h: the listening socket of the streaming server. */
#ifndef CRISP_LISTEN_H
#define CRISP_LISTEN_H

#include "base/err.h"

/* "127.0.0.1:0", "[::1]:10010": numeric; port 0 is any. *ret_host* is for URLs: the same with the real port. */
struct err *listen_on(const char *address, int *ret_fd, char **ret_host) _must_check_;

#endif
