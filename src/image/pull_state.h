/* pull_state.h: inside pull: what pull.c (callers) and pull_run.c (the pull's own thread) share. */
#ifndef CRISP_PULL_STATE_H
#define CRISP_PULL_STATE_H

#include "base/list.h"
#include "base/thread.h"
#include "image/pull.h"

#include <stdatomic.h>

#define PULL_STACK KIB(256)

struct manifest;
struct image_config;

struct puller {
	struct puller_options o;
	pthread_mutex_t lock;
	pthread_cond_t room;
	struct list pulls;
	unsigned running;
};

struct pull {
	struct list link;           /* (lock) */
	struct puller *puller;
	char *key;                  /* reference and who asks: the same is one pull */
	struct reference ref;       /* from an archive: the digest only */
	struct reference named;     /* what it is called, unless as that */
	struct fetch *archive;      /* borrowed, or NULL */
	struct strv tags, digest_refs;  /* of an archive's image */
	char *text;                 /* the reference as asked */
	struct fetch_auth auth;     /* copies */
	bool has_auth;
	unsigned callers;           /* (lock) */
	unsigned refs;              /* (lock) callers and the thread */
	bool cancelled;             /* (lock) */
	struct fetch *fetch;        /* (lock) for cancelling */
	int cancel_fd;              /* eventfd, readable for ever once nobody wants it or it has failed */
	int done_fd;                /* eventfd, readable for ever once the pull is over */
	struct err *error;          /* after done */
	char id[72];
	_Atomic(const char *) stage;
	struct pull_steps steps;    /* (lock) */
	_Atomic uint64_t bytes;
	uint64_t total;
	int64_t started_ns;
	struct strv layers;         /* (lock) */
	/* the layers' threads */
	const struct manifest *manifest;
	const struct image_config *config;
	size_t next;                /* (lock) */
	uint64_t uncompressed;      /* (lock) */
	struct err *layer_error;    /* (lock) the first one */
};

/* Lock held. Gives a caller's or the thread's share back. */
void pull_unref(struct pull *p);
/* Lock held. Ends its processes; its threads notice. */
void pull_give_up(struct pull *p);

/* The thread's function: owns one reference. */
void *pull_thread(void *pull);

#endif
