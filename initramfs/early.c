/* In the initramfs: from nothing to the verified root file system. */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void mount_or_fail(const char *type, const char *dir, unsigned long flags)
{
	mkdir(dir, 0755);
	/* the kernel may have mounted devtmpfs itself */
	if (mount(type, dir, type, flags, NULL) < 0 && errno != EBUSY)
		fail("mount %s: %s", dir, strerror(errno));
}

static void empty_initramfs(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/modules");

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	unlink("/init");
}

static void root_mount(void)
{
	const char *name = "crisp-root";
	char device[64];

	cmdline_get("crisp.root", &name);
	verity_open(name, "crisp", device, sizeof(device));
	mkdir("/root", 0755);
	if (mount(device, "/root", "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
		fail("mount %s (%s): %s", device, name, strerror(errno));
}

/*
 * A tree in the initramfs is laid over the root: how a machine under test gets today's programs without a new root
 * image. Who can add to the initramfs could as well replace this program: no trust is lost.
 */
static void root_overlay(void)
{
	if (access("/overlay", F_OK) < 0)
		return;
	modules_load("/root/usr/lib/crisp-modules");
	say("the root has an overlay from the initramfs");
	if (mount("overlay", "/root", "overlay", MS_RDONLY | MS_NODEV, "lowerdir=/overlay:/root") < 0)
		fail("lay /overlay over the root: %s", strerror(errno));
}

static void root_switch(void)
{
	static const char *const moved[] = { "/dev", "/proc", "/sys" };
	char *argv[] = { "/sbin/init", NULL };
	char to[32];
	size_t i;

	empty_initramfs();
	for (i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		strcpy(to, "/root");
		strcat(to, moved[i]);
		if (mount(moved[i], to, NULL, MS_MOVE, NULL) < 0)
			fail("move %s: %s", moved[i], strerror(errno));
	}
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		fail("switch to the root: %s", strerror(errno));
	execv(argv[0], argv);
	fail("%s: %s", argv[0], strerror(errno));
}

void early_main(void)
{
	mount_or_fail("devtmpfs", "/dev", MS_NOSUID);
	mount_or_fail("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	mount_or_fail("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	modules_load("/modules");
	root_mount();
	root_overlay();
	root_switch();
	for (;;)
		pause();
}
