/* What a file has beside its content: extended attributes, holes. */
#include "store/erofs_harness.h"

TEST(extended_attributes)
{
	char *big = pattern(60000);
	struct erofs_xattr some[] = {
		{"user.first", "old", 3},
		{"security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20},
		{"trusted.t", "", 0},
		{"com.apple.what", "x", 1},
		{"user.first", "new!", 4},
	};
	struct erofs_xattr large[] = {
		{"user.big", big, 60000}, {"user.too", big + 1, 59999}, {"user.c", "c", 1}};
	struct erofs_attr attr = plain;

	begin();
	attr.xattrs = some;
	attr.n_xattrs = ARRAY_LEN(some);
	CHECK_OK(erofs_add_dir(writer, "", &attr));
	CHECK_OK(erofs_add_dir(writer, "dir", &attr));
	CHECK_OK(erofs_file_begin(writer, "file", &attr, 3, NULL, 0));
	CHECK_OK(erofs_file_data(writer, "abc", 3));
	CHECK_OK(erofs_file_end(writer));
	attr.xattrs = large;
	attr.n_xattrs = ARRAY_LEN(large);
	CHECK_OK(erofs_add_dir(writer, "bigdir", &attr));
	CHECK_OK(erofs_file_begin(writer, "bigdir/file", &attr, 5, NULL, 0));
	CHECK_OK(erofs_file_data(writer, "12345", 5));
	CHECK_OK(erofs_file_end(writer));
	CHECK_OK(erofs_add_symlink(writer, "bigdir/link", &attr, "to"));
	finish();
	const char *why = testing_why_no_mount();

	if (!why) {
		testing_mount(&image);
		const char *const names[] = {"", "dir", "file"};

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			CHECK(has_xattr(names[i], "user.first", "new!", 4));
			CHECK(has_xattr(names[i], "security.capability", some[1].value, 20));
			CHECK(has_xattr(names[i], "trusted.t", "", 0));
			CHECK(!has_xattr(names[i], "com.apple.what", "x", 1));
		}
		CHECK(has_xattr("bigdir", "user.big", big, 60000));
		CHECK(has_xattr("bigdir/file", "user.too", big + 1, 59999));
		CHECK(has_xattr("bigdir/file", "user.c", "c", 1));
		check_content("bigdir/file", "12345", 5);
		char target[8];

		CHECK_INT(readlink(in_mount("bigdir/link"), target, sizeof(target)), 2);
	}
	free(big);
	if (why)
		SKIP(why);
	end();
}

TEST(root_with_too_many_attributes_is_an_error)
{
	char *big = pattern(3000);
	struct erofs_xattr x = {"user.big", big, 3000};
	struct erofs_attr attr = plain;
	uint64_t size;

	attr.xattrs = &x;
	attr.n_xattrs = 1;
	begin();
	CHECK_OK(erofs_add_dir(writer, "/", &attr));
	CHECK_ERR(erofs_finish(writer, uuid, &size), ERR_EXHAUSTED);
	free(big);
	end();
}

TEST(sparse_files)
{
	static const struct erofs_extent one[] = {{10000, 3}, {20000, 0}};
	static const struct erofs_extent ends[] = {{0, 5000}, {6000, 10}, {65530, 7}, {1048571, 5}};
	char *p = pattern(6000), *want = base_alloc(1048576);

	begin();
	CHECK_OK(erofs_file_begin(writer, "hole", &plain, 123456, one, 0));
	CHECK_OK(erofs_file_end(writer));
	CHECK_OK(erofs_file_begin(writer, "one", &plain, 20000, one, 2));
	CHECK_OK(erofs_file_data(writer, "abc", 3));
	CHECK_OK(erofs_file_end(writer));
	CHECK_OK(erofs_file_begin(writer, "ends", &plain, 1048576, ends, 4));
	for (size_t i = 0; i < 5022; i += 93)
		CHECK_OK(erofs_file_data(writer, p + i, MIN((size_t)93, 5022 - i)));
	CHECK_OK(erofs_file_end(writer));
	finish();
	memcpy(want, p, 5000);
	memcpy(want + 6000, p + 5000, 10);
	memcpy(want + 65530, p + 5010, 7);
	memcpy(want + 1048571, p + 5017, 5);
	const char *why = testing_why_no_mount();

	if (!why) {
		testing_mount(&image);
		check_content("ends", want, 1048576);
		memset(want, 0, 123456);
		check_content("hole", want, 123456);
		memcpy(want + 10000, "abc", 3);
		check_content("one", want, 20000);
	}
	free(p);
	free(want);
	if (why)
		SKIP(why);
	end();
}

/* Chunks grow with the file; what fills them up is a hole of the image's own file. fsck.erofs --extract
 * would read all of it. */
TEST(sparse_file_of_terabytes)
{
	static const struct erofs_extent far[] = {
		{5, 5}, {UINT64_C(6) << 40, 4}, {(UINT64_C(6) << 40) + 100000, 4}};
	uint64_t size = 0;
	struct stat st;

	begin();
	CHECK_OK(erofs_file_begin(writer, "far", &plain, (UINT64_C(6) << 40) + 200000, far, 3));
	CHECK_OK(erofs_file_data(writer, "firstfarrover", 13));
	CHECK_OK(erofs_file_end(writer));
	CHECK_OK(erofs_finish(writer, uuid, &size));
	CHECK(size < MIB(32));
	CHECK(fstat(image.fd, &st) == 0);
	CHECK((uint64_t)st.st_blocks * 512 < MIB(18));
	const char *why = testing_why_no_mount();

	if (why)
		SKIP(why);
	testing_mount(&image);
	CHECK_INT(stat_in("far").st_size, (6ll << 40) + 200000);
	int fd = open(in_mount("far"), O_RDONLY | O_CLOEXEC);
	char got[8] = "";

	CHECK(pread(fd, got, 6, 4) == 6 && memcmp(got, "\0first", 6) == 0);
	CHECK(pread(fd, got, 6, 6ll << 40) == 6 && memcmp(got, "farr\0\0", 6) == 0);
	CHECK(pread(fd, got, 5, (6ll << 40) + 100000) == 5 && memcmp(got, "over\0", 5) == 0);
	close(fd);
	end();
}

TEST(sparse_map_is_checked)
{
	static const struct erofs_extent behind[] = {{10, 5}, {12, 1}};
	static const struct erofs_extent past[] = {{90, 11}};
	static const struct erofs_extent wraps[] = {{90, UINT64_MAX - 50}};

	begin();
	CHECK_ERR(erofs_file_begin(writer, "f", &plain, 100, behind, 2), ERR_INVALID);
	begin();
	CHECK_ERR(erofs_file_begin(writer, "f", &plain, 100, past, 1), ERR_INVALID);
	begin();
	CHECK_ERR(erofs_file_begin(writer, "f", &plain, 100, wraps, 1), ERR_INVALID);
	end();
}

TEST_MAIN
