/* The verbs about pods. */
#include "cli/human.h"
#include "cli/output.h"
#include "cli/pattern.h"

#include "base/str.h"

#include <string.h>
#include <strings.h>

typedef Runtime__V1__PodSandbox pod_message;

static const char *state_word(Runtime__V1__PodSandboxState s)
{
	return s == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY ? "Ready" : "NotReady";
}

static struct err *pod_filter(struct cli *c, Runtime__V1__PodSandboxFilter *f)
{
	const char *state = cli_text(c, "state");

	runtime__v1__pod_sandbox_filter__init(f);
	if (state) {
		f->state = arena_alloc(&c->arena, sizeof(*f->state));
		runtime__v1__pod_sandbox_state_value__init(f->state);
		if (!strcasecmp(state, "ready"))
			f->state->state = RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
		else if (!strcasecmp(state, "notready"))
			f->state->state = RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
		else
			return err_new(ERR_INVALID, "--state: \"%s\" is not ready or notready", state);
	}
	return CLI_PAIRS(c, "label", Runtime__V1__PodSandboxFilter__LabelSelectorEntry,
			 runtime__v1__pod_sandbox_filter__label_selector_entry__init, &f->label_selector,
			 &f->n_label_selector);
}

static bool pod_wanted(struct cli *c, const pod_message *p)
{
	const char *id = cli_text(c, "id"), *name = cli_text(c, "name"), *ns = cli_text(c, "namespace");

	if (id && !str_starts(p->id, id))
		return false;
	if (name && !(p->metadata && pattern_match(name, p->metadata->name)))
		return false;
	return !ns || (p->metadata && pattern_match(ns, p->metadata->namespace_));
}

static int newer_first(const void *a, const void *b)
{
	const pod_message *const *x = a, *const *y = b;

	return ((*x)->created_at < (*y)->created_at) - ((*x)->created_at > (*y)->created_at);
}

static struct err *fetch_pods(struct cli *c, Runtime__V1__ListPodSandboxResponse **ret)
{
	Runtime__V1__ListPodSandboxRequest q = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__PodSandboxFilter f;
	Runtime__V1__ListPodSandboxResponse *r;
	int64_t last = cli_flag(c, "latest") ? 1 : 0;
	size_t n = 0;

	TRY(pod_filter(c, &f));
	TRY(cli_number(c, "last", &last));
	TRY(pattern_check(cli_text(c, "name") ? cli_text(c, "name") : ""));
	TRY(pattern_check(cli_text(c, "namespace") ? cli_text(c, "namespace") : ""));
	q.filter = &f;
	TRY(cli_call(c, "ListPodSandbox", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_items; i++)
		if (pod_wanted(c, r->items[i]))
			r->items[n++] = r->items[i];
	if (n)
		qsort(r->items, n, sizeof(*r->items), newer_first);
	r->n_items = last > 0 ? MIN(n, (size_t)last) : n;
	*ret = r;
	return NULL;
}

static struct err *print_ids(const Runtime__V1__ListPodSandboxResponse *r)
{
	for (size_t i = 0; i < r->n_items; i++)
		TRY(output_printf("%s\n", r->items[i]->id));
	return NULL;
}

static struct err *print_table(struct cli *c, const Runtime__V1__ListPodSandboxResponse *r)
{
	static const char *const titles[] = { "POD ID",	   "CREATED", "STATE",	 "NAME",
					      "NAMESPACE", "ATTEMPT", "RUNTIME", NULL };
	bool whole = cli_flag(c, "no-trunc");
	_table_ struct table t;

	table_init(&t, titles);
	for (size_t i = 0; i < r->n_items; i++) {
		const pod_message *p = r->items[i];
		char id[HUMAN_ID_LEN + 1];
		_buf_ struct buf age = BUF_INIT;

		output_ago(p->created_at, &age);
		table_cell(&t, whole ? p->id : human_id(p->id, id));
		table_cell(&t, buf_text(&age));
		table_cell(&t, state_word(p->state));
		table_cell(&t, p->metadata ? p->metadata->name : "");
		table_cell(&t, p->metadata ? p->metadata->namespace_ : "");
		table_cellf(&t, "%u", p->metadata ? p->metadata->attempt : 0);
		table_cell(&t, *p->runtime_handler ? p->runtime_handler : "(default)");
	}
	return output_table(&t);
}

static struct err *print_verbose(struct cli *c, const Runtime__V1__ListPodSandboxResponse *r)
{
	for (size_t i = 0; i < r->n_items; i++) {
		const pod_message *p = r->items[i];

		TRY(output_printf("ID: %s\n", p->id));
		if (p->metadata)
			TRY(output_printf("Name: %s\nUID: %s\nNamespace: %s\nAttempt: %u\n", p->metadata->name,
					  p->metadata->uid, p->metadata->namespace_, p->metadata->attempt));
		TRY(output_printf("Status: %s\nCreated: %s\nLabels:\n", state_word(p->state),
				  output_time(&c->arena, p->created_at)));
		for (size_t k = 0; k < p->n_labels; k++)
			TRY(output_printf("\t%s -> %s\n", p->labels[k]->key, p->labels[k]->value));
		TRY(output_printf("Annotations:\n"));
		for (size_t k = 0; k < p->n_annotations; k++)
			TRY(output_printf("\t%s -> %s\n", p->annotations[k]->key, p->annotations[k]->value));
		TRY(output_printf("Runtime: %s\n\n", *p->runtime_handler ? p->runtime_handler : "(default)"));
	}
	return NULL;
}

struct err *cli_pods(struct cli *c)
{
	Runtime__V1__ListPodSandboxResponse *r;
	enum output_form form;

	TRY(output_form(c, OUTPUT_TABLE, &form));
	TRY(fetch_pods(c, &r));
	if (cli_flag(c, "quiet"))
		return print_ids(r);
	if (cli_flag(c, "verbose") && form == OUTPUT_TABLE)
		return print_verbose(c, r);
	return form == OUTPUT_TABLE ? print_table(c, r) : output_message(r, form);
}

/* ---- inspectp -------------------------------------------------------------------------------- */

static struct err *print_pod(struct cli *c, const Runtime__V1__PodSandboxStatus *s)
{
	TRY(output_printf("ID: %s\n", s->id));
	if (s->metadata)
		TRY(output_printf("Name: %s\nUID: %s\nNamespace: %s\nAttempt: %u\n", s->metadata->name, s->metadata->uid,
				  s->metadata->namespace_, s->metadata->attempt));
	TRY(output_printf("Status: %s\nCreated: %s\n", state_word(s->state), output_time(&c->arena, s->created_at)));
	if (s->network)
		TRY(output_printf("IP Addresses: %s\n", s->network->ip));
	for (size_t i = 0; s->network && i < s->network->n_additional_ips; i++)
		TRY(output_printf("Additional IP: %s\n", s->network->additional_ips[i]->ip));
	TRY(output_printf("Labels:\n"));
	for (size_t i = 0; i < s->n_labels; i++)
		TRY(output_printf("\t%s -> %s\n", s->labels[i]->key, s->labels[i]->value));
	TRY(output_printf("Annotations:\n"));
	for (size_t i = 0; i < s->n_annotations; i++)
		TRY(output_printf("\t%s -> %s\n", s->annotations[i]->key, s->annotations[i]->value));
	return NULL;
}

static struct err *inspect_one(struct cli *c, const char *prefix, enum output_form form)
{
	Runtime__V1__PodSandboxStatusRequest q = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
	Runtime__V1__PodSandboxStatusResponse *r;
	const char *id;

	TRY(cli_find_pod(c, prefix, &id));
	q.pod_sandbox_id = (char *)id;
	q.verbose = !cli_flag(c, "quiet");
	TRY(cli_call(c, "PodSandboxStatus", &q, CLI_QUERY_NS, &r));
	if (!r->status)
		return err_new(ERR_CORRUPT, "the runtime answered without a status");
	if (form == OUTPUT_TABLE)
		return print_pod(c, r->status);
	struct output_info *info = arena_calloc(&c->arena, r->n_info + 1, sizeof(*info));

	for (size_t i = 0; i < r->n_info; i++)
		info[i] = (struct output_info){ r->info[i]->key, r->info[i]->value };
	return output_status(r->status, info, r->n_info, form);
}

struct err *cli_inspectp(struct cli *c)
{
	Runtime__V1__ListPodSandboxResponse *r;
	enum output_form form;

	TRY(output_form(c, OUTPUT_JSON, &form));
	for (size_t i = 0; i < c->n_args; i++)
		TRY(inspect_one(c, c->args[i], form));
	if (c->n_args)
		return NULL;
	TRY(fetch_pods(c, &r));
	if (r->n_items == 0)
		return err_new(ERR_NOT_FOUND, "no pod is named, and none fits the filters");
	for (size_t i = 0; i < r->n_items; i++)
		TRY(inspect_one(c, r->items[i]->id, form));
	return NULL;
}

/* ---- changes --------------------------------------------------------------------------------- */

struct err *cli_runp(struct cli *c)
{
	Runtime__V1__RunPodSandboxRequest q = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__RunPodSandboxResponse *r;

	TRY(cli_read_config(c, c->args[0], &runtime__v1__pod_sandbox_config__descriptor, &q.config));
	if (cli_text(c, "runtime"))
		q.runtime_handler = (char *)cli_text(c, "runtime");
	int64_t limit = CLI_CHANGE_NS;

	TRY(cli_duration(c, "cancel-timeout", &limit));
	TRY(cli_call(c, "RunPodSandbox", &q, limit, &r));
	return output_printf("%s\n", r->pod_sandbox_id);
}

static struct err *stop_pod(struct cli *c, const char *id)
{
	Runtime__V1__StopPodSandboxRequest q = RUNTIME__V1__STOP_POD_SANDBOX_REQUEST__INIT;
	void *r;

	q.pod_sandbox_id = (char *)id;
	return err_wrap(cli_call(c, "StopPodSandbox", &q, CLI_CHANGE_NS, &r), "stop pod %s", id);
}

static struct err *remove_pod(struct cli *c, const char *id)
{
	Runtime__V1__RemovePodSandboxRequest q = RUNTIME__V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
	void *r;

	q.pod_sandbox_id = (char *)id;
	return err_wrap(cli_call(c, "RemovePodSandbox", &q, CLI_CHANGE_NS, &r), "remove pod %s", id);
}

struct err *cli_stopp(struct cli *c)
{
	for (size_t i = 0; i < c->n_args; i++) {
		const char *id;

		TRY(cli_find_pod(c, c->args[i], &id));
		TRY(stop_pod(c, id));
		TRY(output_printf("Stopped sandbox %s\n", id));
	}
	return NULL;
}

static struct err *rmp_one(struct cli *c, const char *id)
{
	Runtime__V1__PodSandboxStatusRequest q = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
	Runtime__V1__PodSandboxStatusResponse *r;

	q.pod_sandbox_id = (char *)id;
	TRY(cli_call(c, "PodSandboxStatus", &q, CLI_QUERY_NS, &r));
	bool ready = r->status && r->status->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;

	if (ready && !cli_flag(c, "force"))
		return err_new(ERR_PRECONDITION, "pod %s is running: stop it first (stopp), or use --force", id);
	if (ready)
		TRY(stop_pod(c, id));
	TRY(remove_pod(c, id));
	return output_printf("Removed sandbox %s\n", id);
}

struct err *cli_rmp(struct cli *c)
{
	Runtime__V1__ListPodSandboxRequest q = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__ListPodSandboxResponse *r;
	const char *id;

	if (c->n_args == 0 && !cli_flag(c, "all"))
		return err_new(ERR_INVALID, "name pods, or use --all");
	for (size_t i = 0; i < c->n_args; i++) {
		TRY(cli_find_pod(c, c->args[i], &id));
		TRY(rmp_one(c, id));
	}
	if (c->n_args || !cli_flag(c, "all"))
		return NULL;
	TRY(cli_call(c, "ListPodSandbox", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_items; i++)
		TRY(rmp_one(c, r->items[i]->id));
	return NULL;
}
