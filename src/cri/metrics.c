/* ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics. */
#include "cri/metrics.h"

#include "base/file.h"
#include "cri/pack.h"
#include "cri/stats.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* A streamed message ends with the pod that passes this. */
#define PIECE_BYTES KIB(64)
/* Samples of one container or pod: rows, devices, interfaces, page sizes. */
#define SAMPLES_MAX (METRICS + 6 * CGROUP_DEVICES_MAX + 8 * NETLINK_LINKS_MAX + 2 * CGROUP_PAGE_SIZES_MAX)

/* What is being told of one container or pod. */
struct gather {
	struct rpc *r;
	const char *labels[METRIC_LABELS];
	size_t n;
	Runtime__V1__Metric **metrics;
};

static void gather_init(struct gather *g, struct rpc *r, const struct pod *p)
{
	*g = (struct gather){ .r = r, .metrics = RPC_ARRAY(r, SAMPLES_MAX, Runtime__V1__Metric *) };
	g->labels[METRIC_LABEL_NAMESPACE] = pod_metadata(p)->namespace_;
	g->labels[METRIC_LABEL_POD] = pod_metadata(p)->name;
}

/* With the values of the row's own labels, as many as it has. Live, so without a timestamp (api.proto). */
static void put_own(struct gather *g, enum metric m, uint64_t v, const char *const *own)
{
	const struct metric_row *row = &metric_rows[m];
	Runtime__V1__Metric *out = RPC_NEW(g->r, Runtime__V1__Metric, runtime__v1__metric__init);

	if (g->n == SAMPLES_MAX)
		return;
	out->name = (char *)row->name;
	out->metric_type = row->counter ? RUNTIME__V1__METRIC_TYPE__COUNTER : RUNTIME__V1__METRIC_TYPE__GAUGE;
	out->value = stats_value(g->r, v);
	out->label_values = RPC_ARRAY(g->r, METRIC_LABELS + METRIC_OWN_MAX, char *);
	for (int i = 0; i < METRIC_LABELS; i++)
		out->label_values[out->n_label_values++] = (char *)(g->labels[i] ? g->labels[i] : "");
	for (int i = 0; i < METRIC_OWN_MAX && row->own[i]; i++)
		out->label_values[out->n_label_values++] = (char *)own[i];
	g->metrics[g->n++] = out;
}

static void put(struct gather *g, enum metric m, uint64_t v)
{
	put_own(g, m, v, NULL);
}

static void put_with(struct gather *g, enum metric m, uint64_t v, const char *own)
{
	put_own(g, m, v, &own);
}

/* "/dev/vda1", or "0:45" where the device has no node (tmpfs, say). */
static const char *device_name(struct rpc *r, unsigned major, unsigned minor)
{
	_free_ char *path = base_printf("/sys/dev/block/%u:%u/uevent", major, minor);
	_buf_ struct buf text = BUF_INIT;
	struct err *e = file_read_virtual(AT_FDCWD, path, KIB(4), &text);
	const char *name = e ? NULL : strstr(buf_text(&text), "DEVNAME=");

	err_free(e);
	if (!name)
		return arena_printf(&r->arena, "%u:%u", major, minor);
	name += strlen("DEVNAME=");
	return arena_printf(&r->arena, "/dev/%.*s", (int)strcspn(name, "\n"), name);
}

/* ---- one container ---------------------------------------------------------------------------- */

static uint64_t seconds(uint64_t ns)
{
	return ns / (uint64_t)NS_PER_S;
}

static void put_cpu(struct gather *g, const struct cgroup_stats *s)
{
	put(g, M_CPU_USER, seconds(s->cpu_user_ns));
	put(g, M_CPU_SYSTEM, seconds(s->cpu_system_ns));
	put_with(g, M_CPU_USAGE, seconds(s->cpu_usage_ns), "total");
	put(g, M_CPU_PERIODS, s->cpu_periods);
	put(g, M_CPU_THROTTLED_PERIODS, s->cpu_throttled_periods);
	put(g, M_CPU_THROTTLED, seconds(s->cpu_throttled_ns));
}

static void put_memory(struct gather *g, const struct cgroup_stats *s)
{
	static const char *const scopes[] = { "container", "hierarchy" };

	put(g, M_MEMORY_CACHE, s->memory_file);
	put(g, M_MEMORY_RSS, s->memory_anon);
	put(g, M_MEMORY_KERNEL, s->memory_kernel);
	put(g, M_MEMORY_MAPPED, s->memory_mapped);
	put(g, M_MEMORY_SWAP, s->memory_swap);
	put(g, M_MEMORY_FAILCNT, s->limit_hits);
	put(g, M_MEMORY_USAGE, s->memory_current);
	put(g, M_MEMORY_MAX_USAGE, s->memory_peak);
	put(g, M_MEMORY_WORKING_SET, stats_working_set(s));
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		put_own(g, M_MEMORY_FAILURES, s->pgfault, (const char *[]){ "pgfault", scopes[i] });
		put_own(g, M_MEMORY_FAILURES, s->pgmajfault, (const char *[]){ "pgmajfault", scopes[i] });
	}
	put(g, M_OOM, s->oom_kill);
}

static void put_pressure(struct gather *g, const struct cgroup_pressure *p, enum metric stalled, enum metric waiting)
{
	if (!p->known)
		return;
	put(g, stalled, p->full.total_us / 1000000);
	put(g, waiting, p->some.total_us / 1000000);
}

static void put_io(struct gather *g, const char *cgroup)
{
	struct cgroup_io *io = RPC_ARRAY(g->r, CGROUP_DEVICES_MAX, struct cgroup_io);
	size_t n = 0;

	err_ignore(cgroup_read_io(cgroup, io, CGROUP_DEVICES_MAX, &n));
	for (size_t i = 0; i < n; i++) {
		const char *name = device_name(g->r, io[i].major, io[i].minor);
		const char *own[] = { name, arena_printf(&g->r->arena, "%u", io[i].major),
				      arena_printf(&g->r->arena, "%u", io[i].minor), "read" };

		put_with(g, M_FS_READ_BYTES, io[i].read_bytes, name);
		put_with(g, M_FS_READS, io[i].reads, name);
		put_with(g, M_FS_WRITTEN_BYTES, io[i].written_bytes, name);
		put_with(g, M_FS_WRITES, io[i].writes, name);
		put_own(g, M_BLKIO, io[i].read_bytes, own);
		own[3] = "write";
		put_own(g, M_BLKIO, io[i].written_bytes, own);
	}
}

static void put_huge(struct gather *g, const char *cgroup)
{
	struct cgroup_huge huge[CGROUP_PAGE_SIZES_MAX];
	size_t n = cgroup_read_huge(cgroup, huge, ARRAY_LEN(huge));

	for (size_t i = 0; i < n; i++) {
		const char *size = arena_strdup(&g->r->arena, huge[i].size);

		put_with(g, M_HUGETLB_USAGE, huge[i].usage, size);
		/* cgroup v2 keeps no peak. */
		put_with(g, M_HUGETLB_MAX, huge[i].usage, size);
	}
}

static void put_file_system(struct gather *g, struct container *c)
{
	const char *dir = g->r->serve->containers_dir;
	uint64_t bytes, inodes;
	struct statfs fs;
	struct stat st;
	int64_t taken;

	if (statfs(dir, &fs) < 0 || stat(dir, &st) < 0)
		return;
	const char *device = device_name(g->r, major(st.st_dev), minor(st.st_dev));

	container_usage(g->r->serve, c, &bytes, &inodes, &taken);
	put_with(g, M_FS_INODES_FREE, fs.f_ffree, device);
	put_with(g, M_FS_INODES, fs.f_files, device);
	put_with(g, M_FS_LIMIT, fs.f_blocks * (uint64_t)fs.f_frsize, device);
	put_with(g, M_FS_USAGE, bytes, device);
}

/* "Max open files            1024                 524288               files" (proc_pid_limits(5)). */
static void put_ulimits(struct gather *g, pid_t pid)
{
	_free_ char *path = base_printf("/proc/%d/limits", (int)pid);
	_buf_ struct buf text = BUF_INIT;
	struct err *e = pid > 0 ? file_read_virtual(AT_FDCWD, path, KIB(8), &text) : NULL;
	const char *line = strstr(buf_text(&text), "\nMax open files ");
	unsigned long long soft;

	err_free(e);
	if (line && sscanf(line, "\nMax open files %llu", &soft) == 1)
		put_with(g, M_ULIMITS, soft, "max_open_files");
}

static void put_processes(struct gather *g, const char *cgroup, const struct cgroup_stats *s, pid_t pid)
{
	struct cgroup_procs procs;
	struct err *e = cgroup_read_procs(cgroup, true, &procs);

	put(g, M_THREADS, s->pids);
	put(g, M_THREADS_MAX, s->pids_max == UINT64_MAX ? 0 : s->pids_max);
	put_ulimits(g, pid);
	if (!e) {
		put(g, M_PROCESSES, procs.processes);
		put(g, M_DESCRIPTORS, procs.descriptors);
		put(g, M_SOCKETS, procs.sockets);
	}
	err_free(e);
}

/* None is 0, as cAdvisor has it. */
static uint64_t limit(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

static void put_spec(struct gather *g, struct container *c, const struct cgroup_stats *s)
{
	pods_lock(&g->r->serve->pods);
	const Runtime__V1__LinuxContainerResources *res = container_resources(c);
	int64_t shares = res->cpu_shares, period = res->cpu_period, quota = res->cpu_quota;
	int64_t swap = res->memory_swap_limit_in_bytes;

	pods_unlock(&g->r->serve->pods);
	put(g, M_SPEC_CPU_PERIOD, period > 0 ? (uint64_t)period : 100000 /* the kernel's */);
	put(g, M_SPEC_CPU_SHARES, shares > 0 ? (uint64_t)shares : 1024 /* cpu.weight's default, 100 */);
	if (quota > 0)
		put(g, M_SPEC_CPU_QUOTA, (uint64_t)quota);
	put(g, M_SPEC_MEMORY, s->memory_max == UINT64_MAX ? 0 : s->memory_max);
	put(g, M_SPEC_RESERVATION, s->memory_low);
	put(g, M_SPEC_SWAP, limit(swap));
}

static Runtime__V1__ContainerMetrics *metrics_of(struct rpc *r, struct container *c)
{
	const Runtime__V1__ImageSpec *image = c->request->config->image;
	Runtime__V1__ContainerMetrics *out =
		RPC_NEW(r, Runtime__V1__ContainerMetrics, runtime__v1__container_metrics__init);
	struct cgroup_stats s;
	struct gather g;

	out->container_id = c->o.id;
	struct err *e = c->cgroup ? cgroup_read_stats(c->cgroup, &s) : err_new(ERR_NOT_FOUND, "no cgroup");

	if (e) {
		err_ignore(e); /* it has ended */
		return out;
	}
	gather_init(&g, r, c->pod);
	g.labels[METRIC_LABEL_CONTAINER] = container_metadata(c)->name;
	g.labels[METRIC_LABEL_ID] = c->cgroup;
	g.labels[METRIC_LABEL_IMAGE] = str_empty(image->user_specified_image) ? image->image : image->user_specified_image;
	g.labels[METRIC_LABEL_NAME] = c->o.id;
	pods_lock(&r->serve->pods);
	int64_t started = c->started_ns;
	pid_t pid = c->pid;

	pods_unlock(&r->serve->pods);
	put(&g, M_LAST_SEEN, seconds((uint64_t)clock_wall_ns()));
	put(&g, M_START_TIME, seconds((uint64_t)started));
	put_cpu(&g, &s);
	put_memory(&g, &s);
	put_pressure(&g, &s.cpu_psi, M_PSI_CPU_STALLED, M_PSI_CPU_WAITING);
	put_pressure(&g, &s.memory_psi, M_PSI_MEMORY_STALLED, M_PSI_MEMORY_WAITING);
	put_pressure(&g, &s.io_psi, M_PSI_IO_STALLED, M_PSI_IO_WAITING);
	put_io(&g, c->cgroup);
	put_huge(&g, c->cgroup);
	put_file_system(&g, c);
	put_processes(&g, c->cgroup, &s, pid);
	put_spec(&g, c, &s);
	out->metrics = g.metrics;
	out->n_metrics = g.n;
	return out;
}

/* ---- one pod ---------------------------------------------------------------------------------- */

static void put_link(struct gather *g, const struct netlink_link *l)
{
	const char *name = arena_strdup(&g->r->arena, l->name);

	put_with(g, M_NET_RX_BYTES, l->rx_bytes, name);
	put_with(g, M_NET_RX_PACKETS, l->rx_packets, name);
	put_with(g, M_NET_RX_DROPPED, l->rx_dropped, name);
	put_with(g, M_NET_RX_ERRORS, l->rx_errors, name);
	put_with(g, M_NET_TX_BYTES, l->tx_bytes, name);
	put_with(g, M_NET_TX_PACKETS, l->tx_packets, name);
	put_with(g, M_NET_TX_DROPPED, l->tx_dropped, name);
	put_with(g, M_NET_TX_ERRORS, l->tx_errors, name);
}

/* The network is the pod's: told once, of a container "POD", as cAdvisor tells it of the pause container. */
static Runtime__V1__PodSandboxMetrics *metrics_of_pod(struct rpc *r, struct pod *p)
{
	Runtime__V1__PodSandboxMetrics *out =
		RPC_NEW(r, Runtime__V1__PodSandboxMetrics, runtime__v1__pod_sandbox_metrics__init);
	struct netlink_link *links = RPC_ARRAY(r, NETLINK_LINKS_MAX, struct netlink_link);
	size_t n_links = stats_links(p, links);
	struct container **found;
	size_t n = stats_containers(r, p, NULL, &found);
	struct gather g;

	gather_init(&g, r, p);
	g.labels[METRIC_LABEL_CONTAINER] = "POD";
	g.labels[METRIC_LABEL_ID] = p->cgroup_parent;
	g.labels[METRIC_LABEL_NAME] = p->o.id;
	put(&g, M_LAST_SEEN, seconds((uint64_t)clock_wall_ns()));
	for (size_t i = 0; i < n_links; i++)
		put_link(&g, &links[i]);
	out->pod_sandbox_id = p->o.id;
	out->metrics = g.metrics;
	out->n_metrics = g.n;
	out->container_metrics = RPC_ARRAY(r, n, Runtime__V1__ContainerMetrics *);
	for (; out->n_container_metrics < n; out->n_container_metrics++)
		out->container_metrics[out->n_container_metrics] = metrics_of(r, found[out->n_container_metrics]);
	return out;
}

/* As a member of "repeated PodSandboxMetrics … = 1", the one field that both replies have. */
static struct err *append_pod(struct rpc *r, struct pod *p, struct buf *out)
{
	struct rpc piece;
	uint8_t head[11] = { 1 << 3 | 2 };
	size_t len, n = 1;
	void *bytes;

	rpc_scratch(&piece, r->serve);
	struct err *e = pack_message(&piece.arena, &metrics_of_pod(&piece, p)->base, &bytes, &len);

	if (!e) {
		for (size_t v = len; n == 1 || v; v >>= 7)
			head[n++] = (uint8_t)((v & 0x7f) | (v >> 7 ? 0x80 : 0));
		buf_append(out, head, n);
		buf_append(out, bytes, len);
	}
	rpc_scratch_done(&piece);
	return e;
}

/* Pod by pod, so that no more than one pod's metrics are held unpacked. */
static struct err *send_all(struct rpc *r, bool in_pieces)
{
	_buf_ struct buf out = { .max = GRPC_MESSAGE_MAX };
	struct pod **found;
	size_t n = stats_pods(r, NULL, &found);

	rpc_stage(r, "reading counters");
	for (size_t i = 0; i < n; i++) {
		TRY(append_pod(r, found[i], &out));
		if (out.over)
			return err_new(ERR_EXHAUSTED, "the metrics of %zu pods are more than one message holds", n);
		if (!in_pieces || (out.len < PIECE_BYTES && i + 1 < n))
			continue;
		TRY(grpc_call_send(r->call, buf_text(&out), out.len));
		buf_clear(&out);
	}
	return in_pieces ? NULL : grpc_call_send(r->call, buf_text(&out), out.len);
}

struct err *rpc_list_pod_metrics(struct rpc *r, const void *request, void *reply)
{
	(void)request;
	(void)reply;
	return send_all(r, false);
}

struct err *rpc_stream_pod_metrics(struct rpc *r, const void *request, void *reply)
{
	(void)request;
	(void)reply;
	return send_all(r, true);
}

struct err *rpc_list_metric_descriptors(struct rpc *r, const void *request, void *reply)
{
	Runtime__V1__ListMetricDescriptorsResponse *out = reply;

	(void)request;
	out->descriptors = RPC_ARRAY(r, METRICS, Runtime__V1__MetricDescriptor *);
	for (; out->n_descriptors < METRICS; out->n_descriptors++) {
		const struct metric_row *row = &metric_rows[out->n_descriptors];
		Runtime__V1__MetricDescriptor *d =
			RPC_NEW(r, Runtime__V1__MetricDescriptor, runtime__v1__metric_descriptor__init);

		d->name = (char *)row->name;
		d->help = (char *)row->help;
		d->label_keys = RPC_ARRAY(r, METRIC_LABELS + METRIC_OWN_MAX, char *);
		for (int i = 0; i < METRIC_LABELS; i++)
			d->label_keys[d->n_label_keys++] = (char *)metric_labels[i];
		for (int i = 0; i < METRIC_OWN_MAX && row->own[i]; i++)
			d->label_keys[d->n_label_keys++] = (char *)row->own[i];
		out->descriptors[out->n_descriptors] = d;
	}
	return NULL;
}
