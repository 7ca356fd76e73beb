/* The loop: epoll, the table of what a readable descriptor means, and what is due when. */
#include "pod/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

void mon_close_fd(int *fd)
{
	base_close_p(fd);
	*fd = -1;
}

/* kind (8 bits), index (24), generation (32): an event for a slot that was given back finds nothing. */
static uint64_t watch_key(enum watch kind, size_t index, uint32_t gen)
{
	return (uint64_t)kind << 56 | (uint64_t)index << 32 | gen;
}

struct err *mon_watch_add(enum watch kind, size_t index, uint32_t gen, int fd, bool output)
{
	struct epoll_event ev = { .events = output ? EPOLLOUT : EPOLLIN,
				  .data.u64 = watch_key(kind, index, gen) };

	if (epoll_ctl(MONITOR_FD_EPOLL, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_errno(errno, "epoll");
	return NULL;
}

void mon_watch_remove(int fd)
{
	epoll_ctl(MONITOR_FD_EPOLL, EPOLL_CTL_DEL, fd, NULL);
}

static void on_listen(struct monitor *m, unsigned i)
{
	(void)i;
	mon_client_accept(m);
}

static void on_signal(struct monitor *m, unsigned i)
{
	(void)i;
	mon_reap_children(m);
}

static void on_out(struct monitor *m, unsigned i)
{
	mon_output_ready(m, i, 0);
}

static void on_err(struct monitor *m, unsigned i)
{
	mon_output_ready(m, i, 1);
}

static void on_sink_out(struct monitor *m, unsigned i)
{
	mon_attach_ready(m, i, 0);
}

static void on_sink_err(struct monitor *m, unsigned i)
{
	mon_attach_ready(m, i, 1);
}

#define GEN_OF(array)  offsetof(struct monitor, array[0].gen), sizeof(((struct monitor *)0)->array[0]), \
		       ARRAY_LEN(((struct monitor *)0)->array)

/* Where a slot's generation is kept, so that the loop checks it in one place. n 0: there is but one. */
static const struct {
	void (*handle)(struct monitor *m, unsigned index);
	size_t gen, size, n;
} watches[WATCH_N] = {
	[WATCH_LISTEN] = { on_listen, 0, 0, 0 },
	[WATCH_SIGNAL] = { on_signal, 0, 0, 0 },
	[WATCH_CLIENT] = { mon_client_read, GEN_OF(clients) },
	[WATCH_JOB] = { mon_job_read, GEN_OF(jobs) },
	[WATCH_OUT] = { on_out, GEN_OF(containers) },
	[WATCH_ERR] = { on_err, GEN_OF(containers) },
	[WATCH_STARTED] = { mon_container_started, GEN_OF(containers) },
	[WATCH_EXEC_STARTED] = { mon_exec_started, GEN_OF(execs) },
	[WATCH_SINK_OUT] = { on_sink_out, GEN_OF(attaches) },
	[WATCH_SINK_ERR] = { on_sink_err, GEN_OF(attaches) },
};

static void handle(struct monitor *m, uint64_t key)
{
	unsigned kind = (unsigned)(key >> 56), index = (unsigned)(key >> 32) & 0xffffff;
	uint32_t gen = (uint32_t)key, now;

	if (kind >= WATCH_N || (watches[kind].n && index >= watches[kind].n))
		return;
	if (watches[kind].n) {
		memcpy(&now, (const char *)m + watches[kind].gen + index * watches[kind].size, sizeof(now));
		if (now != gen)
			return;
	}
	watches[kind].handle(m, index);
}

void mon_step(struct monitor *m, int64_t deadline_ns)
{
	struct epoll_event events[32];
	int n = epoll_wait(MONITOR_FD_EPOLL, events, ARRAY_LEN(events), clock_ms_until(deadline_ns));

	for (int i = 0; i < n && !m->done; i++)
		handle(m, events[i].data.u64);
}

int64_t mon_tick(struct monitor *m)
{
	int64_t now = clock_mono_ns(), next = CLOCK_NEVER;

	if (m->accept_ns && now >= m->accept_ns) {
		m->accept_ns = 0;
		err_ignore(mon_watch_add(WATCH_LISTEN, 0, 0, MONITOR_FD_LISTEN, false));
		mon_client_accept(m);
	}
	if (m->accept_ns)
		next = m->accept_ns;
	for (unsigned i = 0; i < m->n_containers; i++)
		next = MIN(next, mon_output_tick(m, i, now));
	for (unsigned i = 0; i < m->n_attaches; i++)
		next = MIN(next, mon_attach_tick(m, i, now));
	if (m->started || m->n_clients)
		return next;
	if (now >= m->lonely_ns)
		m->done = true;
	return MIN(next, m->lonely_ns);
}
