#include "box/cgroup.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "box/cgroup_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define CGROUP_PATH_MAX 3072
#define CGROUP_DEPTH_MAX 64

/* What is passed down to children where the parent offers it. */
static const char *const controllers[] = { "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc" };
/* What crisp cannot do without. */
static const char *const needed[] = { "cpuset", "cpu", "memory", "pids" };

struct err *cgroup_check_path(const char *path)
{
	size_t depth = 0;

	if (path[0] != '/' || strlen(path) > CGROUP_PATH_MAX)
		return err_new(ERR_INVALID, "cgroup path %.128s: not absolute, or too long", path);
	for (const char *s = path; *s;) {
		s += strspn(s, "/");
		size_t n = strcspn(s, "/");
		_free_ char *name = base_strndup(s, n);

		if (n && !file_name_ok(name))
			return err_new(ERR_INVALID, "cgroup path %.128s: bad component \"%.64s\"", path, name);
		if (++depth > CGROUP_DEPTH_MAX)
			return err_new(ERR_INVALID, "cgroup path %.128s: too deep", path);
		s += n;
	}
	return NULL;
}

struct err *cgroup_open(const char *path, int *ret_fd)
{
	char full[CGROUP_PATH_MAX + 32];

	TRY(cgroup_check_path(path));
	snprintf(full, sizeof(full), "%s%s", CGROUP_ROOT, path);
	*ret_fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return err_errno(errno, "cgroup %s", path);
	return NULL;
}

struct err *cgroup_write(int dir_fd, const char *file, const char *value)
{
	return err_wrap(file_write_at(dir_fd, file, value), "cgroup: %s = %s", file, value);
}

struct err *cgroup_read(int dir_fd, const char *file, struct buf *ret)
{
	return err_wrap(file_read_virtual(dir_fd, file, CGROUP_FILE_MAX, ret), "cgroup: %s", file);
}

/* *word* among the blank-separated words of *text*. */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	while (*text) {
		text += strspn(text, " \n");
		size_t len = strcspn(text, " \n");

		if (len == n && !strncmp(text, word, n))
			return true;
		text += len;
	}
	return false;
}

/* Enables for the children of *dir_fd* what it offers and does not yet pass down. One by one where the whole
 * is refused (cpu with real-time processes about, say): a limit that then cannot be set names its file. */
static struct err *delegate(int dir_fd)
{
	_buf_ struct buf have = BUF_INIT, on = BUF_INIT, want = BUF_INIT;

	TRY(cgroup_read(dir_fd, "cgroup.controllers", &have));
	TRY(cgroup_read(dir_fd, "cgroup.subtree_control", &on));
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (has_word(buf_text(&have), controllers[i]) && !has_word(buf_text(&on), controllers[i]))
			buf_printf(&want, "%s+%s", want.len ? " " : "", controllers[i]);
	if (!want.len)
		return NULL;
	struct err *e = cgroup_write(dir_fd, "cgroup.subtree_control", buf_text(&want));

	if (!e)
		return NULL;
	err_free(e);
	for (char *s = want.data, *word; (word = strsep(&s, " "));)
		err_ignore(cgroup_write(dir_fd, "cgroup.subtree_control", word));
	return NULL;
}

struct err *cgroup_make(const char *path)
{
	_close_ int fd = -1;

	TRY(cgroup_check_path(path));
	TRY(cgroup_open("/", &fd));
	for (const char *s = path + strspn(path, "/"); *s;) {
		size_t n = strcspn(s, "/");
		_free_ char *name = base_strndup(s, n);

		TRY_WRAP(delegate(fd), "cgroup %.*s", (int)(s - path), path);
		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
			return err_errno(errno, "make cgroup %.*s", (int)(s + n - path), path);
		int child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (child < 0)
			return err_errno(errno, "cgroup %.*s", (int)(s + n - path), path);
		close(fd);
		fd = child;
		s += n;
		s += strspn(s, "/");
	}
	return NULL;
}

struct err *cgroup_kill(const char *path)
{
	char file[CGROUP_PATH_MAX + 32];

	TRY(cgroup_check_path(path));
	snprintf(file, sizeof(file), "%s%s/cgroup.kill", CGROUP_ROOT, path);
	_close_ int fd = open(file, O_WRONLY | O_CLOEXEC);

	/* ENODEV: removed between the two. */
	if ((fd < 0 || write(fd, "1", 1) < 0) && errno != ENOENT && errno != ENODEV)
		return err_errno(errno, "cgroup %s: cgroup.kill", path);
	return NULL;
}

/* Children first. What is still populated stays. */
static void remove_children(int fd, int depth)
{
	int copy = depth < CGROUP_DEPTH_MAX ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (struct dirent *d; (d = readdir(dir));) {
		if (d->d_type != DT_DIR || !strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		_close_ int child = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (child >= 0)
			remove_children(child, depth + 1);
		unlinkat(fd, d->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

static bool is_populated(int events_fd)
{
	char text[256];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strstr(text, "populated 1") != NULL;
}

/* cgroup.events raises POLLPRI when "populated" changes (kernel: cgroup-v2, "[Un]populated Notification"). */
static struct err *wait_empty(int fd, const char *path, int64_t deadline_ns)
{
	_close_ int events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (events < 0)
		return errno == ENOENT || errno == ENODEV ? NULL : err_errno(errno, "cgroup %s: cgroup.events", path);
	while (is_populated(events)) {
		struct pollfd p = { .fd = events, .events = POLLPRI };

		if (poll(&p, 1, clock_ms_until(deadline_ns)) < 0 && errno != EINTR)
			return err_errno(errno, "cgroup %s: poll", path);
		if (clock_ms_until(deadline_ns) == 0 && is_populated(events))
			return err_new(ERR_TIMEOUT, "cgroup %s: processes in it have not ended", path);
	}
	return NULL;
}

struct err *cgroup_remove(const char *path, int64_t deadline_ns)
{
	char full[CGROUP_PATH_MAX + 32];
	_close_ int fd = -1;
	struct err *e = cgroup_open(path, &fd);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	snprintf(full, sizeof(full), "%s%s", CGROUP_ROOT, path);
	/* The usual case: nothing is left in it. */
	if (rmdir(full) == 0 || errno == ENOENT)
		return NULL;
	TRY(wait_empty(fd, path, deadline_ns));
	remove_children(fd, 0);
	if (rmdir(full) < 0 && errno != ENOENT)
		return err_errno(errno, "remove cgroup %s", path);
	return NULL;
}

struct err *cgroup_check_host(void)
{
	struct statfs fs;
	_buf_ struct buf have = BUF_INIT, missing = BUF_INIT;
	_close_ int fd = -1;

	if (statfs(CGROUP_ROOT, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_new(ERR_PRECONDITION, "%s is not a cgroup v2 hierarchy: crisp needs the unified one "
						 "(kernel parameter systemd.unified_cgroup_hierarchy=1, or mount cgroup2 there)",
			       CGROUP_ROOT);
	TRY(cgroup_open("/", &fd));
	TRY(cgroup_read(fd, "cgroup.controllers", &have));
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!has_word(buf_text(&have), needed[i]))
			buf_printf(&missing, " %s", needed[i]);
	if (missing.len)
		return err_new(ERR_PRECONDITION, "the cgroup hierarchy lacks the controllers%s", buf_text(&missing));
	return NULL;
}
