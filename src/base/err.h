/* err.h: an error is a kind and a sentence.
 *
 * A fallible function returns `struct err *`: NULL is success, anything else is owned by the
 * caller, who wraps it once in its own words, hands it on, or frees it. The sentence reads from
 * the outside in: "pod web-1: netns: bridge plugin: exit status 1". One place (cri/dispatch)
 * maps kinds to gRPC codes; the kubelet shows the sentence to a person.
 */
#ifndef CRISP_ERR_H
#define CRISP_ERR_H

#include "base/base.h"

/* What a caller can do about it; the names follow gRPC's codes. */
enum err_kind {
	ERR_INTERNAL,      /* a bug or a system call that failed unexpectedly */
	ERR_INVALID,       /* the request or the input is wrong: do not retry */
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_PRECONDITION,  /* not in the state that this needs */
	ERR_EXHAUSTED,     /* a limit: size, disk, processes */
	ERR_UNAVAILABLE,   /* a peer or the network: retry later */
	ERR_TIMEOUT,
	ERR_CANCELLED,
	ERR_DENIED,        /* permission */
	ERR_AUTH,          /* credentials missing or refused */
	ERR_CORRUPT,       /* stored or received data does not check out */
	ERR_UNIMPLEMENTED,
};

struct err; /* opaque; immutable but for wrapping */

/* A new error; *fmt* says what failed on what and why. Never fails (falls back to a static one). */
struct err *err_new(enum err_kind kind, const char *fmt, ...) _printf_(2, 3) _must_check_;

/* "MESSAGE: strerror(errnum)"; the kind follows from *errnum* (ENOENT: NOT_FOUND, EEXIST: EXISTS,
 * ENOSPC, EMFILE …: EXHAUSTED, EACCES, EPERM: DENIED, ETIMEDOUT: TIMEOUT, else INTERNAL). */
struct err *err_errno(int errnum, const char *fmt, ...) _printf_(2, 3) _must_check_;

/* Puts "MESSAGE: " before the sentence. NULL stays NULL. Takes and returns ownership of *e*. */
struct err *err_wrap(struct err *e, const char *fmt, ...) _printf_(2, 3) _must_check_;

/* The same error with another kind. NULL stays NULL. */
struct err *err_as(struct err *e, enum err_kind kind) _must_check_;

enum err_kind err_kind(const struct err *e);
const char *err_text(const struct err *e);   /* borrowed, lives as long as *e* */
const char *err_kind_name(enum err_kind kind);
bool err_is(const struct err *e, enum err_kind kind);  /* false for NULL */

void err_free(struct err *e);                /* NULL is fine */

static inline void err_free_p(struct err **e)
{
	err_free(*e);
}
#define _err_ _cleanup_(err_free_p)

/* Returns from the calling function with the error of *expr*, if there is one. */
#define TRY(expr)                         \
	do {                              \
		struct err *try_e_ = (expr); \
		if (try_e_)               \
			return try_e_;    \
	} while (0)

/* The same, wrapped: TRY_WRAP(expr, "layer %s", digest). */
#define TRY_WRAP(expr, ...)                                \
	do {                                               \
		struct err *try_e_ = (expr);               \
		if (try_e_)                                \
			return err_wrap(try_e_, __VA_ARGS__); \
	} while (0)

/* For what must be attempted but whose failure changes nothing: logged at debug level, freed. */
void err_ignore(struct err *e);

#endif
