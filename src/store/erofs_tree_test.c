/* Names: directories that are implied, entries that replace others, links on the way, whiteouts, depth, large directories. */
#include "store/erofs_harness.h"

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

TEST_MAIN
