/* pass.h: one descriptor over a unix socket, with a name beside it (SCM_RIGHTS, unix(7)): how a terminal changes hands,
 * between our own processes and with other runtimes (runc's --console-socket). Messages of ours are in wire/message.h. */
#ifndef CRISP_PASS_H
#define CRISP_PASS_H

#include "base/err.h"

#include <stddef.h>

#define PASS_NAME_MAX 256

struct err *pass_send(int sock, int fd, const char *name, size_t len) _must_check_;

/* What has come, without waiting: exactly one descriptor, close-on-exec, the caller's. What stands in *ret_name* is the
 * sender's word, not terminated. */
struct err *pass_receive(int sock, char ret_name[static PASS_NAME_MAX], size_t *ret_len, int *ret_fd) _must_check_;

#endif
