#include "image/unpack_pipe.h"
#include "image/inflate.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define STACK_SIZE KIB(256) /* the C libraries' defaults are 8 MiB and 128 KiB */

struct unpack_pipe {
	int fd, stop_fd;
	struct inflate *inflate; /* the thread's alone once it goes */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	/* under the lock */
	bool started, go, stop;
	unsigned filled, used;	       /* buffers ever filled and given back: filled - used <= BUFFERS */
	size_t n[UNPACK_PIPE_BUFFERS]; /* bytes in each; 0: the end, see failure */
	struct err *failure;	       /* of the thread, handed on at the end */
	/* the user's alone */
	bool holds, ended;
	unsigned char data[UNPACK_PIPE_BUFFERS][UNPACK_PIPE_BUFFER];
};

static struct err *read_fd(void *ctx, void *to, size_t max, size_t *ret_n)
{
	struct unpack_pipe *p = ctx;

	for (;;) {
		struct pollfd fds[] = {{.fd = p->fd, .events = POLLIN}, {.fd = p->stop_fd, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_errno(errno, "wait for the layer's bytes");
		if (fds[1].revents)
			return err_new(ERR_CANCELLED, "stopped");
		if (!fds[0].revents)
			continue;
		ssize_t n = read(p->fd, to, max);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_errno(errno, "read the layer");
		*ret_n = (size_t)n;
		return NULL;
	}
}

/* A free buffer to fill; false: stop. */
static bool wait_free(struct unpack_pipe *p, unsigned *ret_index)
{
	pthread_mutex_lock(&p->lock);
	while (!p->stop && (!p->go || p->filled - p->used == UNPACK_PIPE_BUFFERS))
		pthread_cond_wait(&p->change, &p->lock);
	*ret_index = p->filled % UNPACK_PIPE_BUFFERS;
	bool on = !p->stop;

	pthread_mutex_unlock(&p->lock);
	return on;
}

static void *run(void *ctx)
{
	struct unpack_pipe *p = ctx;
	unsigned index;
	size_t n = 1;

	pthread_mutex_lock(&p->lock);
	p->started = true;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	while (n > 0 && wait_free(p, &index)) {
		struct err *failure = inflate_read(p->inflate, p->data[index], UNPACK_PIPE_BUFFER, &n);

		if (failure)
			n = 0;
		pthread_mutex_lock(&p->lock);
		p->failure = failure;
		p->n[index] = n;
		p->filled++;
		pthread_cond_broadcast(&p->change);
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

static int start(struct unpack_pipe *p)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	int failed = pthread_create(&p->thread, &attr, run, p);

	pthread_attr_destroy(&attr);
	/* What the C library does in a new thread is not in the list of calls that remain. */
	pthread_mutex_lock(&p->lock);
	while (!failed && !p->started)
		pthread_cond_wait(&p->change, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return failed;
}

struct err *unpack_pipe_new(int fd, uint64_t max_bytes, struct unpack_pipe **ret)
{
	struct unpack_pipe *p = base_alloc(sizeof(*p));
	int failed;

	p->fd = fd;
	p->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (p->stop_fd < 0) {
		free(p);
		return err_errno(errno, "eventfd");
	}
	p->inflate = inflate_new((struct inflate_source){read_fd, p}, max_bytes);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->change, NULL);
	failed = start(p);
	if (failed) {
		inflate_free(p->inflate);
		close(p->stop_fd);
		free(p);
		return err_errno(failed, "start a thread");
	}
	*ret = p;
	return NULL;
}

void unpack_pipe_go(struct unpack_pipe *p)
{
	pthread_mutex_lock(&p->lock);
	p->go = true;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
}

struct err *unpack_pipe_next(struct unpack_pipe *p, const unsigned char **ret_p, size_t *ret_n)
{
	struct err *failure = NULL;

	*ret_n = 0;
	if (p->ended)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->used += p->holds;
	if (p->holds)
		pthread_cond_broadcast(&p->change);
	p->holds = true;
	while (p->filled == p->used)
		pthread_cond_wait(&p->change, &p->lock);
	unsigned index = p->used % UNPACK_PIPE_BUFFERS;

	*ret_p = p->data[index];
	*ret_n = p->n[index];
	if (*ret_n == 0)
		failure = TAKE(p->failure);
	pthread_mutex_unlock(&p->lock);
	p->ended = *ret_n == 0;
	return failure;
}

void unpack_pipe_free(struct unpack_pipe *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	/* Cannot fail: the counter is 0. */
	if (eventfd_write(p->stop_fd, 1) == 0)
		pthread_join(p->thread, NULL);
	err_free(p->failure);
	inflate_free(p->inflate);
	close(p->stop_fd);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->change);
	free(p);
}
