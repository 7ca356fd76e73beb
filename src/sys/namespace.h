/* namespace.h: namespaces(7): join, leave, find. Never in a threaded process. */
#ifndef CRISP_NAMESPACE_H
#define CRISP_NAMESPACE_H

#include "base/err.h"

/* setns(2): *fd* a namespace or a pidfd; *flags* CLONE_NEW*, checked against what it is. */
struct err *namespace_join(int fd, int flags) _must_check_;
/* unshare(2). */
struct err *namespace_unshare(int flags) _must_check_;
/* The namespace of one kind that the process of *pidfd* is in (kernel 6.11: PIDFD_GET_*_NAMESPACE). */
struct err *namespace_of_pidfd(int pidfd, int flag, int *ret_fd) _must_check_;
/* True if *fd* names the namespace of that kind that we are in. */
bool namespace_is_ours(int fd, int flag);
/* "user", "mnt" …: the name under /proc/PID/ns. */
const char *namespace_name(int flag);

#endif
