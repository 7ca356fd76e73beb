#include "base/err.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err {
	enum err_kind kind;
	char *text;
};

/* Sentences that grow past this (a plugin's output, say) are cut: they travel in gRPC headers. */
#define ERR_TEXT_MAX 4096

static struct err *err_make(enum err_kind kind, char *text)
{
	struct err *e = base_alloc(sizeof(*e));

	if (strlen(text) > ERR_TEXT_MAX)
		memcpy(text + ERR_TEXT_MAX - 3, "...", 4);
	e->kind = kind;
	e->text = text;
	return e;
}

static char *format(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		return base_strdup(fmt);
	return s;
}

struct err *err_new(enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	char *text = format(fmt, ap);
	va_end(ap);
	return err_make(kind, text);
}

static enum err_kind kind_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EFBIG:
		return ERR_EXHAUSTED;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

struct err *err_errno(int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	_free_ char *text = format(fmt, ap);
	va_end(ap);
	return err_make(kind_of_errno(errnum), base_printf("%s: %s", text, strerror(errnum)));
}

struct err *err_wrap(struct err *e, const char *fmt, ...)
{
	if (!e)
		return NULL;
	va_list ap;

	va_start(ap, fmt);
	_free_ char *text = format(fmt, ap);
	va_end(ap);
	struct err *wrapped = err_make(e->kind, base_printf("%s: %s", text, e->text));

	err_free(e);
	return wrapped;
}

struct err *err_as(struct err *e, enum err_kind kind)
{
	if (e)
		e->kind = kind;
	return e;
}

enum err_kind err_kind(const struct err *e)
{
	return e->kind;
}

const char *err_text(const struct err *e)
{
	return e->text;
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = {
		[ERR_INTERNAL] = "internal",	   [ERR_INVALID] = "invalid",
		[ERR_NOT_FOUND] = "not found",	   [ERR_EXISTS] = "exists",
		[ERR_PRECONDITION] = "precondition", [ERR_EXHAUSTED] = "exhausted",
		[ERR_UNAVAILABLE] = "unavailable", [ERR_TIMEOUT] = "timeout",
		[ERR_CANCELLED] = "cancelled",	   [ERR_DENIED] = "denied",
		[ERR_AUTH] = "unauthenticated",	   [ERR_CORRUPT] = "corrupt",
		[ERR_UNIMPLEMENTED] = "unimplemented",
	};

	return kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

bool err_is(const struct err *e, enum err_kind kind)
{
	return e && e->kind == kind;
}

void err_free(struct err *e)
{
	if (!e)
		return;
	free(e->text);
	free(e);
}

void err_ignore(struct err *e)
{
	if (!e)
		return;
	log_debug("ignored: %s", e->text);
	err_free(e);
}
