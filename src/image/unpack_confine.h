/* unpack_confine.h: takes from the role `unpack` all that it does not need.
 *
 * Two steps, because threads are made between them: user, network, descriptors and limits first
 * (single-threaded), system calls last (all threads at once).
 */
#ifndef CRISP_UNPACK_CONFINE_H
#define CRISP_UNPACK_CONFINE_H

#include "base/err.h"

struct unpack_confine {
	uid_t uid;	    /* user and group; 0: stay */
	uint64_t memory;    /* bytes of address space; 0: no bound */
	uint64_t image_max; /* bytes of the image file */
};

/* No new privileges, no network, own user, only descriptors 0, 2, 3, 4, limits, no core dump. */
struct err *unpack_confine_process(const struct unpack_confine *c) _must_check_;

/* From here on: reading and writing what is open, memory that is not executable, waiting, ending. Any other
 * system call ends the process. */
struct err *unpack_confine_calls(void) _must_check_;

#endif
