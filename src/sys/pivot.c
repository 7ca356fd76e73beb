#include "sys/pivot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

/* libc's <sys/mount.h> is hidden behind our own (see mount.c). */
int umount2(const char *path, int flags);
#define PIVOT_DETACH 2 /* MNT_DETACH */

struct err *pivot_into(int root_fd)
{
	if (fchdir(root_fd) < 0)
		return err_errno(errno, "enter the new root");
	/* The old root ends up on top of the new one at ".", and is taken off there. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_errno(errno, "pivot_root");
	if (umount2(".", PIVOT_DETACH) < 0)
		return err_errno(errno, "detach the old root");
	if (chdir("/") < 0)
		return err_errno(errno, "chdir to the new root");
	return NULL;
}
