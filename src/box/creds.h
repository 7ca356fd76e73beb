/* creds.h: resource limits, groups, user and bounding set of the process that is about to be the container's. */
#ifndef CRISP_CREDS_H
#define CRISP_CREDS_H

#include "box/oci.h"

/* The maker's part: hard limits above our own need the node's CAP_SYS_RESOURCE, which a user namespace ends;
 * children inherit them. Likewise oom_score_adj, through the node's /proc: init has it before it fills memory. */
struct err *creds_raise_limits(const struct oci_process *p) _must_check_;
struct err *creds_set_oom_score(const struct oci_process *p) _must_check_;

struct err *creds_set_limits(const struct oci_process *p) _must_check_;
/* Bounding set, groups, gid, uid; permitted capabilities stay until caps_set(). */
struct err *creds_set_user(const struct oci_process *p) _must_check_;
/* The program can open /dev/stdout anew only if it is its own. /dev/null is everybody's; what cannot be
 * given away (a read-only file system, a socket's peer) stays as it is. *gid* -1: stays. */
void creds_own_stdio(int fd, uint32_t uid, gid_t gid);

/* All that is permitted becomes effective. */
struct err *creds_raise(void) _must_check_;
/* Root of the user namespace that was just entered. */
struct err *creds_become_root(void) _must_check_;

#endif
