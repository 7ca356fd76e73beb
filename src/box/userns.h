/* userns.h: user namespaces: their ID maps, and one made only to be named by idmapped mounts. */
#ifndef CRISP_USERNS_H
#define CRISP_USERNS_H

#include "box/oci.h"

/* Writes uid_map and gid_map of the process, whose directory in a procfs is *proc_fd*, as PID. */
struct err *userns_write_maps(int proc_fd, pid_t pid, const struct oci_ids *uids, const struct oci_ids *gids) _must_check_;

/* A user namespace with these maps and no process in it. */
struct err *userns_make(const struct oci_ids *uids, const struct oci_ids *gids, int *ret_fd) _must_check_;

#endif
