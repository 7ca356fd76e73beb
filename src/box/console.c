#include "box/console.h"

#include "sys/mount.h"
#include "sys/pass.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* The multiplexer is what it should be: on a devpts, device 5:2. What lies at that path is the
 * container's to choose. */
static struct err *open_master(int root_fd, int *ret_fd)
{
	struct stat st;
	struct statfs fs;
	_close_ int fd = -1;

	TRY_WRAP(path_open_root(root_fd, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, &fd), "open a terminal");
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return err_errno(errno, "open a terminal: stat");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_new(ERR_INVALID, "/dev/pts/ptmx is not a terminal multiplexer");
	if (fcntl(fd, F_SETFL, O_RDWR) < 0)
		return err_errno(errno, "open a terminal: fcntl");
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

static struct err *open_peer(int master, const struct oci_process *p, int *ret_fd)
{
	struct winsize size = { .ws_row = p->rows, .ws_col = p->columns };
	int unlock = 0;

	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_errno(errno, "unlock the terminal");
	if (p->rows && p->columns && ioctl(master, TIOCSWINSZ, &size) < 0)
		return err_errno(errno, "size of the terminal");
	/* By descriptor: the path of the other side could have been covered (CVE-2025-52565). */
	int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "open the terminal's other side");
	/* So that the user can open /dev/stdout and /dev/console anew; the group stays tty's. */
	if (fchown(fd, p->uid, (gid_t)-1) < 0)
		return err_errno(errno, "owner of the terminal");
	*ret_fd = fd;
	return NULL;
}

static struct err *bind_console(int root_fd, int fd)
{
	_close_ int mount_fd = -1, target = -1;

	TRY(mount_clone(fd, "", false, &mount_fd));
	TRY(path_make_root(root_fd, "dev/console", false, &target));
	return mount_attach(mount_fd, target);
}

struct err *console_open(int root_fd, const struct oci_process *p, int socket, bool bind, int *ret_fd)
{
	_close_ int master = -1, fd = -1;

	if (socket < 0)
		return err_new(ERR_INVALID, "the process wants a terminal, but there is nobody to take it");
	TRY(open_master(root_fd, &master));
	TRY(open_peer(master, p, &fd));
	/* The name goes along as data, as runc sends it. */
	TRY_WRAP(pass_send(socket, master, "/dev/ptmx", strlen("/dev/ptmx")), "the terminal");
	if (bind)
		TRY_WRAP(bind_console(root_fd, fd), "/dev/console");
	*ret_fd = TAKE_FD(fd);
	return NULL;
}
