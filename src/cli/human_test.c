#include "base/clock.h"
#include "base/test.h"
#include "cli/human.h"
#include "cli/logline.h"
#include "cli/pattern.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "cli/verb.h"

TEST(durations_in_dockers_words)
{
	static const struct {
		int64_t seconds;
		const char *want;
	} rows[] = {
		{ 0, "Less than a second" }, { 1, "1 second" },	       { 45, "45 seconds" },	 { 60, "About a minute" },
		{ 119, "About a minute" },   { 120, "2 minutes" },     { 3599, "59 minutes" },	 { 3600, "About an hour" },
		{ 5399, "About an hour" },   { 5400, "2 hours" },      { 47 * 3600, "47 hours" }, { 48 * 3600, "2 days" },
		{ 13 * 86400, "13 days" },   { 14 * 86400, "2 weeks" }, { 60 * 86400, "2 months" }, { 729 * 86400, "24 months" },
		{ 730 * 86400, "2 years" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_buf_ struct buf b = BUF_INIT;

		human_duration(rows[i].seconds * NS_PER_S, &b);
		CHECK_STR(buf_text(&b), rows[i].want);
	}
}

TEST(sizes)
{
	static const struct {
		uint64_t bytes;
		int digits;
		const char *want;
	} rows[] = {
		{ 0, 3, "0B" },		  { 999, 3, "999B" },	   { 1000, 3, "1kB" },	   { 1024, 3, "1.02kB" },
		{ 999499, 3, "999kB" },	  { 999500, 3, "1MB" },	   { 1234567, 4, "1.235MB" }, { 85 * 1000000, 3, "85MB" },
		{ UINT64_MAX, 4, "18.45EB" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_buf_ struct buf b = BUF_INIT;

		human_size(rows[i].bytes, rows[i].digits, &b);
		CHECK_STR(buf_text(&b), rows[i].want);
	}
}

TEST(escaping)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80", "plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\x1b[31m", "\\x1b[31m" },
		{ "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b" "2J", "\\xc2\\x9b2J" },	/* CSI as one character of C1 */
		{ "\xc2\xa0", "\xc2\xa0" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xc3", "\\xc3" },
		{ "\xc0\x9b", "\\xc0\\x9b" },		/* overlong ESC */
		{ "user\xe2\x80\xaegnp.exe", "user\\xe2\\x80\\xaegnp.exe" },
		{ "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_buf_ struct buf b = BUF_INIT;

		human_escape(rows[i].text, strlen(rows[i].text), &b);
		CHECK_STR(buf_text(&b), rows[i].want);
	}
}

TEST(columns_align_by_characters)
{
	static const char *const titles[] = { "A", "B", NULL };
	_table_ struct table t;
	_buf_ struct buf b = BUF_INIT;

	table_init(&t, titles);
	table_cell(&t, "\xc3\xbc");
	table_cell(&t, "x");
	table_cell(&t, "a long name, twenty-four");
	table_cell(&t, "y");
	table_write(&t, &b);
	CHECK_STR(buf_text(&b), "A                          B\n"
				"\xc3\xbc                          x\n"
				"a long name, twenty-four   y\n");
}

TEST(patterns)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} rows[] = {
		{ "web", "my-web-0", true },	{ "^web", "my-web", false },	{ "web$", "web-0", false },
		{ "^web$", "web", true },	{ "w.b", "wxb", true },		{ "a*b", "b", true },
		{ "^a*$", "aaa", true },	{ "^a+$", "", false },		{ "^ab?c$", "ac", true },
		{ "^[a-c]+$", "abcabc", true }, { "^[^0-9]*$", "a1", false },	{ "a\\.b", "axb", false },
		{ "a\\.b", "a.b", true },	{ "foo|bar", "xbar", true },	{ "^foo|^bar", "xbar", false },
		{ "", "anything", true },	{ "[]x]", "]", true },		{ "^.*x.*x.*x$", "axbxcx", true },
		{ "a$b", "a$b", true },		{ "a|", "zzz", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_OK(pattern_check(rows[i].pattern));
		if (pattern_match(rows[i].pattern, rows[i].text) != rows[i].want)
			fprintf(stderr, "%s %s\n", rows[i].pattern, rows[i].text);
		CHECK(pattern_match(rows[i].pattern, rows[i].text) == rows[i].want);
	}
	CHECK_ERR(pattern_check("a("), ERR_INVALID);
	CHECK_ERR(pattern_check("*a"), ERR_INVALID);
	CHECK_ERR(pattern_check("a**"), ERR_INVALID);
	CHECK_ERR(pattern_check("[a"), ERR_INVALID);
	CHECK_ERR(pattern_check("a\\"), ERR_INVALID);
}

TEST(duration_options)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ "30", 30 * NS_PER_S },	    { "1.5s", 1500 * NS_PER_MS }, { "2h45m", 9900 * NS_PER_S },
		{ "300ms", 300 * NS_PER_MS },	    { "0", 0 },			  { "0.01", 10 * NS_PER_MS },
		{ "1us", 1000 },		    { "10ns", 10 },		  { "", -1 },
		{ "x", -1 },			    { "-1s", -1 },		  { "1s2", -1 },
		{ "5 s", -1 },			    { "1d", -1 },		  { "99999999999999999999s", -1 },
		{ "9999999999999h", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = -1;

		if (!cli_parse_duration(rows[i].text, &got))
			got = -1;
		CHECK_INT(got, rows[i].want);
	}
}

TEST(log_times)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2023-11-14T22:13:20.000000001Z", INT64_C(1700000000000000001) },
		{ "2023-11-14T23:13:20.5+01:00", INT64_C(1700000000500000000) },
		{ "2023-11-14T14:43:20-07:30", INT64_C(1700000000000000000) },
		{ "2023-11-14T22:13:20.123456789123Z", INT64_C(1700000000123456789) },
		{ "2023-11-14T22:13:20", -1 },	{ "2023-13-14T22:13:20Z", -1 }, { "2023-11-14 22:13:20Z", -1 },
		{ "2023-11-14T22:13:20X", -1 }, { "2023-11-14T22:13:20.Zx", -1 }, { "", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = -1;

		if (!logline_time(rows[i].text, strlen(rows[i].text), &got))
			got = -1;
		CHECK_INT(got, rows[i].want);
	}
}

static void collect(struct logline *l, const char *p, size_t n, bool first, bool last, void *context)
{
	if (first)
		buf_printf(context, "<%s%s ", l->is_stderr ? "err" : "out", l->partial ? "P" : "F");
	buf_append(context, p, n);
	if (last)
		buf_putc(context, '>');
}

TEST(log_lines_cut_anywhere)
{
	static const char text[] = "2023-11-14T22:13:20Z stdout F a b  c\n"
				   "\n"
				   "2023-11-14T22:13:20Z stderr P:x \n"
				   "nonsense\n"
				   "2023-11-14T22:13:20Z stdout Q q\n"
				   "2023-11-14T22:13:20Z stdout F end";

	for (size_t step = 1; step < sizeof(text); step++) {
		struct logline l = { 0 };
		_buf_ struct buf b = BUF_INIT;

		for (size_t i = 0; i < sizeof(text) - 1; i += step)
			logline_feed(&l, text + i, MIN(step, sizeof(text) - 1 - i), collect, &b);
		CHECK_STR(buf_text(&b), "<outF a b  c><errP ><outF end");
		CHECK(l.malformed);
	}
}

TEST(statuses_of_remote_commands)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "{\"status\":\"Success\"}", 0 },
		{ "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":["
		  "{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}",
		  3 },
		{ "{\"status\":\"Failure\",\"message\":\"no such file\"}", -1 },
		{ "{\"status\":\"Failure\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"999\"}]}}", -1 },
		{ "not json", -1 },
		{ "[]", -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int got = -1;
		_err_ struct err *e = remote_parse_status(rows[i].text, strlen(rows[i].text), &got);

		CHECK_INT(e ? -1 : got, rows[i].want);
		if (i == 2)
			CHECK_STR(err_text(e), "no such file");
	}
}

TEST_MAIN
