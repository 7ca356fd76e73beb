/* Usage of containers and pods. CPU is what was used between two questions. */
#include "cli/human.h"
#include "cli/output.h"

#include "base/str.h"

#include <poll.h>
#include <string.h>

typedef Runtime__V1__ContainerStats container_stats;
typedef Runtime__V1__PodSandboxStats pod_stats;

static uint64_t number(const Runtime__V1__UInt64Value *v)
{
	return v ? v->value : 0;
}

static void size_cell(struct table *t, uint64_t bytes)
{
	_buf_ struct buf b = BUF_INIT;

	human_size(bytes, 4, &b);
	table_cell(t, buf_text(&b));
}

/* Per cent of one CPU. */
static void cpu_cell(struct table *t, const Runtime__V1__CpuUsage *before, const Runtime__V1__CpuUsage *now)
{
	double used = 0, time = 0;

	if (before && now) {
		used = (double)number(now->usage_core_nano_seconds) - (double)number(before->usage_core_nano_seconds);
		time = (double)now->timestamp - (double)before->timestamp;
	}
	table_cellf(t, "%.2f", time > 0 && used > 0 ? used / time * 100 : 0.0);
}

static struct err *clear_screen(void)
{
	_buf_ struct buf b = BUF_INIT;

	buf_puts(&b, "\033[2J\033[H");
	return output_text(&b);
}

/* A sample lives in its own arena: --watch goes on for days. */
static struct err *fetch_into(struct cli *c, struct err *(*fetch)(struct cli *c, void *ret), struct arena *a, void *ret)
{
	struct arena outer = c->arena;

	arena_done(a);
	arena_init(&c->arena);
	struct err *e = fetch(c, ret);

	*a = c->arena;
	c->arena = outer;
	return e;
}

/* One table a sample; --watch goes on. */
static struct err *sample(struct cli *c, struct err *(*fetch)(struct cli *c, void *ret),
			  struct err *(*print)(struct cli *c, const void *before, const void *now))
{
	int64_t pause = NS_PER_S;
	enum output_form form;
	_arena_ struct arena first, second;
	struct arena *old = &first, *new = &second;
	void *before, *now;

	arena_init(&first);
	arena_init(&second);
	TRY(output_form(c, OUTPUT_TABLE, &form));
	TRY(cli_duration(c, "seconds", &pause));
	TRY(fetch_into(c, fetch, old, &before));
	if (form != OUTPUT_TABLE)
		return output_message(before, form);
	do {
		/* The pause between two samples is what is asked for, not a wait for a condition. */
		poll(NULL, 0, (int)MIN(pause / NS_PER_MS, 3600 * 1000));
		TRY(fetch_into(c, fetch, new, &now));
		if (cli_flag(c, "watch"))
			TRY(clear_screen());
		TRY(print(c, before, now));
		before = now;
		struct arena *spare = old;

		old = new;
		new = spare;
	} while (cli_flag(c, "watch"));
	return NULL;
}

/* ---- containers ------------------------------------------------------------------------------ */

static int by_container_id(const void *a, const void *b)
{
	const container_stats *const *x = a, *const *y = b;

	return strcmp((*x)->attributes ? (*x)->attributes->id : "", (*y)->attributes ? (*y)->attributes->id : "");
}

static struct err *fetch_containers(struct cli *c, void *ret)
{
	Runtime__V1__ListContainerStatsRequest q = RUNTIME__V1__LIST_CONTAINER_STATS_REQUEST__INIT;
	Runtime__V1__ContainerStatsFilter f = RUNTIME__V1__CONTAINER_STATS_FILTER__INIT;
	Runtime__V1__ListContainerStatsResponse *r;
	const char *id = c->n_args ? c->args[0] : cli_text(c, "id");

	if (id)
		TRY(cli_find_container(c, id, (const char **)&f.id));
	if (cli_text(c, "pod"))
		TRY(cli_find_pod(c, cli_text(c, "pod"), (const char **)&f.pod_sandbox_id));
	TRY(CLI_PAIRS(c, "label", Runtime__V1__ContainerStatsFilter__LabelSelectorEntry,
		      runtime__v1__container_stats_filter__label_selector_entry__init, &f.label_selector,
		      &f.n_label_selector));
	q.filter = &f;
	TRY(cli_call(c, "ListContainerStats", &q, CLI_QUERY_NS, &r));
	if (r->n_stats)
		qsort(r->stats, r->n_stats, sizeof(*r->stats), by_container_id);
	*(void **)ret = r;
	return NULL;
}

static const container_stats *same_container(const Runtime__V1__ListContainerStatsResponse *r, const char *id)
{
	for (size_t i = 0; i < r->n_stats; i++)
		if (r->stats[i]->attributes && !strcmp(r->stats[i]->attributes->id, id))
			return r->stats[i];
	return NULL;
}

static struct err *print_containers(struct cli *c, const void *old, const void *new)
{
	static const char *const titles[] = { "CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES", "SWAP", NULL };
	const Runtime__V1__ListContainerStatsResponse *before = old, *now = new;
	_table_ struct table t;

	table_init(&t, titles);
	for (size_t i = 0; i < now->n_stats; i++) {
		const container_stats *s = now->stats[i], *was;
		char id[HUMAN_ID_LEN + 1];

		if (!s->attributes || (!s->cpu && !s->memory && !cli_flag(c, "all")))
			continue;
		was = same_container(before, s->attributes->id);
		table_cell(&t, cli_flag(c, "no-trunc") ? s->attributes->id : human_id(s->attributes->id, id));
		table_cell(&t, s->attributes->metadata ? s->attributes->metadata->name : "");
		cpu_cell(&t, was ? was->cpu : NULL, s->cpu);
		size_cell(&t, s->memory ? number(s->memory->working_set_bytes) : 0);
		size_cell(&t, s->writable_layer ? number(s->writable_layer->used_bytes) : 0);
		table_cellf(&t, "%llu",
			    (unsigned long long)(s->writable_layer ? number(s->writable_layer->inodes_used) : 0));
		size_cell(&t, s->swap ? number(s->swap->swap_usage_bytes) : 0);
	}
	return output_table(&t);
}

struct err *cli_stats(struct cli *c)
{
	return sample(c, fetch_containers, print_containers);
}

/* ---- pods ------------------------------------------------------------------------------------ */

static int by_pod_id(const void *a, const void *b)
{
	const pod_stats *const *x = a, *const *y = b;

	return strcmp((*x)->attributes ? (*x)->attributes->id : "", (*y)->attributes ? (*y)->attributes->id : "");
}

static struct err *fetch_pods(struct cli *c, void *ret)
{
	Runtime__V1__ListPodSandboxStatsRequest q = RUNTIME__V1__LIST_POD_SANDBOX_STATS_REQUEST__INIT;
	Runtime__V1__PodSandboxStatsFilter f = RUNTIME__V1__POD_SANDBOX_STATS_FILTER__INIT;
	Runtime__V1__ListPodSandboxStatsResponse *r;
	const char *id = c->n_args ? c->args[0] : cli_text(c, "id");

	if (id)
		TRY(cli_find_pod(c, id, (const char **)&f.id));
	TRY(CLI_PAIRS(c, "label", Runtime__V1__PodSandboxStatsFilter__LabelSelectorEntry,
		      runtime__v1__pod_sandbox_stats_filter__label_selector_entry__init, &f.label_selector,
		      &f.n_label_selector));
	q.filter = &f;
	TRY(cli_call(c, "ListPodSandboxStats", &q, CLI_QUERY_NS, &r));
	if (r->n_stats)
		qsort(r->stats, r->n_stats, sizeof(*r->stats), by_pod_id);
	*(void **)ret = r;
	return NULL;
}

static const pod_stats *same_pod(const Runtime__V1__ListPodSandboxStatsResponse *r, const char *id)
{
	for (size_t i = 0; i < r->n_stats; i++)
		if (r->stats[i]->attributes && !strcmp(r->stats[i]->attributes->id, id))
			return r->stats[i];
	return NULL;
}

static struct err *print_pods(struct cli *c, const void *old, const void *new)
{
	static const char *const titles[] = { "POD", "POD ID", "CPU %", "MEM", NULL };
	const Runtime__V1__ListPodSandboxStatsResponse *before = old, *now = new;
	_table_ struct table t;

	table_init(&t, titles);
	for (size_t i = 0; i < now->n_stats; i++) {
		const pod_stats *s = now->stats[i], *was;
		char id[HUMAN_ID_LEN + 1];

		if (!s->attributes)
			continue;
		was = same_pod(before, s->attributes->id);
		table_cell(&t, s->attributes->metadata ? s->attributes->metadata->name : "");
		table_cell(&t, cli_flag(c, "no-trunc") ? s->attributes->id : human_id(s->attributes->id, id));
		cpu_cell(&t, was && was->linux ? was->linux->cpu : NULL, s->linux ? s->linux->cpu : NULL);
		size_cell(&t, s->linux && s->linux->memory ? number(s->linux->memory->working_set_bytes) : 0);
	}
	return output_table(&t);
}

struct err *cli_statsp(struct cli *c)
{
	return sample(c, fetch_pods, print_pods);
}
