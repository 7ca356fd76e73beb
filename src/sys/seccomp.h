/* seccomp.h: seccomp(2): installs a filter on this (single-threaded) process. */
#ifndef CRISP_SECCOMP_H
#define CRISP_SECCOMP_H

#include "base/err.h"

struct sock_fprog;

/* *flags*: SECCOMP_FILTER_FLAG_*. Needs no_new_privs or CAP_SYS_ADMIN. */
struct err *seccomp_install(const struct sock_fprog *program, unsigned int flags) _must_check_;

#endif
