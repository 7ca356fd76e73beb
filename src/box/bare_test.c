#include "box/harness.h"

/* What is mounted in the namespace, as a process in it sees it. */
static void read_mounts(int ns, struct buf *ret)
{
	int out[2];

	CHECK(pipe2(out, O_CLOEXEC) == 0);
	pid_t pid = fork();

	if (pid == 0) {
		_buf_ struct buf text = BUF_INIT;
		struct err *e = namespace_join(ns, CLONE_NEWNS);

		if (!e)
			e = file_read_virtual(AT_FDCWD, "/proc/self/mountinfo", KIB(64), &text);
		_exit(e || file_write_fd(out[1], text.data, text.len) ? 1 : 0);
	}
	close(out[1]);
	drain(out[0], ret);
	close(out[0]);
	int status = -1;

	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

static size_t lines(const struct buf *b)
{
	size_t n = 0;

	for (const char *s = buf_text(b); (s = strchr(s, '\n')); s++)
		n++;
	return n;
}

/* However much the node has mounted: root, /proc, /sys, /dev/null. */
TEST(nothing_of_the_node_is_in_it)
{
	_buf_ struct buf mounts = BUF_INIT;
	struct bare one = BARE_INIT;
	int ns = -1;

	need_root();
	_free_ char *dirs = base_printf("for i in 1 2 3 4 5 6 7 8; do mkdir -p %s-m/$i && mount -t tmpfs m %s-m/$i; done", root, root);
	_free_ char *undo = base_printf("for i in 1 2 3 4 5 6 7 8; do umount %s-m/$i; done; rm -rf %s-m", root, root);

	CHECK(system(dirs) == 0);
	CHECK_OK(bare_begin(&one));
	CHECK_OK(bare_get(&one, &ns));
	CHECK(system(undo) == 0);
	read_mounts(ns, &mounts);
	CHECK_INT(lines(&mounts), 4);
	static const char *const wanted[] = { " / / ro,nosuid,nodev,noexec", " /proc ", " /sys ", " /null /dev/null " };

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (!strstr(buf_text(&mounts), wanted[i])) {
			fprintf(stderr, "no \"%s\" in\n%s", wanted[i], buf_text(&mounts));
			CHECK(false);
		}
	/* Once made it is there, without its maker, until it is closed. */
	CHECK_OK(bare_get(&one, &ns));
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
	bare_done(&one);
	CHECK(fcntl(ns, F_GETFD) < 0);
}

/* The same container from both: one sees no more than the other, and no trace of what it was copied from. */
TEST(containers_are_the_same_without_it)
{
	static const struct want want = { .script = "awk '{ print $4, $5, $6 }' /proc/self/mountinfo; ls -a /",
		.linux_members = ",\"maskedPaths\":[\"/proc/kcore\",\"/proc/acpi\"],\"readonlyPaths\":[\"/proc/sys\"]" };
	_result_ struct result with = { 0 }, without = { 0 };

	need_root();
	int kept = bare_fd;

	output(&want, &with);
	bare_fd = -1;
	output(&want, &without);
	bare_fd = kept;
	CHECK(strstr(buf_text(&with.out), "/proc/sys ro"));
	CHECK_STR(buf_text(&with.out), buf_text(&without.out));
}

/* Its own files cannot be written, whoever gets there. */
TEST(it_cannot_be_changed)
{
	int status = -1;

	need_root();
	pid_t pid = fork();

	if (pid == 0) {
		struct err *e = namespace_join(bare_fd, CLONE_NEWNS);

		_exit(e ? 1 : open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ? 2 : errno == EROFS ? 0 : 3);
	}
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

TEST_MAIN
