#include "cli/containers.h"

#include "base/str.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/pattern.h"

#include <string.h>
#include <strings.h>

typedef Runtime__V1__Container container_message;

static const char *const state_words[] = { "Created", "Running", "Exited", "Unknown" }; /* by ContainerState */

const char *containers_state(Runtime__V1__ContainerState s)
{
	return (unsigned)s < ARRAY_LEN(state_words) ? state_words[s] : "Unknown";
}

static struct err *state_filter(struct cli *c, bool all, Runtime__V1__ContainerFilter *f)
{
	const char *word = cli_text(c, "state");

	/* Running ones only, unless something asks for more: crictl's rule. */
	if (!word && !all && !cli_flag(c, "all") && !cli_flag(c, "latest") && !cli_text(c, "last") &&
	    !cli_text(c, "id"))
		word = "running";
	if (!word)
		return NULL;
	f->state = arena_alloc(&c->arena, sizeof(*f->state));
	runtime__v1__container_state_value__init(f->state);
	for (size_t i = 0; i < ARRAY_LEN(state_words); i++)
		if (!strcasecmp(word, state_words[i])) {
			f->state->state = (Runtime__V1__ContainerState)i;
			return NULL;
		}
	return err_new(ERR_INVALID, "--state: \"%s\" is not created, running, exited or unknown", word);
}

static const char *label(const container_message *m, const char *key)
{
	for (size_t i = 0; i < m->n_labels; i++)
		if (!strcmp(m->labels[i]->key, key))
			return m->labels[i]->value;
	return NULL;
}

static const char *image_name(const container_message *m)
{
	if (m->image && *m->image->user_specified_image)
		return m->image->user_specified_image;
	return m->image && *m->image->image ? m->image->image : m->image_ref;
}

static bool pattern_option(const struct cli *c, const char *option, const char *text)
{
	const char *pattern = cli_text(c, option);

	return !pattern || (text && pattern_match(pattern, text));
}

static bool wanted(const struct cli *c, const container_message *m)
{
	const char *id = cli_text(c, "id"), *pod = cli_text(c, "pod"), *image = cli_text(c, "image");

	if (id && !str_starts(m->id, id))
		return false;
	if (pod && !str_starts(m->pod_sandbox_id, pod))
		return false;
	if (image && !strstr(image_name(m), image) && !str_starts(m->image_id, image) && !strstr(m->image_ref, image))
		return false;
	return pattern_option(c, "name", m->metadata ? m->metadata->name : NULL) &&
	       pattern_option(c, "namespace", label(m, CONTAINERS_POD_NAMESPACE_LABEL));
}

static int newer_first(const void *a, const void *b)
{
	const container_message *const *x = a, *const *y = b;

	return ((*x)->created_at < (*y)->created_at) - ((*x)->created_at > (*y)->created_at);
}

static struct err *check_patterns(const struct cli *c)
{
	static const char *const options[] = { "name", "namespace" };

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (cli_text(c, options[i]))
			TRY(pattern_check(cli_text(c, options[i])));
	return NULL;
}

struct err *containers_list(struct cli *c, bool all, Runtime__V1__ListContainersResponse **ret)
{
	Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
	Runtime__V1__ContainerFilter f = RUNTIME__V1__CONTAINER_FILTER__INIT;
	Runtime__V1__ListContainersResponse *r;
	int64_t last = cli_flag(c, "latest") ? 1 : 0;
	size_t n = 0;

	TRY(check_patterns(c));
	TRY(cli_number(c, "last", &last));
	TRY(state_filter(c, all, &f));
	TRY(CLI_PAIRS(c, "label", Runtime__V1__ContainerFilter__LabelSelectorEntry,
		      runtime__v1__container_filter__label_selector_entry__init, &f.label_selector, &f.n_label_selector));
	q.filter = &f;
	TRY(cli_call(c, "ListContainers", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_containers; i++)
		if (wanted(c, r->containers[i]))
			r->containers[n++] = r->containers[i];
	if (n)
		qsort(r->containers, n, sizeof(*r->containers), newer_first);
	r->n_containers = last > 0 ? MIN(n, (size_t)last) : n;
	*ret = r;
	return NULL;
}

static struct err *print_table(struct cli *c, const Runtime__V1__ListContainersResponse *r)
{
	static const char *const titles[] = { "CONTAINER", "IMAGE",  "CREATED", "STATE",     "NAME",
					      "ATTEMPT",   "POD ID", "POD",	"NAMESPACE", NULL };
	bool whole = cli_flag(c, "no-trunc");
	_table_ struct table t;

	table_init(&t, titles);
	for (size_t i = 0; i < r->n_containers; i++) {
		const container_message *m = r->containers[i];
		const char *image = image_name(m), *pod = label(m, CONTAINERS_POD_NAME_LABEL),
			   *ns = label(m, CONTAINERS_POD_NAMESPACE_LABEL);
		char id[HUMAN_ID_LEN + 1];
		_buf_ struct buf age = BUF_INIT;

		output_ago(m->created_at, &age);
		table_cell(&t, whole ? m->id : human_id(m->id, id));
		table_cell(&t, whole || !str_starts(image, "sha256:") ? image : human_id(image, id));
		table_cell(&t, buf_text(&age));
		table_cell(&t, containers_state(m->state));
		table_cell(&t, m->metadata ? m->metadata->name : "");
		table_cellf(&t, "%u", m->metadata ? m->metadata->attempt : 0);
		table_cell(&t, whole ? m->pod_sandbox_id : human_id(m->pod_sandbox_id, id));
		table_cell(&t, pod ? pod : "unknown");
		table_cell(&t, ns ? ns : "unknown");
	}
	return output_table(&t);
}

static struct err *print_verbose(struct cli *c, const Runtime__V1__ListContainersResponse *r)
{
	for (size_t i = 0; i < r->n_containers; i++) {
		const container_message *m = r->containers[i];

		TRY(output_printf("ID: %s\nPodID: %s\n", m->id, m->pod_sandbox_id));
		if (m->metadata)
			TRY(output_printf("Name: %s\nAttempt: %u\n", m->metadata->name, m->metadata->attempt));
		TRY(output_printf("State: %s\nImage: %s\nCreated: %s\nLabels:\n", containers_state(m->state), image_name(m),
				  output_time(&c->arena, m->created_at)));
		for (size_t k = 0; k < m->n_labels; k++)
			TRY(output_printf("\t%s -> %s\n", m->labels[k]->key, m->labels[k]->value));
		TRY(output_printf("Annotations:\n"));
		for (size_t k = 0; k < m->n_annotations; k++)
			TRY(output_printf("\t%s -> %s\n", m->annotations[k]->key, m->annotations[k]->value));
		TRY(output_printf("\n"));
	}
	return NULL;
}

/* --resolve-image-path: a name of the image where the runtime only says its ID. */
static struct err *resolve_images(struct cli *c, Runtime__V1__ListContainersResponse *r)
{
	Runtime__V1__ListImagesRequest q = RUNTIME__V1__LIST_IMAGES_REQUEST__INIT;
	Runtime__V1__ListImagesResponse *images;

	TRY(cli_call(c, "ListImages", &q, CLI_QUERY_NS, &images));
	for (size_t i = 0; i < r->n_containers; i++)
		for (size_t k = 0; k < images->n_images; k++) {
			const Runtime__V1__Image *m = images->images[k];
			const char *name = m->n_repo_tags ? m->repo_tags[0] : m->n_repo_digests ? m->repo_digests[0] : NULL;

			if (name && r->containers[i]->image && !strcmp(m->id, r->containers[i]->image_id))
				r->containers[i]->image->user_specified_image = (char *)name;
		}
	return NULL;
}

struct err *cli_ps(struct cli *c)
{
	Runtime__V1__ListContainersResponse *r;
	enum output_form form;

	TRY(output_form(c, OUTPUT_TABLE, &form));
	TRY(containers_list(c, false, &r));
	if (cli_flag(c, "resolve-image-path"))
		TRY(resolve_images(c, r));
	if (!cli_flag(c, "quiet") && cli_flag(c, "verbose") && form == OUTPUT_TABLE)
		return print_verbose(c, r);
	if (!cli_flag(c, "quiet"))
		return form == OUTPUT_TABLE ? print_table(c, r) : output_message(r, form);
	for (size_t i = 0; i < r->n_containers; i++)
		TRY(output_printf("%s\n", r->containers[i]->id));
	return NULL;
}

/* ---- inspect --------------------------------------------------------------------------------- */

struct err *containers_status(struct cli *c, const char *prefix, bool verbose,
			      Runtime__V1__ContainerStatusResponse **ret)
{
	Runtime__V1__ContainerStatusRequest q = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
	Runtime__V1__ContainerStatusResponse *r;
	const char *id;

	TRY(cli_find_container(c, prefix, &id));
	q.container_id = (char *)id;
	q.verbose = verbose;
	TRY(cli_call(c, "ContainerStatus", &q, CLI_QUERY_NS, &r));
	if (!r->status)
		return err_new(ERR_CORRUPT, "the runtime answered without a status");
	*ret = r;
	return NULL;
}

static struct err *print_status(struct cli *c, const Runtime__V1__ContainerStatus *s)
{
	TRY(output_printf("ID: %s\n", s->id));
	if (s->metadata)
		TRY(output_printf("Name: %s\nAttempt: %u\n", s->metadata->name, s->metadata->attempt));
	TRY(output_printf("State: %s\nCreated: %s\n", containers_state(s->state), output_time(&c->arena, s->created_at)));
	if (s->started_at)
		TRY(output_printf("Started: %s\n", output_time(&c->arena, s->started_at)));
	if (s->finished_at)
		TRY(output_printf("Finished: %s\nExit Code: %d\nReason: %s\n", output_time(&c->arena, s->finished_at),
				  s->exit_code, s->reason));
	if (*s->message)
		TRY(output_printf("Message: %s\n", s->message));
	TRY(output_printf("Image: %s\nLog: %s\nLabels:\n", s->image ? s->image->image : s->image_ref, s->log_path));
	for (size_t i = 0; i < s->n_labels; i++)
		TRY(output_printf("\t%s -> %s\n", s->labels[i]->key, s->labels[i]->value));
	TRY(output_printf("Annotations:\n"));
	for (size_t i = 0; i < s->n_annotations; i++)
		TRY(output_printf("\t%s -> %s\n", s->annotations[i]->key, s->annotations[i]->value));
	return NULL;
}

static struct err *inspect_one(struct cli *c, const char *prefix, enum output_form form)
{
	Runtime__V1__ContainerStatusResponse *r;

	TRY(containers_status(c, prefix, !cli_flag(c, "quiet"), &r));
	if (form == OUTPUT_TABLE)
		return print_status(c, r->status);
	struct output_info *info = arena_calloc(&c->arena, r->n_info + 1, sizeof(*info));

	for (size_t k = 0; k < r->n_info; k++)
		info[k] = (struct output_info){ r->info[k]->key, r->info[k]->value };
	return output_status(r->status, info, r->n_info, form);
}

struct err *cli_inspect(struct cli *c)
{
	Runtime__V1__ListContainersResponse *r;
	enum output_form form;

	TRY(output_form(c, OUTPUT_JSON, &form));
	for (size_t i = 0; i < c->n_args; i++)
		TRY(inspect_one(c, c->args[i], form));
	if (c->n_args)
		return NULL;
	TRY(containers_list(c, false, &r));
	if (r->n_containers == 0)
		return err_new(ERR_NOT_FOUND, "no container is named, and none fits the filters");
	for (size_t i = 0; i < r->n_containers; i++)
		TRY(inspect_one(c, r->containers[i]->id, form));
	return NULL;
}
