#include "cri/events.h"

#include "base/log.h"
#include "box/cgroup.h"
#include "cri/container_events.h"
#include "cri/reload.h"
#include "pod/client.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#define EVENTS_AT_ONCE 32
/* Calls in flight at SIGTERM may end for so long. */
#define STOP_WAIT_NS (5 * NS_PER_S)

/* What an epoll event is about: one of these words, or a pod. */
static char about_grpc, about_signal;

static struct err *watch(struct serve *s, int fd, void *about)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = about };

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_errno(errno, "epoll");
	return NULL;
}

/* Blocked before there is any other thread: the kernel gives a signal to whichever lets it through, and the default
 * action of SIGHUP ends the process. */
static struct err *open_signals(struct serve *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return err_new(ERR_INTERNAL, "block signals");
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return err_errno(errno, "signalfd");
	return watch(s, s->signals, &about_signal);
}

struct err *events_init(struct serve *s)
{
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return err_errno(errno, "epoll");
	return open_signals(s);
}

/* The subscription holds a reference: an event may come after the pod has left the table. */
struct err *serve_watch_pod(struct serve *s, struct pod *p)
{
	int conn = -1;

	TRY_WRAP(pod_subscribe(p->dir, &conn), "monitor's events");
	p->events = conn;
	pod_ref(&s->pods, p);
	struct err *e = watch(s, conn, p);

	if (e) {
		base_close_p(&p->events);
		pod_put(&s->pods, p);
	}
	return e;
}

static struct container *container_of_pod(struct serve *s, struct pod *p, const char *id)
{
	struct container *hit = NULL;

	pods_lock(&s->pods);
	pods_each_container(c, p) {
		if (!strcmp(c->o.id, id)) {
			hit = c;
			hit->o.refs++;
			break;
		}
	}
	pods_unlock(&s->pods);
	return hit;
}

static void hear_exit(struct serve *s, struct pod *p, const struct pod_exit *x)
{
	struct container *c = container_of_pod(s, p, x->id);

	if (!c)
		return;
	log_info("container %s of pod %s ended: exit code %d%s", container_metadata(c)->name, pod_metadata(p)->name,
		 x->code, x->oom ? ", out of memory" : "");
	container_ended(s, c, x);
	container_put(&s->pods, c);
}

/* Lock held. */
static void end_unseen(struct container *c)
{
	if (c->cgroup)
		err_ignore(cgroup_kill(c->cgroup));
	c->state = CONTAINER_EXITED;
	c->exit_code = EXIT_UNSEEN;
	c->finished_ns = clock_wall_ns();
	c->pid = 0;
	free(c->message);
	c->message = base_strdup("the pod's monitor was killed: how it ended is not known");
}

/* The monitor is gone: after StopPodSandbox as it should be, else killed. Then its containers are without a parent
 * and without logs: they are ended, and the kubelet hears that they did. */
static void monitor_gone(struct serve *s, struct pod *p)
{
	struct container *ended[MONITOR_CONTAINERS_MAX];
	bool unexpected = false;
	size_t n = 0;

	pods_lock(&s->pods);
	if (p->state == POD_READY && !p->o.busy) {
		unexpected = true;
		p->state = POD_STOPPED;
	}
	pods_each_container(c, p) {
		if (c->state == CONTAINER_EXITED || c->state == CONTAINER_MAKING)
			continue;
		end_unseen(c);
		if (n == ARRAY_LEN(ended))
			continue;
		c->o.refs++;
		ended[n++] = c;
	}
	pods_changed(&s->pods);
	pods_unlock(&s->pods);
	for (size_t i = 0; i < n; i++) {
		container_event(s, p, ended[i], EVENT_STOPPED);
		container_put(&s->pods, ended[i]);
	}
	if (unexpected) {
		log_error("pod %s: its monitor is gone; its containers were ended", pod_metadata(p)->name);
		container_event(s, p, NULL, EVENT_STOPPED);
	}
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, p->events, NULL);
	base_close_p(&p->events);
	pod_put(&s->pods, p);
}

static void hear_monitor(struct serve *s, struct pod *p)
{
	struct pod_exit x;
	bool eof = false;
	struct err *e = pod_wait_exit(p->events, clock_mono_ns(), &x, &eof);

	if (err_is(e, ERR_TIMEOUT)) {
		err_free(e); /* nothing whole there yet */
		return;
	}
	if (e || eof) {
		err_ignore(e);
		monitor_gone(s, p);
		return;
	}
	hear_exit(s, p, &x);
}

/* True when it is time to go. */
static bool hear_signal(struct serve *s, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			return true;
		reload_now(s);
	}
	return false;
}

struct err *events_run(struct serve *s, int listen_fd)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	TRY(grpc_server_new(listen_fd, rpc_dispatch, s, &s->grpc));
	TRY(watch(s, grpc_server_fd(s->grpc), &about_grpc));
	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS_AT_ONCE, -1);

		if (n < 0 && errno != EINTR)
			return err_errno(errno, "epoll_wait");
		for (int i = 0; i < n; i++) {
			void *about = events[i].data.ptr;

			if (about == &about_grpc) {
				TRY(grpc_server_run_once(s->grpc));
			} else if (about == &about_signal) {
				if (!hear_signal(s, s->signals))
					continue;
				log_info("going away; pods stay");
				feed_end(&s->feed);
				grpc_server_free(s->grpc, clock_mono_ns() + STOP_WAIT_NS);
				return NULL;
			} else {
				hear_monitor(s, about);
			}
		}
	}
}
