#include "cri/feed.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

struct feed_reader {
	struct list link;
	struct feed *feed;
	int fd;
	struct feed_item *queue[FEED_EVENTS_MAX];   /* a ring */
	size_t first, n, bytes;
	bool behind;
};

void feed_init(struct feed *f)
{
	*f = (struct feed){ 0 };
	pthread_mutex_init(&f->lock, NULL);
	list_init(&f->readers);
}

void feed_done(struct feed *f)
{
	pthread_mutex_destroy(&f->lock);
}

bool feed_wanted(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	bool wanted = f->n_readers > 0;

	pthread_mutex_unlock(&f->lock);
	return wanted;
}

/* Lock held. */
static void unref(struct feed_item *item)
{
	if (--item->refs == 0)
		free(item);
}

/* Lock held. */
static void drop_queue(struct feed_reader *r)
{
	for (; r->n; r->n--) {
		unref(r->queue[r->first]);
		r->first = (r->first + 1) % FEED_EVENTS_MAX;
	}
	r->bytes = 0;
}

/* Lock held. */
static void offer(struct feed_reader *r, struct feed_item *item)
{
	if (r->behind)
		return;
	if (r->n == FEED_EVENTS_MAX || r->bytes + item->len > FEED_BYTES_MAX) {
		r->behind = true;
		drop_queue(r);
	} else {
		r->queue[(r->first + r->n++) % FEED_EVENTS_MAX] = item;
		r->bytes += item->len;
		item->refs++;
	}
	eventfd_write(r->fd, 1);
}

void feed_publish(struct feed *f, const void *p, size_t n)
{
	struct feed_item *item = base_alloc(sizeof(*item) + n);

	item->refs = 1;
	item->len = n;
	if (n)
		memcpy(item->bytes, p, n);
	pthread_mutex_lock(&f->lock);
	list_each(it, &f->readers)
		offer(container_of(it, struct feed_reader, link), item);
	unref(item);
	pthread_mutex_unlock(&f->lock);
}

void feed_end(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	f->ended = true;
	list_each(it, &f->readers)
		eventfd_write(container_of(it, struct feed_reader, link)->fd, 1);
	pthread_mutex_unlock(&f->lock);
}

struct err *feed_open(struct feed *f, struct feed_reader **ret)
{
	struct feed_reader *r = base_alloc(sizeof(*r));
	struct err *e = NULL;

	r->feed = f;
	list_init(&r->link);
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fd < 0) {
		e = err_errno(errno, "eventfd");
		free(r);
		return e;
	}
	pthread_mutex_lock(&f->lock);
	if (f->n_readers == FEED_READERS_MAX) {
		e = err_new(ERR_EXHAUSTED, "events have %d readers already: no more", FEED_READERS_MAX);
	} else {
		list_push_back(&f->readers, &r->link);
		f->n_readers++;
		*ret = r;
	}
	pthread_mutex_unlock(&f->lock);
	if (e) {
		close(r->fd);
		free(r);
	}
	return e;
}

void feed_close(struct feed_reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->feed->lock);
	list_remove(&r->link);
	r->feed->n_readers--;
	drop_queue(r);
	pthread_mutex_unlock(&r->feed->lock);
	close(r->fd);
	free(r);
}

int feed_fd(const struct feed_reader *r)
{
	return r->fd;
}

struct err *feed_next(struct feed_reader *r, struct feed_item **ret)
{
	struct err *e = NULL;
	eventfd_t ignored;

	*ret = NULL;
	pthread_mutex_lock(&r->feed->lock);
	if (r->behind) {
		e = err_new(ERR_EXHAUSTED, "more than %d events or %zu bytes waited to be read: some are lost, list and "
					   "subscribe again", FEED_EVENTS_MAX, FEED_BYTES_MAX);
	} else if (r->n) {
		*ret = r->queue[r->first];
		r->first = (r->first + 1) % FEED_EVENTS_MAX;
		r->n--;
		r->bytes -= (*ret)->len;
	} else if (r->feed->ended) {
		e = err_new(ERR_UNAVAILABLE, "crisp serve is going away");
	} else {
		eventfd_read(r->fd, &ignored);
	}
	pthread_mutex_unlock(&r->feed->lock);
	return e;
}

void feed_item_put(struct feed *f, struct feed_item *item)
{
	if (!item)
		return;
	pthread_mutex_lock(&f->lock);
	unref(item);
	pthread_mutex_unlock(&f->lock);
}
