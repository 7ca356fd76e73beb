/* The image as a whole: its bytes, attributes, content of every size, limits, writes that fail, damage. */
#include "store/erofs_harness.h"

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
