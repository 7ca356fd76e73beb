/* config.h: serve's configuration: /etc/crisp/config.toml and drop-ins, every key in one table (config.c).
 *
 * Drop-ins config.d/NAME.toml of /usr/lib/crisp, /etc/crisp and /run/crisp are read after the file, by name; the same name in a
 * later directory replaces it. An unknown key or a wrong type is an error that names file and line.
 */
#ifndef CRISP_CONFIG_H
#define CRISP_CONFIG_H

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

#define CONFIG_RUNTIME_PATH_MAX 200     /* bytes of a runtime's paths */

/* Another OCI runtime, a RuntimeClass's handler (cri/handlers.h). */
struct config_runtime {
	char *name, *path;
	char *root;                     /* "": STATE/runtime/NAME */
	bool privileged_without_host_devices;
	bool asked, recursive_readonly, idmap;  /* what its `features` said, once asked; handlers.c's alone */
};

struct config {
	char *root;                     /* /var/lib/crisp */
	char *state;                    /* /run/crisp */
	char *listen;                   /* unix:///run/crisp/crisp.sock */
	char *log_level;
	char *cgroup_driver;            /* "cgroupfs" or "systemd" */
	char *monitor_cgroup;           /* where monitors live: "/crisp" */
	char *stream_address;           /* 127.0.0.1:0 */
	char *certs_dir;                /* /etc/crisp/certs.d */
	char *registries_conf;          /* /etc/containers/registries.conf */
	char *registries_certs_dir;     /* /etc/containers/certs.d */
	char *auth_file;                /* /etc/crisp/auth.json */
	char *cni_conf_dir;
	struct strv cni_bin_dirs;
	uint64_t cni_timeout_s;
	struct strv image_stores;       /* baked stores */
	struct strv import_dirs;        /* image/import.h */
	struct strv pinned_images;
	struct strv default_env;
	struct strv default_ulimits;    /* spec/ulimit.h */
	struct strv default_sysctls;    /* KEY=VALUE */
	uint64_t pids_limit;            /* of a container; 0: none */
	uint64_t pull_timeout_s;        /* without progress */
	uint64_t pull_max_bytes;        /* uncompressed, of one image */
	uint64_t pull_parallel;
	uint64_t unprivileged_uid;      /* of fetch, unpack and stream */
	char *metrics_listen;           /* "": serve's own metrics are told nowhere */
	char *cadvisor_listen;          /* "": cAdvisor finds nobody to ask */
	uint64_t shm_size;              /* bytes of a pod's /dev/shm */
	char *apparmor_profile;         /* RuntimeDefault; "crisp-default" is our own */
	char *selinux;                  /* "auto", "on" or "off" */
	struct strv default_capabilities;
	char *seccomp_profile;          /* RuntimeDefault's file; "": built in */
	bool device_ownership_from_security_context, privileged_without_host_devices;
	struct strv absent_mount_sources_to_reject;
	struct strv cdi_dirs;           /* later ones win */
	struct config_runtime *runtimes;  /* [runtime.NAME] */
	size_t n_runtimes;
};

/* Defaults, then the files. *path* NULL: the default one, which may be missing. */
struct err *config_load(const char *path, struct config *ret) _must_check_;
void config_done(struct config *c);

/* At a reload: what may change while serve runs goes from *fresh* into *now*, and what was there into *fresh*. The names
 * of keys that differ: taken, and waiting for a restart. */
void config_take(struct config *now, struct config *fresh, struct strv *ret_taken, struct strv *ret_later);

/* The documentation of every key, as TOML with comments: `crisp serve --print-config`. Owned by the caller. */
char *config_describe(void);

#endif
