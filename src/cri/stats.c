/* ContainerStats, ListContainerStats: the cgroup's counters and the writable layer's size. */
#include "cri/stats.h"

#include "cri/selectors.h"
#include "store/usage.h"

/* A walk over the writable layer costs: its result is good for so long. */
#define USAGE_AGE_NS (10 * NS_PER_S)
/* A rate over less says nothing: the last one is told again. */
#define RATE_AGE_NS  NS_PER_S

void container_usage(struct serve *s, struct container *c, uint64_t *ret_bytes, uint64_t *ret_inodes, int64_t *ret_ns)
{
	pods_lock(&s->pods);
	int64_t taken = c->usage_ns;

	*ret_bytes = c->usage_bytes;
	*ret_inodes = c->usage_inodes;
	*ret_ns = taken;
	pods_unlock(&s->pods);
	int64_t now = clock_wall_ns();

	if (taken && now - taken < USAGE_AGE_NS && now >= taken)
		return;
	_free_ char *upper = container_root_path(s, c->o.id, "upper");
	struct usage u = { 0 };

	err_ignore(usage_of_tree(upper, &u));
	pods_lock(&s->pods);
	c->usage_ns = *ret_ns = now;
	c->usage_bytes = *ret_bytes = u.bytes;
	c->usage_inodes = *ret_inodes = u.inodes;
	pods_unlock(&s->pods);
}

Runtime__V1__UInt64Value *stats_value(struct rpc *r, uint64_t v)
{
	Runtime__V1__UInt64Value *u = RPC_NEW(r, Runtime__V1__UInt64Value, runtime__v1__uint64_value__init);

	u->value = v;
	return u;
}

typedef __typeof__(((struct cgroup_pressure *)0)->some) pressure_line;

static Runtime__V1__PsiData *psi_data(struct rpc *r, const pressure_line *line)
{
	Runtime__V1__PsiData *d = RPC_NEW(r, Runtime__V1__PsiData, runtime__v1__psi_data__init);

	d->total = line->total_us * 1000;
	d->avg10 = line->avg10;
	d->avg60 = line->avg60;
	d->avg300 = line->avg300;
	return d;
}

static Runtime__V1__PsiStats *psi(struct rpc *r, const struct cgroup_pressure *p)
{
	if (!p->known)
		return NULL;
	Runtime__V1__PsiStats *s = RPC_NEW(r, Runtime__V1__PsiStats, runtime__v1__psi_stats__init);

	s->some = psi_data(r, &p->some);
	s->full = psi_data(r, (const pressure_line *)&p->full);
	return s;
}

/* Nanoseconds of processor a second, since the sample before; the first is over the whole life. */
static uint64_t cpu_rate(struct rpc *r, struct object *o, int64_t since_ns, uint64_t usage, int64_t now)
{
	pods_lock(&r->serve->pods);
	struct cpu_sample *last = &o->cpu;
	int64_t from = last->taken_ns ? last->taken_ns : since_ns;
	int64_t age = now - from;

	if (from <= 0 || age < 0 || usage < last->usage) { /* the clock was set back, or the cgroup is a new one */
		*last = (struct cpu_sample){ .taken_ns = now, .usage = usage };
	} else if (age >= RATE_AGE_NS || (!last->taken_ns && age > 0)) {
		double rate = (double)(usage - last->usage) * 1e9 / (double)age;

		*last = (struct cpu_sample){ now, usage, (uint64_t)rate };
	}
	uint64_t rate = last->rate;

	pods_unlock(&r->serve->pods);
	return rate;
}

Runtime__V1__CpuUsage *stats_cpu(struct rpc *r, struct object *o, int64_t since_ns, const struct cgroup_stats *g,
				 int64_t now)
{
	Runtime__V1__CpuUsage *cpu = RPC_NEW(r, Runtime__V1__CpuUsage, runtime__v1__cpu_usage__init);

	cpu->timestamp = now;
	cpu->usage_core_nano_seconds = stats_value(r, g->cpu_usage_ns);
	cpu->usage_nano_cores = stats_value(r, cpu_rate(r, o, since_ns, g->cpu_usage_ns, now));
	cpu->psi = psi(r, &g->cpu_psi);
	return cpu;
}

uint64_t stats_working_set(const struct cgroup_stats *g)
{
	return g->memory_current > g->inactive_file ? g->memory_current - g->inactive_file : 0;
}

Runtime__V1__MemoryUsage *stats_memory(struct rpc *r, const struct cgroup_stats *g, int64_t now)
{
	uint64_t working = stats_working_set(g);
	Runtime__V1__MemoryUsage *m = RPC_NEW(r, Runtime__V1__MemoryUsage, runtime__v1__memory_usage__init);

	m->timestamp = now;
	m->usage_bytes = stats_value(r, g->memory_current);
	m->working_set_bytes = stats_value(r, working);
	m->rss_bytes = stats_value(r, g->memory_anon);
	m->page_faults = stats_value(r, g->pgfault);
	m->major_page_faults = stats_value(r, g->pgmajfault);
	if (g->memory_max != UINT64_MAX)
		m->available_bytes = stats_value(r, g->memory_max > working ? g->memory_max - working : 0);
	m->psi = psi(r, &g->memory_psi);
	return m;
}

static Runtime__V1__SwapUsage *swap(struct rpc *r, const struct cgroup_stats *g, int64_t now)
{
	Runtime__V1__SwapUsage *s = RPC_NEW(r, Runtime__V1__SwapUsage, runtime__v1__swap_usage__init);

	s->timestamp = now;
	s->swap_usage_bytes = stats_value(r, g->memory_swap);
	if (g->swap_max != UINT64_MAX)
		s->swap_available_bytes =
			stats_value(r, g->swap_max > g->memory_swap ? g->swap_max - g->memory_swap : 0);
	return s;
}

Runtime__V1__IoUsage *stats_io(struct rpc *r, const struct cgroup_stats *g, int64_t now)
{
	if (!g->io_psi.known)
		return NULL;
	Runtime__V1__IoUsage *io = RPC_NEW(r, Runtime__V1__IoUsage, runtime__v1__io_usage__init);

	io->timestamp = now;
	io->psi = psi(r, &g->io_psi);
	return io;
}

static void fill_writable(struct rpc *r, struct container *c, Runtime__V1__ContainerStats *out)
{
	uint64_t bytes, inodes;
	int64_t taken;

	container_usage(r->serve, c, &bytes, &inodes, &taken);
	out->writable_layer = RPC_NEW(r, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage__init);
	out->writable_layer->timestamp = taken;
	out->writable_layer->fs_id = RPC_NEW(r, Runtime__V1__FilesystemIdentifier, runtime__v1__filesystem_identifier__init);
	out->writable_layer->fs_id->mountpoint = r->serve->containers_dir;
	out->writable_layer->used_bytes = stats_value(r, bytes);
	out->writable_layer->inodes_used = stats_value(r, inodes);
}

Runtime__V1__ContainerStats *stats_of_container(struct rpc *r, struct container *c)
{
	const Runtime__V1__ContainerConfig *config = c->request->config;
	Runtime__V1__ContainerStats *out = RPC_NEW(r, Runtime__V1__ContainerStats, runtime__v1__container_stats__init);
	struct cgroup_stats g;
	int64_t now = clock_wall_ns();

	out->attributes = RPC_NEW(r, Runtime__V1__ContainerAttributes, runtime__v1__container_attributes__init);
	out->attributes->id = c->o.id;
	out->attributes->metadata = config->metadata;
	out->attributes->labels = (Runtime__V1__ContainerAttributes__LabelsEntry **)config->labels;
	out->attributes->n_labels = config->n_labels;
	out->attributes->annotations = (Runtime__V1__ContainerAttributes__AnnotationsEntry **)config->annotations;
	out->attributes->n_annotations = config->n_annotations;
	fill_writable(r, c, out);
	if (!c->cgroup)
		return out;
	struct err *e = cgroup_read_stats(c->cgroup, &g);

	if (e) {
		err_ignore(e); /* ended: it has no counters any more */
		return out;
	}
	pods_lock(&r->serve->pods);
	int64_t since = c->started_ns ? c->started_ns : c->created_ns;

	pods_unlock(&r->serve->pods);
	out->cpu = stats_cpu(r, &c->o, since, &g, now);
	out->memory = stats_memory(r, &g, now);
	out->swap = swap(r, &g, now);
	out->io = stats_io(r, &g, now);
	return out;
}

struct err *rpc_container_stats(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ContainerStatsRequest *in = request;
	Runtime__V1__ContainerStatsResponse *out = reply;
	struct container *c;

	TRY(rpc_container(r, in->container_id, &c));
	out->stats = stats_of_container(r, c);
	return NULL;
}

static bool matches(const struct container *c, const Runtime__V1__ContainerStatsFilter *f)
{
	const Runtime__V1__ContainerConfig *config = c->request->config;

	if (!f)
		return true;
	return selectors_id(f->id, c->o.id) && selectors_id(f->pod_sandbox_id, c->pod->o.id) &&
	       selectors_match(f->label_selector, f->n_label_selector, config->labels, config->n_labels);
}

/* Reading counters takes system calls: not under the table's lock. */
size_t stats_containers(struct rpc *r, const struct pod *of, const Runtime__V1__ContainerStatsFilter *filter,
			struct container ***ret)
{
	struct pods *t = &r->serve->pods;
	size_t n = 0;

	pods_lock(t);
	*ret = RPC_ARRAY(r, t->n_containers, struct container *);
	pods_each(p, t) {
		if (of && p != of)
			continue;
		pods_each_container(c, p) {
			if (c->state != CONTAINER_RUNNING || !matches(c, filter))
				continue;
			c->o.refs++;
			rpc_hold_container(r, c);
			(*ret)[n++] = c;
		}
	}
	pods_unlock(t);
	return n;
}

struct err *rpc_list_container_stats(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ListContainerStatsRequest *in = request;
	Runtime__V1__ListContainerStatsResponse *out = reply;
	struct container **found;
	size_t n = stats_containers(r, NULL, in->filter, &found);

	out->stats = RPC_ARRAY(r, n, Runtime__V1__ContainerStats *);
	for (; out->n_stats < n; out->n_stats++)
		out->stats[out->n_stats] = stats_of_container(r, found[out->n_stats]);
	return NULL;
}
