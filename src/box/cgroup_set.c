#include "box/cgroup.h"
#include "box/cgroup_file.h"

#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* log2 and 10^x to the precision that a weight of four digits needs; libm is for these two alone. */
static double log2_of(double v)
{
	double result = 0, step = 0.5;

	for (; v >= 2; v /= 2)
		result += 1;
	for (int i = 0; i < 48; i++, step /= 2) {
		v *= v;
		if (v >= 2) {
			v /= 2;
			result += step;
		}
	}
	return result;
}

static double ten_to(double x)
{
	double y = x * 2.302585092994045684, term = 1, sum = 1;

	for (int i = 1; i < 60; i++) {
		term *= y / i;
		sum += term;
	}
	return sum;
}

/* cgroup v1 shares (2…262144) to v2 weight (1…10000): the curve through (2, 1), (1024, 100), (262144, 10000)
 * that the kubelet, runc and crun use since 2025 (Kubernetes KEP-2254 amendment). */
unsigned int cgroup_weight_of_shares(uint64_t shares)
{
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	double l = log2_of((double)shares);
	double weight = ten_to((l * l + 125 * l) / 612.0 - 7.0 / 34.0);
	unsigned int whole = (unsigned int)weight;

	/* Rounded up, but not for the error of the arithmetic. */
	return weight - whole > 1e-6 ? whole + 1 : whole;
}

static const char *limit_text(int64_t v, char ret[32])
{
	if (v < 0)
		return "max";
	snprintf(ret, 32, "%" PRId64, v);
	return ret;
}

/* "QUOTA PERIOD"; one that is not given stays what it was. */
static struct err *set_cpu(int fd, const struct cgroup_resources *r)
{
	char text[96], quota[32];

	if (r->has_cpu_shares) {
		snprintf(text, sizeof(text), "%u", cgroup_weight_of_shares(r->cpu_shares));
		TRY(cgroup_write(fd, "cpu.weight", text));
	}
	if (!r->has_cpu_quota && !r->has_cpu_period)
		return NULL;
	if (!r->has_cpu_period)
		return cgroup_write(fd, "cpu.max", limit_text(r->cpu_quota, quota));
	if (!r->has_cpu_quota) {
		_buf_ struct buf now = BUF_INIT;

		TRY(cgroup_read(fd, "cpu.max", &now));
		snprintf(quota, sizeof(quota), "%.*s", (int)MIN(strcspn(buf_text(&now), " \n"), (size_t)31),
			 buf_text(&now));
		snprintf(text, sizeof(text), "%s %" PRIu64, quota, r->cpu_period);
	} else {
		snprintf(text, sizeof(text), "%s %" PRIu64, limit_text(r->cpu_quota, quota), r->cpu_period);
	}
	return cgroup_write(fd, "cpu.max", text);
}

/* The limit in force, for a swap that is given without memory. */
static struct err *read_limit(int fd, const char *file, int64_t *ret)
{
	_buf_ struct buf text = BUF_INIT;
	uint64_t v;

	TRY(cgroup_read(fd, file, &text));
	if (text.len && text.data[text.len - 1] == '\n')
		text.data[text.len - 1] = '\0';
	*ret = str_to_u64(buf_text(&text), INT64_MAX, &v) ? (int64_t)v : -1;
	return NULL;
}

/* OCI counts memory and swap together, v2 counts swap alone. A kernel without swap accounting has no file,
 * and then no swap to limit. */
static struct err *set_swap(int fd, const struct cgroup_resources *r)
{
	int64_t memory = r->memory, swap = r->swap;
	char text[32];

	if (!r->has_swap)
		return NULL;
	if (!r->has_memory)
		TRY(read_limit(fd, "memory.max", &memory));
	if (swap >= 0 && memory < 0)
		return err_new(ERR_INVALID, "a limit on swap needs one on memory");
	if (swap >= 0 && swap < memory)
		return err_new(ERR_INVALID, "the limit on memory and swap (%" PRId64 ") is below that on memory (%" PRId64 ")",
			       swap, memory);
	struct err *e = cgroup_write(fd, "memory.swap.max", limit_text(swap < 0 ? -1 : swap - memory, text));

	if (err_is(e, ERR_NOT_FOUND) && (swap < 0 || swap == memory)) {
		err_free(e);
		return NULL;
	}
	return e;
}

static struct err *set_memory(int fd, const struct cgroup_resources *r)
{
	char text[32];

	if (r->has_memory_low) {
		snprintf(text, sizeof(text), "%" PRIu64, r->memory_low);
		TRY(cgroup_write(fd, "memory.low", text));
	}
	TRY(set_swap(fd, r));
	if (r->has_memory)
		TRY(cgroup_write(fd, "memory.max", limit_text(r->memory, text)));
	return NULL;
}

static bool is_page_size(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n < 16 && (!strcmp(s + n, "KB") || !strcmp(s + n, "MB") || !strcmp(s + n, "GB"));
}

static struct err *set_hugepages(int fd, const struct cgroup_resources *r)
{
	char file[64], text[32];

	for (size_t i = 0; i < r->n_hugepages; i++) {
		const struct cgroup_hugepage *h = &r->hugepages[i];

		if (!is_page_size(h->size))
			return err_new(ERR_INVALID, "huge page size \"%.32s\" is not like 2MB", h->size);
		snprintf(text, sizeof(text), "%" PRIu64, h->limit);
		snprintf(file, sizeof(file), "hugetlb.%s.max", h->size);
		TRY(cgroup_write(fd, file, text));
		/* Reservations too, or a reservation beyond the limit ends in SIGBUS. */
		snprintf(file, sizeof(file), "hugetlb.%s.rsvd.max", h->size);
		struct err *e = cgroup_write(fd, file, text);

		if (e && !err_is(e, ERR_NOT_FOUND))
			return e;
		err_free(e);
	}
	return NULL;
}

/* A file of a controller: "memory.high", not a path, not the cgroup's own ("cgroup.procs"). */
static bool is_unified_key(const char *key)
{
	if (!strchr(key, '.') || key[0] == '.' || str_starts(key, "cgroup.") || strlen(key) > 128)
		return false;
	for (const char *s = key; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return false;
	return true;
}

/* io.max and its kind take one line a write. */
static struct err *set_unified(int fd, const struct cgroup_resources *r)
{
	for (size_t i = 0; i < r->n_unified; i++) {
		_free_ char *value = base_strdup(r->unified[i].value);

		if (!is_unified_key(r->unified[i].key))
			return err_new(ERR_INVALID, "unified: \"%.64s\" is not a file of a controller", r->unified[i].key);
		for (char *s = value, *line; (line = strsep(&s, "\n"));)
			if (*line)
				TRY_WRAP(cgroup_write(fd, r->unified[i].key, line), "unified");
	}
	return NULL;
}

struct err *cgroup_set(const char *path, const struct cgroup_resources *r)
{
	_close_ int fd = -1;
	char text[32];

	TRY(cgroup_open(path, &fd));
	TRY(set_cpu(fd, r));
	if (!str_empty(r->cpus))
		TRY(cgroup_write(fd, "cpuset.cpus", r->cpus));
	if (!str_empty(r->mems))
		TRY(cgroup_write(fd, "cpuset.mems", r->mems));
	if (r->has_pids)
		TRY(cgroup_write(fd, "pids.max", limit_text(r->pids, text)));
	TRY(set_hugepages(fd, r));
	TRY(set_memory(fd, r));
	return set_unified(fd, r);
}
