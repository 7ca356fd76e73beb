/* In the verified root: the mounts of a Linux node, the state partition, then the services. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE_WAIT_MS 10000
#define EXT4_MAGIC_AT 0x438	/* linux/Documentation/filesystems/ext4: superblock at 1024, s_magic at 0x38 */
#define EXT4_STATE_AT 0x43a
#define EXT4_STATE_ERROR 2
#define BLANK_SIZE 65536

static struct config config;

static const struct {
	const char *type, *dir, *data;
	unsigned long flags;
} mounts[] = {
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "mqueue", "/dev/mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "cgroup2", "/sys/fs/cgroup", "memory_recursiveprot", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "bpf", "/sys/fs/bpf", "mode=0700", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "securityfs", "/sys/kernel/security", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

static void mount_all(void)
{
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].dir, 0755);
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, mounts[i].flags, mounts[i].data) < 0)
			say("mount %s: %s", mounts[i].dir, strerror(errno));
	}
	/* the kubelet's volumes with mount propagation need it */
	if (mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL) < 0)
		say("make / shared: %s", strerror(errno));
}

static int run_wait(char *const argv[])
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execv(argv[0], argv);
		say("%s: %s", argv[0], strerror(errno));
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return pid < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Blank: nothing written yet. Anything else that is not ext4 is somebody's data, and is left alone. */
enum disk_state { DISK_BLANK, DISK_EXT4, DISK_EXT4_ERROR, DISK_FOREIGN };

static enum disk_state disk_state(const char *disk)
{
	static unsigned char start[BLANK_SIZE];
	enum disk_state state = DISK_BLANK;
	int i, fd = open(disk, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, start, sizeof(start), 0) != sizeof(start))
		fail("state disk %s: %s", disk, strerror(errno));
	close(fd);
	for (i = 0; i < BLANK_SIZE; i++)
		if (start[i])
			state = DISK_FOREIGN;
	if (start[EXT4_MAGIC_AT] == 0x53 && start[EXT4_MAGIC_AT + 1] == 0xef)
		state = start[EXT4_STATE_AT] & EXT4_STATE_ERROR ? DISK_EXT4_ERROR : DISK_EXT4;
	return state;
}

static void state_mount(void)
{
	char disk[64];
	const char *name = "crisp-state";
	char *make[] = { "/sbin/mke2fs", "-q", "-t", "ext4", "-O", "verity", "-E", "nodiscard,lazy_itable_init=1",
			 "-L", "crisp-state", disk, NULL };
	char *check[] = { "/sbin/e2fsck", "-p", disk, NULL };
	enum disk_state state;
	int code;

	cmdline_get("crisp.state", &name);
	if (strcmp(name, "tmpfs") == 0) {
		if (mount("tmpfs", "/var", "tmpfs", MS_NODEV, "mode=0755") < 0)
			fail("mount /var: %s", strerror(errno));
		return;
	}
	if (!disk_find(name, STATE_WAIT_MS, disk, sizeof(disk)))
		fail("there is no disk %s for the state", name);
	state = disk_state(disk);
	if (state == DISK_FOREIGN)
		fail("state disk %s holds something that is not ours: not touched", disk);
	if (state == DISK_BLANK) {
		say("first boot: making the state file system on %s", disk);
		code = run_wait(make);
		if (code != 0)
			fail("mke2fs %s: exit code %d", disk, code);
	}
	/* the journal is enough after a power cut; errors that the kernel noted are for e2fsck */
	if (state == DISK_EXT4_ERROR && (code = run_wait(check)) > 1)
		fail("e2fsck %s: exit code %d", disk, code);
	if (mount(disk, "/var", "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, "errors=remount-ro") < 0)
		fail("mount the state disk %s: %s", disk, strerror(errno));
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		say("lo: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Every controller to the groups below the root, which alone may have both processes and children. */
static void cgroup_delegate(const char *dir)
{
	char path[256], list[512], control[64], *word, *save;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
	if (!read_file(path, list, sizeof(list)))
		return say("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
	for (word = strtok_r(list, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		snprintf(control, sizeof(control), "+%s", word);
		if (!write_file(path, control))
			say("cgroup controller %s: %s", word, strerror(errno));
	}
}

static void sysctl_set(const char *key, const char *value)
{
	char path[256];
	int n = snprintf(path, sizeof(path), "/proc/sys/"), i;

	snprintf(path + n, sizeof(path) - n, "%s", key);
	for (i = n; path[i]; i++)
		if (path[i] == '.')
			path[i] = '/';
	if (!write_file(path, value))
		say("sysctl %s: %s", key, strerror(errno));
}

/* Further parts of the OS image, each a disk with a hash tree of its own. */
static void verified_mount(void)
{
	char device[64];
	int i;

	for (i = 0; i < config.verified_count; i++) {
		const char *disk = config.verified[i].disk, *dir = config.verified[i].dir;

		verity_open(disk, disk, device, sizeof(device));
		if (mount(device, dir, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
			fail("mount %s (%s) at %s: %s", device, disk, dir, strerror(errno));
	}
}

static void prepare(void)
{
	int i, code;

	if (config.hostname && sethostname(config.hostname, strlen(config.hostname)) < 0)
		say("hostname: %s", strerror(errno));
	for (i = 0; i < config.dir_count; i++)
		if (!make_dir(config.dirs[i].path, config.dirs[i].mode))
			say("%s: %s", config.dirs[i].path, strerror(errno));
	for (i = 0; i < config.sysctl_count; i++)
		sysctl_set(config.sysctls[i].key, config.sysctls[i].value);
	for (i = 0; i < config.boot_count; i++) {
		code = run_wait(config.boot[i].argv);
		if (code != 0)
			fail("%s %s: exit code %d", config.boot[i].argv[0],
			     config.boot[i].argv[1] ? config.boot[i].argv[1] : "", code);
	}
}

/* To another PID 1, which runs the services; the hierarchy of cgroups it mounts as it wants it. */
static void hand_over(const char *next)
{
	char *argv[] = { (char *)next, NULL };

	say("handing over to %s", next);
	if (umount("/sys/fs/cgroup") < 0)
		say("unmount /sys/fs/cgroup: %s", strerror(errno));
	execv(next, argv);
	fail("%s: %s", next, strerror(errno));
}

void late_main(void)
{
	const char *next;

	say("the root is verified and mounted");
	mount_all();
	modules_load("/usr/lib/crisp-modules");
	state_mount();
	make_dir("/run/init", 0755);
	make_dir("/run/log", 0755);
	loopback_up();
	cgroup_delegate("/sys/fs/cgroup");
	make_dir("/sys/fs/cgroup/services", 0755);
	cgroup_delegate("/sys/fs/cgroup/services");
	config_read("/etc/crisp-init.conf", &config);
	verified_mount();
	prepare();
	if (cmdline_get("crisp.init", &next))
		hand_over(next);
	services_run(&config);
}
