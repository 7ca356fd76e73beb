/* clone.h: clone3(2) as fork: a copy of this (single-threaded) process in new namespaces, in a
 * cgroup, with a pidfd. libc's idea of the thread's ID stays the parent's: nobody may call raise(3) or abort(3) after it.
 */
#ifndef CRISP_CLONE_H
#define CRISP_CLONE_H

#include "base/err.h"

struct clone {
	uint64_t namespaces;   /* CLONE_NEW* */
	int cgroup_fd;         /* CLONE_INTO_CGROUP, or -1 */
	bool as_sibling;       /* CLONE_PARENT: a child of our parent */
};

/* In the child *ret_pid is 0. *ret_pidfd is close-on-exec, set in the parent only. errno value of
 * a failure for who can react to it (EBUSY: a cgroup with controllers below): *ret_errno. */
struct err *clone_start(const struct clone *c, pid_t *ret_pid, int *ret_pidfd, int *ret_errno) _must_check_;

#endif
