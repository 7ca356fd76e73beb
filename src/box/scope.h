/* scope.h: a cgroup to clone3(2) into, made by either driver.
 *
 * A scope of systemd's is there only while a process is in it: until the real one has been cloned into it, a
 * process of ours holds it, which does nothing and ends with us.
 */
#ifndef CRISP_SCOPE_H
#define CRISP_SCOPE_H

#include "base/err.h"
#include "spec/resources.h"

struct scope {
	int cgroup_fd;          /* for CLONE_INTO_CGROUP */
	int holder_pidfd;       /* -1: the directory stays without */
	int word_fd;
};
#define SCOPE_INIT { -1, -1, -1 }

/* *systemd*: *path* ends in SLICE/NAME.scope, the slice's own path before it. *r* may be NULL. For a process without
 * threads. */
struct err *scope_make(const char *path, bool systemd, const struct cgroup_resources *r, struct scope *ret) _must_check_;
/* Has the holder move *pid* into the cgroup: for who has no right to it any more, in a user namespace. */
struct err *scope_move(struct scope *s, pid_t pid) _must_check_;
/* Ends the holder; the cgroup stays if something else is in it. */
void scope_done(struct scope *s);
#define _scope_ _cleanup_(scope_done)

#endif
