#include "sys/pass.h"

#include "base/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Sends *n* copies of a descriptor in one message. */
static void send_many(int sock, int fd, size_t n)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	struct iovec iov = { (char *)"x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	CHECK_INT(sendmsg(sock, &msg, 0), 1);
}

TEST(a_descriptor_and_its_name)
{
	char name[PASS_NAME_MAX];
	_close_ int one = -1, other = -1, sent = -1, got = -1;
	int pair[2];
	struct stat a, b;
	size_t len = 0;

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	one = pair[0], other = pair[1];
	sent = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK_OK(pass_send(one, sent, "/dev/ptmx", 9));
	CHECK_OK(pass_receive(other, name, &len, &got));
	CHECK_INT(len, 9);
	CHECK(!memcmp(name, "/dev/ptmx", 9));
	CHECK(!fstat(sent, &a) && !fstat(got, &b) && a.st_ino == b.st_ino);
	CHECK_INT(fcntl(got, F_GETFD), FD_CLOEXEC);
}

TEST(nothing_bytes_alone_and_two_descriptors_are_refused)
{
	char name[PASS_NAME_MAX];
	_close_ int one = -1, other = -1;
	int pair[2], got = -7;
	size_t len = 0;

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	one = pair[0], other = pair[1];
	CHECK_ERR(pass_receive(other, name, &len, &got), ERR_INTERNAL);
	CHECK_INT(write(one, "text", 4), 4);
	CHECK_ERR(pass_receive(other, name, &len, &got), ERR_INTERNAL);
	/* none of what is refused may stay open */
	int before = count_descriptors();

	for (size_t n = 2; n <= 4; n++) {
		send_many(one, one, n);
		CHECK_ERR(pass_receive(other, name, &len, &got), ERR_INTERNAL);
	}
	CHECK_INT(count_descriptors(), before);
	CHECK_INT(got, -7);
	base_close_p(&one);
	CHECK_ERR(pass_receive(other, name, &len, &got), ERR_INTERNAL);
}

TEST_MAIN
