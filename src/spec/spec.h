/* spec.h: CRI configuration → OCI runtime spec (runtime-spec 1.2), a pure function.
 *
 * No file, no system call, no clock: all that is needed is in the input, so that golden tests can
 * show every field. The result is the contract with whoever executes it: box, or an external runtime.
 * CRI's mounts come with host paths resolved and made, image mounts turned into binds of where they are mounted, and
 * CRI's devices as `devices`: the builder ignores container->devices.
 * What the kubelet asks for is policy and is obeyed; what the image asks for is bounded (rule R6).
 */
#ifndef CRISP_SPEC_H
#define CRISP_SPEC_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "cri/api.pb-c.h"
#include "image/config.h"
#include "spec/user.h"

struct spec_mount {             /* resolved by the caller: what the node gives beside CRI's mounts */
	const char *destination, *source, *type;
	const char *const *options;     /* NULL-terminated */
};

struct spec_device {            /* a device node of the node, looked at by the caller */
	const char *path;           /* in the container */
	char type;                  /* 'c' or 'b' */
	int64_t major, minor;
	uint32_t mode, uid, gid;
	const char *access;         /* of "rwm" */
};

struct spec_input {
	const Runtime__V1__PodSandboxConfig *pod;
	const Runtime__V1__ContainerConfig *container;
	const struct image_config *image;
	const struct user *user;            /* resolved against the image's passwd and group */
	const char *id;
	const char *pod_id;                 /* for the annotations; NULL: left out */
	const char *rootfs;                 /* absolute path of the mounted root */
	const char *cgroups_path;           /* as OCI wants it */
	const char *ns_user, *ns_net, *ns_ipc, *ns_uts, *ns_pid;  /* paths to join; NULL: the node's, or for pid what CRI's
	                                                                      option says */
	const char *hostname;
	const char *hosts_file, *resolv_file, *hostname_file, *shm_dir;  /* pod files to bind; NULL: not */
	const struct spec_mount *mounts;    /* image volumes, image VOLUMEs … */
	size_t n_mounts;
	const char *seccomp_profile;        /* JSON of a localhost profile, or of another RuntimeDefault; NULL: none */
	const char *const *default_env;
	const char *const *ulimits;         /* as ulimit.h; NULL: what the node gives */
	uint64_t pids_limit;                /* where `unified` has no pids.max; 0: none */
	const char *apparmor;               /* RuntimeDefault's profile; NULL: the node has no AppArmor */
	const char *selinux_process, *selinux_mount;    /* labels; NULL: none */
	const char *const *default_caps;    /* NULL: the built-in list */
	const struct spec_device *devices;  /* those of CRI, resolved; privileged: every device of the node */
	size_t n_devices;
	bool only_listed_devices;           /* also for a privileged container */
};

/* config.json's text. ERR_INVALID says which field is wrong and why. */
struct err *spec_build(const struct spec_input *in, struct buf *ret_json) _must_check_;

/* The OCI `process` object for an exec in a container made with *spec_json*: same user, environment,
 * directory, capabilities, no_new_privs, rlimits, labels; *args*, *terminal* as asked. */
struct err *spec_build_exec(const char *spec_json, size_t len, char *const *args, size_t n_args,
			    bool terminal, struct buf *ret_json) _must_check_;

#endif
