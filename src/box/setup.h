/* setup.h: what the maker gets ready, as root in the node's namespaces, for init to put in place.
 *
 * init is a copy of the maker (clone3 without CLONE_VM), so this crosses by being memory and descriptors.
 * Everything that needs the node's own rights is done here: bind sources are cloned as detached mounts
 * (idmapped where asked), /dev is filled while nobody else can see it, namespaces are opened.
 */
#ifndef CRISP_SETUP_H
#define CRISP_SETUP_H

#include "box/box.h"
#include "box/oci.h"
#include "box/seccomp.h"

#include <sys/resource.h>

struct setup {
	struct arena *arena;
	const struct oci_spec *spec;
	const char *root_path;        /* absolute; where init attaches the root */
	int root_fd;                  /* detached clone of the root's tree */
	int *mount_fds;               /* one for each mount; -1: init makes it */
	int proc_fd;                  /* the node's PID namespace's procfs, detached: nobody can mount over it;
	                               * -1: not needed */
	int null_fd;                  /* /dev/null */
	int dev_mount;                /* index of the tmpfs at /dev; -1: none */
	bool dev_is_bind;             /* whoever asked for that brings its own devices */
	struct seccomp_program seccomp;
};

struct err *setup_prepare(struct arena *a, const struct oci_spec *spec, const char *bundle, struct setup *ret) _must_check_;

/* tmpfs for /dev, filled. For a container with a user namespace the maker makes it, as root of the node: device nodes can
 * be nowhere else (a tmpfs of the container's own has none); its owner is the container's root. Otherwise init does when
 * its turn comes: since 6.8 /proc/self/mountinfo is in the order in which mounts were made, and the specification wants
 * that of the list. */
struct err *setup_make_dev(const struct setup *s, const struct oci_mount *m, int *ret_fd) _must_check_;

/* A detached procfs of this process's PID namespace (rule R4). */
struct err *setup_open_proc(int *ret_fd) _must_check_;
/* The node's /dev/null, checked to be that. */
struct err *setup_open_null(int *ret_fd) _must_check_;

/* "nfs" of a file system's magic number (statfs(2)), for errors. */
const char *setup_fs_name(long magic);

/* The ID outside for *inside*; *maps* empty: the same. ERR_INVALID if it is not mapped. */
struct err *setup_map_id(const struct oci_ids *maps, uint32_t inside, uint32_t *ret) _must_check_;

#endif
