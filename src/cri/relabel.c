#include "cri/relabel.h"

#include "base/str.h"
#include "sys/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define LABEL_MAX 4096

/* A slash at the end: and all that is below. */
static const char *const refused[] = {
	"/",	 "/bin/", "/boot/", "/dev/", "/etc/",  "/home", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/media",
	"/mnt",	 "/opt",  "/proc/", "/root", "/run",   "/sbin/", "/srv", "/sys/",   "/tmp",    "/usr/",	   "/var",
	"/var/cache", "/var/lib", "/var/log", "/var/run", "/var/tmp", "/var/lib/crisp/", "/var/lib/kubelet",
	"/var/lib/etcd", "/run/crisp/",
};

struct err *relabel_check(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		const char *r = refused[i];
		size_t n = strlen(r);
		bool below = n > 1 && r[n - 1] == '/';

		if (str_eq(path, r) || (below && !strncmp(path, r, n - 1) && (!path[n - 1] || path[n - 1] == '/')))
			return err_new(ERR_INVALID, "SELinux: %s is the node's own and is not relabelled", path);
	}
	/* A person's home. */
	if (str_starts(path, "/home/") && !strchr(path + strlen("/home/"), '/'))
		return err_new(ERR_INVALID, "SELinux: %s is the node's own and is not relabelled", path);
	return NULL;
}

struct walk {
	const char *attr, *label;
	dev_t dev;
	unsigned long files;
	bool unsupported;       /* the file system has no labels */
};

/* *name* in the directory *dir*; a link itself, not what it names. */
static struct err *set_label(struct walk *w, int dir, const char *name)
{
	char path[PATH_FD_MAX + NAME_MAX + 2];

	snprintf(path, sizeof(path), "/proc/self/fd/%d%s%s", dir, *name ? "/" : "", name);
	/* With a name the last component is not followed; without one the descriptor itself is meant. */
	int n = *name ? lsetxattr(path, w->attr, w->label, strlen(w->label), 0) :
			setxattr(path, w->attr, w->label, strlen(w->label), 0);

	if (n == 0 || errno == ENOENT)
		return NULL;
	if (errno == EOPNOTSUPP) {
		w->unsupported = true;
		return NULL;
	}
	return err_errno(errno, "label %s", *name ? name : "the volume");
}

static struct err *walk_dir(struct walk *w, int fd, unsigned depth);

static struct err *walk_entry(struct walk *w, int dir, const char *name, unsigned depth)
{
	struct stat st;

	if (++w->files > RELABEL_FILES_MAX)
		return err_new(ERR_EXHAUSTED, "more than %u files", RELABEL_FILES_MAX);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return errno == ENOENT ? NULL : err_errno(errno, "%s", name);
	if (st.st_dev != w->dev)
		return NULL;
	if (S_ISDIR(st.st_mode)) {
		_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat now;

		/* Exchanged meanwhile: whoever did that has a volume that is not all labelled. */
		if (fd < 0)
			return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? NULL : err_errno(errno, "%s", name);
		if (fstat(fd, &now) < 0 || now.st_dev != w->dev)
			return NULL;
		TRY(walk_dir(w, fd, depth + 1));
		return set_label(w, fd, "");
	}
	return set_label(w, dir, name);
}

static struct err *walk_dir(struct walk *w, int fd, unsigned depth)
{
	struct dirent *ent;
	struct err *e = NULL;

	if (depth > RELABEL_DEPTH_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d directories within each other", RELABEL_DEPTH_MAX);
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d)
		return err_errno(errno, "read directory");
	while (!e && !w->unsupported && (ent = readdir(d)))
		if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, ".."))
			e = walk_entry(w, fd, ent->d_name, depth);
	closedir(d);
	return e;
}

static bool has_label(int fd, const char *attr, const char *label)
{
	char now[LABEL_MAX], path[PATH_FD_MAX];
	ssize_t n = getxattr(path_of_fd(fd, path), attr, now, sizeof(now));

	/* The kernel's answer has the NUL, what was written need not. */
	return n >= 0 && (size_t)n >= strlen(label) && !memcmp(now, label, strlen(label)) &&
	       (n == (ssize_t)strlen(label) || !now[strlen(label)]);
}

struct err *relabel_volume(const char *path, const char *attr, const char *label)
{
	struct walk w = { .attr = attr, .label = label };
	struct stat st;
	_close_ int fd = -1;

	TRY(relabel_check(path));
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(errno, "relabel %s", path);
	if (has_label(fd, attr, label))
		return NULL;
	w.dev = st.st_dev;
	if (S_ISDIR(st.st_mode)) {
		_close_ int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir < 0)
			return err_errno(errno, "relabel %s", path);
		TRY_WRAP(walk_dir(&w, dir, 0), "relabel %s", path);
	}
	return err_wrap(set_label(&w, fd, ""), "relabel %s", path);
}
