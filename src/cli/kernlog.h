/* kernlog.h: what the kernel's log says of a container: seccomp and LSM denials, the OOM killer, faults.
 *
 * Records of /dev/kmsg (Documentation/ABI/testing/dev-kmsg: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT\n"). Without
 * auditd the kernel prints audit records there. A line counts when it names the container: its process, its cgroup, its
 * profile; a seccomp line also when the container died of SIGSYS at that very time.
 * A container can write much to a log, not to this one; but comm and paths in it are its own, so lines are only shown.
 */
#ifndef CRISP_KERNLOG_H
#define CRISP_KERNLOG_H

#include "base/arena.h"
#include "base/str.h"

#define KERNLOG_RECORD_MAX 8192
#define KERNLOG_LINES_MAX  8        /* that are shown */

struct kernlog_about {
	const char *id;                 /* of the container: part of its cgroup's path */
	int pid;                        /* of its first process in the node's count, 0: not known */
	const char *apparmor;           /* profile, or NULL */
	const char *selinux_level;      /* "s0:c1,c2", or NULL */
	int64_t started_ns, ended_ns;   /* wall clock; ended 0: still running */
	bool sigsys;                    /* it died of a forbidden system call */
};

/* One record, NUL-terminated; true if it counts: *ret_text is what to show, in *a*. */
bool kernlog_match(struct arena *a, const struct kernlog_about *about, const char *record, const char **ret_text);

/* The last lines of /dev/kmsg that count. ERR_DENIED, ERR_NOT_FOUND: it cannot be read here. */
struct err *kernlog_read(const struct kernlog_about *about, struct strv *ret_lines) _must_check_;

#endif
