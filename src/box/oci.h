/* oci.h: an OCI runtime spec (config.json, runtime-spec 1.2) as C structures.
 *
 * parse*.c fill it: types, ranges and counts are checked; members that this program does not know
 * are passed over, as the specification asks; what it knows but cannot do is an error. All memory is
 * the arena's. What depends on the node (paths, namespaces) is checked where it is used.
 */
#ifndef CRISP_OCI_H
#define CRISP_OCI_H

#include "base/arena.h"
#include "base/err.h"
#include "box/cgroup.h"
#include "sys/caps.h"
#include "sys/mount.h"

/* Limits on what a spec may hold. */
#define OCI_SPEC_MAX     (8u << 20)
#define OCI_ARGS_MAX     65536   /* execve(2) has its own limit of bytes */
#define OCI_MOUNTS_MAX   900     /* each may hold a descriptor until it is attached */
#define OCI_OPTIONS_MAX  128
#define OCI_PATHS_MAX    4096    /* masked, read-only */
#define OCI_DEVICES_MAX  4096
#define OCI_IDS_MAX      340     /* lines of a uid_map (user_namespaces(7)) */
#define OCI_GROUPS_MAX   65536
#define OCI_SYSCTLS_MAX  512
#define OCI_HOOKS_MAX    256
#define OCI_SYSCALLS_MAX 65536   /* names in one seccomp profile */

struct oci_id_map {
	uint32_t inside, outside, count;
};

struct oci_ids {
	struct oci_id_map *maps;
	size_t n;
};

struct oci_process {
	bool terminal;
	uint16_t rows, columns;         /* 0: not said */
	uint32_t uid, gid;
	uint32_t *groups;
	size_t n_groups;
	bool has_umask;
	uint32_t umask;
	char **args;                    /* NULL-terminated, as env */
	size_t n_args;
	char **env;
	size_t n_env;
	const char *cwd;
	struct caps caps;               /* empty where the spec has none */
	struct oci_rlimit {
		int resource;
		const char *name;
		uint64_t soft, hard;
	} *rlimits;
	size_t n_rlimits;
	bool no_new_privs;
	const char *apparmor, *selinux; /* NULL: none */
	bool has_oom_score_adj;
	int oom_score_adj;
};

/* What a mount's option words mean. */
struct oci_mount_flags {
	uint64_t set, clear;            /* MOUNT_ATTR_* of the mount */
	uint64_t rset, rclear;          /* the same for all below it ("rro") */
	uint64_t propagation;           /* MS_PRIVATE …, 0: none said */
	bool propagation_recursive;
	bool bind, recursive;           /* bind, rbind */
	bool idmap, idmap_recursive;
};

struct oci_mount {
	const char *destination, *type, *source;
	struct oci_mount_flags flags;
	struct mount_option *data;      /* what is the file system's own */
	size_t n_data;
	struct oci_ids uids, gids;
};

struct oci_device {
	const char *path;
	char type;                      /* 'c', 'b', 'p' */
	uint32_t major, minor, mode, uid, gid;
	bool has_ids;
};

struct oci_hook {
	const char *path;
	char **args, **env;
	uint64_t timeout_s;             /* 0: none */
};

enum oci_hook_kind {
	OCI_PRESTART, OCI_CREATE_RUNTIME, OCI_CREATE_CONTAINER, OCI_START_CONTAINER, OCI_POSTSTART, OCI_POSTSTOP,
	OCI_HOOK_KINDS,
};

enum oci_namespace_kind {
	OCI_NS_USER, OCI_NS_PID, OCI_NS_NET, OCI_NS_IPC, OCI_NS_UTS, OCI_NS_MOUNT, OCI_NS_CGROUP,
	OCI_NS_KINDS,
};

struct oci_namespace {
	bool wanted;
	const char *path;               /* NULL: a new one */
};

struct oci_seccomp_arg {
	unsigned int index;
	uint64_t value, value_two;
	unsigned int op;                /* enum seccomp_op in box/seccomp.h */
};

struct oci_seccomp_rule {
	char **names;
	size_t n_names;
	uint32_t action;                /* SECCOMP_RET_* with data */
	struct oci_seccomp_arg *args;
	size_t n_args;
};

struct oci_seccomp {
	uint32_t default_action;
	uint32_t *arches;               /* SCMP_ARCH_*, none: the native one */
	size_t n_arches;
	uint32_t flags;                 /* SECCOMP_FILTER_FLAG_* */
	struct oci_seccomp_rule *rules;
	size_t n_rules;
};

struct oci_spec {
	const char *version;
	const char *root;
	bool root_readonly;
	const char *hostname, *domainname;
	struct oci_process *process;    /* NULL: the container cannot be started */
	struct oci_mount *mounts;
	size_t n_mounts;
	struct oci_hook *hooks[OCI_HOOK_KINDS];
	size_t n_hooks[OCI_HOOK_KINDS];

	struct oci_namespace ns[OCI_NS_KINDS];
	struct oci_ids uids, gids;
	struct cgroup_pair *sysctls;
	size_t n_sysctls;
	struct oci_device *devices;
	size_t n_devices;
	const char *cgroups_path;       /* NULL: no cgroup of its own */
	struct cgroup_resources resources;
	struct cgroup_device *device_rules;
	size_t n_device_rules;
	uint64_t rootfs_propagation;
	char **masked, **readonly;
	size_t n_masked, n_readonly;
	const char *mount_label;
	struct oci_seccomp *seccomp;    /* NULL: none */
	struct yyjson_val *annotations; /* for the state that hooks read; NULL: none */
};

struct err *oci_parse(struct arena *a, const char *json, size_t len, struct oci_spec *ret) _must_check_;
/* A `process` object alone, as exec takes it. */
struct err *oci_parse_process_json(struct arena *a, const char *json, size_t len, struct oci_process *ret) _must_check_;

/* CLONE_NEW* of a kind, and its name in OCI. */
int oci_namespace_flag(enum oci_namespace_kind kind);
const char *oci_namespace_name(enum oci_namespace_kind kind);
const char *oci_hook_name(enum oci_hook_kind kind);

/* The words that parse*.c know, for who asks what this program can do; NULL past the last. */
const char *oci_mount_option(size_t i, char ret[32]);
const char *oci_seccomp_action(size_t i);
const char *oci_seccomp_operator(size_t i);
const char *oci_seccomp_flag(size_t i);

/* Parts, each in a file of its own; for parse.c. */
struct yyjson_val;
struct err *oci_parse_process(struct arena *a, struct yyjson_val *obj, struct oci_process *ret) _must_check_;
struct err *oci_parse_mounts(struct arena *a, struct yyjson_val *root, struct oci_spec *ret) _must_check_;
struct err *oci_parse_linux(struct arena *a, struct yyjson_val *obj, struct oci_spec *ret) _must_check_;
struct err *oci_parse_resources(struct arena *a, struct yyjson_val *obj, struct oci_spec *ret) _must_check_;
struct err *oci_parse_seccomp(struct arena *a, struct yyjson_val *obj, struct oci_spec *ret) _must_check_;
struct err *oci_parse_ids(struct arena *a, struct yyjson_val *obj, const char *key, struct oci_ids *ret) _must_check_;

/* Resources alone (the OCI command line's update). */
struct err *oci_parse_resources_json(struct arena *a, const char *json, size_t len, struct oci_spec *ret) _must_check_;

#endif
