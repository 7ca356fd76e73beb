#include "wire/grpc_server.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* Threads are made when a call finds none free and end after GRPC_WORKER_IDLE_S: an idle server has none.
 * `n_idle` counts threads that run no call, new ones included, so that two calls never count on one. */

static void idle_deadline(struct timespec *ret)
{
	clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += GRPC_WORKER_IDLE_S;
}

/* Lock held. NULL: this thread is to end. */
static struct grpc_call *next_call(struct grpc_server *s)
{
	struct timespec until;

	idle_deadline(&until);
	while (list_empty(&s->waiting)) {
		if (s->stopping)
			return NULL;
		if (pthread_cond_timedwait(&s->work, &s->lock, &until) == ETIMEDOUT && list_empty(&s->waiting))
			return NULL;
	}
	struct grpc_call *c = container_of(s->waiting.next, struct grpc_call, waiting);

	list_remove(&c->waiting);
	c->is_waiting = false;
	s->n_waiting--;
	return c;
}

static void *worker(void *arg)
{
	struct grpc_server *s = arg;
	struct grpc_call *c;

	pthread_mutex_lock(&s->lock);
	while ((c = next_call(s))) {
		s->n_idle--;
		s->n_running++;
		pthread_mutex_unlock(&s->lock);
		s->handler(c, s->context);
		pthread_mutex_lock(&s->lock);
		s->n_running--;
		s->n_idle++;
	}
	s->n_idle--;
	s->n_threads--;
	pthread_cond_broadcast(&s->ended);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Lock held. Signals are the main thread's. */
static int spawn(struct grpc_server *s)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, GRPC_WORKER_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&thread, &attr, worker, s);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (r == 0) {
		s->n_threads++;
		s->n_idle++;
	}
	return r;
}

void grpc_workers_drop(struct grpc_server *s, struct grpc_call *c)
{
	list_remove(&c->waiting);
	c->is_waiting = false;
	s->n_waiting--;
	c->refs--;
}

void grpc_workers_submit(struct grpc_server *s, struct grpc_call *c)
{
	int failed = 0;

	pthread_mutex_lock(&s->lock);
	c->refs++;
	c->is_waiting = true;
	list_push_back(&s->waiting, &c->waiting);
	s->n_waiting++;
	if (s->n_waiting > s->n_idle && s->n_threads < GRPC_WORKERS_MAX)
		failed = spawn(s);
	pthread_cond_signal(&s->work);
	/* No thread at all will ever come for it. */
	failed = failed && s->n_threads == 0;
	if (failed)
		grpc_workers_drop(s, c);
	pthread_mutex_unlock(&s->lock);
	if (failed)
		grpc_call_refuse(c, GRPC_RESOURCE_EXHAUSTED, "no thread can be started for this call");
}
