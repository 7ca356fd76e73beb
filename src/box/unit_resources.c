/* Limits as properties of units, org.freedesktop.systemd1(5) and systemd.resource-control(5). */
#include "box/unit.h"

#include "base/str.h"
#include "box/cgroup.h"
#include "box/unit_property.h"

#include <string.h>

/* systemd keeps the quota in whole percents: rounded up, as runc and the kubelet do; the cgroup's file then gets
 * the exact one. */
#define QUOTA_STEP_US  UINT64_C(10000)
#define SECOND_US      UINT64_C(1000000)
#define PERIOD_DEFAULT UINT64_C(100000)    /* kernel: cgroup-v2, cpu.max */

static uint64_t limit(int64_t v)
{
	return v < 0 ? UINT64_MAX : (uint64_t)v;
}

static void put_quota(struct buf *b, int64_t quota, uint64_t period)
{
	uint64_t us = UINT64_MAX, per = period ? period : PERIOD_DEFAULT;

	if (quota >= 0 && (uint64_t)quota < UINT64_MAX / SECOND_US)
		us = ((uint64_t)quota * SECOND_US / per + QUOTA_STEP_US - 1) / QUOTA_STEP_US * QUOTA_STEP_US;
	property_u64(b, "CPUQuotaPerSecUSec", us);
	if (period)
		property_u64(b, "CPUQuotaPeriodUSec", period);
}

/* "0-3,7" as bits, the lowest of the first byte first. A list that is none is left to the cgroup's file to refuse. */
static bool list_bits(const char *list, uint8_t ret[UNIT_CPUS_MAX / 8], size_t *ret_n)
{
	_free_ char *copy = base_strdup(list);
	uint64_t from, to;

	memset(ret, 0, UNIT_CPUS_MAX / 8);
	*ret_n = 0;
	for (char *s = copy, *word; (word = strsep(&s, ","));) {
		char *dash = strchr(word, '-');

		if (dash)
			*dash++ = '\0';
		if (!str_to_u64(word, UNIT_CPUS_MAX - 1, &from) || !str_to_u64(dash ? dash : word, UNIT_CPUS_MAX - 1, &to))
			return false;
		for (uint64_t i = from; i <= to; i++)
			ret[i / 8] |= (uint8_t)(1u << i % 8);
		*ret_n = MAX(*ret_n, (size_t)to / 8 + 1);
	}
	return true;
}

static void put_list(struct buf *b, const char *name, const char *list)
{
	uint8_t bits[UNIT_CPUS_MAX / 8];
	size_t n;

	if (!str_empty(list) && list_bits(list, bits, &n))
		property_bytes(b, name, bits, n);
}

static bool number_or_max(const char *text, uint64_t *ret)
{
	*ret = UINT64_MAX;
	return str_eq(text, "max") || str_to_u64(text, INT64_MAX, ret);
}

/* "QUOTA PERIOD", either may be left out. */
static void put_cpu_max(struct buf *b, const char *value)
{
	_free_ char *copy = base_strdup(value);
	char *rest = copy, *first = strsep(&rest, " ");
	uint64_t quota, period = 0;

	if (!number_or_max(first, &quota) || (rest && !str_to_u64(rest, SECOND_US, &period)))
		return;
	put_quota(b, quota == UINT64_MAX ? -1 : (int64_t)quota, period);
}

static void put_unified(struct buf *b, const struct cgroup_pair *pair)
{
	static const struct { const char *file, *property; } numbers[] = {
		{ "memory.min", "MemoryMin" }, { "memory.low", "MemoryLow" },	      { "memory.high", "MemoryHigh" },
		{ "memory.max", "MemoryMax" }, { "memory.swap.max", "MemorySwapMax" }, { "pids.max", "TasksMax" },
		{ "cpu.weight", "CPUWeight" },
	};
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (str_eq(pair->key, numbers[i].file) && number_or_max(pair->value, &v))
			property_u64(b, numbers[i].property, v);
	if (str_eq(pair->key, "cpu.max"))
		put_cpu_max(b, pair->value);
	if (str_eq(pair->key, "cpuset.cpus"))
		put_list(b, "AllowedCPUs", pair->value);
	if (str_eq(pair->key, "cpuset.mems"))
		put_list(b, "AllowedMemoryNodes", pair->value);
}

void unit_put_resources(struct buf *b, const struct cgroup_resources *r)
{
	if (r->has_cpu_shares)
		property_u64(b, "CPUWeight", cgroup_weight_of_shares(r->cpu_shares));
	if (r->has_cpu_quota)
		put_quota(b, r->cpu_quota, r->has_cpu_period ? r->cpu_period : 0);
	else if (r->has_cpu_period)
		property_u64(b, "CPUQuotaPeriodUSec", r->cpu_period);
	put_list(b, "AllowedCPUs", r->cpus);
	put_list(b, "AllowedMemoryNodes", r->mems);
	if (r->has_pids)
		property_u64(b, "TasksMax", limit(r->pids));
	if (r->has_memory_low)
		property_u64(b, "MemoryLow", r->memory_low);
	/* OCI's counts both; without the one the other is not known here, and the file alone is written. */
	if (r->has_swap && r->swap < 0)
		property_u64(b, "MemorySwapMax", UINT64_MAX);
	else if (r->has_swap && r->has_memory && r->memory >= 0 && r->swap >= r->memory)
		property_u64(b, "MemorySwapMax", (uint64_t)(r->swap - r->memory));
	if (r->has_memory)
		property_u64(b, "MemoryMax", limit(r->memory));
	for (size_t i = 0; i < r->n_unified; i++)
		put_unified(b, &r->unified[i]);
}
