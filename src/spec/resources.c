#include "spec/resources.h"

#include "base/str.h"

static struct err *copy_unified(struct arena *a, const Runtime__V1__LinuxContainerResources *from,
				struct cgroup_resources *r)
{
	if (from->n_unified > RESOURCES_UNIFIED_MAX)
		return err_new(ERR_INVALID, "unified: %zu members, at most %d", from->n_unified, RESOURCES_UNIFIED_MAX);
	struct cgroup_pair *pairs = arena_calloc(a, from->n_unified + 1, sizeof(*pairs));

	for (size_t i = 0; i < from->n_unified; i++)
		pairs[i] = (struct cgroup_pair){ from->unified[i]->key, from->unified[i]->value };
	r->unified = pairs;
	r->n_unified = from->n_unified;
	return NULL;
}

static struct err *copy_hugepages(struct arena *a, const Runtime__V1__LinuxContainerResources *from,
				  struct cgroup_resources *r)
{
	if (from->n_hugepage_limits > RESOURCES_HUGEPAGES_MAX)
		return err_new(ERR_INVALID, "hugepage_limits: %zu members, at most %d", from->n_hugepage_limits,
			       RESOURCES_HUGEPAGES_MAX);
	struct cgroup_hugepage *pages = arena_calloc(a, from->n_hugepage_limits + 1, sizeof(*pages));

	for (size_t i = 0; i < from->n_hugepage_limits; i++)
		pages[i] = (struct cgroup_hugepage){ from->hugepage_limits[i]->page_size, from->hugepage_limits[i]->limit };
	r->hugepages = pages;
	r->n_hugepages = from->n_hugepage_limits;
	return NULL;
}

static struct err *check(const Runtime__V1__LinuxContainerResources *from)
{
	if (from->cpu_shares < 0 || from->cpu_period < 0)
		return err_new(ERR_INVALID, "cpu_shares, cpu_period: negative");
	if (from->cpu_quota < -1 || from->memory_limit_in_bytes < -1 || from->memory_swap_limit_in_bytes < -1)
		return err_new(ERR_INVALID, "a limit below -1, which means none");
	if (from->memory_limit_in_bytes > 0 && from->memory_swap_limit_in_bytes > 0 &&
	    from->memory_swap_limit_in_bytes < from->memory_limit_in_bytes)
		return err_new(ERR_INVALID, "memory_swap_limit_in_bytes %lld is below memory_limit_in_bytes %lld",
			       (long long)from->memory_swap_limit_in_bytes, (long long)from->memory_limit_in_bytes);
	return NULL;
}

struct err *resources_from_cri(struct arena *a, const Runtime__V1__LinuxContainerResources *from,
			       struct cgroup_resources *ret)
{
	*ret = (struct cgroup_resources){ 0 };
	if (!from)
		return NULL;
	TRY_WRAP(check(from), "resources");
	struct cgroup_resources r = {
		.has_cpu_shares = from->cpu_shares != 0,
		.cpu_shares = (uint64_t)from->cpu_shares,
		.has_cpu_quota = from->cpu_quota != 0,
		.cpu_quota = from->cpu_quota,
		.has_cpu_period = from->cpu_period != 0,
		.cpu_period = (uint64_t)from->cpu_period,
		.has_memory = from->memory_limit_in_bytes != 0,
		.memory = from->memory_limit_in_bytes,
		.has_swap = from->memory_swap_limit_in_bytes != 0,
		.swap = from->memory_swap_limit_in_bytes,
		.cpus = str_empty(from->cpuset_cpus) ? NULL : from->cpuset_cpus,
		.mems = str_empty(from->cpuset_mems) ? NULL : from->cpuset_mems,
	};

	/* A limit on memory alone means no swap, as with the other runtimes: pages would go there unseen. */
	if (r.has_memory && !r.has_swap) {
		r.has_swap = true;
		r.swap = r.memory;
	}
	TRY_WRAP(copy_hugepages(a, from, &r), "resources");
	TRY_WRAP(copy_unified(a, from, &r), "resources");
	*ret = r;
	return NULL;
}
