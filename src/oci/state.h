/* state.h: a container of the OCI command line on disk: ROOT/ID/, 0700, gone with the boot.
 *
 *   config.json    as it was at create: what the bundle's says later has no effect (runtime-spec, "Lifecycle")
 *   state.json     what `struct oci_container` holds
 *   start, error   FIFOs that init has open until it executes the program: a byte into one starts it, what fails then
 *                  comes out of the other; as long as `start` is there the container is "created"
 *
 * Who changes a container holds a lock on the directory. Reading takes none: state.json is replaced whole, so that
 * hooks of a create or start in flight can ask for the state.
 */
#ifndef CRISP_OCI_STATE_H
#define CRISP_OCI_STATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define OCI_ROOT    "/run/crisp-oci"   /* where nobody said --root */
#define OCI_ID_MAX  255
#define OCI_LIST_MAX 65536             /* containers below one root */

enum oci_status { OCI_CREATING, OCI_CREATED, OCI_RUNNING, OCI_PAUSED, OCI_STOPPED };

struct oci_container {
	struct arena *arena;               /* owns the strings */
	const char *root, *id;
	int dir_fd;                        /* holds the lock, if there is one; -1: not open */
	const char *bundle;                /* absolute */
	const char *cgroup;                /* below /sys/fs/cgroup */
	bool systemd_cgroup;
	pid_t pid;                         /* of init; 0: not made yet */
	uint64_t pid_start;                /* its start time in the kernel's ticks: proof against reuse of the number */
	int64_t created_ns;                /* wall clock */
};

void oci_container_done(struct oci_container *c);
#define _container_ _cleanup_(oci_container_done)

/* runc's rule: letters, digits and _ + - . only. */
struct err *oci_check_id(const char *id) _must_check_;

/* Makes the directory and locks it. ERR_EXISTS. */
struct err *oci_state_make(struct arena *a, const char *root, const char *id, struct oci_container *ret) _must_check_;
/* Opens one that is there. ERR_NOT_FOUND. */
struct err *oci_state_open(struct arena *a, const char *root, const char *id, bool lock,
			   struct oci_container *ret) _must_check_;
bool oci_state_exists(const char *root, const char *id);
struct err *oci_state_save(const struct oci_container *c) _must_check_;
struct err *oci_state_remove(struct oci_container *c) _must_check_;
/* IDs below *root*, in the arena, NULL-terminated; a root that is not there has none. */
struct err *oci_state_list(struct arena *a, const char *root, char ***ret) _must_check_;

struct err *oci_state_read_config(const struct oci_container *c, struct buf *ret) _must_check_;

enum oci_status oci_state_status(const struct oci_container *c);
const char *oci_status_name(enum oci_status s);

/* The init process, if it still is that one. ERR_NOT_FOUND: it has ended. */
struct err *oci_state_open_init(const struct oci_container *c, int *ret_pidfd) _must_check_;
/* When a process was started, in ticks; 0: it is gone, or a zombie. */
uint64_t oci_process_start(pid_t pid);

#endif
