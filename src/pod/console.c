/* Terminals: the master arrives from init over a socket, as with runc's --console-socket. */
#include "pod/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

struct err *mon_console_receive(int sock, int *ret_master)
{
	char text[64];
	struct iovec iov = { text, sizeof(text) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };

	if (recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return err_errno(errno, "init sent no terminal");
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return err_new(ERR_INTERNAL, "init sent no terminal");
	memcpy(ret_master, CMSG_DATA(c), sizeof(int));
	fcntl(*ret_master, F_SETFL, O_RDWR | O_NONBLOCK);
	return NULL;
}

struct err *mon_console_resize(int master, uint64_t rows, uint64_t cols)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols };

	if (rows > UINT16_MAX || cols > UINT16_MAX)
		return err_new(ERR_INVALID, "a terminal of that size is not possible");
	if (ioctl(master, TIOCSWINSZ, &size) < 0)
		return err_errno(errno, "resize terminal");
	return NULL;
}
