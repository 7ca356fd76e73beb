/* Terminals: the master arrives from init over a socket, as with runc's --console-socket. */
#include "pod/state.h"

#include "sys/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

struct err *mon_console_receive(int sock, int *ret_master)
{
	char name[PASS_NAME_MAX];
	size_t len;

	TRY_WRAP(pass_receive(sock, name, &len, ret_master), "init sent no terminal");
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
