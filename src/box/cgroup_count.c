/* What a cgroup's devices, huge pages and processes add up to. */
#include "box/cgroup.h"
#include "box/cgroup_file.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PROCS_TEXT_MAX KIB(256)
#define DEPTH_MAX      16      /* cgroups below the container's: its own business */

/* ---- io.stat ---------------------------------------------------------------------------------- */

/* "KEY=NUMBER" among the blank-separated words up to the line's end. */
static uint64_t io_value(const char *line, size_t len, const char *key)
{
	size_t n = strlen(key);

	for (const char *s = line; s < line + len;) {
		s += strspn(s, " ");
		size_t word = strcspn(s, " \n");

		if (word > n && !strncmp(s, key, n) && s[n] == '=')
			return strtoull(s + n + 1, NULL, 10);
		s += MAX(word, (size_t)1);
	}
	return 0;
}

/* Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" (kernel: cgroup-v2). */
size_t cgroup_parse_io(const char *text, struct cgroup_io *ret, size_t max)
{
	size_t n = 0;

	for (const char *s = text; *s && n < max;) {
		size_t len = strcspn(s, "\n");
		struct cgroup_io io = { 0 };

		if (sscanf(s, "%u:%u ", &io.major, &io.minor) == 2 && memchr(s, '=', len)) {
			io.read_bytes = io_value(s, len, "rbytes");
			io.written_bytes = io_value(s, len, "wbytes");
			io.reads = io_value(s, len, "rios");
			io.writes = io_value(s, len, "wios");
			ret[n++] = io;
		}
		s += len + (s[len] == '\n');
	}
	return n;
}

struct err *cgroup_read_io(const char *path, struct cgroup_io *ret, size_t max, size_t *ret_n)
{
	_buf_ struct buf text = BUF_INIT;
	_close_ int fd = -1;

	*ret_n = 0;
	TRY(cgroup_open(path, &fd));
	struct err *e = cgroup_read(fd, "io.stat", &text);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	*ret_n = cgroup_parse_io(buf_text(&text), ret, max);
	return NULL;
}

/* ---- huge pages ------------------------------------------------------------------------------- */

static uint64_t read_number(int fd, const char *file, const char *key)
{
	_buf_ struct buf text = BUF_INIT;
	struct err *e = cgroup_read(fd, file, &text);
	bool failed = e;

	err_free(e);
	if (failed)
		return 0;
	const char *s = buf_text(&text);

	if (key && !str_starts(s, key))
		return 0;
	return strtoull(s + (key ? strlen(key) : 0), NULL, 10);
}

size_t cgroup_read_huge(const char *path, struct cgroup_huge *ret, size_t max)
{
	_close_ int fd = -1;
	struct err *e = cgroup_open(path, &fd);
	int copy = e ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	size_t n = 0;

	err_free(e);
	if (!dir) {
		base_close_p(&copy);
		return 0;
	}
	for (struct dirent *d; n < max && (d = readdir(dir));) {
		char size[16], file[64];

		/* hugetlb.SIZE.current, not hugetlb.SIZE.rsvd.current */
		if (sscanf(d->d_name, "hugetlb.%15[0-9KMGB].", size) != 1)
			continue;
		snprintf(file, sizeof(file), "hugetlb.%s.current", size);
		if (strcmp(file, d->d_name) != 0)
			continue;
		ret[n] = (struct cgroup_huge){ .usage = read_number(fd, file, NULL) };
		snprintf(file, sizeof(file), "hugetlb.%s.events", size);
		ret[n].failures = read_number(fd, file, "max ");
		memcpy(ret[n++].size, size, sizeof(size));
	}
	closedir(dir);
	return n;
}

/* ---- processes -------------------------------------------------------------------------------- */

/* Since Linux 6.2 the size of /proc/PID/fd is the number of open descriptors; which are sockets their links tell. */
static void count_descriptors(const char *pid, struct cgroup_procs *r)
{
	char path[64], to[16];

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	DIR *dir = opendir(path);

	if (!dir)
		return; /* ended meanwhile */
	for (struct dirent *d; (d = readdir(dir));) {
		if (d->d_name[0] == '.')
			continue;
		r->descriptors++;
		ssize_t n = readlinkat(dirfd(dir), d->d_name, to, sizeof(to));

		r->sockets += n > 8 && !memcmp(to, "socket:[", 8);
	}
	closedir(dir);
}

static void count_here(int fd, bool look_inside, struct cgroup_procs *r)
{
	_buf_ struct buf procs = BUF_INIT;
	struct err *e = file_read_virtual(fd, "cgroup.procs", PROCS_TEXT_MAX, &procs);

	err_free(e); /* a threaded cgroup has its processes told above it */
	for (char *line = procs.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (r->processes >= CGROUP_PROCS_MAX)
			return;
		r->processes++;
		if (look_inside)
			count_descriptors(line, r);
	}
}

static void count_below(int fd, int depth, bool look_inside, struct cgroup_procs *r)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	count_here(fd, look_inside, r);
	if (!dir) {
		base_close_p(&copy);
		return;
	}
	for (struct dirent *d; depth < DEPTH_MAX && (d = readdir(dir));) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		_close_ int child = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (child >= 0)
			count_below(child, depth + 1, look_inside, r);
	}
	closedir(dir);
}

struct err *cgroup_read_procs(const char *path, bool look_inside, struct cgroup_procs *ret)
{
	_close_ int fd = -1;

	*ret = (struct cgroup_procs){ 0 };
	TRY(cgroup_open(path, &fd));
	count_below(fd, 0, look_inside, ret);
	return NULL;
}
