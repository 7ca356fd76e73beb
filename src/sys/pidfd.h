/* pidfd.h: a process by descriptor, proof against reuse of its number. */
#ifndef CRISP_PIDFD_H
#define CRISP_PIDFD_H

#include "base/err.h"

/* pidfd_open(2). A process that is gone is ERR_NOT_FOUND. */
struct err *pidfd_open_pid(pid_t pid, int *ret_fd) _must_check_;
/* pidfd_send_signal(2). A process that is gone is ERR_NOT_FOUND. */
struct err *pidfd_signal(int pidfd, int signal) _must_check_;
/* True once the process has ended (zombies have). */
bool pidfd_has_ended(int pidfd);

#endif
