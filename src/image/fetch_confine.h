/* fetch_confine.h: takes from the role `fetch` all that it does not need, before it reads its first byte. */
#ifndef CRISP_FETCH_CONFINE_H
#define CRISP_FETCH_CONFINE_H

#include "base/err.h"

/* Own user and group (*uid* 0: stay), no new privileges, no core dump, limits, two readable files (those the
 * resolver needs), network sockets only, no other program, no other process. While single-threaded. */
struct err *fetch_confine(uid_t uid) _must_check_;

#endif
