/* redeem.h: what a claimed token stands for, done: with the pod's monitor, by serve. */
#ifndef CRISP_REDEEM_H
#define CRISP_REDEEM_H

#include "stream/tokens.h"

struct redeemed {
	int conn, in, out, err;      /* as enum stream_fds; -1: none */
};
void redeemed_done(struct redeemed *r);

/* CLAIM's answer. */
void redeem_describe(const struct token *t, struct message *m);
/* *ret* is set in any case; redeemed_done() it. */
struct err *redeem_start(const struct token *t, struct redeemed *ret) _must_check_;
/* START's answer; the descriptors stay borrowed. */
void redeem_put(const struct redeemed *r, struct message *m);

#endif
