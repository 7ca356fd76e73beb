/* events.h: the I/O thread: one epoll for calls, signals and the monitors' news. */
#ifndef CRISP_EVENTS_H
#define CRISP_EVENTS_H

#include "cri/serve.h"

/* Prepares the descriptor (before recovery, which adds monitors) and blocks the signals (before any thread). */
struct err *events_init(struct serve *s) _must_check_;
/* Until SIGTERM or SIGINT. */
struct err *events_run(struct serve *s, int listen_fd) _must_check_;

#endif
