#include "pod/crilog.h"

#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "pod/exit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static char held[CRILOG_PIECE_MAX];

/* What was written, with each entry's time taken off. */
static char *entries(int fd)
{
	_buf_ struct buf all = BUF_INIT;
	struct buf out = BUF_INIT;

	lseek(fd, 0, SEEK_SET);
	CHECK_OK(file_read_fd(fd, MIB(8), &all));
	for (const char *line = buf_text(&all), *end; (end = strchr(line, '\n')); line = end + 1) {
		const char *space = memchr(line, ' ', (size_t)(end - line));

		/* 2026-11-23T10:00:00.000000000Z */
		if (space && space - line == 30 && line[10] == 'T' && line[29] == 'Z')
			line = space + 1;
		buf_append(&out, line, (size_t)(end + 1 - line));
	}
	return buf_take(&out);
}

static struct crilog new_log(void)
{
	return (struct crilog){ .fd = memfd_create("log", MFD_CLOEXEC) };
}

static struct crilog_stream new_stream(void)
{
	return (struct crilog_stream){ "stdout", held, 0 };
}

static void expect(struct crilog *l, const char *want)
{
	_free_ char *got = entries(l->fd);

	CHECK_STR(got, want);
	close(l->fd);
}

TEST(crilog_lines)
{
	struct crilog l = new_log();
	struct crilog_stream s = new_stream();

	crilog_write(&l, &s, "one\ntwo\n\nfour\n", 14);
	expect(&l, "stdout F one\nstdout F two\nstdout F \nstdout F four\n");
	CHECK(s.n_held == 0);
}

TEST(crilog_line_in_pieces_is_one_entry)
{
	struct crilog l = new_log();
	struct crilog_stream s = new_stream();

	crilog_write(&l, &s, "be", 2);
	crilog_write(&l, &s, "gin", 3);
	crilog_write(&l, &s, "ning\nen", 7);
	CHECK(s.n_held == 2);
	crilog_write(&l, &s, "d\n", 2);
	expect(&l, "stdout F beginning\nstdout F end\n");
}

TEST(crilog_end_without_newline_is_partial)
{
	struct crilog l = new_log();
	struct crilog_stream s = new_stream();

	crilog_write(&l, &s, "a\nprompt> ", 10);
	crilog_flush(&l, &s);
	crilog_flush(&l, &s);
	crilog_write(&l, &s, "\n", 1);
	expect(&l, "stdout F a\nstdout P prompt> \nstdout F \n");
}

TEST(crilog_long_lines_are_cut)
{
	for (size_t extra = 0; extra < 3; extra++) {
		size_t n = CRILOG_PIECE_MAX + extra;
		_free_ char *line = base_alloc(n + 2);
		struct crilog l = new_log();
		struct crilog_stream s = new_stream();

		memset(line, 'x', n);
		line[n] = '\n';
		crilog_write(&l, &s, line, n + 1);
		_free_ char *got = entries(l.fd);
		size_t first = strcspn(got, "\n");

		CHECK(first == CRILOG_PIECE_MAX + strlen("stdout F "));
		CHECK(str_starts(got, extra ? "stdout P " : "stdout F "));
		CHECK_STR(got + first + 1, extra == 0 ? "" : extra == 1 ? "stdout F x\n" : "stdout F xx\n");
		close(l.fd);
	}
}

/* Whatever the reads' boundaries, the text is the same and no piece is longer than the limit. */
TEST(crilog_any_boundaries)
{
	enum { TOTAL = 200000 };
	_free_ char *text = base_alloc(TOTAL);
	unsigned seed = 1;

	for (size_t i = 0; i < TOTAL; i++) {
		seed = seed * 1103515245 + 12345;
		text[i] = (seed >> 16) % 9000 == 0 ? '\n' : (char)('a' + (seed >> 16) % 26);
	}
	for (unsigned step = 1; step < 70000; step = step * 7 + 1) {
		struct crilog l = new_log();
		struct crilog_stream s = new_stream();
		_buf_ struct buf joined = BUF_INIT;

		for (size_t at = 0; at < TOTAL; at += step)
			crilog_write(&l, &s, text + at, MIN(step, TOTAL - at));
		crilog_flush(&l, &s);
		_free_ char *got = entries(l.fd);

		for (const char *line = got, *end; (end = strchr(line, '\n')); line = end + 1) {
			CHECK(str_starts(line, "stdout F ") || str_starts(line, "stdout P "));
			CHECK(end - line <= CRILOG_PIECE_MAX + 9);
			/* As the kubelet reads it: a P brings no newline. */
			buf_append(&joined, line + 9, (size_t)(end - line - 9 + (line[7] == 'F')));
		}
		CHECK(joined.len == TOTAL && !memcmp(joined.data, text, TOTAL));
		close(l.fd);
	}
}

TEST(crilog_many_short_lines)
{
	enum { LINES = 5000 };
	_buf_ struct buf in = BUF_INIT, want = BUF_INIT;
	struct crilog l = new_log();
	struct crilog_stream s = new_stream();

	for (int i = 0; i < LINES; i++) {
		buf_printf(&in, "%d\n", i);
		buf_printf(&want, "stdout F %d\n", i);
	}
	crilog_write(&l, &s, in.data, in.len);
	expect(&l, want.data);
}

TEST(crilog_full_disk_is_counted_and_said)
{
	struct crilog l = { .fd = open("/dev/full", O_WRONLY | O_CLOEXEC) };
	struct crilog_stream s = new_stream();

	crilog_write(&l, &s, "lost\n", 5);
	uint64_t lost = l.lost;

	CHECK(lost > 5 && l.error == ENOSPC && !l.torn);
	crilog_write(&l, &s, "lost too\n", 9);
	CHECK(l.lost > lost);
	close(l.fd);
	l.fd = memfd_create("log", MFD_CLOEXEC);
	lost = l.lost;
	crilog_write(&l, &s, "here\n", 5);
	CHECK(l.lost == 0 && l.lost_total == lost);
	_free_ char *want = base_printf("stderr F crisp: %llu bytes of this log could not be written: %s\nstdout F here\n",
					(unsigned long long)lost, strerror(ENOSPC));
	expect(&l, want);
}

/* A write that ended in the middle of an entry: the next one begins on a line of its own. */
TEST(crilog_torn_entry)
{
	struct crilog l = new_log();
	struct crilog_stream s = new_stream();

	CHECK(write(l.fd, "2026-11-23T10:00:00.000000000Z stdout F tor", 43) == 43);
	l.torn = true;
	l.lost = 10;
	l.error = ENOSPC;
	crilog_write(&l, &s, "next\n", 5);
	CHECK(!l.torn && !l.lost);
	_free_ char *got = entries(l.fd);

	CHECK(str_starts(got, "stdout F tor\nstderr F crisp: 10 bytes"));
	CHECK(str_ends(got, "\nstdout F next\n"));
	close(l.fd);
}

TEST(crilog_no_log)
{
	struct crilog l = { .fd = -1 };
	struct crilog_stream s = new_stream();

	crilog_write(&l, &s, "text", 4);
	crilog_flush(&l, &s);
	crilog_note(&l, "note");
	CHECK(s.n_held == 0 && l.lost == 0);
}

static void check_open_fails(int dir, const char *path)
{
	int fd = -1;
	struct err *e = crilog_open(dir, path, &fd);

	if (!e)
		fprintf(stderr, "%s was opened\n", path);
	CHECK(e);
	err_free(e);
	CHECK(fd == -1);
}

TEST(crilog_open_beneath)
{
	char top[] = "/tmp/crilog-XXXXXX";
	struct stat st;
	int fd = -1;

	CHECK(mkdtemp(top));
	int dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK_OK(crilog_open(dir, "a/b/0.log", &fd));
	CHECK(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0640 && (fcntl(fd, F_GETFL) & O_APPEND));
	close(fd);
	fd = -1;
	CHECK(symlinkat("/etc", dir, "link") == 0 && symlinkat("/etc/passwd", dir, "file") == 0);
	CHECK(mkfifoat(dir, "fifo", 0600) == 0 && mkdirat(dir, "dir", 0700) == 0);
	const char *const bad[] = { "", "/", "/etc/x", "../x", "a/../x", "a//x", "link/x", "file", "fifo", "dir",
				    "a/\n/x", "x\n", "a/b/", "." };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_open_fails(dir, bad[i]);
	close(dir);
	CHECK_OK(file_remove_tree(AT_FDCWD, top));
}

TEST(exit_record)
{
	static const char *const bad[] = { "", "v1", "v1 0 0 0 1 2", "v2 0 0 0 1 2\n", "v1 256 0 0 1 2\n", "v1 0 65 0 1 2\n",
					   "v1 0 0 2 1 2\n", "v1 -1 0 0 1 2\n", "v1 0 0 0 1\n", "v1  0 0 0 1 2\n",
					   "v1 0 0 0 99999999999999999999 2\n", "v1 0 0 0 1 x\n" };
	struct exit_record x = { 137, 9, true, 1763892000123456789, 1763892001000000000 }, y = { 0 };
	char text[EXIT_RECORD_MAX];

	CHECK(exit_format(&x, text) == strlen(text));
	CHECK_STR(text, "v1 137 9 1 1763892000123456789 1763892001000000000\n");
	CHECK_OK(exit_parse(text, &y));
	CHECK(y.code == 137 && y.signal == 9 && y.oom && y.started_ns == x.started_ns && y.finished_ns == x.finished_ns);
	CHECK_OK(exit_parse("v1 3 0 0 0 5 more in a later version\n", &y));
	CHECK(y.code == 3 && y.finished_ns == 5);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(exit_parse(bad[i], &y), ERR_CORRUPT);
}

TEST_MAIN
