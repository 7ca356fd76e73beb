#include "image/registry_rounds.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define BACKOFF_MAX (8 * NS_PER_S)

/* What each endpoint did in this run. */
struct tried {
	struct err *error;
	bool asked, over;      /* over: not to be asked again */
};

static bool has_capability(const struct rounds *r, const struct endpoint *e)
{
	return r->by_tag ? e->config->at.resolve : e->config->at.pull;
}

/* ERR_PRECONDITION, a certificate say, may be another answer through another address, but not soon. */
static bool can_pass(const struct err *e)
{
	return err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_TIMEOUT);
}

/* Between half and all of it, so that many nodes do not come back at once. */
static int64_t jitter(int64_t ns)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)clock_mono_ns();
	return ns / 2 + (int64_t)((double)(ns / 2) * (random / (double)UINT32_MAX));
}

static void sleep_until(int64_t at)
{
	struct timespec t = { at / NS_PER_S, at % NS_PER_S };

	while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* In the first round what could not be connected to before comes last, by not being asked. */
static bool skip(const struct rounds *r, unsigned int round, size_t i)
{
	if (round || !r->registry->endpoints[i].down)
		return false;
	for (size_t k = 0; k < r->registry->config.n_endpoints; k++)
		if (has_capability(r, &r->registry->endpoints[k]) && !r->registry->endpoints[k].down)
			return true;
	return false;
}

struct run {
	const struct rounds *r;
	struct tried *tried;
	unsigned int round, tries;
	int64_t retry_after_ns;
	int64_t last_progress_ns;
	bool fatal, progress;
};

/* False: the end comes first. */
static bool pause_between(const struct run *run)
{
	const struct rounds *r = run->r;
	int64_t backoff = jitter(MIN(r->registry->backoff_ns << MIN(run->round - 1, 8u), BACKOFF_MAX));
	int64_t until = clock_mono_ns() + MAX(backoff, run->retry_after_ns);
	int64_t end = r->idle_ns ? run->last_progress_ns + r->idle_ns : CLOCK_NEVER;

	if (until >= MIN(end, r->deadline_ns))
		return false;
	sleep_until(until);
	return true;
}

/* True: it succeeded. */
static bool ask(struct run *run, size_t i)
{
	struct endpoint *e = &run->r->registry->endpoints[i];
	struct tried *t = &run->tried[i];
	struct attempt a = { 0 };

	err_free(t->error);
	t->asked = true;
	run->tries++;
	t->error = run->r->attempt(e, run->r->context, &a);
	if (!t->error)
		return true;
	log_debug("attempt %u: %s", run->tries, err_text(t->error));
	t->over = !can_pass(t->error);
	run->fatal = run->fatal || a.fatal;
	run->progress = run->progress || a.progress;
	run->retry_after_ns = MAX(run->retry_after_ns, a.retry_after_ns);
	return false;
}

/* True: done, one way or the other. */
static bool one_round(struct run *run, bool *ret_success)
{
	size_t n = run->r->registry->config.n_endpoints;
	bool more = false;

	run->retry_after_ns = 0;
	run->progress = false;
	for (size_t i = 0; i < n; i++) {
		if (!has_capability(run->r, &run->r->registry->endpoints[i]) || run->tried[i].over)
			continue;
		if (skip(run->r, run->round, i)) {
			more = true;
			continue;
		}
		*ret_success = ask(run, i);
		if (*ret_success || run->fatal || (run->r->tries_max && run->tries >= run->r->tries_max))
			return true;
		more = more || !run->tried[i].over;
	}
	return !more;
}

static struct err *sum_up(const struct run *run)
{
	_buf_ struct buf b = BUF_INIT;
	enum err_kind kind = ERR_NOT_FOUND;

	for (size_t i = 0; i < run->r->registry->config.n_endpoints; i++) {
		if (!run->tried[i].error)
			continue;
		buf_printf(&b, "%s%s", b.len ? "; " : "", err_text(run->tried[i].error));
		kind = err_kind(run->tried[i].error);
	}
	if (!b.len)
		return err_new(ERR_PRECONDITION, "no host in hosts.toml of %s may be asked to %s", run->r->registry->config.host,
			       run->r->by_tag ? "resolve a tag" : "pull");
	return err_new(kind, "%s", b.data);
}

struct err *rounds_run(const struct rounds *r)
{
	size_t n = r->registry->config.n_endpoints;
	struct run run = { .r = r, .tried = base_calloc(n, sizeof(*run.tried)), .last_progress_ns = clock_mono_ns() };
	bool success = false;

	while (!one_round(&run, &success)) {
		if (run.progress) {
			run.round = 0;
			run.last_progress_ns = clock_mono_ns();
		}
		if (++run.round >= REGISTRY_ROUNDS_MAX || !pause_between(&run))
			break;
	}
	struct err *e = success ? NULL : sum_up(&run);

	for (size_t i = 0; i < n; i++)
		err_free(run.tried[i].error);
	free(run.tried);
	return e;
}
