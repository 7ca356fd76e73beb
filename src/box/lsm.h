/* lsm.h: the labels of AppArmor and SELinux for the next exec. */
#ifndef CRISP_LSM_H
#define CRISP_LSM_H

#include "box/oci.h"

/* Through *proc_fd*, a detached procfs of the node's: what is mounted in the container cannot redirect
 * the write (CVE-2019-16884, CVE-2023-28642, CVE-2025-52881). */
struct err *lsm_set_exec(int proc_fd, const struct oci_process *p) _must_check_;

#endif
