/* cgroup.h: cgroup v2: one container's directory: made, limited, read, killed, removed.
 *
 * Paths are below /sys/fs/cgroup, as in the kubelet's cgroup parent: "/kubepods/burstable/podX/ID".
 */
#ifndef CRISP_CGROUP_H
#define CRISP_CGROUP_H

#include "base/err.h"
#include "spec/resources.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Absolute, no "..", no empty or overlong component, no control characters. */
struct err *cgroup_check_path(const char *path) _must_check_;

/* Makes the directory, its missing parents, and enables the controllers on the way down. */
struct err *cgroup_make(const char *path) _must_check_;

/* Writes them, smaller memory limits last, `unified` after all else. Errors name file and value. */
struct err *cgroup_set(const char *path, const struct cgroup_resources *r) _must_check_;
/* cpu.weight for cgroup v1's cpu.shares. */
unsigned int cgroup_weight_of_shares(uint64_t shares);

/* Device access by BPF_PROG_TYPE_CGROUP_DEVICE (kernel's bpf(2)): allow list in OCI order. */
struct cgroup_device {
	bool allow;
	char type;               /* 'a', 'b', 'c' */
	int64_t major, minor;    /* -1: all */
	bool read, write, mknod;
};
/* Later rules win. The default devices (null, zero, full, random, urandom, tty, console, ptmx, pts) and making
 * any node (mknod alone gives no access) are allowed besides. Replaces what was set before. */
struct err *cgroup_set_devices(const char *path, const struct cgroup_device *rules, size_t n) _must_check_;

struct cgroup_stats {
	uint64_t cpu_usage_ns, cpu_user_ns, cpu_system_ns, cpu_throttled_ns;
	uint64_t cpu_periods, cpu_throttled_periods;
	uint64_t memory_current, memory_max /* UINT64_MAX: none */, memory_swap, swap_max;
	uint64_t memory_anon, memory_file, inactive_file, pgfault, pgmajfault;
	uint64_t memory_mapped, memory_kernel, memory_peak;
	uint64_t memory_low;            /* "min": what is never reclaimed */
	uint64_t limit_hits;            /* memory.events: max */
	uint64_t oom_kill;
	uint64_t pids, pids_max;        /* threads */
	struct cgroup_pressure {
		bool known;
		struct { double avg10, avg60, avg300; uint64_t total_us; } some, full;
	} cpu_psi, memory_psi, io_psi;
};
struct err *cgroup_read_stats(const char *path, struct cgroup_stats *ret) _must_check_;
uint64_t cgroup_oom_kills(const char *path);            /* 0 where it cannot be read */
uint64_t cgroup_oom_kills_in(int dir_fd);               /* the same of an open cgroup */
bool cgroup_oom_kills_known(const char *path, uint64_t *ret);  /* false there */

/* io.stat: one entry a device; none where the controller is not there. */
#define CGROUP_DEVICES_MAX 64
struct cgroup_io {
	unsigned major, minor;
	uint64_t read_bytes, written_bytes, reads, writes;
};
struct err *cgroup_read_io(const char *path, struct cgroup_io *ret, size_t max, size_t *ret_n) _must_check_;
size_t cgroup_parse_io(const char *text, struct cgroup_io *ret, size_t max);

/* Huge pages in use: one entry a page size that the controller knows. */
#define CGROUP_PAGE_SIZES_MAX 8
struct cgroup_huge {
	char size[16];          /* "2MB" */
	uint64_t usage;
	uint64_t failures;      /* hugetlb.SIZE.events: max */
};
size_t cgroup_read_huge(const char *path, struct cgroup_huge *ret, size_t max);

/* What the processes of the cgroup and of those below hold. Those past CGROUP_PROCS_MAX are not counted. */
#define CGROUP_PROCS_MAX 4096
struct cgroup_procs {
	uint64_t processes;
	uint64_t descriptors, sockets;  /* with *look_inside* only: costs one readlink a descriptor */
};
struct err *cgroup_read_procs(const char *path, bool look_inside, struct cgroup_procs *ret) _must_check_;

struct err *cgroup_kill(const char *path) _must_check_; /* cgroup.kill: all below; missing is fine */
/* Removes the directory and those below; waits for the kernel's populated=0 event until the
 * deadline when processes are still ending. Missing is fine. */
struct err *cgroup_remove(const char *path, int64_t deadline_ns) _must_check_;

/* Controllers that the root offers but do not include all of cpu, cpuset, memory, pids: their names. */
struct err *cgroup_check_host(void) _must_check_;

#endif
