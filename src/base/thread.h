/* thread.h: threads with a stack of a size that fits what they do: musl's default is small, glibc's 8 MiB. */
#ifndef CRISP_THREAD_H
#define CRISP_THREAD_H

#include "base/err.h"

#include <pthread.h>

/* *ret* NULL: detached. */
struct err *thread_start(pthread_t *ret, size_t stack, void *(*run)(void *), void *arg) _must_check_;

#endif
