/* Our client against our server: every kind of call, limits, cancellation, many at once; and the text of the protocol. */
#include "wire/grpc_harness.h"

TEST(echo_small_empty_and_many_on_one_connection)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);

	for (int i = 0; i < 200; i++) {
		_free_ void *body = NULL;
		size_t len = 99;
		const char *text = i % 2 ? "hello" : "";

		CHECK_OK(grpc_client_call(c, "/t/Echo", text, strlen(text), in_ms(10000), &body, &len));
		CHECK(len == strlen(text) && !memcmp(body, text, len));
	}
	grpc_client_free(c);
	stop(f);
}

TEST(echo_sixteen_mebibytes_and_not_a_byte_more)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	_free_ unsigned char *big = base_alloc(GRPC_MESSAGE_MAX + 1);
	_free_ void *body = NULL;
	size_t len = 0;

	for (size_t i = 0; i < GRPC_MESSAGE_MAX; i++)
		big[i] = (unsigned char)(i * 7 + i / 251);
	CHECK_OK(grpc_client_call(c, "/t/Echo", big, GRPC_MESSAGE_MAX, in_ms(60000), &body, &len));
	CHECK(len == GRPC_MESSAGE_MAX && !memcmp(body, big, len));
	CHECK_ERR(grpc_client_call(c, "/t/Echo", big, GRPC_MESSAGE_MAX + 1, in_ms(1000), &body, &len), ERR_EXHAUSTED);
	grpc_client_free(c);
	stop(f);
}

TEST(status_and_message_come_through)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	void *body = NULL;
	size_t len;
	_err_ struct err *e = grpc_client_call(c, "/t/Fail", "x", 1, CLOCK_NEVER, &body, &len);

	CHECK(err_is(e, ERR_NOT_FOUND));
	CHECK_STR(err_text(e), "pod \"web\": 100% g\xc3\xb6ne?second line");
	CHECK_ERR(grpc_client_call(c, "/t/Nothing", "x", 1, CLOCK_NEVER, &body, &len), ERR_UNIMPLEMENTED);
	grpc_client_free(c);
	stop(f);
}

TEST(deadline_travels_and_ends_the_call)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	_free_ char *body = NULL;
	void *none = NULL;
	size_t len;

	CHECK_OK(grpc_client_call(c, "/t/Deadline", "", 0, in_ms(5000), (void **)&body, &len));
	CHECK(atoi(body) > 4000 && atoi(body) <= 5001);
	free(TAKE(body));
	CHECK_OK(grpc_client_call(c, "/t/Deadline", "", 0, CLOCK_NEVER, (void **)&body, &len));
	CHECK_STR(body, "-1");
	int64_t before = clock_mono_ns();

	CHECK_ERR(grpc_client_call(c, "/t/Wait", "", 0, in_ms(100), &none, &len), ERR_TIMEOUT);
	CHECK(clock_mono_ns() - before < 5 * NS_PER_S);
	/* The handler hears of it, and the connection is still good. */
	wait_until(&f->cancelled, 1);
	free(TAKE(body));
	CHECK_OK(grpc_client_call(c, "/t/Echo", "again", 5, in_ms(5000), (void **)&body, &len));
	grpc_client_free(c);
	stop(f);
}

TEST(caller_that_goes_away_cancels)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	void *none = NULL;
	size_t len;

	CHECK_ERR(grpc_client_call(c, "/t/Wait", "", 0, in_ms(50), &none, &len), ERR_TIMEOUT);
	wait_until(&f->cancelled, 1);
	grpc_client_free(c);
	stop(f);
}

struct counter {
	int n, stop_at;
	bool bad;
};

static bool count(const void *p, size_t len, void *context)
{
	struct counter *k = context;
	char text[16] = "";

	memcpy(text, p, MIN(len, sizeof(text) - 1));
	k->bad |= atoi(text) != k->n;
	k->n++;
	return k->n != k->stop_at;
}

TEST(stream_in_order_and_ended_early)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	struct counter all = { 0 }, some = { .stop_at = 7 };

	CHECK_OK(grpc_client_stream(c, "/t/Count", "", 0, in_ms(20000), count, &all));
	CHECK(all.n == 1000 && !all.bad);
	CHECK_OK(grpc_client_stream(c, "/t/Count", "", 0, in_ms(20000), count, &some));
	CHECK(some.n == 7 && !some.bad);
	all = (struct counter){ 0 };
	CHECK_OK(grpc_client_stream(c, "/t/Count", "", 0, in_ms(20000), count, &all));
	CHECK_INT(all.n, 1000);
	grpc_client_free(c);
	stop(f);
}

static void *call_slow(void *arg)
{
	struct fixture *f = arg;
	struct grpc_client *c = NULL;
	_free_ void *body = NULL;
	size_t len = 0;
	struct err *e = grpc_client_connect(f->path, &c);

	for (int i = 0; i < 10 && !e; i++) {
		free(TAKE(body));
		e = grpc_client_call(c, "/t/Slow", "0123456789", 10, in_ms(60000), &body, &len);
	}
	bool ok = !e && len == 10 && !memcmp(body, "0123456789", 10);

	if (e)
		fprintf(stderr, "slow: %s\n", err_text(e));
	err_free(e);
	grpc_client_free(c);
	return ok ? f : NULL;
}

TEST(three_hundred_calls_thirty_at_once)
{
	struct fixture *f = start();
	pthread_t threads[30];
	int ok = 0;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_create(&threads[i], NULL, call_slow, f);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *r;

		pthread_join(threads[i], &r);
		ok += r != NULL;
	}
	CHECK_INT(ok, 30);
	CHECK(f->most_running > 10);
	stop(f);
}

TEST(worker_threads_end_when_idle)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	_free_ void *body = NULL;
	size_t len;

	CHECK_OK(grpc_client_call(c, "/t/Echo", "x", 1, in_ms(5000), &body, &len));
	pthread_mutex_lock(&f->server->lock);
	CHECK_INT(f->server->n_threads, 1);
	pthread_mutex_unlock(&f->server->lock);
	for (int i = 0; i < 100; i++) {
		usleep(100000);
		pthread_mutex_lock(&f->server->lock);
		unsigned n = f->server->n_threads;

		pthread_mutex_unlock(&f->server->lock);
		if (!n) {
			CHECK(i * 100 >= (GRPC_WORKER_IDLE_S - 1) * 1000);
			grpc_client_free(c);
			stop(f);
			return;
		}
	}
	CHECK(!"the thread ends");
}

TEST(free_waits_for_calls_then_cancels_them)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	void *none = NULL;
	size_t len;

	/* The call outlives its caller's patience; the server's end cancels the next. */
	f->free_wait_ns = 200 * NS_PER_MS;
	CHECK_ERR(grpc_client_call(c, "/t/Wait", "", 0, in_ms(50), &none, &len), ERR_TIMEOUT);
	wait_until(&f->cancelled, 1);
	int64_t before = clock_mono_ns();

	grpc_client_free(c);
	stop(f);
	CHECK(clock_mono_ns() - before < 2 * NS_PER_S);
}

/* ---- text ------------------------------------------------------------------------------------ */

TEST(timeouts_parse)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ "1n", 1 },		       { "20u", 20000 },	    { "300m", 300 * NS_PER_MS },
		{ "4S", 4 * NS_PER_S },	       { "5M", 300 * NS_PER_S },    { "6H", 21600 * NS_PER_S },
		{ "99999999n", 99999999 },     { "99999999H", CLOCK_NEVER }, { "0S", 0 },
		{ "123456789S", -1 },	       { "S", -1 },		    { "", -1 },
		{ "1", -1 },		       { "1s", -1 },		    { "-1S", -1 },
		{ " 1S", -1 },		       { "1.5S", -1 },		    { "1h", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = -1;

		if (!grpc_timeout_parse(rows[i].text, strlen(rows[i].text), &got))
			got = -1;
		CHECK_INT(got, rows[i].want);
	}
}

TEST(timeouts_format)
{
	char text[GRPC_TIMEOUT_TEXT_MAX];

	grpc_timeout_format(0, text);
	CHECK_STR(text, "0n");
	grpc_timeout_format(-5, text);
	CHECK_STR(text, "0n");
	grpc_timeout_format(99999999, text);
	CHECK_STR(text, "99999999n");
	grpc_timeout_format(100000001, text);
	CHECK_STR(text, "100001u");
	grpc_timeout_format(4 * 3600 * NS_PER_S, text);
	CHECK_STR(text, "14400000m");
	grpc_timeout_format(INT64_MAX - 1, text);
	CHECK_STR(text, "2562048H");
}

TEST(percent_encoding)
{
	_buf_ struct buf b = BUF_INIT, back = BUF_INIT, cut = BUF_INIT;
	_free_ char *longer = base_alloc(GRPC_TEXT_MAX + 10);

	grpc_percent_encode("a%b\n\xc3\xbc ~", &b);
	CHECK_STR(buf_text(&b), "a%25b%0A%C3%BC ~");
	grpc_percent_decode(b.data, b.len, &back);
	CHECK_STR(buf_text(&back), "a%b?\xc3\xbc ~");
	buf_clear(&back);
	grpc_percent_decode("%zz%4", 5, &back);
	CHECK_STR(buf_text(&back), "%zz%4");
	/* Cut between characters, not within one. */
	memset(longer, 'x', GRPC_TEXT_MAX + 8);
	memcpy(longer + GRPC_TEXT_MAX - 1, "\xc3\xbc", 2);
	grpc_percent_encode(longer, &cut);
	CHECK_INT(cut.len, GRPC_TEXT_MAX - 1);
}

TEST(reader_grows_with_what_arrives)
{
	struct grpc_reader r = { 0 };
	size_t used;

	/* 16 MiB promised, two bytes sent. */
	CHECK_OK(grpc_reader_feed(&r, "\0\1\0\0\0ab", 7, &used));
	CHECK(used == 7 && r.got == 2 && r.cap <= 4096 && !r.complete);
	grpc_reader_done(&r);
	CHECK_OK(grpc_reader_feed(&r, "\0\0", 2, &used));
	CHECK_OK(grpc_reader_feed(&r, "\0\0\2abcd", 7, &used));
	CHECK(used == 5 && r.complete && !memcmp(r.data, "ab", 2));
	grpc_reader_done(&r);
}

TEST_MAIN
