/* ulimit.h: a resource limit as the configuration writes it: "nofile=1024:4096", "core=0", "memlock=unlimited". */
#ifndef CRISP_ULIMIT_H
#define CRISP_ULIMIT_H

#include "base/err.h"

struct ulimit {
	char type[24];          /* "RLIMIT_NOFILE", as OCI has it */
	uint64_t soft, hard;    /* UINT64_MAX: no limit */
};

/* ERR_INVALID says what is wrong. */
struct err *ulimit_parse(const char *text, struct ulimit *ret) _must_check_;

#endif
