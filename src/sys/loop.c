#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define BLOCK_SIZE    4096
#define ATTEMPTS_MAX  64    /* others take free ones too */

/* EBUSY: somebody was faster. */
static int configure(int device, int file)
{
	const struct loop_config config = {
		.fd = (uint32_t)file,
		.block_size = BLOCK_SIZE,
		.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};

	return ioctl(device, LOOP_CONFIGURE, &config) < 0 ? errno : 0;
}

struct err *loop_attach(int fd, int *ret_fd, char ret_name[LOOP_NAME_MAX])
{
	_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		return err_errno(errno, "loop devices: open /dev/loop-control");
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return err_errno(errno, "a free loop device");
		snprintf(ret_name, LOOP_NAME_MAX, "/dev/loop%d", number);
		_close_ int device = open(ret_name, O_RDONLY | O_CLOEXEC);

		if (device < 0)
			return err_errno(errno, "open %s", ret_name);
		int r = configure(device, fd);

		if (!r) {
			*ret_fd = TAKE_FD(device);
			return NULL;
		}
		if (r != EBUSY)
			return err_errno(r, "%s", ret_name);
	}
	return err_new(ERR_EXHAUSTED, "others take each free loop device");
}
