/* test.h: the native tests' frame: TEST(name) { … } registers itself; TEST_MAIN runs all.
 *
 * A failed CHECK says file, line and values, and ends that test. Each test prints one line
 * `ok NAME` or `FAILED NAME`; the process exits 1 if any failed. An argument picks tests by
 * substring.
 */
#ifndef CRISP_TEST_H
#define CRISP_TEST_H

#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct test_case {
	const char *name;
	void (*run)(void);
	struct test_case *next;
};

_unused_ static struct test_case *test_cases;
_unused_ static jmp_buf test_failed;
_unused_ static const char *test_skip_reason;

#define TEST(id)                                                                     \
	static void test_##id(void);                                                 \
	__attribute__((constructor)) static void test_register_##id(void)            \
	{                                                                            \
		static struct test_case c = { #id, test_##id, NULL };                \
		struct test_case **p = &test_cases;                                  \
		while (*p)                                                           \
			p = &(*p)->next;                                             \
		*p = &c;                                                             \
	}                                                                            \
	static void test_##id(void)

#define CHECK(cond)                                                                  \
	do {                                                                         \
		if (!(cond)) {                                                       \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);   \
			longjmp(test_failed, 1);                                     \
		}                                                                    \
	} while (0)

#define CHECK_STR(got, want)                                                         \
	do {                                                                         \
		const char *got_ = (got), *want_ = (want);                           \
		if (!got_ || strcmp(got_, want_)) {                                  \
			fprintf(stderr, "%s:%d: got \"%s\", want \"%s\"\n", __FILE__, __LINE__, \
				got_ ? got_ : "(null)", want_);                      \
			longjmp(test_failed, 1);                                     \
		}                                                                    \
	} while (0)

#define CHECK_INT(got, want)                                                         \
	do {                                                                         \
		long long got_ = (long long)(got), want_ = (long long)(want);        \
		if (got_ != want_) {                                                 \
			fprintf(stderr, "%s:%d: %s is %lld, want %lld\n", __FILE__, __LINE__, #got, \
				got_, want_);                                        \
			longjmp(test_failed, 1);                                     \
		}                                                                    \
	} while (0)

#define CHECK_OK(expr)                                                               \
	do {                                                                         \
		struct err *check_e_ = (expr);                                       \
		if (check_e_) {                                                      \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expr, \
				err_text(check_e_));                                 \
			err_free(check_e_);                                          \
			longjmp(test_failed, 1);                                     \
		}                                                                    \
	} while (0)

#define CHECK_ERR(expr, kind)                                                        \
	do {                                                                         \
		struct err *check_e_ = (expr);                                       \
		bool check_is_ = err_is(check_e_, kind);                             \
		if (!check_is_)                                                      \
			fprintf(stderr, "%s:%d: %s: got %s, want error %s\n", __FILE__, __LINE__, \
				#expr, check_e_ ? err_text(check_e_) : "success",    \
				err_kind_name(kind));                                \
		err_free(check_e_);                                                  \
		if (!check_is_)                                                      \
			longjmp(test_failed, 1);                                     \
	} while (0)

/* The error is there, of that kind, and says so. */
_unused_ static void check_says(struct err *e, enum err_kind kind, const char *words)
{
	if (!e || !strstr(err_text(e), words))
		fprintf(stderr, "%s, want: %s\n", e ? err_text(e) : "success", words);
	CHECK(e && strstr(err_text(e), words));
	CHECK_ERR(e, kind);
}

/* Ends the test as skipped; the reason is printed. */
#define SKIP(reason)                        \
	do {                                \
		test_skip_reason = reason;  \
		longjmp(test_failed, 2);    \
	} while (0)

/* 0: passed, 1: failed, 2: skipped. */
_unused_ static int test_run_one(const struct test_case *c)
{
	int how = setjmp(test_failed);

	if (how == 0)
		c->run();
	return how;
}

_unused_ static int test_run_all(const char *only)
{
	static const char *const words[] = { "ok", "FAILED", "skipped" };
	int failures = 0;

	for (struct test_case *c = test_cases; c; c = c->next) {
		if (only && !strstr(c->name, only))
			continue;
		int how = test_run_one(c);

		printf("%s %s%s%s\n", words[how], c->name, how == 2 ? ": " : "",
		       how == 2 ? test_skip_reason : "");
		fflush(stdout);
		failures += how == 1;
	}
	return failures ? 1 : 0;
}

#define TEST_MAIN                                              \
	int main(int argc, char **argv)                        \
	{                                                      \
		return test_run_all(argc > 1 ? argv[1] : NULL); \
	}

#endif
