/* Tests of the room: sha256 against FIPS vectors and itself, numbers, files, trees. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256_block.h"
#include "base/str.h"
#include "base/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

TEST(sha256_matches_fips_vectors)
{
	char text[DIGEST_TEXT_LEN + 1];

	sha256_text("abc", 3, text);
	CHECK_STR(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_text("", 0, text);
	CHECK_STR(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK(digest_ok(text));
	text[70] = 'G';
	CHECK(!digest_ok(text));
	CHECK(!digest_ok("sha256:ba7816"));
}

TEST(sha256_in_pieces_equals_whole_and_portable_equals_fast)
{
	unsigned char data[1000];
	uint32_t a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, b[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	char whole[DIGEST_TEXT_LEN + 1], pieces[DIGEST_TEXT_LEN + 1];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 31 + 7);
	sha256_blocks(a, data, 15);
	sha256_blocks_soft(b, data, 15);
	CHECK(!memcmp(a, b, sizeof(a)));
	for (size_t n = 0; n < 200; n += 13) {
		struct sha256 h;

		sha256_text(data, n * 5, whole);
		sha256_init(&h);
		for (int i = 0; i < 5; i++)
			sha256_update(&h, data + (size_t)i * n, n);
		sha256_final_text(&h, pieces);
		CHECK_STR(pieces, whole);
	}
}

TEST(numbers_are_strict)
{
	uint64_t v = 0;

	CHECK(str_to_u64("4294967294", 4294967294u, &v) && v == 4294967294u);
	CHECK(!str_to_u64("4294967295", 4294967294u, &v));
	CHECK(!str_to_u64("18446744073709551616", UINT64_MAX, &v));
	CHECK(!str_to_u64("", 9, &v) && !str_to_u64("-1", 9, &v) && !str_to_u64("1 ", 9, &v));
	CHECK(!str_to_u64("0x1", 99, &v) && !str_to_u64(NULL, 9, &v));
}

TEST(errors_wrap_from_the_outside_in)
{
	_err_ struct err *e = err_errno(ENOENT, "open %s", "/x");

	e = err_wrap(e, "layer %d", 3);
	CHECK_STR(err_text(e), "layer 3: open /x: No such file or directory");
	CHECK(err_is(e, ERR_NOT_FOUND) && !err_is(NULL, ERR_INTERNAL));
	CHECK(err_wrap(NULL, "nothing") == NULL);
}

TEST(clock_formats_rfc3339)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(INT64_C(1700000000000000001), text);
	CHECK_STR(text, "2023-11-14T22:13:20.000000001Z");
	CHECK(clock_ms_until(CLOCK_NEVER) == -1 && clock_ms_until(0) == 0);
}

TEST(arena_hands_out_zeroed_aligned_memory)
{
	_arena_ struct arena a;

	arena_init(&a);
	for (size_t i = 1; i < 20000; i += 777) {
		unsigned char *p = arena_alloc(&a, i);

		CHECK(((uintptr_t)p & 15) == 0 && p[0] == 0 && p[i - 1] == 0);
		memset(p, 0xff, i);
	}
	CHECK_STR(arena_printf(&a, "%s-%d", "x", 5), "x-5");
}

TEST(tree_is_made_replaced_and_removed)
{
	char dir[] = "/tmp/crisp-base-XXXXXX";
	char path[128];
	_buf_ struct buf b = BUF_INIT;

	CHECK(mkdtemp(dir));
	_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY);

	snprintf(path, sizeof(path), "%s/a/b/c/d/e", dir);
	CHECK_OK(file_make_dirs(path, 0700));
	CHECK_OK(file_replace_at(fd, "a/b/f", "one", 3, 0600, FILE_DURABLE));
	CHECK_OK(file_replace_at(fd, "a/b/f", "two!", 4, 0600, FILE_VOLATILE));
	CHECK_OK(file_read_at(fd, "a/b/f", 100, &b));
	CHECK_STR(buf_text(&b), "two!");
	CHECK(symlinkat("/etc", fd, "a/b/c/link") == 0);
	CHECK(mkfifoat(fd, "a/fifo", 0600) == 0);
	CHECK_ERR(file_read_at(fd, "a/fifo", 100, &b), ERR_INVALID);
	CHECK_ERR(file_read_at(fd, "a/b/f", 3, &b), ERR_EXHAUSTED);
	CHECK_OK(file_remove_tree(fd, "a"));
	CHECK(faccessat(fd, "a", F_OK, 0) < 0);
	CHECK(access("/etc/passwd", F_OK) == 0);
	CHECK_OK(file_remove_tree(fd, "a"));
	CHECK(rmdir(dir) == 0);
	CHECK(file_name_ok("x.y") && !file_name_ok("..") && !file_name_ok("a/b") && !file_name_ok("a\n"));
}

TEST(a_file_in_memory_is_read_from_its_start_and_never_changed)
{
	_buf_ struct buf b = BUF_INIT;
	_close_ int fd = -1;

	CHECK_OK(file_in_memory("test", "words", 5, &fd));
	CHECK(write(fd, "x", 1) < 0 && errno == EPERM);
	CHECK(ftruncate(fd, 1) < 0 && errno == EPERM);
	CHECK_OK(file_read_fd(fd, 10, &b));
	CHECK_STR(buf_text(&b), "words");
}

TEST(file_replace_at_makes_its_temporary_file_beside_the_name)
{
	char dir[] = "/tmp/crisp-base-XXXXXX", before[4096];
	_buf_ struct buf b = BUF_INIT;

	CHECK(mkdtemp(dir) && getcwd(before, sizeof(before)));
	_free_ char *path = base_printf("%s/f", dir);

	CHECK(chdir("/proc/self") == 0); /* where nothing can be created */
	struct err *e = file_replace_at(AT_FDCWD, path, "x", 1, 0600, FILE_DURABLE);

	CHECK(chdir(before) == 0);
	CHECK_OK(e);
	CHECK_OK(file_read_at(AT_FDCWD, path, 10, &b));
	CHECK_STR(buf_text(&b), "x");
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
}

TEST(buf_is_text_even_when_nothing_was_appended_after_reserve)
{
	_buf_ struct buf b = BUF_INIT;

	memset(buf_reserve(&b, 100) + 1, 'x', 99);
	CHECK_STR(buf_text(&b), "");
	_close_ int fd = open("/dev/null", O_RDONLY);
	_buf_ struct buf empty = BUF_INIT;

	CHECK_OK(file_read_fd(fd, 10, &empty));
	CHECK_STR(buf_text(&empty), "");
}

TEST_MAIN
