#include "cri/feed.h"

#include "base/test.h"

#include <poll.h>
#include <string.h>

static bool readable(struct feed_reader *r)
{
	struct pollfd p = { .fd = feed_fd(r), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void check_next(struct feed *f, struct feed_reader *r, const char *want)
{
	struct feed_item *item = NULL;

	CHECK_OK(feed_next(r, &item));
	if (!want) {
		CHECK(!item);
		return;
	}
	CHECK(item && item->len == strlen(want) && !memcmp(item->bytes, want, item->len));
	feed_item_put(f, item);
}

TEST(every_reader_gets_all_in_order)
{
	struct feed f;
	struct feed_reader *a = NULL, *b = NULL;

	feed_init(&f);
	CHECK(!feed_wanted(&f));
	feed_publish(&f, "nobody", 6);
	CHECK_OK(feed_open(&f, &a));
	CHECK(feed_wanted(&f) && !readable(a));
	feed_publish(&f, "one", 3);
	CHECK_OK(feed_open(&f, &b));
	feed_publish(&f, "two", 3);
	CHECK(readable(a) && readable(b));
	check_next(&f, a, "one");
	check_next(&f, a, "two");
	check_next(&f, a, NULL);
	CHECK(!readable(a));
	check_next(&f, b, "two");
	feed_close(a);
	feed_publish(&f, "left behind", 11);
	feed_close(b);
	feed_done(&f);
}

TEST(a_slow_reader_is_cut_off_and_no_other)
{
	struct feed f;
	struct feed_reader *slow = NULL, *fast = NULL;
	struct feed_item *item = NULL;

	feed_init(&f);
	CHECK_OK(feed_open(&f, &slow));
	CHECK_OK(feed_open(&f, &fast));
	for (int i = 0; i <= FEED_EVENTS_MAX; i++) {
		feed_publish(&f, "x", 1);
		check_next(&f, fast, "x");
	}
	CHECK(readable(slow));
	CHECK_ERR(feed_next(slow, &item), ERR_EXHAUSTED);
	CHECK_ERR(feed_next(slow, &item), ERR_EXHAUSTED);
	feed_publish(&f, "y", 1);
	check_next(&f, fast, "y");
	feed_close(slow);
	feed_close(fast);
	feed_done(&f);
}

TEST(bytes_are_bounded_as_events_are)
{
	static char large[FEED_BYTES_MAX / 2 + 1];
	struct feed f;
	struct feed_reader *r = NULL;
	struct feed_item *item = NULL;

	feed_init(&f);
	CHECK_OK(feed_open(&f, &r));
	feed_publish(&f, large, sizeof(large));
	CHECK_OK(feed_next(r, &item));
	feed_item_put(&f, item);
	feed_publish(&f, large, sizeof(large));
	feed_publish(&f, large, sizeof(large));
	CHECK_ERR(feed_next(r, &item), ERR_EXHAUSTED);
	feed_close(r);
	feed_done(&f);
}

TEST(readers_are_bounded_and_hear_the_end)
{
	struct feed_reader *r[FEED_READERS_MAX + 1] = { 0 };
	struct feed_item *item = NULL;
	struct feed f;

	feed_init(&f);
	for (int i = 0; i < FEED_READERS_MAX; i++)
		CHECK_OK(feed_open(&f, &r[i]));
	CHECK_ERR(feed_open(&f, &r[FEED_READERS_MAX]), ERR_EXHAUSTED);
	feed_publish(&f, "last", 4);
	feed_end(&f);
	check_next(&f, r[0], "last");
	CHECK(readable(r[0]));
	CHECK_ERR(feed_next(r[0], &item), ERR_UNAVAILABLE);
	for (int i = 0; i < FEED_READERS_MAX; i++)
		feed_close(r[i]);
	feed_done(&f);
}

TEST_MAIN
