/* userns.h: user namespaces: their ID maps, and one made only to be named by idmapped mounts. */
#ifndef CRISP_USERNS_H
#define CRISP_USERNS_H

#include "box/oci.h"

/* Writes uid_map and gid_map of the process, whose directory in a procfs is *proc_fd*, as PID. */
struct err *userns_write_maps(int proc_fd, pid_t pid, const struct oci_ids *uids, const struct oci_ids *gids) _must_check_;

/* A user namespace with these maps and no process in it. */
struct err *userns_make(const struct oci_ids *uids, const struct oci_ids *gids, int *ret_fd) _must_check_;

/* The maps of a process, whose directory in a procfs is *proc_dir*. */
struct err *userns_read_maps(struct arena *a, int proc_dir, struct oci_ids *ret_uids, struct oci_ids *ret_gids) _must_check_;

/* What run.c does for every container, which inside a user namespace cannot be done: gives stdio to the user and group of
 * *p*, whoever they are outside, so that /dev/stdout can be opened anew. Descriptors below 0 are passed over. */
struct err *userns_own_stdio(const int stdio[3], const struct oci_process *p, const struct oci_ids *uids,
			     const struct oci_ids *gids) _must_check_;

#endif
