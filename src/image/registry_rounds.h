/* registry_rounds.h: inside registry: which endpoint is tried when. One round asks each that has the
 * capability, in order, until one succeeds. What can pass (connection, time, 429, 5xx) is tried again in
 * the next round after a pause that grows; what cannot is not asked again. */
#ifndef CRISP_REGISTRY_ROUNDS_H
#define CRISP_REGISTRY_ROUNDS_H

#include "image/registry_http.h"

struct attempt {
	int64_t retry_after_ns;   /* the server asked to be left alone so long */
	bool progress;            /* something came: the rounds begin again */
	bool fatal;               /* no other endpoint can help */
};

struct rounds {
	struct registry *registry;
	bool by_tag;              /* needs `resolve`; else `pull` */
	int64_t deadline_ns;
	int64_t idle_ns;          /* 0, or: so long without progress is the end */
	unsigned int tries_max;   /* 0: as many as rounds and endpoints give */
	struct err *(*attempt)(struct endpoint *e, void *context, struct attempt *a);
	void *context;
};

/* NULL: an attempt succeeded. Else what each endpoint's last attempt failed with, in one sentence; its kind is
 * that of the last endpoint, which is the registry itself. */
struct err *rounds_run(const struct rounds *r) _must_check_;

#endif
