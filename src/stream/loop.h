/* loop.h: the stream process's one thread: epoll(7), descriptors with a function each.
 *
 * What a handler gives up is freed after the round (loop_free), so that later events of the same round
 * find their watch closed rather than gone. Handlers must take a wake-up for nothing.
 */
#ifndef CRISP_STREAM_LOOP_H
#define CRISP_STREAM_LOOP_H

#include "base/err.h"

struct watch {
	int fd;                 /* -1: closed */
	uint32_t events;        /* registered for; 0: not registered */
	void (*ready)(struct watch *w, uint32_t events);
};

struct loop {
	int fd;
	void **dead;
	size_t n_dead, cap_dead;
};

struct err *loop_init(struct loop *l) _must_check_;
void loop_done(struct loop *l);

/* Takes the descriptor over, makes it non-blocking; nothing is waited for yet. */
void watch_init(struct watch *w, int fd, void (*ready)(struct watch *, uint32_t));
/* 0 takes it out of the set: epoll reports hang-ups of what is in it, wanted or not. */
void watch_set(struct loop *l, struct watch *w, uint32_t events);
void watch_close(struct loop *l, struct watch *w);

/* free(3) at the end of the round. */
void loop_free(struct loop *l, void *p);

/* One round: waits until *deadline_ns* at most, runs handlers. */
struct err *loop_round(struct loop *l, int64_t deadline_ns) _must_check_;

#endif
