/* unit.h: systemd as the manager of the node's cgroups (cgroup driver "systemd"): slices and scopes by D-Bus.
 *
 * systemd owns the tree, crisp what is below a scope of its own (Delegate=yes; systemd's CGROUP_DELEGATION.md). Limits
 * are the unit's properties, so that a daemon-reload does not take them back, and are then written to the cgroup as
 * with the other driver, which is exact and knows files that no property stands for.
 *
 * The calls go to PID 1's private socket: root is let in by who it is, no dbus-daemon needs to run, and signals
 * about jobs come without a subscription. Each call opens a connection and closes it.
 */
#ifndef CRISP_UNIT_H
#define CRISP_UNIT_H

#include "base/err.h"
#include "spec/resources.h"

#define UNIT_SOCKET      "/run/systemd/private"
#define UNIT_NAME_MAX    255
#define UNIT_WAIT_S      30      /* for one job of systemd's */
#define UNIT_CPUS_MAX    8192    /* the highest processor or memory node in a list */

/* ---- names, pure ------------------------------------------------------------------------------ */

/* "a-b.slice" → "/a.slice/a-b.slice", systemd.slice(5); "-.slice" → "". ERR_INVALID for what is no slice. */
struct err *unit_slice_path(const char *slice, char **ret_path) _must_check_;
/* The unit that a cgroup path names: its last component, if that is a scope or a slice; else NULL. Borrowed. */
const char *unit_of(const char *cgroup_path);
/* cgroupsPath as OCI runtimes take it for systemd: "SLICE:PREFIX:NAME" is PREFIX-NAME.scope in SLICE. Owned by the
 * caller: the slice, and the scope's path below /sys/fs/cgroup. */
struct err *unit_split(const char *cgroups_path, char **ret_slice, char **ret_path) _must_check_;

/* ---- what systemd does ------------------------------------------------------------------------ */

/* Makes the scope around *pid*. *r* may be NULL. Returns once the process is in it. */
struct err *unit_start_scope(const char *scope, const char *slice, pid_t pid, const struct cgroup_resources *r) _must_check_;
struct err *unit_start_slice(const char *slice) _must_check_;
/* Changes the properties that *r* has; no word to systemd when none stands for what it has. */
struct err *unit_set(const char *unit, const struct cgroup_resources *r) _must_check_;
/* Stops it; not there is fine. */
struct err *unit_stop(const char *unit) _must_check_;
/* Is systemd PID 1, and does it answer there? ERR_PRECONDITION says what is missing. */
struct err *unit_check_host(void) _must_check_;

/* For tests: the properties of *r* as the array a(sv)'s members. */
struct buf;
void unit_put_resources(struct buf *b, const struct cgroup_resources *r);

/* ---- either driver ---------------------------------------------------------------------------- */

/* Limits of *path*, made by whichever driver: by its unit, if it has one, and by its files. */
struct err *unit_or_cgroup_set(const char *path, const struct cgroup_resources *r) _must_check_;
/* Nothing of it is left: the unit stopped, the directory removed; waits as cgroup_remove(). */
struct err *unit_or_cgroup_remove(const char *path, int64_t deadline_ns) _must_check_;

#endif
