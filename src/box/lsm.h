/* lsm.h: AppArmor and SELinux: which of them the node has, our own profile, the labels for the next exec. */
#ifndef CRISP_LSM_H
#define CRISP_LSM_H

#include "box/oci.h"

#define LSM_TEXT_MAX 4096       /* bytes of the list of modules, of a label */

/* The profile of box/apparmor.profile. */
#define LSM_APPARMOR_DEFAULT "crisp-default"

/* Which of them decides on this node: on at boot and, for SELinux, a policy loaded. */
struct err *lsm_look(bool *ret_apparmor, bool *ret_selinux) _must_check_;
/* True if *name* is a member of the kernel's list (securityfs, "lsm"). */
bool lsm_listed(const char *list, const char *name);

/* Loads LSM_APPARMOR_DEFAULT, or replaces it by this binary's. */
struct err *lsm_load_apparmor(void) _must_check_;

/* Through *proc_fd*, a detached procfs of the node's: what is mounted in the container cannot redirect
 * the write (CVE-2019-16884, CVE-2023-28642, CVE-2025-52881). */
struct err *lsm_set_exec(int proc_fd, const struct oci_process *p) _must_check_;

#endif
