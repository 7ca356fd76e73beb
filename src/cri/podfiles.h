/* podfiles.h: a pod's directory STATE/pods/ID and the files its containers get: /dev/shm, resolv.conf, hostname,
 * hosts. */
#ifndef CRISP_PODFILES_H
#define CRISP_PODFILES_H

#include "cri/serve.h"

/* The directory (0700), shm (tmpfs, unless the IPC namespace is the node's), the files. */
struct err *podfiles_make(struct serve *s, struct pod *p) _must_check_;
/* The pod's addresses into its hosts file, once it has them. */
struct err *podfiles_add_addresses(struct serve *s, struct pod *p) _must_check_;
/* Unmounts shm, removes the directory. Idempotent. */
struct err *podfiles_remove(struct serve *s, struct pod *p) _must_check_;

/* Where a container finds them; NULL where the pod has none of its own. In *a*. */
const char *podfiles_path(struct arena *a, const struct pod *p, const char *name);

#define PODFILE_SHM      "shm"
#define PODFILE_RESOLV   "resolv.conf"
#define PODFILE_HOSTNAME "hostname"
#define PODFILE_HOSTS    "hosts"

#endif
