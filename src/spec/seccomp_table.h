/* seccomp_table.h: the default seccomp profile as data: which system calls, for whom.
 *
 * What no row allows is refused with EPERM; numbers past the last that the profile knows do not exist (ENOSYS): that is
 * the executor's doing, as it is runc's. Names are separated by blanks; those an architecture lacks are passed over when
 * the profile is loaded.
 */
#ifndef CRISP_SECCOMP_TABLE_H
#define CRISP_SECCOMP_TABLE_H

#include "base/base.h"

struct seccomp_row {
	const char *names;
	uint64_t caps;   /* allowed to who has one of these; 0: to all */
};

extern const struct seccomp_row seccomp_rows[];
extern const size_t seccomp_rows_n;

/* Of this build's architecture: SCMP_ARCH_*, the native one first, and the calls that only it has. */
extern const char *const seccomp_arches[];
extern const size_t seccomp_arches_n;
extern const char seccomp_native_names[];
extern const char seccomp_go_arch[];    /* as Go, and so Docker's profiles, call it */

#endif
