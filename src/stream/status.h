/* status.h: how a remote command's end is told on its error channel (k8s.io/cri-streaming remotecommand). */
#ifndef CRISP_STREAM_STATUS_H
#define CRISP_STREAM_STATUS_H

#include "base/err.h"

/* *code* 0: success, which versions before 4 do not tell at all (""). Owned by the caller. */
char *status_exit(unsigned int version, int code);
/* What kept it from running or ending: *what* as "error executing command in container". */
char *status_failure(unsigned int version, const char *what, const struct err *e);

#endif
