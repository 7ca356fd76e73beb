/* extension.h: what crisp adds to OCI's objects, under names that OCI leaves free. */
#ifndef CRISP_EXTENSION_H
#define CRISP_EXTENSION_H

/* Member of a `process` object for exec: the container's linux.seccomp, which setns(2) does not bring along. */
#define EXTENSION_SECCOMP "org.crisp.seccomp"

/* Member of a `process` object: variables that are not UTF-8, which JSON cannot hold: {"INDEX": "HEX"}, where INDEX is the
 * place in `env` of its readable form and HEX the bytes of NAME=VALUE. */
#define EXTENSION_ENV "org.crisp.env"

#endif
