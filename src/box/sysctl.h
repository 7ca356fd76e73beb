/* sysctl.h: the spec's sysctls, written in the container's namespaces.
 *
 * Keys and values are pairs to the end (CVE-2022-0811 came of joining them), and only keys that the
 * kernel keeps per namespace are taken, each only with a namespace of the container's (or its pod's) own.
 */
#ifndef CRISP_SYSCTL_H
#define CRISP_SYSCTL_H

#include "box/oci.h"

/* ERR_INVALID says which is refused and why. */
struct err *sysctl_check(const struct oci_spec *spec) _must_check_;
/* *proc_fd*: a detached procfs (rule R4). */
struct err *sysctl_apply(int proc_fd, const struct oci_spec *spec) _must_check_;

/* CLONE_NEW* of the namespace that a sysctl is of; 0: of none that a pod can have. */
int sysctl_namespace_flag(const char *key, size_t len);

#endif
