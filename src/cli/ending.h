/* ending.h: why a container ended, in words a person can act on. Pure: from what is known to lines of text. */
#ifndef CRISP_ENDING_H
#define CRISP_ENDING_H

#include "base/buf.h"

#include <stddef.h>

struct ending {
	int code;                       /* as CRI says it: 128+n where signal n ended it */
	int signal;                     /* 0: it exited; -1: the runtime does not say */
	bool started, oom;
	const char *message;            /* of the runtime, "" if none */
	int64_t memory_limit;           /* bytes, 0: none */
	const char *const *log;         /* its last lines, oldest first */
	size_t n_log;
	bool stop_asked;                /* a StopContainer or StopPodSandbox was answered about then */
	bool denied;                    /* the kernel's log has a denial */
};

/* Sentences, one a line. */
void ending_explain(const struct ending *e, struct buf *ret);

#endif
