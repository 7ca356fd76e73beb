/* confine.h: what the roles that read hostile bytes have in common when they give things up. */
#ifndef CRISP_IMAGE_CONFINE_H
#define CRISP_IMAGE_CONFINE_H

#include "base/err.h"

/* setrlimit(2) *what*, not above what it is already; *name* for the error. */
struct err *confine_limit(int what, uint64_t value, const char *name) _must_check_;

/* RLIMIT_DATA: *more* bytes than the process has now (sanitizers have much). */
struct err *confine_memory(uint64_t more) _must_check_;

/* Adds to a libseccomp filter (scmp_filter_ctx) mmap and mprotect of memory that cannot be executed, and abort(3).
 * Returns as libseccomp does. */
int confine_add_memory_rules(void *filter);

#endif
