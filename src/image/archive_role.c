/* The role `archive`: one thread that listens and answers, nearest request first. */
#include "image/archive.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "image/archive_confine.h"
#include "image/archive_docker.h"
#include "image/config.h"
#include "image/confine.h"
#include "image/fetch_protocol.h"
#include "image/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define TELL_INTERVAL NS_PER_S

struct request {
	struct list link;
	uint32_t id;
	bool manifest;
	char *name;
	uint64_t size;
	int pipe;
};

struct role {
	struct archive *archive;        /* NULL: not opened yet */
	struct archive_made made;       /* of a docker archive */
	bool docker;
	struct list queue;
	int64_t told_ns;
	struct message *in, *out;
};

static void request_free(struct request *q)
{
	list_remove(&q->link);
	base_close_p(&q->pipe);
	free(q->name);
	free(q);
}

/* That we are at work; serve is gone if it cannot be told, which the next recv says. */
static void tell(void *ctx)
{
	struct role *r = ctx;
	int64_t now = clock_mono_ns();

	if (now - r->told_ns < TELL_INTERVAL)
		return;
	r->told_ns = now;
	message_init(r->out, FETCH_PROGRESS, 0);
	err_ignore(message_send(FETCH_SOCKET, r->out));
}

/* ---- the archive ------------------------------------------------------------------------------ */

static struct err *read_docker(struct role *r)
{
	uint64_t size;
	struct err *e = archive_find(r->archive, "manifest.json", &size);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return err_new(ERR_INVALID, "it has neither index.json (an OCI layout) nor manifest.json (docker save)");
	}
	TRY(e);
	r->docker = true;
	return archive_docker_read(r->archive, &r->made);
}

static struct err *open_archive(struct role *r)
{
	uint64_t size;

	if (r->archive)
		return NULL;
	TRY(archive_open(FETCH_ARCHIVE, (struct archive_alive){ tell, r }, &r->archive));
	struct err *e = archive_find(r->archive, "index.json", &size);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		e = read_docker(r);
	}
	if (e)
		archive_free(TAKE(r->archive));
	return e;
}

/* The file of *digest*, in a docker archive perhaps a document that was made. */
static struct err *locate(struct role *r, const char *digest, char **ret_file, const char **ret_text)
{
	const struct archive_blob *blob = archive_made_find(&r->made, digest);
	uint64_t size;

	*ret_text = NULL;
	if (!digest_ok(digest))
		return err_new(ERR_INVALID, "\"%.100s\" is not a sha256 digest", digest);
	if (blob && blob->text) {
		*ret_text = blob->text;
		return NULL;
	}
	_free_ char *file = blob ? base_strdup(blob->file) : base_printf("blobs/sha256/%s", digest + strlen("sha256:"));

	TRY(archive_find(r->archive, file, &size));
	*ret_file = TAKE(file);
	return NULL;
}

/* ---- answers ---------------------------------------------------------------------------------- */

static struct err *read_document(struct role *r, const char *name, struct buf *ret)
{
	_free_ char *file = NULL;
	const char *text = NULL;

	if (!*name && r->docker)
		text = r->made.index.data;
	else if (!*name)
		return archive_read(r->archive, "index.json", MANIFEST_MAX, ret);
	else
		TRY(locate(r, name, &file, &text));
	if (!text)
		return archive_read(r->archive, file, MANIFEST_MAX, ret);
	buf_puts(ret, text);
	return NULL;
}

struct piping {
	struct role *r;
	int pipe;
	uint64_t left;
};

/* A reader that is slow is told apart from one that hangs by serve, which can end both. */
static struct err *to_pipe(void *ctx, const void *p, size_t n)
{
	struct piping *g = ctx;
	const char *from = p;

	if (n > g->left)
		return err_new(ERR_CORRUPT, "it has more bytes than its descriptor says");
	g->left -= n;
	while (n > 0) {
		struct pollfd fd = { g->pipe, POLLOUT, 0 };
		ssize_t did = write(g->pipe, from, n);

		if (did > 0) {
			from += did;
			n -= (size_t)did;
		} else if (errno == EAGAIN) {
			poll(&fd, 1, (int)(TELL_INTERVAL / NS_PER_MS));
		} else if (errno != EINTR) {
			return err_errno(errno, "write");
		}
		tell(g->r);
	}
	return NULL;
}

static struct err *send_blob(struct role *r, const struct request *q)
{
	_free_ char *file = NULL;
	const char *text = NULL;
	struct piping g = { r, q->pipe, q->size };

	if (q->pipe < 0 || fcntl(q->pipe, F_SETFL, O_WRONLY | O_NONBLOCK) < 0)
		return err_new(ERR_INVALID, "a blob is asked for without a pipe");
	TRY(locate(r, q->name, &file, &text));
	if (text)
		TRY(to_pipe(&g, text, strlen(text)));
	else
		TRY_WRAP(archive_stream(r->archive, file, (struct archive_sink){ to_pipe, &g }), "%s", file);
	if (g.left)
		return err_new(ERR_CORRUPT, "%s has %llu bytes fewer than its descriptor says", q->name,
			       (unsigned long long)g.left);
	return NULL;
}

static void answer(struct role *r, struct request *q)
{
	_buf_ struct buf body = BUF_INIT;
	_close_ int fd = -1;
	struct err *e = open_archive(r);

	if (!e && q->manifest)
		e = read_document(r, q->name, &body);
	if (!e && q->manifest)
		e = file_in_memory("document", buf_text(&body), body.len, &fd);
	if (!e && !q->manifest)
		e = send_blob(r, q);
	base_close_p(&q->pipe);
	message_init(r->out, FETCH_DONE, q->id);
	if (fd >= 0)
		message_add_fd(r->out, fd);
	if (e)
		message_put_err(r->out, e);
	err_free(e);
	err_ignore(message_send(FETCH_SOCKET, r->out));
	request_free(q);
}

/* ---- requests --------------------------------------------------------------------------------- */

static uint64_t distance(struct role *r, const struct request *q)
{
	_free_ char *file = NULL;
	const char *text = NULL;

	if (!r->archive || q->manifest)
		return 0;
	struct err *e = locate(r, q->name, &file, &text);

	err_free(e);
	return file ? archive_distance(r->archive, file) : 0;
}

static struct request *nearest(struct role *r)
{
	struct request *best = NULL;
	uint64_t least = 0;

	list_each(it, &r->queue) {
		struct request *q = container_of(it, struct request, link);
		uint64_t d = distance(r, q);

		if (!best || d < least) {
			best = q;
			least = d;
		}
	}
	return best;
}

static void take(struct role *r, struct message *m)
{
	if (m->type == FETCH_CONFIG)
		log_set_level((enum log_level)MIN(message_u64(m, FETCH_TAG_LOG_LEVEL), (uint64_t)LOG_LEVEL_DEBUG));
	if (m->type == FETCH_MANIFEST || m->type == FETCH_BLOB) {
		struct request *q = base_alloc(sizeof(*q));

		q->id = m->id;
		q->manifest = m->type == FETCH_MANIFEST;
		q->name = base_strdup(message_str(m, FETCH_TAG_NAME));
		q->size = message_u64(m, FETCH_TAG_SIZE);
		q->pipe = message_take_fd(m, 0);
		list_push_back(&r->queue, &q->link);
	}
	message_close_fds(m);
}

static struct err *listen_to_serve(struct role *r)
{
	bool eof = false;

	for (;;) {
		bool idle = list_empty(&r->queue);
		struct err *e = message_recv(FETCH_SOCKET, idle ? CLOCK_NEVER : 0, r->in, &eof);

		if (eof || (e && !err_is(e, ERR_TIMEOUT)))
			return e;
		if (!e)
			take(r, r->in);
		else
			answer(r, nearest(r));
		err_free(e);
		r->told_ns = idle ? clock_mono_ns() : r->told_ns;
	}
}

static void refuse(struct role *r, struct err *e)
{
	log_error("%s", err_text(e));
	message_init(r->out, FETCH_DONE, 0);
	message_put_err(r->out, e);
	err_ignore(message_send(FETCH_SOCKET, r->out));
	err_free(e);
}

int archive_main(int argc, char **argv)
{
	struct role r = { .in = base_alloc(sizeof(*r.in)), .out = base_alloc(sizeof(*r.out)) };
	uid_t uid = 0;

	log_init("archive", log_get_level());
	list_init(&r.queue);
	struct err *e = confine_parse_uid(argc, argv, &uid);

	if (!e)
		e = err_wrap(archive_confine(uid), "confine archive");
	if (!e)
		e = listen_to_serve(&r);
	bool failed = e;

	if (e)
		refuse(&r, e);
	while (!list_empty(&r.queue))
		request_free(container_of(r.queue.next, struct request, link));
	archive_free(r.archive);
	archive_made_done(&r.made);
	free(r.in);
	free(r.out);
	return failed ? 1 : 0;
}
