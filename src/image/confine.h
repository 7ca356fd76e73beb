/* confine.h: what the roles that read hostile bytes have in common when they give things up. */
#ifndef CRISP_IMAGE_CONFINE_H
#define CRISP_IMAGE_CONFINE_H

#include "base/err.h"

/* setrlimit(2) *what*, not above what it is already; *name* for the error. */
struct err *confine_limit(int what, uint64_t value, const char *name) _must_check_;

/* RLIMIT_DATA: *more* bytes than the process has now (sanitizers have much). */
struct err *confine_memory(uint64_t more) _must_check_;

/* The user of a role that serve starts: ROLE --uid UID. */
struct err *confine_parse_uid(int argc, char **argv, uid_t *ret_uid) _must_check_;

/* Root becomes user and group *uid* alone, in no other group: setresuid(2) clears all capabilities. Nothing for another user,
 * or if *uid* is 0. */
struct err *confine_become(uid_t uid) _must_check_;

/* What came of confining the files that can be opened: a kernel without Landlock is a line of the log, and no error. */
struct err *confine_files_told(struct err *e) _must_check_;

struct confine_calls {
	const int *allowed;             /* system calls, whatever their arguments are */
	size_t n_allowed;
	uint32_t otherwise;             /* what comes of all others: SCMP_ACT_… */
	bool all_threads;               /* also those that run already */
	int (*more)(void *filter);      /* adds rules to a scmp_filter_ctx and returns as libseccomp does; may be NULL */
};

/* seccomp(2), from here on and for ever. Allowed besides: mmap and mprotect of memory that cannot be executed, abort(3). */
struct err *confine_calls(const struct confine_calls *c) _must_check_;

#endif
