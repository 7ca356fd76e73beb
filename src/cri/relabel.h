/* relabel.h: the SELinux label of a volume that the kubelet wants relabelled (Mount.selinux_relabel). */
#ifndef CRISP_RELABEL_H
#define CRISP_RELABEL_H

#include "base/err.h"

#define RELABEL_DEPTH_MAX 512           /* directories within each other: each holds a descriptor */
#define RELABEL_FILES_MAX (16u << 20)   /* files of one volume */

/* Gives the extended attribute *attr* (RELABEL_ATTR) of all that is in *path* the value *label*: by descriptors, links
 * not followed, mounts not crossed. *path* itself comes last, so that one which has it already was done as a whole
 * and is left alone. A file system without labels is fine. Directories that belong to the node are refused, whatever
 * the request says (CVE-2021-43816). */
#define RELABEL_ATTR "security.selinux"
struct err *relabel_volume(const char *path, const char *attr, const char *label) _must_check_;

/* ERR_INVALID for directories of the node that no volume is. *path* is resolved (realpath). */
struct err *relabel_check(const char *path) _must_check_;

#endif
