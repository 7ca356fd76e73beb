#include "box/cgroup.h"

#include "base/str.h"
#include "box/cgroup_file.h"

#include <stdio.h>
#include <string.h>

/* The value of line "KEY VALUE"; 0 where there is none. */
static uint64_t flat_value(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *s = text; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL)
		if (!strncmp(s, key, n) && s[n] == ' ')
			return strtoull(s + n + 1, NULL, 10);
	return 0;
}

/* A file of one number; "max" is UINT64_MAX; 0 where it cannot be read (no such controller). */
static uint64_t single_value(int fd, const char *file)
{
	_buf_ struct buf text = BUF_INIT;
	struct err *e = cgroup_read(fd, file, &text);

	if (e) {
		err_free(e);
		return 0;
	}
	return str_starts(buf_text(&text), "max") ? UINT64_MAX : strtoull(buf_text(&text), NULL, 10);
}

static bool read_optional(int fd, const char *file, struct buf *ret)
{
	struct err *e = cgroup_read(fd, file, ret);
	bool ok = !e;

	err_free(e);
	return ok;
}

/* Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", "full …" (kernel: accounting/psi). */
static void read_pressure(int fd, const char *file, struct cgroup_pressure *p)
{
	_buf_ struct buf text = BUF_INIT;
	unsigned long long total;
	const char *full;

	if (!read_optional(fd, file, &text))
		return;
	if (sscanf(buf_text(&text), "some avg10=%lf avg60=%lf avg300=%lf total=%llu", &p->some.avg10,
		   &p->some.avg60, &p->some.avg300, &total) != 4)
		return;
	p->some.total_us = total;
	p->known = true;
	full = strstr(buf_text(&text), "full ");
	if (full && sscanf(full, "full avg10=%lf avg60=%lf avg300=%lf total=%llu", &p->full.avg10, &p->full.avg60,
			   &p->full.avg300, &total) == 4)
		p->full.total_us = total;
}

static void read_memory(int fd, struct cgroup_stats *s)
{
	_buf_ struct buf stat = BUF_INIT, events = BUF_INIT;

	s->memory_current = single_value(fd, "memory.current");
	s->memory_max = single_value(fd, "memory.max");
	s->memory_swap = single_value(fd, "memory.swap.current");
	s->swap_max = single_value(fd, "memory.swap.max");
	if (read_optional(fd, "memory.stat", &stat)) {
		s->memory_anon = flat_value(buf_text(&stat), "anon");
		s->memory_file = flat_value(buf_text(&stat), "file");
		s->memory_mapped = flat_value(buf_text(&stat), "file_mapped");
		s->memory_kernel = flat_value(buf_text(&stat), "kernel");
		s->inactive_file = flat_value(buf_text(&stat), "inactive_file");
		s->pgfault = flat_value(buf_text(&stat), "pgfault");
		s->pgmajfault = flat_value(buf_text(&stat), "pgmajfault");
	}
	s->memory_peak = single_value(fd, "memory.peak");
	s->memory_low = single_value(fd, "memory.min");
	if (!read_optional(fd, "memory.events", &events))
		return;
	s->oom_kill = flat_value(buf_text(&events), "oom_kill");
	s->limit_hits = flat_value(buf_text(&events), "max");
}

struct err *cgroup_read_stats(const char *path, struct cgroup_stats *ret)
{
	_buf_ struct buf cpu = BUF_INIT;
	struct cgroup_stats s = { 0 };
	_close_ int fd = -1;

	TRY(cgroup_open(path, &fd));
	/* cpu.stat is there without any controller. */
	TRY(cgroup_read(fd, "cpu.stat", &cpu));
	s.cpu_usage_ns = flat_value(buf_text(&cpu), "usage_usec") * 1000;
	s.cpu_user_ns = flat_value(buf_text(&cpu), "user_usec") * 1000;
	s.cpu_system_ns = flat_value(buf_text(&cpu), "system_usec") * 1000;
	s.cpu_throttled_ns = flat_value(buf_text(&cpu), "throttled_usec") * 1000;
	s.cpu_periods = flat_value(buf_text(&cpu), "nr_periods");
	s.cpu_throttled_periods = flat_value(buf_text(&cpu), "nr_throttled");
	read_memory(fd, &s);
	s.pids = single_value(fd, "pids.current");
	s.pids_max = single_value(fd, "pids.max");
	read_pressure(fd, "cpu.pressure", &s.cpu_psi);
	read_pressure(fd, "memory.pressure", &s.memory_psi);
	read_pressure(fd, "io.pressure", &s.io_psi);
	*ret = s;
	return NULL;
}

static bool read_oom_kills(int dir_fd, uint64_t *ret)
{
	_buf_ struct buf text = BUF_INIT;
	_err_ struct err *e = cgroup_read(dir_fd, "memory.events", &text);

	*ret = e ? 0 : flat_value(buf_text(&text), "oom_kill");
	return !e;
}

uint64_t cgroup_oom_kills_in(int dir_fd)
{
	uint64_t n;

	read_oom_kills(dir_fd, &n);
	return n;
}

bool cgroup_oom_kills_known(const char *path, uint64_t *ret)
{
	_close_ int fd = -1;
	_err_ struct err *e = cgroup_open(path, &fd);

	*ret = 0;
	return !e && read_oom_kills(fd, ret);
}

uint64_t cgroup_oom_kills(const char *path)
{
	uint64_t n;

	cgroup_oom_kills_known(path, &n);
	return n;
}
