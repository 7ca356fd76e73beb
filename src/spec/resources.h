/* resources.h: a container's limits: CRI's LinuxContainerResources as create and update both take them. */
#ifndef CRISP_RESOURCES_H
#define CRISP_RESOURCES_H

#include "base/arena.h"
#include "base/err.h"
#include "cri/api.pb-c.h"

/* Limits on what one request may hold. */
#define RESOURCES_UNIFIED_MAX   256
#define RESOURCES_HUGEPAGES_MAX 64

struct cgroup_resources {       /* 0 or false `has_`: left as it is; limits: -1 is "max" */
	bool has_cpu_shares, has_cpu_quota, has_cpu_period, has_memory, has_swap, has_pids, has_memory_low;
	uint64_t cpu_shares;    /* cgroup v1 shares, 2…262144, converted to cpu.weight */
	int64_t cpu_quota;      /* µs a period, -1: none */
	uint64_t cpu_period;    /* µs */
	int64_t memory;         /* bytes, -1: none */
	int64_t swap;           /* memory + swap in bytes as OCI counts it, -1: none */
	int64_t pids;
	uint64_t memory_low;
	const char *cpus, *mems; /* cpuset lists or NULL */
	const struct cgroup_pair { const char *key, *value; } *unified;  /* exact file names, checked */
	size_t n_unified;
	const struct cgroup_hugepage { const char *size; uint64_t limit; } *hugepages;
	size_t n_hugepages;
};

/* CRI's rules: 0 and "" leave a value as it is. Strings are borrowed, lists are the arena's. *from* NULL: nothing. */
struct err *resources_from_cri(struct arena *a, const Runtime__V1__LinuxContainerResources *from,
			       struct cgroup_resources *ret) _must_check_;

#endif
