/* What GNU tar packs, unpack and GNU tar unpack alike: trees are compared file by file. */
#include "base/buf.h"
#include "base/file.h"
#include "image/unpack.h"
#include "store/erofs_testing.h"

#include <dirent.h>
#include <signal.h>
#include <sys/xattr.h>

static struct testing_image image = {.fd = -1};

static void fresh(void)
{
	testing_done(&image);
	image = testing_new();
}

/* Runs a shell script in image.dir. */
static void shell(const char *script)
{
	_free_ char *command = base_printf("cd %s && set -e\n%s", image.dir, script);
	int status = testing_run(command);

	if (status)
		fprintf(stderr, "exit status %d: %s\n", status, script);
	CHECK_INT(status, 0);
}

/* ---- the role, in a process of its own ---- */

static void child(int in, int report, const char *max_bytes)
{
	char *argv[] = {(char *)"unpack",
			(char *)"--uid",
			(char *)"65534",
			(char *)"--memory",
			(char *)"0",
			(char *)"--max-bytes",
			(char *)(uintptr_t)max_bytes,
			NULL};

	if (dup2(in, 10) < 0 || dup2(image.fd, 11) < 0 || dup2(report, 12) < 0 ||
	    dup2(10, UNPACK_IN_FD) < 0 || dup2(11, UNPACK_IMAGE_FD) < 0 || dup2(12, UNPACK_REPORT_FD) < 0)
		_exit(99);
	_exit(unpack_main(7, argv));
}

/* Unpacks the file *name* of image.dir. */
static struct err *run_role_max(const char *name, const char *max_bytes, struct unpack_result *ret)
{
	_free_ char *path = base_printf("%s/%s", image.dir, name);
	_close_ int in = open(path, O_RDONLY | O_CLOEXEC);
	_buf_ struct buf line = {0};
	int report[2], status;

	CHECK(in >= 0 && pipe2(report, O_CLOEXEC) == 0 && ftruncate(image.fd, 0) == 0);
	fflush(NULL);
	pid_t pid = fork();

	if (pid == 0)
		child(in, report[1], max_bytes);
	close(report[1]);
	struct err *e = file_read_fd(report[0], UNPACK_REPORT_MAX, &line);

	close(report[0]);
	CHECK_OK(e);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status))
		fprintf(stderr, "unpack ended by signal %d\n", WTERMSIG(status));
	CHECK(WIFEXITED(status));
	CHECK(line.len > 1 && line.data[line.len - 1] == '\n' && strcspn(line.data, "\n") == line.len - 1);
	line.data[line.len - 1] = '\0';
	e = unpack_parse_report(line.data, ret);
	CHECK_INT(WEXITSTATUS(status), e ? 1 : 0);
	return e;
}

static struct err *run_role(const char *name, struct unpack_result *ret)
{
	return run_role_max(name, "0", ret);
}

/* ---- comparing trees ---- */

static char *list_xattrs(const char *path, struct buf *out)
{
	char names[65536], value[65536];
	ssize_t n = llistxattr(path, names, sizeof(names));

	buf_clear(out);
	/* sorted by picking the least above the last: there are few */
	for (const char *last = NULL;;) {
		const char *least = NULL;

		for (const char *at = names; n > 0 && at < names + n; at += strlen(at) + 1) {
			if ((!last || strcmp(at, last) > 0) && (!least || strcmp(at, least) < 0))
				least = at;
		}
		if (!least)
			break;
		ssize_t size = lgetxattr(path, least, value, sizeof(value));

		buf_printf(out, "%s=%zd:", least, size);
		for (ssize_t i = 0; i < size; i++)
			buf_printf(out, "%02x", (unsigned char)value[i]);
		buf_putc(out, '\n');
		last = least;
	}
	return out->data;
}

static bool same_content(const char *a, const char *b)
{
	_close_ int fd_a = open(a, O_RDONLY | O_CLOEXEC), fd_b = open(b, O_RDONLY | O_CLOEXEC);
	static char part_a[1 << 20], part_b[1 << 20];
	ssize_t n_a, n_b;

	do {
		n_a = read(fd_a, part_a, sizeof(part_a));
		n_b = read(fd_b, part_b, sizeof(part_b));
		if (n_a != n_b || n_a < 0 || memcmp(part_a, part_b, (size_t)n_a) != 0)
			return false;
	} while (n_a > 0);
	return true;
}

static bool same_link(const char *a, const char *b)
{
	char to_a[5000], to_b[5000];
	ssize_t n_a = readlink(a, to_a, sizeof(to_a)), n_b = readlink(b, to_b, sizeof(to_b));

	return n_a == n_b && n_a > 0 && memcmp(to_a, to_b, (size_t)n_a) == 0;
}

static const char *first_difference(const char *a, const char *b, const struct stat *sa,
				    const struct stat *sb)
{
	_buf_ struct buf xa = {0}, xb = {0};

	if (sa->st_mode != sb->st_mode)
		return "mode";
	if (sa->st_uid != sb->st_uid || sa->st_gid != sb->st_gid)
		return "owner";
	if (sa->st_mtim.tv_sec != sb->st_mtim.tv_sec || sa->st_mtim.tv_nsec != sb->st_mtim.tv_nsec)
		return "time";
	if (!S_ISDIR(sa->st_mode) && (sa->st_nlink != sb->st_nlink || sa->st_size != sb->st_size))
		return "size or links";
	if ((S_ISCHR(sa->st_mode) || S_ISBLK(sa->st_mode)) && sa->st_rdev != sb->st_rdev)
		return "device";
	list_xattrs(a, &xa);
	list_xattrs(b, &xb);
	if (strcmp(buf_text(&xa), buf_text(&xb)) != 0)
		return "attributes";
	if (S_ISREG(sa->st_mode) && !same_content(a, b))
		return "content";
	if (S_ISLNK(sa->st_mode) && !same_link(a, b))
		return "target";
	return NULL;
}

static int count_entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* How many files are alike; differences are said and counted in *ret_bad. */
static int compare_trees(const char *a, const char *b, int *ret_bad)
{
	struct stat sa = {0}, sb = {0};

	if (lstat(a, &sa) < 0 || lstat(b, &sb) < 0) {
		fprintf(stderr, "%s: missing in %s\n", a, b);
		*ret_bad += 1;
		return 0;
	}
	const char *what = first_difference(a, b, &sa, &sb);

	if (what) {
		fprintf(stderr, "%s and %s differ: %s\n", a, b, what);
		*ret_bad += 1;
	}
	if (!S_ISDIR(sa.st_mode))
		return 1;
	int n = 1;
	DIR *d = opendir(a);

	if (count_entries(a) != count_entries(b)) {
		fprintf(stderr, "%s and %s: number of entries\n", a, b);
		*ret_bad += 1;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		_free_ char *below_a = base_printf("%s/%s", a, e->d_name),
			    *below_b = base_printf("%s/%s", b, e->d_name);

		n += compare_trees(below_a, below_b, ret_bad);
	}
	closedir(d);
	return n;
}

static void need_root(void)
{
	const char *why = testing_why_no_mount();

	if (why)
		SKIP(why);
}

/* All that a tree can have, in directory `tree`. */
#define MAKE_TREE                                                                                            \
	"mkdir tree; cd tree; umask 022\n"                                                                   \
	"mkdir -p a/b/c etc usr/bin empty; chmod 1777 empty; chmod 2750 a/b\n"                               \
	"echo text >a/file; : >a/none; seq 1 100000 >a/b/big; head -c 4096 a/b/big >a/b/block\n"             \
	"head -c 4033 a/b/big >a/b/tail; head -c 8191 a/b/big >a/b/two; chmod 4755 a/file; chmod 0 a/none\n" \
	"chown 1:2 a/b; chown 60000:60001 a/b/big; chown 2000000:2000001 a/b/block; chown -h 5:6 empty\n"    \
	"ln a/file a/hard; ln a/b/big usr/bin/big; ln a/b/big usr/bin/big2\n"                                \
	"ln -s ../a/file usr/link; ln -s /absolute/nowhere dangling; chown -h 7:8 dangling\n"                \
	"mknod null c 1 3; mknod -m 600 disk b 259 70000; mkfifo -m 640 fifo\n"                              \
	"touch -h -d '2001-02-03 04:05:06.123456789' dangling a/file empty null a/b/c\n"                     \
	"touch -d '1960-01-02 03:04:05.25' a/b/tail; touch -d '2200-01-01' a/b/two\n"                        \
	"for i in $(seq 1 300); do echo $i >\"etc/some file $i\"; done\n"                                    \
	"touch \"$(printf 'odd\\n\\001\\377name')\" ./-dash './ lead' './!bang'\n"                           \
	"cd ..\n"

/* What only some formats can hold. */
#define MAKE_LONG                                                                                         \
	"cd tree; n=$(printf 'n%.0s' $(seq 1 250)); mkdir -p $n/$n; echo long >$n/$n/$n; ln -s $n/$n/$n " \
	"long\n"                                                                                          \
	"ln $n/$n/$n $n/hard; n=$(printf 'x%.0s' $(seq 1 99)); touch $n ${n}y ${n}yz; cd ..\n"

#define MAKE_XATTRS                                                                                       \
	"cd tree; setfattr -n user.one -v 1 a/file; setfattr -n user.empty a/b; setfattr -n user.two -v " \
	"\"$(seq 1 900)\" a/b\n"                                                                          \
	"setfattr -n trusted.three -v 3 etc; setfattr -h -n trusted.link -v x dangling\n"                 \
	"setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 usr/bin/big\n"     \
	"cd ..\n"

#define MAKE_SPARSE                                                                              \
	"cd tree; truncate -s 10M hole; truncate -s 5000001 holes; for i in $(seq 1 40); do\n"   \
	"printf part$i | dd of=holes bs=1 seek=$((i * 120000)) conv=notrunc status=none; done\n" \
	"echo end | dd of=hole bs=1 seek=9000000 conv=notrunc status=none\n"                     \
	"echo start >ends; truncate -s 3M ends; cd ..\n"

/* Packs with *options*, unpacks in both ways, compares. */
static void check_format(const char *make, const char *options, const char *compress)
{
	need_root();
	fresh();
	shell(make);
	_free_ char *pack = base_printf(
		"tar -C tree --numeric-owner %s -cf layer.tar . 2>tar.log || { cat tar.log >&2; false; }\n"
		"mkdir want; tar -C want --numeric-owner --xattrs --xattrs-include='*' -xpf layer.tar\n"
		"%s <layer.tar >layer; rm -rf tree\n"
		"echo sha256:$(sha256sum <layer.tar | cut -d' ' -f1) >digest",
		options, compress);
	struct unpack_result r;

	shell(pack);
	CHECK_OK(run_role("layer", &r));
	_free_ char *digest_path = base_printf("%s/digest", image.dir),
		    *want = base_printf("%s/want", image.dir);
	_buf_ struct buf digest = {0};

	CHECK_OK(file_read_at(AT_FDCWD, digest_path, 100, &digest));
	digest.data[strcspn(digest.data, "\n")] = '\0';
	CHECK_STR(r.diff_id, digest.data);
	CHECK_INT(r.image_size, lseek(image.fd, 0, SEEK_END));
	testing_fsck(&image);
	testing_mount(&image);
	int bad = 0, n = compare_trees(want, image.mount, &bad);

	CHECK_INT(bad, 0);
	CHECK(n > 300);
	testing_done(&image);
}

TEST(ustar)
{
	/* numbers and names that ustar has no room for are left out */
	check_format(MAKE_TREE "touch -d 2000-01-01 tree/a/b/tail tree/a/b/two; chown 9:9 tree/a/b/block",
		     "--format=ustar", "cat");
}

TEST(gnu_long_names_and_large_numbers)
{
	check_format(MAKE_TREE MAKE_LONG, "--format=gnu", "gzip");
}

TEST(v7)
{
	check_format(MAKE_TREE
		     "rm tree/null tree/disk tree/fifo; touch -d 2000-01-01 tree/a/b/tail tree/a/b/two\n"
		     "chown 9:9 tree/a/b/block",
		     "--format=v7", "cat");
}

TEST(pax_with_attributes)
{
	check_format(MAKE_TREE MAKE_LONG MAKE_XATTRS, "--format=pax --xattrs --xattrs-include='*'", "gzip");
}

TEST(pax_by_zstd)
{
	if (testing_run("command -v zstd >/dev/null") != 0)
		SKIP("zstd is not installed");
	check_format(MAKE_TREE MAKE_LONG MAKE_XATTRS, "--format=pax --xattrs --xattrs-include='*'",
		     "zstd -q");
}

TEST(sparse_gnu)
{
	check_format(MAKE_TREE MAKE_SPARSE, "--format=gnu --sparse", "gzip");
}

TEST(sparse_pax_0_0)
{
	check_format(MAKE_TREE MAKE_SPARSE, "--format=pax --sparse --sparse-version=0.0", "gzip");
}

TEST(sparse_pax_0_1)
{
	check_format(MAKE_TREE MAKE_SPARSE, "--format=pax --sparse --sparse-version=0.1", "gzip");
}

TEST(sparse_pax_1_0)
{
	check_format(MAKE_TREE MAKE_LONG MAKE_SPARSE, "--format=pax --sparse --sparse-version=1.0", "gzip");
}

TEST(entries_added_later_replace)
{
	check_format(MAKE_TREE "tar -C tree -cf old.tar .; cd tree; echo new >a/file; rm -r usr; mkdir -p "
			       "usr/lib; echo l >usr/lib/x\n"
			       "ln -s nowhere a/link; chmod 700 etc; cd ..",
		     "--format=pax", "cat");
}

/* ---- whiteouts and what is left out ---- */

TEST(whiteouts_of_layers)
{
	need_root();
	fresh();
	shell("mkdir -p tree/etc tree/var/lib tree/both tree/.wh..wh.plnk tree/keep/.wh..wh.aufs; cd tree\n"
	      "touch etc/.wh.gone etc/.wh.name.with.dots var/lib/.wh..wh..opq .wh.both both/new "
	      ".wh..wh.plnk/12.34\n"
	      "touch .wh.here here keep/.wh..wh.aufs/.wh..wh..opq\n"
	      "tar -cf ../layer.tar etc var .wh.both both .wh..wh.plnk .wh.here here keep");
	struct unpack_result r;

	CHECK_OK(run_role("layer.tar", &r));
	testing_fsck(&image);
	testing_mount(&image);
	shell("cd m; test -c etc/gone; test $(stat -c %t:%T etc/gone) = 0:0; test -c etc/name.with.dots\n"
	      "getfattr -n trusted.overlay.opaque --only-values var/lib | grep -qx y\n"
	      "getfattr -n trusted.overlay.opaque --only-values both | grep -qx y\n"
	      "! getfattr -n trusted.overlay.opaque keep 2>/dev/null; ! getfattr -n trusted.overlay.opaque "
	      "etc 2>/dev/null\n"
	      "test -f both/new; test -f here; test ! -e .wh..wh.plnk; test ! -e var/lib/.wh..wh..opq; test "
	      "-z \"$(ls -A keep)\"");
	/* and the kernel's overlayfs reads it so */
	shell("mkdir low low/etc low/both low/var low/var/lib merged; touch low/etc/gone low/etc/stays "
	      "low/both/old low/var/lib/x\n"
	      "mount -t overlay overlay -o lowerdir=m:low merged; trap 'umount merged' EXIT\n"
	      "test ! -e merged/etc/gone; test -e merged/etc/stays; test \"$(ls merged/both)\" = new; test "
	      "-z \"$(ls merged/var/lib)\"");
	testing_done(&image);
}

/* umoci writes them so when a directory became a file, or went: nothing is left to hide below. */
TEST(whiteout_below_a_file_or_a_whiteout_hides_nothing_more)
{
	need_root();
	fresh();
	shell("mkdir -p one/opt two/opt/gone two/opt/away; echo x >one/opt/gone; touch one/opt/.wh.away "
	      "two/opt/gone/.wh.file two/opt/away/.wh.file\n"
	      "tar -cf layer.tar -C one opt; tar -rf layer.tar -C two opt/gone/.wh.file opt/away/.wh.file");
	struct unpack_result r;

	CHECK_OK(run_role("layer.tar", &r));
	testing_fsck(&image);
	testing_mount(&image);
	shell("test -f m/opt/gone; test -c m/opt/away");
	testing_done(&image);
}

/* umoci again: the last file's padding and the zeros at the end are not there, nothing else is missing. */
TEST(archive_that_ends_with_its_last_byte_is_whole)
{
	need_root();
	fresh();
	shell("mkdir tree; printf abc >tree/f; tar -cf all -C tree f; head -c 515 all >layer.tar");
	struct unpack_result r;

	CHECK_OK(run_role("layer.tar", &r));
	testing_mount(&image);
	shell("test \"$(cat m/f)\" = abc");
	testing_done(&image);
}

TEST(attributes_that_speak_to_the_host_are_left_out)
{
	need_root();
	fresh();
	shell("mkdir tree; cd tree; mkdir d; setfattr -n trusted.overlay.redirect -v /etc d; setfattr -n "
	      "user.overlay.opaque -v y d\n"
	      "setfattr -n user.stays -v y d; tar --xattrs --xattrs-include='*' -cf ../layer.tar d; grep -q "
	      "overlay.redirect ../layer.tar");
	struct unpack_result r;

	CHECK_OK(run_role("layer.tar", &r));
	testing_mount(&image);
	shell("test \"$(getfattr -m- m/d 2>/dev/null | grep -v '^#' | tr -d '\\n')\" = user.stays");
	testing_done(&image);
}

/* ---- what must fail, in words ---- */

static void check_role_error(const char *make, enum err_kind kind, const char *words)
{
	fresh();
	shell(make);
	struct unpack_result r;
	struct err *e = run_role("layer", &r);
	_free_ char *text = base_strdup(e ? err_text(e) : "success");
	bool right = err_is(e, kind) && strstr(text, words);

	if (!right)
		fprintf(stderr, "%s (%s)\n", text, e ? err_kind_name(err_kind(e)) : "ok");
	err_free(e);
	CHECK(right);
	testing_done(&image);
}

TEST(errors_name_what_is_wrong)
{
	check_role_error("mkdir t; echo x >t/f; tar -cPf layer t/../t/f 2>/dev/null", ERR_INVALID,
			 "leaves the root");
	check_role_error("echo this is no archive >layer; truncate -s 2000 layer", ERR_INVALID,
			 "not a tar header");
	check_role_error("seq 1 9999 >f; tar -cf all f; head -c 9000 all >layer", ERR_INVALID, "cut short");
	check_role_error("seq 1 9999 >f; tar -czf all f; head -c 9000 all >layer", ERR_CORRUPT, "cut short");
	check_role_error(": >layer", ERR_CORRUPT, "no bytes");
	check_role_error("echo >f; ln f g; tar -cf all f g; tar --delete -f all f; cp all layer", ERR_INVALID,
			 "not in this layer");
	check_role_error("touch .wh...; tar -cf layer .wh...", ERR_INVALID, "whiteout of nothing");
	check_role_error(
		"touch f; tar -cf layer f; printf 'V' | dd of=layer bs=1 seek=156 conv=notrunc status=none\n"
		"sum=$(head -c 512 layer | od -An -v -tu1 -w1 | awk 'NR<149||NR>156{s+=$1}END{printf "
		"\"%06o\", s+256}')\n"
		"printf $sum | dd of=layer bs=1 seek=148 conv=notrunc status=none",
		ERR_INVALID, "layers do not have");
}

TEST(limit_of_bytes)
{
	fresh();
	shell("head -c 3000000 /dev/zero >f; tar -czf layer f");
	struct unpack_result r;

	CHECK_ERR(run_role_max("layer", "2000000", &r), ERR_EXHAUSTED);
	CHECK_OK(run_role_max("layer", "4000000", &r));
	testing_done(&image);
}

/* A reader that waits for bytes that never come must not keep the process when the rest has failed. */
TEST(failure_stops_the_reader)
{
	fresh();
	int ends[2];
	struct unpack_result r;
	char junk[262144] = "no archive";

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
	CHECK(write(ends[1], junk, sizeof(junk)) == sizeof(junk));
	alarm(20); /* else this test ends by SIGALRM */
	CHECK_ERR(unpack_stream(ends[0], image.fd, 0, &r), ERR_INVALID);
	alarm(0);
	close(ends[0]);
	close(ends[1]);
	testing_done(&image);
}

TEST(confined)
{
	if (geteuid() != 0)
		SKIP("changing users needs root");
	fresh();
	/* a FIFO keeps the role waiting, so that it can be looked at */
	shell("mkfifo in");
	_free_ char *path = base_printf("%s/in", image.dir);
	_close_ int in = open(path, O_RDWR | O_CLOEXEC);
	int report[2];
	char text[4096] = "", name[64];

	CHECK(pipe2(report, O_CLOEXEC) == 0);
	pid_t pid = fork();

	if (pid == 0)
		child(in, report[1], "0");
	snprintf(name, sizeof(name), "/proc/%d/status", pid);
	for (int i = 0; i < 500 && !strstr(text, "Seccomp:\t2"); i++) {
		_close_ int fd = open(name, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		usleep(10000);
	}
	_free_ char *look = base_printf("ls -l /proc/%d/fd | wc -l >fds; readlink /proc/%d/ns/net "
					"/proc/self/ns/net | uniq | wc -l >net",
					pid, pid);

	shell(look);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &(int){0}, 0) == pid);
	close(report[0]);
	close(report[1]);
	CHECK(strstr(text, "Seccomp:\t2") != NULL);
	CHECK(strstr(text, "Uid:\t65534\t65534\t65534\t65534") != NULL);
	CHECK(strstr(text, "Gid:\t65534\t65534\t65534\t65534") != NULL);
	CHECK(strstr(text, "CapPrm:\t0000000000000000") && strstr(text, "CapEff:\t0000000000000000"));
	CHECK(strstr(text, "NoNewPrivs:\t1") != NULL);
	shell("test $(cat net) = 2; test $(cat fds) = 6"); /* "total", 0, 1 (the event), 2, 3, 4 */
	testing_done(&image);
}

/* What fuzzing kept, if it has run here, and the corpus beside the source: what is accepted is valid. */
static int check_corpus(const char *dir, int *ret_accepted)
{
	DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *e; d && n < 400 && (e = readdir(d));) {
		_free_ char *path = base_printf("%s/%s", dir, e->d_name);
		_close_ int in = open(path, O_RDONLY | O_CLOEXEC);
		struct unpack_result r;
		struct stat st;

		if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		n++;
		CHECK(ftruncate(image.fd, 0) == 0);
		struct err *failure = unpack_stream(in, image.fd, MIB(1), &r);

		if (!failure) {
			*ret_accepted += 1;
			testing_fsck_quick(&image);
		}
		err_free(failure);
	}
	if (d)
		closedir(d);
	return n;
}

TEST(corpus_gives_valid_images)
{
	int accepted = 0;

	if (testing_run("command -v fsck.erofs >/dev/null") != 0)
		SKIP("erofs-utils is not installed");
	fresh();
	if (check_corpus("src/image/corpus/unpack", &accepted) == 0)
		SKIP("not run from the repository's root");
	CHECK(accepted >= 10);
	check_corpus("build/fuzz/corpus/image-unpack_fuzz", &accepted);
	testing_done(&image);
}

TEST(report_is_parsed_strictly)
{
	struct unpack_result r;
	char line[200], digest[80] = "sha256:";

	memset(digest + 7, 'a', 64);
	digest[71] = '\0';
	snprintf(line, sizeof(line), "ok %s 1 22 333", digest);
	CHECK_OK(unpack_parse_report(line, &r));
	CHECK_STR(r.diff_id, digest);
	CHECK_INT(r.image_size, 1);
	CHECK_INT(r.uncompressed_size, 22);
	CHECK_INT(r.entries, 333);
	strcat(line, " ");
	CHECK_ERR(unpack_parse_report(line, &r), ERR_CORRUPT);
	CHECK_ERR(unpack_parse_report("ok", &r), ERR_CORRUPT);
	CHECK_ERR(unpack_parse_report("", &r), ERR_CORRUPT);
	CHECK_ERR(unpack_parse_report("ok sha256:aa 1 2 3", &r), ERR_CORRUPT);
	snprintf(line, sizeof(line), "ok %s 1 -2 3", digest);
	CHECK_ERR(unpack_parse_report(line, &r), ERR_CORRUPT);
	CHECK_ERR(unpack_parse_report("err resource- x", &r), ERR_CORRUPT);
	CHECK_ERR(unpack_parse_report("err exhausted too much", &r), ERR_EXHAUSTED);
	CHECK_ERR(unpack_parse_report("err not-found where is it", &r), ERR_NOT_FOUND);
	CHECK_ERR(unpack_parse_report("err exhausted", &r), ERR_CORRUPT);
}

TEST_MAIN
