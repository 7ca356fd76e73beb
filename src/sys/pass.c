#include "sys/pass.h"

#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Room for one descriptor. CMSG_SPACE is rounded up to two: its length when receiving is CMSG_LEN, so that what was sent
 * beyond one the kernel closes, and says so. */
union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

struct err *pass_send(int sock, int fd, const char *name, size_t len)
{
	union control control = { 0 };
	struct iovec iov = { (char *)(uintptr_t)name, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		return err_errno(errno, "hand over a descriptor");
	return NULL;
}

struct err *pass_receive(int sock, char ret_name[static PASS_NAME_MAX], size_t *ret_len, int *ret_fd)
{
	union control control = { 0 };
	struct iovec iov = { ret_name, PASS_NAME_MAX };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	_close_ int fd = -1;

	if (n < 0)
		return err_errno(errno, "take over a descriptor");
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	if (fd < 0 || msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
		return err_new(ERR_INTERNAL, "what came is not one descriptor");
	*ret_len = (size_t)n;
	*ret_fd = TAKE_FD(fd);
	return NULL;
}
