/* caps.h: capabilities(7): names, and a thread's own sets as 64-bit masks.
 *
 * Names are as OCI writes them ("CAP_CHOWN"). Sets beyond what the running kernel knows are cut
 * to what it knows.
 */
#ifndef CRISP_CAPS_H
#define CRISP_CAPS_H

#include "base/err.h"

#define CAPS_N 41   /* CAP_CHOWN … CAP_CHECKPOINT_RESTORE, as of Linux 5.9 */

/* "CAP_CHOWN"; NULL past the last. */
const char *caps_name(unsigned int cap);
/* With or without "CAP_", any case; -1: unknown. */
int caps_from_name(const char *name);

struct caps {
	uint64_t effective, permitted, inheritable, bounding, ambient;
};

/* Drops from the bounding set what *bounding* lacks. Needs CAP_SETPCAP. */
struct err *caps_limit_bounding(uint64_t bounding) _must_check_;
/* capset(2), then the ambient set. What is in *ambient* must be inheritable and permitted. */
struct err *caps_set(const struct caps *c) _must_check_;
/* capget(2) of ourselves; bounding and ambient by prctl(2). */
struct err *caps_get(struct caps *ret) _must_check_;

#endif
