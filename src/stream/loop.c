#include "stream/loop.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#define ROUND_EVENTS 64

struct err *loop_init(struct loop *l)
{
	*l = (struct loop){ .fd = epoll_create1(EPOLL_CLOEXEC) };
	if (l->fd < 0)
		return err_errno(errno, "epoll");
	return NULL;
}

static void free_dead(struct loop *l)
{
	for (size_t i = 0; i < l->n_dead; i++)
		free(l->dead[i]);
	l->n_dead = 0;
}

void loop_done(struct loop *l)
{
	free_dead(l);
	free(l->dead);
	l->dead = NULL;
	l->cap_dead = 0;
	base_close_p(&l->fd);
	l->fd = -1;
}

void watch_init(struct watch *w, int fd, void (*ready)(struct watch *, uint32_t))
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	*w = (struct watch){ .fd = fd, .ready = ready };
}

void watch_set(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (w->fd < 0 || w->events == events)
		return;
	int op = !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	/* Regular files and the like can't be waited for (EPERM): they are always ready, and nobody hands
	 * us one. Memory for one more entry is the only other failure: then the wait never ends, and the
	 * session's deadline does it. */
	if (epoll_ctl(l->fd, op, w->fd, &e) == 0)
		w->events = events;
}

void watch_close(struct loop *l, struct watch *w)
{
	if (w->fd < 0)
		return;
	/* A duplicate elsewhere would keep a closed descriptor in the set (epoll(7)). */
	watch_set(l, w, 0);
	base_close_p(&w->fd);
	w->fd = -1;
}

void loop_free(struct loop *l, void *p)
{
	if (l->n_dead == l->cap_dead) {
		l->cap_dead = l->cap_dead ? 2 * l->cap_dead : 16;
		l->dead = base_realloc(l->dead, l->cap_dead, sizeof(*l->dead));
	}
	l->dead[l->n_dead++] = p;
}

struct err *loop_round(struct loop *l, int64_t deadline_ns)
{
	struct epoll_event events[ROUND_EVENTS];
	int n = epoll_wait(l->fd, events, ROUND_EVENTS, clock_ms_until(deadline_ns));

	if (n < 0 && errno != EINTR)
		return err_errno(errno, "epoll_wait");
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		if (w->fd >= 0 && w->events)
			w->ready(w, events[i].events);
	}
	free_dead(l);
	return NULL;
}
