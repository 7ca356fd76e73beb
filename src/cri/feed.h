/* feed.h: one stream of messages for several readers, each with a bounded queue of its own.
 *
 * Who publishes never waits: a reader that does not keep up is cut off and told so. Messages are shared between the queues,
 * counted. Any thread may publish; a reader belongs to the thread that opened it.
 */
#ifndef CRISP_FEED_H
#define CRISP_FEED_H

#include "base/err.h"
#include "base/list.h"

#include <pthread.h>

#define FEED_READERS_MAX 16        /* each takes a worker thread: few of GRPC_WORKERS_MAX */
#define FEED_EVENTS_MAX  1024      /* waiting for one reader */
#define FEED_BYTES_MAX   MIB(1)    /* the same, in bytes */

struct feed_reader;

struct feed {
	pthread_mutex_t lock;
	struct list readers;
	unsigned n_readers;
	bool ended;
};

struct feed_item {
	unsigned refs;              /* under the feed's lock */
	size_t len;
	unsigned char bytes[];
};

void feed_init(struct feed *f);
void feed_done(struct feed *f);                 /* when all readers are closed */
bool feed_wanted(struct feed *f);               /* has readers */
void feed_publish(struct feed *f, const void *p, size_t n);    /* copied, once */
void feed_end(struct feed *f);                  /* readers hear ERR_UNAVAILABLE once their queue is empty */

/* ERR_EXHAUSTED: there are too many. */
struct err *feed_open(struct feed *f, struct feed_reader **ret) _must_check_;
void feed_close(struct feed_reader *r);         /* NULL is fine */
int feed_fd(const struct feed_reader *r);       /* readable when feed_next() has something to say */
/* The next item, counted (feed_item_put), NULL if there is none now. ERR_EXHAUSTED: the reader was too slow and has
 * missed some, at once; ERR_UNAVAILABLE: the feed has ended. */
struct err *feed_next(struct feed_reader *r, struct feed_item **ret) _must_check_;
void feed_item_put(struct feed *f, struct feed_item *item);

#endif
