#include "image/pull_layer.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/thread.h"
#include "image/unpack.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define PIPE_SIZE  MIB(1)       /* /proc/sys/fs/pipe-max-size as the kernel sets it */
#define CHUNK      KIB(256)
#define STACK      KIB(128)

/* ---- the fetching half, on a thread of its own ------------------------------------------------ */

struct fetching {
	const struct pull_layer *p;
	int pipe;               /* write end, fetch_blob() closes it */
	struct err *error;
	pthread_t thread;
};

static void *fetch_thread(void *arg)
{
	struct fetching *f = arg;

	f->error = fetch_blob(f->p->fetch, f->p->blob->digest, f->p->blob->size, f->pipe, f->p->timeout_ns);
	return NULL;
}

static struct err *start_fetching(struct fetching *f)
{
	struct err *e = thread_start(&f->thread, STACK, fetch_thread, f);

	if (e)
		base_close_p(&f->pipe);
	return e;
}

/* ---- the unpacking half, a process ------------------------------------------------------------ */

struct unpacking {
	int pidfd;
	int in;                 /* where it reads the compressed stream: our write end */
	int report;
};

static struct err *open_pipe(int ret_fds[2])
{
	if (pipe2(ret_fds, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	fcntl(ret_fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	return NULL;
}

static struct err *start_unpacking(const struct pull_layer *p, int image_fd, struct unpacking *ret)
{
	char max[24], uid[16];
	int in[2] = { -1, -1 }, report[2] = { -1, -1 };
	pid_t pid;
	char *argv[] = { "crisp", "unpack", "--max-bytes", max, "--uid", uid, NULL };

	snprintf(max, sizeof(max), "%" PRIu64, p->max_bytes);
	snprintf(uid, sizeof(uid), "%u", (unsigned)p->unpack_uid);
	if (p->unpack_uid == 0)
		argv[4] = NULL;
	struct err *e = open_pipe(in);

	if (!e)
		e = open_pipe(report);
	if (!e) {
		struct spawn s = {
			.argv = argv,
			.fds = { in[0], -1, 2, image_fd, report[1] },
			.n_fds = 5,
			.die_with_parent = false,
		};

		e = spawn_start(&s, &pid, &ret->pidfd);
	}
	base_close_p(&in[0]);
	base_close_p(&report[1]);
	if (e) {
		base_close_p(&in[1]);
		base_close_p(&report[0]);
		return e;
	}
	ret->in = in[1];
	ret->report = report[0];
	return NULL;
}

static void end_unpacking(struct unpacking *u)
{
	base_close_p(&u->in);
	base_close_p(&u->report);
	if (u->pidfd >= 0)
		spawn_kill(u->pidfd);
	base_close_p(&u->pidfd);
}

/* Until *fd* is ready, the deadline, or the pull's being given up. */
static struct err *wait_for(const struct pull_layer *p, int fd, short events, int64_t deadline_ns)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = fd, .events = events }, { .fd = p->cancel_fd, .events = POLLIN } };
		int n = poll(fds, 2, clock_ms_until(deadline_ns));

		if (n < 0 && errno != EINTR)
			return err_errno(errno, "wait for the unpacker");
		if (n > 0)
			return fds[1].revents ? err_new(ERR_CANCELLED, "the pull was given up") : NULL;
		if (n == 0 && clock_ms_until(deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "the unpacker does not end");
	}
}

static struct err *read_report(const struct pull_layer *p, struct unpacking *u, int64_t deadline_ns, struct buf *ret)
{
	for (;;) {
		TRY(wait_for(p, u->report, POLLIN, deadline_ns));
		char *to = buf_reserve(ret, 1024);

		if (!to)
			return err_new(ERR_INTERNAL, "the unpacker's report is too long");
		ssize_t got = read(u->report, to, 1024);

		if (got == 0)
			return NULL;
		if (got < 0)
			return err_errno(errno, "read the unpacker's report");
		ret->len += (size_t)got;
		ret->data[ret->len] = '\0';
	}
}

static struct err *judge_report(const char *line, const char *diff_id, uint64_t *ret_uncompressed)
{
	struct unpack_result r;

	TRY(unpack_parse_report(line, &r));
	*ret_uncompressed = r.uncompressed_size;
	if (diff_id && strcmp(r.diff_id, diff_id))
		return err_new(ERR_CORRUPT, "its content is %s, the image's configuration says %s", r.diff_id, diff_id);
	return NULL;
}

static struct err *finish_unpacking(const struct pull_layer *p, struct unpacking *u, uint64_t *ret_uncompressed)
{
	_buf_ struct buf report = { .max = UNPACK_REPORT_MAX + 1024 };
	int status = 0;

	base_close_p(&u->in);
	TRY(read_report(p, u, clock_mono_ns() + p->timeout_ns, &report));
	TRY(spawn_wait(u->pidfd, clock_mono_ns() + p->timeout_ns, &status));
	base_close_p(&u->pidfd);
	char *newline = report.data ? strchr(report.data, '\n') : NULL;

	if (newline)
		*newline = '\0';
	if (!report.len) {
		char how[64];

		spawn_describe(status, how);
		return err_new(ERR_INTERNAL, "the unpacker ended without a report: %s", how);
	}
	return judge_report(buf_text(&report), p->diff_id, ret_uncompressed);
}

/* ---- between them ----------------------------------------------------------------------------- */

static struct err *pass_on(const struct pull_layer *p, int to, const char *chunk, size_t n)
{
	while (n) {
		ssize_t did = write(to, chunk, n);

		if (did >= 0) {
			chunk += did;
			n -= (size_t)did;
		} else if (errno == EAGAIN) {
			TRY(wait_for(p, to, POLLOUT, CLOCK_NEVER));
		} else if (errno != EINTR) {
			return err_errno(errno, "write");
		}
	}
	return NULL;
}

/* Reads what fetch sends, hashes it, hands it on. An unpacker that is gone (EPIPE) has its reason in its report. */
static struct err *hash_through(const struct pull_layer *p, int from, int to, char ret_digest[DIGEST_TEXT_LEN + 1])
{
	_free_ char *chunk = base_alloc(CHUNK);
	struct sha256 h;
	ssize_t n;

	sha256_init(&h);
	while ((n = read(from, chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EAGAIN)
			TRY(wait_for(p, from, POLLIN, CLOCK_NEVER));
		else if (n < 0 && errno != EINTR)
			return err_errno(errno, "read");
		if (n < 0)
			continue;
		sha256_update(&h, chunk, (size_t)n);
		*p->bytes += (uint64_t)n;
		TRY(pass_on(p, to, chunk, (size_t)n));
	}
	sha256_final_text(&h, ret_digest);
	return NULL;
}

/* Which of the errors tells the reason: unpack's verdict on the content, unless the stream was forged. */
static struct err *choose(struct err *fetched, struct err *passed, struct err *unpacked, const char *got,
			  const char *want)
{
	if (!fetched && !passed && strcmp(got, want)) {
		err_free(unpacked);
		return err_new(ERR_CORRUPT, "what came is %s", got);
	}
	if (passed && unpacked) {
		err_free(fetched);
		err_free(passed);
		return unpacked;
	}
	if (passed) {
		err_free(fetched);
		err_free(unpacked);
		return passed;
	}
	return unpacked;
}

/* What was cut short needs no verdict: unpack would say that it was cut short. */
static struct err *judge(const struct pull_layer *p, struct err *fetched, struct err *passed, struct unpacking *u,
			 const char *got, uint64_t *ret_uncompressed)
{
	if (err_is(passed, ERR_CANCELLED)) {
		err_free(fetched);
		return passed;
	}
	if (fetched && !passed)
		return fetched;
	return choose(fetched, passed, finish_unpacking(p, u, ret_uncompressed), got, p->blob->digest);
}

static struct err *stream(const struct pull_layer *p, int image_fd, uint64_t *ret_uncompressed)
{
	struct unpacking u = { -1, -1, -1 };
	struct fetching f = { .p = p, .pipe = -1 };
	int in[2] = { -1, -1 };
	char digest[DIGEST_TEXT_LEN + 1] = "";

	TRY(start_unpacking(p, image_fd, &u));
	struct err *e = open_pipe(in);

	if (!e) {
		f.pipe = in[1];
		e = start_fetching(&f);
	}
	if (e) {
		base_close_p(&in[0]);
		end_unpacking(&u);
		return e;
	}
	fcntl(in[0], F_SETFL, O_RDONLY | O_NONBLOCK);
	fcntl(u.in, F_SETFL, O_WRONLY | O_NONBLOCK);
	struct err *passed = hash_through(p, in[0], u.in, digest);

	base_close_p(&in[0]); /* a fetch that still writes gets EPIPE */
	if (err_is(passed, ERR_CANCELLED))
		end_unpacking(&u);
	pthread_join(f.thread, NULL);
	e = judge(p, f.error, passed, &u, digest, ret_uncompressed);
	end_unpacking(&u);
	return e;
}

/* Another pull may be writing it: waits for that one, but not longer than anybody waits for ours. */
static struct err *begin(const struct pull_layer *p, struct layer_write **ret, int *ret_fd)
{
	for (;;) {
		struct err *e = layers_begin(p->layers, p->blob->digest, clock_mono_ns() + NS_PER_S, ret, ret_fd);
		struct pollfd given_up = { .fd = p->cancel_fd, .events = POLLIN };

		if (!err_is(e, ERR_TIMEOUT) || poll(&given_up, 1, 0) > 0)
			return e;
		err_free(e);
	}
}

struct err *pull_layer(const struct pull_layer *p, uint64_t *ret_uncompressed)
{
	struct layer_write *w = NULL;
	int fd = -1;

	*ret_uncompressed = 0;
	TRY(begin(p, &w, &fd));
	if (!w)
		return NULL;
	struct err *e = stream(p, fd, ret_uncompressed);

	if (e) {
		layers_abort(w);
		return e;
	}
	return layers_commit(w);
}
