/* role.h: crisp as an OCI runtime: runc's command line, so that containerd's shim, conmon and the specification's tests
 * can drive the executor that our monitors use (box/).
 *
 *   crisp [--root DIR] [--log FILE] [--log-format json] [--systemd-cgroup] VERB …
 *
 * It shares a command line with the client verbs: oci_is_asked() says whose it is.
 */
#ifndef CRISP_ROLE_H
#define CRISP_ROLE_H

#include <stdbool.h>

/* The OCI runtime's: called by the name of one (runc, crun, crisp-oci); one of its global options comes first; a verb or
 * a form of a verb that the client has not; or a verb both have, on a container that was made here. */
bool oci_is_asked(int argc, char **argv);

/* argv[0] is crisp. Returns the exit status. */
int oci_main(int argc, char **argv);

#endif
