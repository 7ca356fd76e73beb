/* forward.h: local TCP ports whose connections end in a pod. */
#ifndef CRISP_FORWARD_H
#define CRISP_FORWARD_H

#include "base/err.h"

#define FORWARD_PORTS_MAX 16

struct forward_port {
	uint16_t local, remote;         /* local 0: any */
};

/* "8080", "9000:8080", ":8080" */
struct err *forward_parse(const char *text, struct forward_port *ret) _must_check_;

/* Until the session ends, which is an error: it goes on for as long as the user wants. */
struct err *forward_run(const char *url, const struct forward_port *ports, size_t n) _must_check_;

#endif
