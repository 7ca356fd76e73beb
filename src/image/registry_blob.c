#include "image/registry_http.h"
#include "image/registry_rounds.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define COPY_SIZE KIB(64)

struct blob_state {
	const struct registry_blob *b;
	uint64_t offset;       /* written to the pipe */
	char *buffer;
};

static struct err *write_pipe(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t did = write(fd, p, n);

		if (did >= 0) {
			p += did;
			n -= (size_t)did;
		} else if (errno == EAGAIN) {
			struct pollfd w = { .fd = fd, .events = POLLOUT };

			poll(&w, 1, -1);
		} else if (errno == EPIPE) {
			return err_new(ERR_CANCELLED, "nobody reads it any more");
		} else if (errno != EINTR) {
			return err_errno(errno, "write to pipe");
		}
	}
	return NULL;
}

/* "bytes FIRST-LAST/TOTAL": exactly the rest (RFC 9110 section 14.4). */
static bool range_is_the_rest(const char *s, uint64_t offset, uint64_t size)
{
	uint64_t first, last, total;
	char all[24];
	int end = 0;

	/* The widths keep within 64 bits; 19 digits are more than any size here. */
	if (!s || sscanf(s, "bytes %19" SCNu64 "-%19" SCNu64 "/%20s%n", &first, &last, all, &end) != 3 || s[end])
		return false;
	if (strcmp(all, "*") != 0 && (!str_to_u64(all, INT64_MAX, &total) || total != size))
		return false;
	return first == offset && last == size - 1;
}

/* How many bytes of the body come before those that are wanted. */
static struct err *check_head(struct get *g, const struct blob_state *s, uint64_t *ret_before)
{
	const struct http1_head *h = g->head;
	const char *length = http1_header(h, "Content-Length");
	uint64_t n;

	*ret_before = 0;
	if (h->status == 200)
		*ret_before = s->offset; /* a server without ranges begins again */
	else if (h->status != 206 || !s->offset)
		return get_status_error(g, g->deadline_ns);
	else if (!range_is_the_rest(http1_header(h, "Content-Range"), s->offset, s->b->size))
		return err_new(ERR_INVALID, "it resumes with another range (%.60s) than bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
			       http1_header(h, "Content-Range") ? http1_header(h, "Content-Range") : "none",
			       s->offset, s->b->size - 1, s->b->size);
	if (length && str_to_u64(length, INT64_MAX, &n) && n != s->b->size - s->offset + *ret_before)
		return err_new(ERR_CORRUPT, "it has %" PRIu64 " bytes, the manifest says %" PRIu64,
			       n + s->offset - *ret_before, s->b->size);
	return NULL;
}

static struct err *copy_body(struct get *g, struct blob_state *s, uint64_t before, struct attempt *a)
{
	for (;;) {
		size_t n;

		TRY_WRAP(http1_read(g->conn, s->buffer, COPY_SIZE, clock_mono_ns() + s->b->idle_timeout_ns, &n),
			 "after %" PRIu64 " of %" PRIu64 " bytes", s->offset, s->b->size);
		if (!n)
			break;
		size_t skip = (size_t)MIN((uint64_t)n, before);

		before -= skip;
		n -= skip;
		if (n > s->b->size - s->offset)
			return err_new(ERR_CORRUPT, "it is longer than the %" PRIu64 " bytes of the manifest", s->b->size);
		struct err *e = write_pipe(s->b->to, s->buffer + skip, n);

		if (e) {
			a->fatal = true;
			return e;
		}
		s->offset += n;
		a->progress = a->progress || n;
	}
	if (s->offset < s->b->size)
		return err_new(ERR_UNAVAILABLE, "it ended after %" PRIu64 " of %" PRIu64 " bytes", s->offset, s->b->size);
	return NULL;
}

static struct err *try_blob(struct endpoint *e, void *context, struct attempt *a)
{
	struct blob_state *s = context;
	_free_ char *path = base_printf("blobs/%s", s->b->digest);
	_get_ struct get g = { .e = e, .path = path, .from = s->offset,
			       .deadline_ns = clock_mono_ns() + MAX(s->b->idle_timeout_ns, NS_PER_S) };
	uint64_t before;

	TRY(get_open(&g));
	_free_ char *shown = url_shown(&g.url);
	struct err *err = check_head(&g, s, &before);

	a->retry_after_ns = g.retry_after_ns;
	/* A status error names the URL itself. */
	if (err)
		return g.head->status / 100 == 2 ? err_wrap(err, "%s", shown) : err;
	return err_wrap(copy_body(&g, s, before, a), "%s", shown);
}

struct err *registry_blob(struct registry *r, const struct registry_blob *b)
{
	struct blob_state s = { .b = b };

	if (b->size == 0)
		return NULL;
	s.buffer = base_alloc(COPY_SIZE);
	struct err *e = rounds_run(&(struct rounds){ .registry = r, .deadline_ns = CLOCK_NEVER,
						     .idle_ns = b->idle_timeout_ns, .tries_max = REGISTRY_BLOB_TRIES_MAX, .attempt = try_blob,
						     .context = &s });

	free(s.buffer);
	return e;
}
