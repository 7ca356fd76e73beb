/* extension.h: what crisp adds to OCI's objects, under names that OCI leaves free. */
#ifndef CRISP_EXTENSION_H
#define CRISP_EXTENSION_H

/* Member of a `process` object for exec: the container's linux.seccomp, which setns(2) does not bring along. */
#define EXTENSION_SECCOMP "org.crisp.seccomp"

#endif
