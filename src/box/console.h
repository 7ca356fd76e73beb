/* console.h: a process's terminal: a pair from the container's own devpts. */
#ifndef CRISP_CONSOLE_H
#define CRISP_CONSOLE_H

#include "box/oci.h"

/* Opens a pair through dev/pts/ptmx below *root_fd* (the container's root, or "/" once inside), gives the master
 * to *socket* (SCM_RIGHTS), and returns the other side. *bind*: also mounts it on dev/console. */
struct err *console_open(int root_fd, const struct oci_process *p, int socket, bool bind, int *ret_fd) _must_check_;

#endif
