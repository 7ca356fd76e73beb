/* Blobs: their size, cuts and what is done about them. */
#include "image/registry_harness.h"

/* ---- limits ---- */

static void endless(struct test_conn *c, const struct http1_head *h, void *context)
{
	char mebibyte[4096];

	(void)h;
	(void)context;
	memset(mebibyte, 'x', sizeof(mebibyte));
	test_printf(c, "HTTP/1.1 200 OK\r\n\r\n");
	while (!c->closed)
		test_send(c, mebibyte, sizeof(mebibyte));
}

TEST(endless_bodies)
{
	struct test_server *s = test_server_new(NULL, false, endless, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_EXHAUSTED, "larger than the limit of 4194304 bytes");
	check_says(no_blob(r, 100000), ERR_CORRUPT, "longer than the 100000 bytes");
	registry_free(r);
}

static void wrong_size(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_answer(c, 200, "", "ten bytes.");
}

TEST(blob_of_another_size_than_the_manifest_says)
{
	struct test_server *s = test_server_new(NULL, false, wrong_size, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_blob(r, 11), ERR_CORRUPT, "it has 10 bytes, the manifest says 11");
	check_says(no_blob(r, 9), ERR_CORRUPT, "it has 10 bytes, the manifest says 9");
	CHECK_INT(s->requests, 2);
	registry_free(r);
}

static void encoded(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_answer(c, 200, "Content-Encoding: gzip\r\n", "x");
}

TEST(encoded_answers_are_refused)
{
	struct test_server *s = test_server_new(NULL, false, encoded, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_INVALID, "encoded (gzip)");
	registry_free(r);
}

TEST(empty_blob_needs_no_request)
{
	struct test_server *s = test_server_new(NULL, false, wrong_size, NULL);

	endpoint(s, "localhost");
	struct registry *r = registry();

	check_blob(r, "");
	CHECK_INT(s->requests, 0);
	registry_free(r);
}

/* ---- cuts and resumption ---- */

#define LONG "0123456789abcdefghijklmnopqrstuvwxyz"

/* Gives ten bytes, then cuts; the next time ten more from where it was asked to go on. */
static void cutting(struct test_conn *c, const struct http1_head *h, void *context)
{
	const char *range = header(h, "Range");
	int from = 0, size = (int)strlen(LONG);

	(void)context;
	seen.blobs++;
	if (*range && sscanf(range, "bytes=%d-", &from) == 1)
		test_printf(c, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n%.10s", from,
			    size - 1, size, size - from, LONG + from);
	else
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%.10s", size, LONG);
	if (from + 10 < size)
		test_cut(c);
}

TEST(cut_blob_is_resumed)
{
	struct test_server *s = test_server_new(NULL, false, cutting, NULL);
	struct test_server *tls = test_server_new("server", false, cutting, NULL);

	seen.blobs = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_blob(r, LONG);
	CHECK_INT(seen.blobs, 4);
	registry_free(r);
	endpoint(tls, "localhost");
	r = registry();
	check_blob(r, LONG);
	registry_free(r);
}

/* Knows no ranges: begins again each time, and gets further each time. */
static void rangeless(struct test_conn *c, const struct http1_head *h, void *context)
{
	int n = ++seen.blobs * 10;

	(void)h;
	(void)context;
	test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", strlen(LONG), n, LONG);
	if ((size_t)n < strlen(LONG))
		test_cut(c);
}

TEST(cut_blob_without_ranges)
{
	struct test_server *s = test_server_new(NULL, false, rangeless, NULL);

	seen.blobs = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_blob(r, LONG);
	CHECK_INT(seen.blobs, 4);
	registry_free(r);
}

static void wrong_range(struct test_conn *c, const struct http1_head *h, void *context)
{
	static const char *const ranges[] = { "bytes 11-35/36", "bytes 10-35/37", "bytes 10-34/36", "bytes 9-35/36",
					      "bytes 10-35", "10-35/36", "bytes */36", "bytes 10-35/36x", "" };

	if (!*header(h, "Range")) {
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n%.10s", LONG);
		test_cut(c);
		return;
	}
	test_printf(c, "HTTP/1.1 206 Partial\r\nContent-Range: %s\r\nContent-Length: 26\r\n\r\n%s", ranges[*(int *)context],
		    LONG + 10);
}

TEST(another_range_than_asked_is_refused)
{
	int which = 0;
	struct test_server *s = test_server_new(NULL, false, wrong_range, &which);

	for (; which < 9; which++) {
		endpoint(s, "localhost");
		struct registry *r = registry();

		check_says(no_blob(r, strlen(LONG)), ERR_INVALID, "resumes with another range");
		registry_free(r);
	}
}

static void always_cut(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	seen.blobs++;
	test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.10s", strlen(LONG), LONG);
	test_cut(c);
}

TEST(cuts_without_progress_end)
{
	struct test_server *s = test_server_new(NULL, false, always_cut, NULL);

	seen.blobs = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_blob(r, strlen(LONG)), ERR_UNAVAILABLE, "connection closed 26 bytes before the end");
	CHECK_INT(seen.blobs, 1 + REGISTRY_ROUNDS_MAX - 1);
	registry_free(r);
}

static void stalling(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)context;
	if (!*header(h, "Range"))
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n%.10s", LONG);
	else
		test_printf(c, "HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-35/*\r\n\r\n%s", LONG + 10);
	if (*header(h, "Range"))
		test_cut(c);
}

TEST(stalled_blob_is_a_cut)
{
	struct test_server *s = test_server_new(NULL, false, stalling, NULL);
	_free_ char *got = NULL;

	endpoint(s, "localhost");
	struct registry *r = registry();

	CHECK_OK(blob_timed(r, strlen(LONG), NS_PER_S / 2, &got));
	CHECK_STR(got, LONG);
	registry_free(r);
}

TEST(blob_that_nobody_reads_is_given_up)
{
	struct test_server *s = test_server_new(NULL, false, simple, NULL);
	int fds[2];

	endpoint(s, "localhost");
	struct registry *r = registry();

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	close(fds[0]);
	CHECK_ERR(registry_blob(r, &(struct registry_blob){ DIGEST, 8, fds[1], NS_PER_S }), ERR_CANCELLED);
	close(fds[1]);
	CHECK_INT(s->requests, 1);
	registry_free(r);
}

/* ---- trouble that passes ---- */

static void troubled(struct test_conn *c, const struct http1_head *h, void *context)
{
	static const int statuses[] = { 503, 429, 500, 408, 200 };
	int n = seen.manifests++;

	(void)h;
	(void)context;
	if (statuses[n] == 200)
		test_answer(c, 200, "", "at last");
	else
		test_answer(c, statuses[n], n == 1 ? "Retry-After: 1\r\n" : "", "<html>down</html>");
}

TEST(trouble_that_passes)
{
	struct test_server *s = test_server_new(NULL, false, troubled, NULL);
	int64_t before = clock_mono_ns();

	seen.manifests = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_manifest(r, "latest", "at last");
	CHECK_INT(seen.manifests, 5);
	CHECK(clock_mono_ns() - before >= NS_PER_S);
	registry_free(r);
}

static void down(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	seen.manifests++;
	test_answer(c, 503, "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "{\"errors\":[{\"message\":\"over capacity\"}]}");
}

TEST(trouble_that_stays)
{
	struct test_server *s = test_server_new(NULL, false, down, NULL);

	seen.manifests = 0;
	endpoint(s, "localhost");
	struct registry *r = registry();

	check_says(no_manifest(r), ERR_UNAVAILABLE, "status 503 Words: over capacity");
	CHECK_INT(seen.manifests, REGISTRY_ROUNDS_MAX);
	registry_free(r);
}

TEST(deadline_ends_the_rounds)
{
	struct test_server *s = test_server_new(NULL, false, down, NULL);
	_buf_ struct buf b = BUF_INIT;
	char *type = NULL;

	endpoint(s, "localhost");
	struct registry *r = registry();

	registry_set_backoff(r, 3600 * NS_PER_S);
	check_says(registry_manifest(r, "latest", clock_mono_ns() + NS_PER_S / 2, &b, &type), ERR_UNAVAILABLE, "503");
	registry_free(r);
}

TEST(blob_resumes_at_another_endpoint)
{
	struct test_server *a = test_server_new(NULL, false, always_cut, NULL);
	struct test_server *b = test_server_new(NULL, false, cutting, NULL);

	mirror(a);
	endpoint(b, "localhost");
	struct registry *r = registry();

	check_blob(r, LONG);
	registry_free(r);
}

int main(int argc, char **argv)
{
	return harness_main(argc, argv);
}
