/* remote.h: a process in a container on this terminal: exec and attach over SPDY. */
#ifndef CRISP_REMOTE_H
#define CRISP_REMOTE_H

#include "base/err.h"

#define REMOTE_STATUS_MAX 8192     /* bytes of the status that ends a session */

struct remote {
	const char *url;
	bool want_stdin, terminal;
};

/* Until the process ends. *ret_status: its exit status. The terminal is as before, whatever happens. */
struct err *remote_run(const struct remote *r, int *ret_status) _must_check_;

/* The status that a server of v4.channel.k8s.io sends at the end: a metav1.Status in JSON. */
struct err *remote_parse_status(const char *text, size_t len, int *ret_status) _must_check_;

#endif
