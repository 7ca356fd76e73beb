#include "base/buf.h"
#include "base/sha256.h"
#include "store/erofs.h"
#include "store/erofs_format.h"
#include "store/erofs_testing.h"

#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const uint8_t uuid[16] = "sixteen bytes...";
static const struct erofs_attr plain = {.mode = 0644, .uid = 1000, .gid = 100, .mtime = 1700000000};

static struct testing_image image = {.fd = -1};
static struct erofs_writer *writer;

/* A test that failed may have left these. */
static void begin(void)
{
	erofs_writer_free(TAKE(writer));
	testing_done(&image);
	image = testing_new();
	CHECK_OK(erofs_writer_new(image.fd, MIB(64), &writer));
}

static uint64_t finish(void)
{
	uint64_t size = 0, checked = 0;

	CHECK_OK(erofs_finish(writer, uuid, &size));
	erofs_writer_free(TAKE(writer));
	CHECK_OK(erofs_check_superblock(image.fd, &checked));
	CHECK_INT(checked, size);
	testing_fsck(&image);
	return size;
}

static void finish_and_mount(void)
{
	finish();
	const char *why = testing_why_no_mount();

	if (why)
		SKIP(why);
	testing_mount(&image);
}

static void end(void)
{
	testing_done(&image);
}

static void add_file(const char *path, const void *p, size_t n)
{
	CHECK_OK(erofs_file_begin(writer, path, &plain, n, NULL, 0));
	CHECK_OK(erofs_file_data(writer, p, n));
	CHECK_OK(erofs_file_end(writer));
}

static const char *in_mount(const char *name)
{
	static char path[8192];

	snprintf(path, sizeof(path), "%s/%s", image.mount, name);
	return path;
}

static struct stat stat_in(const char *name)
{
	struct stat st;

	if (lstat(in_mount(name), &st) < 0)
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
	CHECK(lstat(in_mount(name), &st) == 0);
	return st;
}

static void check_content(const char *name, const void *want, size_t n)
{
	int fd = open(in_mount(name), O_RDONLY | O_CLOEXEC);
	char *got = base_alloc(n + 1);

	CHECK(fd >= 0);
	ssize_t did = pread(fd, got, n + 1, 0);
	bool same = did == (ssize_t)n && memcmp(got, want, n) == 0;

	free(got);
	close(fd);
	if (!same)
		fprintf(stderr, "%s: %zd bytes, want %zu\n", name, did, n);
	CHECK(same);
}

static char *pattern(size_t n)
{
	char *p = base_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

TEST(crc32c_is_the_superblocks)
{
	/* RFC 3720 B.4: 32 bytes of zeros give aa 36 91 8a; that form is inverted at the end */
	unsigned char zeros[32] = {0};

	CHECK(~erofs_crc32c(zeros, sizeof(zeros)) == 0x8a9136aa);
}

TEST(empty_image_has_a_root)
{
	begin();
	CHECK_INT(finish(), 4096);
	struct erofs_super super;

	CHECK(pread(image.fd, &super, sizeof(super), 1024) == sizeof(super));
	CHECK(super.magic == 0xE0F5E1E2);
	CHECK_INT(super.block_bits, 12);
	CHECK_INT(super.root_nid, 36);
	CHECK_INT(super.inos, 1);
	CHECK_INT(super.feature_incompat, 0);
	CHECK(memcmp(super.uuid, uuid, 16) == 0);
	end();
}

/* Bytes as they must lie, written down by hand from erofs_fs.h. */
TEST(golden_bytes)
{
	begin();
	struct erofs_attr attr = plain;

	CHECK_OK(erofs_add_dir(writer, "/", &attr)); /* sets the volume's time */
	attr.mtime = 7;
	attr.mtime_nsec = 9;
	CHECK_OK(erofs_file_begin(writer, "hello", &attr, 5, NULL, 0));
	CHECK_OK(erofs_file_data(writer, "he", 2));
	CHECK_OK(erofs_file_data(writer, "llo", 3));
	CHECK_OK(erofs_file_end(writer));
	CHECK_INT(finish(), 8192);
	unsigned char block[8192];
	/* clang-format off */
	static const unsigned char root[] = {
		4, 0, 0, 0, 0xa4, 0x41, 2, 0, 44, 0, 0, 0, 0, 0, 0, 0,             /* compact, inline, 040644 */
		2, 0, 0, 0, 2, 0, 0, 0, 0xe8, 3, 100, 0, 0, 0, 0, 0,
		36, 0, 0, 0, 0, 0, 0, 0, 36, 0, 2, 0,                              /* three entries of 12 */
		36, 0, 0, 0, 0, 0, 0, 0, 37, 0, 2, 0,
		128, 0, 0, 0, 0, 0, 0, 0, 39, 0, 1, 0,                             /* block 1 * 128 */
		'.', '.', '.', 'h', 'e', 'l', 'l', 'o',
	};
	static const unsigned char file[] = {
		5, 0, 0, 0, 0xa4, 0x81, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,              /* extended, inline */
		0, 0, 0, 0, 1, 0, 0, 0, 0xe8, 3, 0, 0, 100, 0, 0, 0,
		7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0,
	};
	/* clang-format on */

	CHECK(pread(image.fd, block, sizeof(block), 0) == sizeof(block));
	CHECK(memcmp(block + 1024 + 128, root, sizeof(root)) == 0);
	CHECK(memcmp(block + 4096, file, sizeof(file)) == 0);
	end();
}

TEST(attributes_survive)
{
	begin();
	struct erofs_attr attr = plain;

	CHECK_OK(erofs_add_dir(writer, "d", &attr));
	attr = (struct erofs_attr){
		.mode = 04755, .uid = 70000, .gid = 4000000000u, .mtime = -5, .mtime_nsec = 999999999};
	CHECK_OK(erofs_file_begin(writer, "d/f", &attr, 0, NULL, 0));
	CHECK_OK(erofs_file_end(writer));
	CHECK_OK(erofs_add_link(writer, "g", "./d//f"));
	CHECK_OK(erofs_add_link(writer, "h", "/g"));
	CHECK_OK(erofs_add_symlink(writer, "s", &plain, "d/f"));
	CHECK_OK(erofs_add_node(writer, "c", &plain, S_IFCHR, 4095, 1048575));
	CHECK_OK(erofs_add_node(writer, "b", &plain, S_IFBLK, 8, 300));
	CHECK_OK(erofs_add_node(writer, "p", &plain, S_IFIFO, 0, 0));
	CHECK_OK(erofs_add_node(writer, "k", &plain, S_IFSOCK, 0, 0));
	attr.mode = 01777;
	CHECK_OK(erofs_add_dir(writer, "d", &attr));
	finish_and_mount();
	struct stat st = stat_in("d/f");

	CHECK_INT(st.st_mode, S_IFREG | 04755);
	CHECK_INT(st.st_uid, 70000);
	CHECK_INT(st.st_gid, 4000000000u);
	CHECK_INT(st.st_mtim.tv_sec, -5);
	CHECK_INT(st.st_mtim.tv_nsec, 999999999);
	CHECK_INT(st.st_nlink, 3);
	CHECK_INT(stat_in("h").st_ino, st.st_ino);
	CHECK_INT(stat_in("d").st_mode, S_IFDIR | 01777);
	CHECK_INT(stat_in("d").st_nlink, 2);
	CHECK_INT(stat_in("").st_nlink, 3);
	CHECK_INT(stat_in("c").st_rdev, makedev(4095, 1048575));
	CHECK_INT(stat_in("b").st_rdev, makedev(8, 300));
	CHECK_INT(stat_in("p").st_mode, S_IFIFO | 0644);
	CHECK_INT(stat_in("k").st_mode, S_IFSOCK | 0644);
	CHECK_INT(stat_in("s").st_mode, S_IFLNK | 0777);
	char target[16] = "";

	CHECK_INT(readlink(in_mount("s"), target, sizeof(target) - 1), 3);
	CHECK_STR(target, "d/f");
	end();
}

TEST(content_of_every_size_around_blocks)
{
	static const size_t sizes[] = {0,    1,	   31,	 4000, 4031, 4032, 4033,  4063,	  4064,	   4065,
				       4095, 4096, 4097, 8191, 8192, 8193, 12345, 300000, 1048576, 1052700};
	char *p = pattern(2000000);

	begin();
	for (size_t round = 0; round < 8; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			char name[32];

			snprintf(name, sizeof(name), "%zu/%zu", round, sizes[i]);
			add_file(name, p + round, sizes[i]);
		}
	}
	finish();
	const char *why = testing_why_no_mount();

	if (why) {
		free(p);
		SKIP(why);
	}
	testing_mount(&image);
	for (size_t round = 0; round < 8; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			char name[32];

			snprintf(name, sizeof(name), "%zu/%zu", round, sizes[i]);
			check_content(name, p + round, sizes[i]);
		}
	}
	free(p);
	end();
}

static bool has_xattr(const char *name, const char *key, const void *want, size_t n)
{
	char *got = base_alloc(70000);
	ssize_t did = lgetxattr(in_mount(name), key, got, 70000);
	bool same = did == (ssize_t)n && memcmp(got, want, n) == 0;

	free(got);
	return same;
}

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

TEST(implied_directories_are_named)
{
	static const char want[] = "tmp\0srv/deep";

	begin();
	CHECK_OK(erofs_add_dir(writer, "srv", &plain));
	add_file("tmp/x", "x", 1);
	add_file("srv/deep/y", "y", 1);
	add_file("srv/z", "z", 1);
	finish_and_mount();
	CHECK(has_xattr("", EROFS_IMPLIED_NAME, want, sizeof(want)));
	CHECK(!has_xattr("tmp", EROFS_IMPLIED_NAME, want, sizeof(want)));
	end();
	begin();
	CHECK_OK(erofs_add_dir(writer, "tmp", &plain));
	add_file("tmp/x", "x", 1);
	finish_and_mount();
	CHECK(!has_xattr("", EROFS_IMPLIED_NAME, "", 0));
	end();
	/* What does not fit is left out, and the layer is as good as ever. */
	begin();
	for (unsigned int i = 0; i < 400; i++) {
		char path[64];

		snprintf(path, sizeof(path), "directory-%u/file", i);
		add_file(path, "x", 1);
	}
	finish_and_mount();
	CHECK(S_ISDIR(stat_in("directory-399").st_mode));
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

TEST(later_entries_replace_earlier)
{
	begin();
	add_file("a", "old", 3);
	add_file("a", "newer", 5);
	add_file("d/x", "x", 1);
	add_file("d/deep/y", "y", 1);
	CHECK_OK(erofs_add_link(writer, "kept", "d/deep/y"));
	CHECK_OK(erofs_add_dir(writer, "d", &plain)); /* keeps its content */
	add_file("e/z", "z", 1);
	CHECK_OK(erofs_add_symlink(writer, "e", &plain, "d")); /* loses it */
	add_file("f", "file", 4);
	CHECK_OK(erofs_add_dir(writer, "f", &plain));
	add_file("g/one", "1", 1);
	CHECK_OK(erofs_add_link(writer, "g", "g/one")); /* replaces what holds its target */
	CHECK_OK(erofs_add_link(writer, "g", "g"));	/* itself: nothing */
	finish_and_mount();
	check_content("a", "newer", 5);
	check_content("d/x", "x", 1);
	check_content("kept", "y", 1);
	CHECK_INT(stat_in("kept").st_nlink, 2);
	check_content("e/x", "x", 1);
	CHECK(lstat(in_mount("e/z"), &(struct stat){0}) < 0);
	CHECK(S_ISDIR(stat_in("f").st_mode));
	check_content("g", "1", 1);
	CHECK_INT(stat_in("g").st_nlink, 1);
	struct erofs_super super;

	CHECK(pread(image.fd, &super, sizeof(super), 1024) == sizeof(super));
	CHECK_INT(super.inos, 9); /* root a d d/x d/deep y e f g */
	end();
}

TEST(symbolic_links_on_the_way_stay_inside)
{
	begin();
	CHECK_OK(erofs_add_dir(writer, "usr/lib", &plain));
	CHECK_OK(erofs_add_symlink(writer, "lib", &plain, "usr/lib"));
	CHECK_OK(erofs_add_symlink(writer, "abs", &plain, "/usr/./lib/"));
	CHECK_OK(erofs_add_symlink(writer, "up", &plain, "../../../../usr"));
	CHECK_OK(erofs_add_symlink(writer, "usr/none", &plain, "../made/for/it"));
	add_file("lib/a", "a", 1);
	add_file("abs/b", "b", 1);
	add_file("up/lib/c", "c", 1);
	add_file("up/none/d", "d", 1);
	finish_and_mount();
	check_content("usr/lib/a", "a", 1);
	check_content("usr/lib/b", "b", 1);
	check_content("usr/lib/c", "c", 1);
	check_content("made/for/it/d", "d", 1);
	CHECK_INT(stat_in("made/for").st_mode, S_IFDIR | 0755);
	CHECK_INT(stat_in("made/for").st_mtim.tv_sec, plain.mtime);
	end();
}

TEST(paths_that_cannot_be)
{
	char long_name[300], deep[9000] = "";

	memset(long_name, 'n', 256);
	long_name[256] = '\0';
	while (strlen(deep) < 4200)
		strcat(deep, "d/");
	begin();
	CHECK_OK(erofs_add_symlink(writer, "loop", &plain, "loop"));
	CHECK_OK(erofs_add_symlink(writer, "two/a", &plain, "b/b/b"));
	CHECK_OK(erofs_add_symlink(writer, "two/b", &plain, "a/a"));
	add_file("file", "", 0);
	CHECK_OK(erofs_add_dir(writer, "dir", &plain));
	CHECK_ERR(erofs_add_dir(writer, "../x", &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_dir(writer, "a/..", &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_dir(writer, "loop/x", &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_dir(writer, "two/a/x", &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_dir(writer, "file/x", &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_dir(writer, long_name, &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_dir(writer, deep, &plain), ERR_INVALID);
	CHECK_ERR(erofs_add_symlink(writer, "s", &plain, deep), ERR_INVALID);
	CHECK_ERR(erofs_add_symlink(writer, "s", &plain, ""), ERR_INVALID);
	CHECK_ERR(erofs_add_symlink(writer, "/", &plain, "x"), ERR_INVALID);
	CHECK_ERR(erofs_file_begin(writer, ".", &plain, 1, NULL, 0), ERR_INVALID);
	CHECK_ERR(erofs_add_link(writer, "l", "absent"), ERR_INVALID);
	CHECK_ERR(erofs_add_link(writer, "l", "absent/x"), ERR_INVALID);
	CHECK_ERR(erofs_add_link(writer, "l", "dir"), ERR_INVALID);
	CHECK_ERR(erofs_add_link(writer, "l", "/"), ERR_INVALID);
	CHECK_ERR(erofs_add_link(writer, "l", "../file"), ERR_INVALID);
	CHECK_ERR(erofs_add_node(writer, "n", &plain, S_IFCHR, 4096, 0), ERR_INVALID);
	CHECK_ERR(erofs_add_node(writer, "n", &plain, S_IFBLK, 0, 1 << 20), ERR_INVALID);
	struct erofs_attr nobody = plain;

	nobody.uid = UINT32_MAX;
	CHECK_ERR(erofs_add_dir(writer, "x", &nobody), ERR_INVALID);
	finish();
	end();
}

TEST(depth_is_bounded)
{
	begin();
	/* Each link leads 1,000 deeper: only so can a path of 4,096 bytes get past the limit. */
	char path[4097], step[2100] = "";
	struct err *e = NULL;

	for (int i = 0; i < 1000; i++)
		strcat(step, "d/");
	for (int i = 0; i < 3 && !e; i++) {
		char link[16];

		snprintf(link, sizeof(link), "l%d", i);
		if (i == 0)
			snprintf(path, sizeof(path), "%s", step);
		else
			snprintf(path, sizeof(path), "l%d/%s", i - 1, step);
		e = erofs_add_dir(writer, path, &plain);
		if (!e)
			e = erofs_add_symlink(writer, link, &plain, path);
	}
	CHECK(e != NULL);
	bool exhausted = err_is(e, ERR_EXHAUSTED);

	err_free(e);
	CHECK(exhausted);
	end();
}

TEST(whiteouts)
{
	begin();
	CHECK_OK(erofs_add_dir(writer, "", &plain));
	CHECK_OK(erofs_add_whiteout(writer, "etc/gone"));
	CHECK_OK(erofs_add_opaque(writer, "etc/opaque"));
	CHECK_OK(erofs_add_dir(writer, "etc/opaque", &plain));
	CHECK_OK(erofs_add_whiteout(writer, "first")); /* then a directory: opaque */
	CHECK_OK(erofs_add_dir(writer, "first", &plain));
	CHECK_OK(erofs_add_dir(writer, "after", &plain));
	CHECK_OK(erofs_add_whiteout(writer, "after"));
	CHECK_OK(erofs_add_whiteout(writer, "implied"));
	add_file("implied/file", "i", 1);
	add_file("file", "f", 1);
	CHECK_OK(erofs_add_whiteout(writer, "file")); /* hides lower layers' only */
	CHECK_OK(erofs_add_whiteout(writer, "file2"));
	add_file("file2", "g", 1);
	CHECK_OK(erofs_add_whiteout(writer, "dir/a/x"));   /* then its directory: one whiteout is enough */
	CHECK_OK(erofs_add_whiteout(writer, "dir/b"));
	CHECK_OK(erofs_add_whiteout(writer, "dir"));
	CHECK_OK(erofs_add_whiteout(writer, "dir/c"));
	CHECK_ERR(erofs_add_link(writer, "l", "etc/gone"), ERR_INVALID);
	CHECK_ERR(erofs_add_whiteout(writer, "/"), ERR_INVALID);
	finish_and_mount();
	CHECK_INT(stat_in("etc/gone").st_mode & S_IFMT, S_IFCHR);
	CHECK_INT(stat_in("etc/gone").st_rdev, 0);
	CHECK_INT(stat_in("dir").st_mode & S_IFMT, S_IFCHR);
	const char *const opaque[] = {"etc/opaque", "first", "after", "implied"};

	for (size_t i = 0; i < ARRAY_LEN(opaque); i++)
		CHECK(has_xattr(opaque[i], "trusted.overlay.opaque", "y", 1));
	CHECK(!has_xattr("etc", "trusted.overlay.opaque", "y", 1));
	check_content("implied/file", "i", 1);
	check_content("file", "f", 1);
	check_content("file2", "g", 1);
	end();
}

TEST(large_directories_find_every_name)
{
	enum { N = 20000 };

	begin();
	char name[300];

	for (int i = 0; i < N; i++) {
		/* in no order, of many lengths, some before "." */
		snprintf(
			name, sizeof(name), "big/%c%d%.*s", "!-.a\xff"[i % 5], (int)((i * 7919u) % N),
			i % 200,
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		add_file(name, name, strlen(name));
	}
	finish_and_mount();
	CHECK_INT(stat_in("big").st_nlink, 2);
	for (int i = 0; i < N; i++) {
		snprintf(
			name, sizeof(name), "big/%c%d%.*s", "!-.a\xff"[i % 5], (int)((i * 7919u) % N),
			i % 200,
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		check_content(name, name, strlen(name));
	}
	CHECK(lstat(in_mount("big/absent"), &(struct stat){0}) < 0);
	char command[200];

	snprintf(command, sizeof(command), "test $(ls -A %s/big | wc -l) = %d", image.mount, N);
	CHECK_INT(testing_run(command), 0);
	end();
}

static void image_digest(char ret_text[DIGEST_TEXT_LEN + 1])
{
	struct sha256 h;
	char block[4096];
	ssize_t n;
	off_t at = 0;

	sha256_init(&h);
	while ((n = pread(image.fd, block, sizeof(block), at)) > 0) {
		sha256_update(&h, block, (size_t)n);
		at += n;
	}
	sha256_final_text(&h, ret_text);
}

static struct err *try_build(void)
{
	char p[9000], name[32], link[32];

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (char)(i % 251 + 1);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%d/%d", i % 17, i);
		snprintf(link, sizeof(link), "link%d", i);
		TRY(erofs_file_begin(writer, name, &plain, (size_t)i * 17, NULL, 0));
		TRY(erofs_file_data(writer, p, (size_t)i * 17));
		TRY(erofs_file_end(writer));
		if (i % 10 == 0)
			TRY(erofs_add_link(writer, link, name));
	}
	return erofs_add_symlink(writer, "s", &plain, name);
}

static void build_some(void)
{
	CHECK_OK(try_build());
}

TEST(same_calls_same_image)
{
	char digests[2][DIGEST_TEXT_LEN + 1];

	for (int i = 0; i < 2; i++) {
		begin();
		build_some();
		finish();
		image_digest(digests[i]);
	}
	CHECK_STR(digests[0], digests[1]);
	end();
}

TEST(limits_on_image_and_entries)
{
	begin();
	erofs_writer_free(TAKE(writer));
	CHECK_OK(erofs_writer_new(image.fd, 100000, &writer));
	char *p = pattern(100001);

	CHECK_OK(erofs_file_begin(writer, "f", &plain, 100001, NULL, 0));
	struct err *e = erofs_file_data(writer, p, 100001);
	bool exhausted = err_is(e, ERR_EXHAUSTED);

	err_free(e);
	free(p);
	CHECK(exhausted);
	begin();
	CHECK_ERR(erofs_file_begin(writer, "f", &plain, EROFS_FILE_MAX + 1, NULL, 0), ERR_EXHAUSTED);
	end();
}

/* The disk fills up at every point: an error each time, never a crash, never success. */
TEST(every_write_can_fail)
{
	struct rlimit old, now;

	signal(SIGXFSZ, SIG_IGN);
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	begin();
	build_some();
	uint64_t size = finish();

	for (uint64_t limit = 0; limit < size; limit += 65536) {
		begin();
		now = old;
		now.rlim_cur = limit;
		CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
		uint64_t got;
		struct err *e = try_build();

		if (!e)
			e = erofs_finish(writer, uuid, &got);
		bool exhausted = err_is(e, ERR_EXHAUSTED);

		err_free(e);
		CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
		CHECK(exhausted);
	}
	erofs_writer_free(TAKE(writer));
	end();
}

TEST(superblock_check_sees_damage)
{
	uint64_t size;

	begin();
	build_some();
	finish();
	CHECK(ftruncate(image.fd, lseek(image.fd, 0, SEEK_END) - 1) == 0);
	CHECK_ERR(erofs_check_superblock(image.fd, &size), ERR_CORRUPT);
	begin();
	finish();
	CHECK(pwrite(image.fd, "?", 1, 1024 + 50) == 1);
	CHECK_ERR(erofs_check_superblock(image.fd, &size), ERR_CORRUPT);
	CHECK(pwrite(image.fd, "x", 1, 1024) == 1);
	CHECK_ERR(erofs_check_superblock(image.fd, &size), ERR_CORRUPT);
	begin();
	erofs_writer_free(TAKE(writer));
	CHECK_ERR(erofs_check_superblock(image.fd, &size), ERR_CORRUPT); /* empty */
	end();
}

TEST_MAIN
