#include "cri/telemetry.h"

#include "base/file.h"
#include "cri/serve.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CODES   17
#define METHODS 43

static const unsigned limits_ms[] = { 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 60000 };

struct method_counts {
	uint64_t codes[CODES];
	uint64_t took[ARRAY_LEN(limits_ms) + 1];    /* each within its limit and above the one before */
	uint64_t sum_us;
};

struct telemetry {
	struct method_counts methods[METHODS];
	uint64_t pulled_bytes;
};

static void add(uint64_t *to, uint64_t n)
{
	__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

struct telemetry *telemetry_new(void)
{
	return base_alloc(sizeof(struct telemetry));
}

static const struct rpc_row *row_at(size_t i)
{
	return i < rpc_runtime_n ? &rpc_runtime_rows[i] : &rpc_image_rows[i - rpc_runtime_n];
}

static size_t index_of(const struct rpc_row *row)
{
	size_t i = 0;

	while (i + 1 < METHODS && row_at(i) != row)
		i++;
	return i;
}

void telemetry_call(struct telemetry *t, const struct rpc_row *row, enum grpc_code code, int64_t took_ns)
{
	struct method_counts *m = &t->methods[index_of(row)];
	size_t i = 0;

	while (i < ARRAY_LEN(limits_ms) && took_ns > limits_ms[i] * NS_PER_MS)
		i++;
	add(&m->codes[MIN((size_t)code, (size_t)CODES - 1)], 1);
	add(&m->took[i], 1);
	add(&m->sum_us, (uint64_t)(took_ns / 1000));
}

void telemetry_pulled(struct telemetry *t, uint64_t bytes)
{
	add(&t->pulled_bytes, bytes);
}

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_calls(struct telemetry *t, struct buf *out)
{
	static const char *const names[CODES] = {
		"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
		"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated",
	};

	family(out, "crisp_rpc_total", "counter", "Calls that have ended, by method and gRPC code");
	for (size_t i = 0; i < METHODS; i++)
		for (size_t k = 0; k < CODES; k++)
			if (get(&t->methods[i].codes[k]))
				buf_printf(out, "crisp_rpc_total{method=\"%s\",code=\"%s\"} %" PRIu64 "\n",
					   row_at(i)->method, names[k], get(&t->methods[i].codes[k]));
}

static void write_durations(struct telemetry *t, struct buf *out)
{
	family(out, "crisp_rpc_duration_seconds", "histogram", "How long calls took");
	for (size_t i = 0; i < METHODS; i++) {
		const struct method_counts *m = &t->methods[i];
		const char *name = row_at(i)->method;
		uint64_t sum = 0, took[ARRAY_LEN(limits_ms) + 1];

		for (size_t k = 0; k < ARRAY_LEN(took); k++)
			sum += took[k] = get(&m->took[k]);
		if (!sum)
			continue;
		sum = 0;
		for (size_t k = 0; k < ARRAY_LEN(limits_ms); k++)
			buf_printf(out, "crisp_rpc_duration_seconds_bucket{method=\"%s\",le=\"%g\"} %" PRIu64 "\n", name,
				   limits_ms[k] / 1000.0, sum += took[k]);
		sum += took[ARRAY_LEN(limits_ms)];
		buf_printf(out, "crisp_rpc_duration_seconds_bucket{method=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, sum);
		buf_printf(out, "crisp_rpc_duration_seconds_sum{method=\"%s\"} %.6f\n", name,
			   (double)get(&m->sum_us) / 1e6);
		buf_printf(out, "crisp_rpc_duration_seconds_count{method=\"%s\"} %" PRIu64 "\n", name, sum);
	}
}

static void write_objects(struct serve *s, struct buf *out)
{
	static const char *const states[] = { "making", "created", "running", "exited" };
	size_t pods[2] = { 0 }, containers[ARRAY_LEN(states)] = { 0 };

	pods_lock(&s->pods);
	pods_each(p, &s->pods) {
		pods[p->state == POD_READY]++;
		pods_each_container(c, p)
			containers[c->state]++;
	}
	pods_unlock(&s->pods);
	family(out, "crisp_pods", "gauge", "Pods by state");
	buf_printf(out, "crisp_pods{state=\"ready\"} %zu\ncrisp_pods{state=\"notready\"} %zu\n", pods[1], pods[0]);
	family(out, "crisp_monitors", "gauge", "Monitors: one a ready pod");
	buf_printf(out, "crisp_monitors %zu\n", pods[1]);
	family(out, "crisp_containers", "gauge", "Containers by state");
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		buf_printf(out, "crisp_containers{state=\"%s\"} %zu\n", states[i], containers[i]);
}

static void write_process(struct buf *out)
{
	_buf_ struct buf statm = BUF_INIT;
	struct timespec cpu = { 0 };
	unsigned long long pages = 0;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	err_ignore(file_read_virtual(AT_FDCWD, "/proc/self/statm", 256, &statm));
	if (sscanf(buf_text(&statm), "%*s %llu", &pages) != 1)
		pages = 0;
	family(out, "process_cpu_seconds_total", "counter", "Processor time of serve");
	buf_printf(out, "process_cpu_seconds_total %.6f\n", (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
	family(out, "process_resident_memory_bytes", "gauge", "Memory of serve");
	buf_printf(out, "process_resident_memory_bytes %llu\n", pages * (unsigned long long)sysconf(_SC_PAGESIZE));
}

static int answer(struct serve *s, const char *path, struct buf *out)
{
	if (strcmp(path, "/metrics") != 0)
		return 404;
	family(out, "crisp_build_info", "gauge", "Always 1");
	buf_puts(out, "crisp_build_info{version=\"" CRISP_VERSION "\"} 1\n");
	write_calls(s->telemetry, out);
	write_durations(s->telemetry, out);
	family(out, "crisp_pulled_bytes_total", "counter", "Bytes of images that came over the network");
	buf_printf(out, "crisp_pulled_bytes_total %" PRIu64 "\n", get(&s->telemetry->pulled_bytes));
	write_objects(s, out);
	write_process(out);
	return 200;
}

const struct pages telemetry_pages = {
	.key = "metrics_listen",
	.what = "serve's own metrics are",
	.type = "text/plain; version=0.0.4; charset=utf-8",
	.answer = answer,
};
