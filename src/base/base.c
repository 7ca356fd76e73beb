#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void base_close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static void *checked(void *p)
{
	if (!p) {
		static const char said[] = "crisp: out of memory\n";
		ssize_t n = write(2, said, sizeof(said) - 1);

		(void)n;
		__builtin_trap(); /* not abort(3): see sys/clone.h */
	}
	return p;
}

void *base_alloc(size_t size)
{
	return checked(calloc(1, size ? size : 1));
}

void *base_calloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

void *base_realloc(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return checked(NULL);
	return checked(realloc(p, total ? total : 1));
}

char *base_strdup(const char *s)
{
	return checked(strdup(s));
}

char *base_strndup(const char *s, size_t n)
{
	return checked(strndup(s, n));
}

char *base_printf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return checked(n < 0 ? NULL : s);
}
