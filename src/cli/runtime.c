/* The verbs about the runtime itself. */
#include "cli/containers.h"
#include "cli/human.h"
#include "cli/output.h"

#include <string.h>

struct err *cli_version(struct cli *c)
{
	Runtime__V1__VersionRequest q = RUNTIME__V1__VERSION_REQUEST__INIT;
	Runtime__V1__VersionResponse *r;

	enum output_form form;

	q.version = (char *)"v1";
	TRY(output_form(c, OUTPUT_TABLE, &form));
	TRY(cli_call(c, "Version", &q, CLI_QUERY_NS, &r));
	if (form != OUTPUT_TABLE)
		return output_message(r, form);
	return output_printf("Version:  %s\nRuntimeName:  %s\nRuntimeVersion:  %s\nRuntimeApiVersion:  %s\n", r->version,
			     r->runtime_name, r->runtime_version, r->runtime_api_version);
}

static struct err *print_conditions(const Runtime__V1__StatusResponse *r)
{
	static const char *const titles[] = { "CONDITION", "STATUS", "REASON", "MESSAGE", NULL };
	_table_ struct table t;

	table_init(&t, titles);
	for (size_t i = 0; r->status && i < r->status->n_conditions; i++) {
		const Runtime__V1__RuntimeCondition *k = r->status->conditions[i];

		table_cell(&t, k->type);
		table_cell(&t, k->status ? "true" : "false");
		table_cell(&t, k->reason);
		table_cell(&t, k->message);
	}
	return output_table(&t);
}

struct err *cli_info(struct cli *c)
{
	Runtime__V1__StatusRequest q = RUNTIME__V1__STATUS_REQUEST__INIT;
	Runtime__V1__StatusResponse *r;
	enum output_form form;

	TRY(output_form(c, OUTPUT_JSON, &form));
	q.verbose = !cli_flag(c, "quiet");
	TRY(cli_call(c, "Status", &q, CLI_QUERY_NS, &r));
	if (form == OUTPUT_TABLE)
		return print_conditions(r);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = pbjson_tree(doc, &r->base);

	/* What the runtime tells of itself stands beside the status, not in a map of text. */
	yyjson_mut_obj_remove_key(root, "info");
	for (size_t i = 0; i < r->n_info; i++)
		output_add_info(doc, root, r->info[i]->key, r->info[i]->value);
	struct err *e = output_tree(root, form);

	yyjson_mut_doc_free(doc);
	return e;
}

/* Verbs that ask without a parameter and print the answer. */
static struct err *ask_and_print(struct cli *c, const char *method, const void *request)
{
	enum output_form form;
	void *reply;

	TRY(output_form(c, OUTPUT_JSON, &form));
	TRY(cli_call(c, method, request, CLI_QUERY_NS, &reply));
	return output_message(reply, form == OUTPUT_YAML ? OUTPUT_YAML : OUTPUT_JSON);
}

struct err *cli_runtime_config(struct cli *c)
{
	Runtime__V1__RuntimeConfigRequest q = RUNTIME__V1__RUNTIME_CONFIG_REQUEST__INIT;

	return ask_and_print(c, "RuntimeConfig", &q);
}

struct err *cli_update_runtime_config(struct cli *c)
{
	Runtime__V1__UpdateRuntimeConfigRequest q = RUNTIME__V1__UPDATE_RUNTIME_CONFIG_REQUEST__INIT;
	Runtime__V1__RuntimeConfig config = RUNTIME__V1__RUNTIME_CONFIG__INIT;
	Runtime__V1__NetworkConfig network = RUNTIME__V1__NETWORK_CONFIG__INIT;
	void *r;

	if (!cli_text(c, "pod-cidr"))
		return err_new(ERR_INVALID, "nothing to tell: --pod-cidr CIDR");
	network.pod_cidr = (char *)cli_text(c, "pod-cidr");
	config.network_config = &network;
	q.runtime_config = &config;
	return cli_call(c, "UpdateRuntimeConfig", &q, CLI_QUERY_NS, &r);
}

struct err *cli_metricsp(struct cli *c)
{
	Runtime__V1__ListPodSandboxMetricsRequest q = RUNTIME__V1__LIST_POD_SANDBOX_METRICS_REQUEST__INIT;

	return ask_and_print(c, "ListPodSandboxMetrics", &q);
}

struct err *cli_metricdescs(struct cli *c)
{
	Runtime__V1__ListMetricDescriptorsRequest q = RUNTIME__V1__LIST_METRIC_DESCRIPTORS_REQUEST__INIT;

	return ask_and_print(c, "ListMetricDescriptors", &q);
}

/* ---- events ---------------------------------------------------------------------------------- */

struct event_context {
	enum output_form form;
	struct err *error;
};

static struct err *print_event_line(const Runtime__V1__ContainerEventResponse *v)
{
	const ProtobufCEnumValue *type =
		protobuf_c_enum_descriptor_get_value(&runtime__v1__container_event_type__descriptor,
						     (int)v->container_event_type);
	const Runtime__V1__PodSandboxMetadata *pod = v->pod_sandbox_status ? v->pod_sandbox_status->metadata : NULL;
	char time[CLOCK_TEXT_MAX], id[HUMAN_ID_LEN + 1];

	clock_format(v->created_at, time);
	return output_printf("%s  %-24s %s  %s/%s\n", time, type ? type->name : "unknown event",
			     human_id(v->container_id, id), pod ? pod->namespace_ : "", pod ? pod->name : "");
}

static bool on_event(_unused_ struct cli *c, const ProtobufCMessage *m, void *context)
{
	struct event_context *x = context;

	x->error = x->form == OUTPUT_TABLE ? print_event_line(PACK_AS(ContainerEventResponse, m)) :
					     output_message(m, x->form);
	return !x->error;
}

struct err *cli_events(struct cli *c)
{
	Runtime__V1__GetEventsRequest q = RUNTIME__V1__GET_EVENTS_REQUEST__INIT;
	struct event_context x = { 0 };

	TRY(output_form(c, OUTPUT_JSON, &x.form));
	struct err *e = cli_stream(c, "GetContainerEvents", &q, on_event, &x);

	if (!x.error)
		return e;
	err_free(e);
	return x.error;
}
