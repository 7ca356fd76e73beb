#include "stream/link.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "stream/listen.h"
#include "stream/redeem.h"
#include "stream/tokens.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define STARTS_MAX     32                /* at once on threads of their own; more are done one by one */
#define START_STACK    KIB(256)
#define RESTART_NS     (1 * NS_PER_S)    /* between two starts of a process that keeps ending */

struct stream_link {
	pthread_mutex_t lock;        /* tokens, starts */
	pthread_cond_t quiet;        /* starts == 0 */
	struct tokens tokens;
	unsigned int starts;
	char *host;                  /* "127.0.0.1:PORT" */
	uid_t uid;
	int listener, stop;
	int link, pidfd;             /* of the process that lives now; the thread's alone */
	int64_t started_ns;
	pthread_t thread;
};

static void answer(int link, const struct message *question, const struct message *with, struct err *e)
{
	struct message m;

	message_init(&m, question->type, question->id);
	if (e)
		message_put_err(&m, e);
	err_free(e);
	/* The process may be gone: then nobody waits for it. */
	err_ignore(message_send(link, with ? with : &m));
}

static void answer_claim(struct stream_link *l, const struct message *q)
{
	struct message m;

	message_init(&m, q->type, q->id);
	pthread_mutex_lock(&l->lock);
	struct token *t = tokens_claim(&l->tokens, (enum stream_kind)message_u64(q, STREAM_TAG_KIND),
				       message_str(q, STREAM_TAG_TOKEN), clock_mono_ns());

	if (t)
		redeem_describe(t, &m);
	pthread_mutex_unlock(&l->lock);
	if (t)
		answer(l->link, q, &m, NULL);
	else
		answer(l->link, q, NULL, err_new(ERR_NOT_FOUND, "no such request: the URL is good once and for %d seconds",
						 STREAM_TOKEN_TTL_S));
}

struct start {
	struct stream_link *l;
	struct token *token;
	uint32_t id;
	int link;                    /* own duplicate */
};

static void start_done(struct start *s)
{
	struct stream_link *l = s->l;

	close(s->link);
	token_free(s->token);
	free(s);
	pthread_mutex_lock(&l->lock);
	if (--l->starts == 0)
		pthread_cond_broadcast(&l->quiet);
	pthread_mutex_unlock(&l->lock);
}

static void *start_main(void *arg)
{
	struct start *s = arg;
	struct message q = { .type = STREAM_START, .id = s->id }, m;
	struct redeemed r;
	struct err *e = redeem_start(s->token, &r);

	if (!e) {
		message_init(&m, q.type, q.id);
		redeem_put(&r, &m);
	}
	answer(s->link, &q, e ? NULL : &m, e);
	redeemed_done(&r);
	start_done(s);
	return NULL;
}

/* Off this thread, so that one slow exec does not hold up the others. */
static void run_start(struct start *s, bool here)
{
	struct err *e = here ? NULL : thread_start(NULL, START_STACK, start_main, s);

	if (here || e)
		start_main(s);
	err_free(e);
}

static void answer_start(struct stream_link *l, const struct message *q)
{
	int link = fcntl(l->link, F_DUPFD_CLOEXEC, 0);

	pthread_mutex_lock(&l->lock);
	struct token *t = link < 0 ? NULL : tokens_take(&l->tokens, message_u64(q, STREAM_TAG_HANDLE));
	bool here = l->starts >= STARTS_MAX;

	l->starts += t != NULL;
	pthread_mutex_unlock(&l->lock);
	if (!t) {
		base_close_p(&link);
		answer(l->link, q, NULL, err_new(ERR_INTERNAL, "the request can't be started now"));
		return;
	}
	struct start *s = base_alloc(sizeof(*s));

	*s = (struct start){ .l = l, .token = t, .id = q->id, .link = link };
	run_start(s, here);
}

static void take_question(struct stream_link *l, struct message *m)
{
	message_close_fds(m);
	if (m->type == STREAM_CLAIM) {
		answer_claim(l, m);
	} else if (m->type == STREAM_START) {
		answer_start(l, m);
	} else if (m->type == STREAM_DROP) {
		pthread_mutex_lock(&l->lock);
		token_free(tokens_take(&l->tokens, message_u64(m, STREAM_TAG_HANDLE)));
		pthread_mutex_unlock(&l->lock);
	}
}

static struct err *start_process(struct stream_link *l)
{
	_close_ int theirs = -1;
	int pair[2];
	char uid[16];
	char *argv[] = { (char *)"crisp", (char *)"stream", uid, NULL };
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "socket pair");
	base_close_p(&l->link);
	l->link = pair[0];
	theirs = pair[1];
	snprintf(uid, sizeof(uid), "%u", l->uid);
	struct spawn s = { .argv = argv, .fds = { -1, -1, 2, theirs, l->listener }, .n_fds = 5, .new_session = true };

	base_close_p(&l->pidfd);
	l->started_ns = clock_mono_ns();
	return err_wrap(spawn_start(&s, &pid, &l->pidfd), "stream process");
}

static void reap(struct stream_link *l)
{
	char how[64];
	int status = 0;
	struct err *e = spawn_wait(l->pidfd, clock_mono_ns() + RESTART_NS, &status);

	spawn_describe(status, how);
	if (e)
		spawn_kill(l->pidfd);
	log_error("stream process ended (%s); its sessions are cut off", e ? err_text(e) : how);
	err_free(e);
	base_close_p(&l->pidfd);
}

/* The process ended, which only a fault makes it do while we hold the link. Its clients are cut off; new ones
 * find another. False: we are stopping. */
static bool replace_process(struct stream_link *l)
{
	struct pollfd stop = { .fd = l->stop, .events = POLLIN };

	pthread_mutex_lock(&l->lock);
	tokens_drop_claims(&l->tokens);
	pthread_mutex_unlock(&l->lock);
	reap(l);
	for (;;) {
		if (poll(&stop, 1, clock_ms_until(l->started_ns + RESTART_NS)) > 0)
			return false;
		struct err *e = start_process(l);

		if (!e)
			return true;
		log_error("%s", err_text(e));
		err_free(e);
	}
}

static void *link_main(void *arg)
{
	struct stream_link *l = arg;

	for (;;) {
		struct pollfd p[2] = { { .fd = l->link, .events = POLLIN }, { .fd = l->stop, .events = POLLIN } };
		struct message m;
		bool eof = false;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			return NULL;
		struct err *e = message_recv(l->link, 0, &m, &eof);

		if (!e && !eof)
			take_question(l, &m);
		else if (!err_is(e, ERR_TIMEOUT) && !replace_process(l))
			eof = true;
		else
			eof = false;
		err_free(e);
		if (eof)
			return NULL;
	}
}

static void link_free(struct stream_link *l)
{
	base_close_p(&l->link);
	base_close_p(&l->pidfd);
	base_close_p(&l->listener);
	base_close_p(&l->stop);
	tokens_done(&l->tokens);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->quiet);
	free(l->host);
	free(l);
}

static struct err *start_all(struct stream_link *l, const char *address)
{
	TRY(listen_on(address, &l->listener, &l->host));
	l->stop = eventfd(0, EFD_CLOEXEC);
	if (l->stop < 0)
		return err_errno(errno, "eventfd");
	TRY(start_process(l));
	int r = pthread_create(&l->thread, NULL, link_main, l);

	return r ? err_errno(r, "thread") : NULL;
}

struct err *stream_link_start(const char *address, uid_t uid, struct stream_link **ret)
{
	struct stream_link *l = base_alloc(sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->quiet, NULL);
	tokens_init(&l->tokens);
	l->uid = uid;
	l->listener = l->stop = l->link = l->pidfd = -1;
	struct err *e = start_all(l, address);

	if (e) {
		link_free(l);
		return err_wrap(e, "streaming");
	}
	*ret = l;
	return NULL;
}

void stream_link_stop(struct stream_link *l)
{
	uint64_t one = 1;

	if (!l)
		return;
	if (write(l->stop, &one, sizeof(one)) < 0)
		log_warn("stop streaming: %s", strerror(errno));
	pthread_join(l->thread, NULL);
	pthread_mutex_lock(&l->lock);
	while (l->starts)
		pthread_cond_wait(&l->quiet, &l->lock);
	pthread_mutex_unlock(&l->lock);
	link_free(l);
}

struct err *stream_link_url(struct stream_link *l, const struct stream_request *r, char **ret_url)
{
	static const char *const paths[] = { [STREAM_EXEC] = "exec", [STREAM_ATTACH] = "attach",
					     [STREAM_FORWARD] = "portforward" };
	const char *token = NULL;

	pthread_mutex_lock(&l->lock);
	struct err *e = tokens_add(&l->tokens, r, clock_mono_ns(), &token);

	if (!e)
		*ret_url = base_printf("http://%s/%s/%s", l->host, paths[r->kind], token);
	pthread_mutex_unlock(&l->lock);
	return e;
}
