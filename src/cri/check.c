#include "cri/check.h"

#include "base/file.h"
#include "base/str.h"
#include "box/cgroup.h"
#include "box/lsm.h"
#include "box/unit.h"
#include "cri/config.h"
#include "net/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/utsname.h>

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 12
/* Below this the kubelet's own eviction begins soon. */
#define ROOM_MIB 512

struct point {
	const char *what;
	bool needed;            /* else a warning */
	struct err *(*look)(const struct config *c);
};

static struct err *look_kernel(const struct config *c)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	(void)c;
	if (uname(&u) < 0)
		return err_errno(errno, "uname");
	if (sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return err_new(ERR_PRECONDITION, "cannot read the release \"%s\"", u.release);
	if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		return err_new(ERR_PRECONDITION, "Linux %s; %d.%d or later is needed (file-backed EROFS)", u.release,
			       KERNEL_MAJOR, KERNEL_MINOR);
	return NULL;
}

static struct err *look_cgroup(const struct config *c)
{
	TRY(cgroup_check_host());
	return str_eq(c->cgroup_driver, "systemd") ? unit_check_host() : NULL;
}

static struct err *look_filesystems(const struct config *c)
{
	static const char *const names[] = { "erofs", "overlay", "tmpfs", "mqueue" };
	_buf_ struct buf b = BUF_INIT, missing = BUF_INIT;

	(void)c;
	TRY(file_read_virtual(AT_FDCWD, "/proc/filesystems", 65536, &b));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_free_ char *word = base_printf("\t%s\n", names[i]);

		if (!strstr(buf_text(&b), word))
			buf_printf(&missing, " %s", names[i]);
	}
	if (missing.len)
		return err_new(ERR_PRECONDITION, "the kernel does not know%s (built in, or modprobe)", buf_text(&missing));
	return NULL;
}

static struct err *look_namespaces(const struct config *c)
{
	static const char *const names[] = { "mnt", "pid", "net", "ipc", "uts", "cgroup", "user" };

	(void)c;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_free_ char *path = base_printf("/proc/self/ns/%s", names[i]);

		if (access(path, F_OK) < 0)
			return err_new(ERR_PRECONDITION, "no %s namespaces", names[i]);
	}
	return NULL;
}

static struct err *look_seccomp(const struct config *c)
{
	(void)c;
	if (access("/proc/sys/kernel/seccomp/actions_avail", F_OK) < 0)
		return err_new(ERR_PRECONDITION, "the kernel has no seccomp filters");
	return NULL;
}

/* Each of them is one more wall; pods run without. */
static struct err *look_modules(const struct config *c)
{
	bool apparmor, selinux;

	TRY(lsm_look(&apparmor, &selinux));
	if (str_eq(c->selinux, "on") && !selinux)
		return err_new(ERR_PRECONDITION, "the configuration says selinux = \"on\", the kernel has it off or no policy");
	if (!apparmor && !selinux)
		return err_new(ERR_PRECONDITION, "neither AppArmor nor SELinux is on: capabilities and seccomp alone confine containers");
	return NULL;
}

static struct err *look_network(const struct config *c)
{
	const struct cni cni = {
		.conf_dir = c->cni_conf_dir,
		.bin_dirs = (const char *const *)c->cni_bin_dirs.items,
		.cache_dir = "/nonexistent",
		.timeout_ns = (int64_t)c->cni_timeout_s * NS_PER_S,
	};

	return cni_status(&cni, CLOCK_NEVER);
}

static struct err *look_room(const struct config *c)
{
	struct statvfs fs;
	_free_ char *dir = base_strdup(c->root);

	/* Before first start it is not there: what will hold it is. */
	while (statvfs(dir, &fs) < 0) {
		char *slash = strrchr(dir, '/');

		if (errno != ENOENT || !slash || slash == dir)
			return err_errno(errno, "%s", c->root);
		*slash = '\0';
	}
	uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;

	if (fs.f_flag & ST_RDONLY)
		return err_new(ERR_PRECONDITION, "%s is on a read-only file system", c->root);
	if (free_mib < ROOM_MIB)
		return err_new(ERR_PRECONDITION, "%s has %llu MiB left; images need more", c->root,
			       (unsigned long long)free_mib);
	return NULL;
}

/* Not needed to run: the node may be looked at before serve is started. */
static struct err *look_socket(const struct config *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = str_starts(c->listen, "unix://") ? c->listen + strlen("unix://") : c->listen;
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "listen: %s is too long a path", path);
	strcpy(addr.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_new(ERR_UNAVAILABLE, "nobody answers on %s (%m): crisp serve is not running", c->listen);
	return NULL;
}

static const struct point points[] = {
	{ "kernel", true, look_kernel },	   { "cgroup v2", true, look_cgroup },
	{ "file systems", true, look_filesystems }, { "namespaces", true, look_namespaces },
	{ "seccomp", true, look_seccomp },	   { "AppArmor, SELinux", false, look_modules },
	{ "network (CNI)", false, look_network },
	{ "room on the disk", false, look_room }, { "crisp serve", false, look_socket },
};

int check_main(int argc, char **argv)
{
	struct config c = { 0 };
	bool bad = false;

	if (argc > 1 && strcmp(argv[1], "--config") != 0) {
		puts("usage: crisp check [--config FILE]\n\nNames what this node lacks; exit status 1 if pods cannot run.");
		return str_eq(argv[1], "--help") ? 0 : 2;
	}
	_err_ struct err *e = config_load(argc > 2 ? argv[2] : NULL, &c);

	if (e) {
		printf("MISSING  configuration: %s\n", err_text(e));
		return 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		_err_ struct err *lack = points[i].look(&c);

		if (!lack) {
			printf("ok       %s\n", points[i].what);
			continue;
		}
		printf("%s %s: %s\n", points[i].needed ? "MISSING " : "warning ", points[i].what, err_text(lack));
		bad = bad || points[i].needed;
	}
	config_done(&c);
	return bad ? 1 : 0;
}
