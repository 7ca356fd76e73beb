#include "base/thread.h"

struct err *thread_start(pthread_t *ret, size_t stack, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack);
	if (!ret)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int n = pthread_create(ret ? ret : &thread, &attr, run, arg);

	pthread_attr_destroy(&attr);
	return n ? err_errno(n, "start a thread") : NULL;
}
