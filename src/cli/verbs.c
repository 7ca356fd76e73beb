/* The table of client verbs: names, options and columns follow crictl. */
#include "cli/output.h"

#include <string.h>

#define ALL(help)   { 'a', "all", NULL, help }
#define QUIET       { 'q', "quiet", NULL, "print IDs only" }
#define NO_TRUNC    { 0, "no-trunc", NULL, "do not shorten IDs" }
#define LABEL       { 0, "label", "KEY=VALUE", "those with this label; may be repeated" }
#define LATEST      { 'l', "latest", NULL, "the newest only" }
#define LAST        { 'n', "last", "N", "the N newest" }
#define NAMESPACE   { 0, "namespace", "PATTERN", "those of pods in this namespace" }
#define CREDS       { 0, "creds", "USER[:PASSWORD]", "for the registry" }
#define AUTH        { 0, "auth", "BASE64", "the same, as in a docker configuration" }
#define HANDLER     { 'r', "runtime", "HANDLER", "runtime handler of the pod" }
#define USERNAME    { 'u', "username", "USER", "for the registry; the password is asked for" }
#define PULL_LIMIT  { 0, "pull-timeout", "DURATION", "of the pull" }
#define CANCEL      { 'T', "cancel-timeout", "DURATION", "give up after so long" }
#define VERBOSE     { 'v', "verbose", NULL, "all that is known, not as a table" }
#define NAME        { 0, "name", "PATTERN", "those whose name matches" }
#define TRANSPORT   { 'r', "transport", "spdy", "there is no other in this client" }
#define BRIEF       { 'q', "quiet", NULL, "status only" }
#define FILTER      { 'f', "filter", "KEY=VALUE", "dangling=true|false, reference=PATTERN; may be repeated" }
#define END         { 0 }

static const struct cli_option output_only[] = { OUTPUT_OPTION, END };
static const struct cli_option info_options[] = { OUTPUT_OPTION, { 'q', "quiet", NULL, "status only" }, END };
static const struct cli_option pods_options[] = {
	{ 0, "id", "PREFIX", "those whose ID begins so" },
	LABEL, LAST, LATEST,
	{ 0, "name", "PATTERN", "those whose name matches" },
	NAMESPACE, NO_TRUNC, OUTPUT_OPTION, QUIET,
	{ 's', "state", "ready|notready", "those in this state" },
	VERBOSE, END,
};
static const struct cli_option ps_options[] = {
	ALL("ended ones too"),
	{ 0, "id", "PREFIX", "those whose ID begins so" },
	{ 0, "image", "IMAGE", "those of this image" },
	LABEL, LAST, LATEST,
	{ 0, "name", "PATTERN", "those whose name matches" },
	NAMESPACE, NO_TRUNC, OUTPUT_OPTION,
	{ 'p', "pod", "PREFIX", "those of this pod" },
	QUIET,
	{ 'r', "resolve-image-path", NULL, "the image's name where only its ID is known" },
	{ 's', "state", "STATE", "those created, running, exited or unknown" },
	VERBOSE, END,
};
static const struct cli_option inspect_options[] = {
	ALL("without a name: ended ones too"),
	{ 0, "image", "IMAGE", "those of this image" },
	LABEL, LAST, LATEST, NAME, NAMESPACE, OUTPUT_OPTION,
	{ 'p', "pod", "PREFIX", "those of this pod" },
	BRIEF,
	{ 's', "state", "STATE", "those created, running, exited or unknown" },
	END,
};
static const struct cli_option inspectp_options[] = {
	LABEL, LAST, LATEST, NAME, NAMESPACE, OUTPUT_OPTION, BRIEF,
	{ 's', "state", "ready|notready", "those in this state" },
	END,
};
static const struct cli_option inspecti_options[] = { FILTER, NAME, OUTPUT_OPTION, BRIEF, END };
static const struct cli_option config_options[] = {
	{ 0, "get", "NAME", "print one" },
	{ 0, "list", NULL, "print all" },
	{ 0, "set", "NAME=VALUE,...", "change some; may be repeated" },
	END,
};
static const struct cli_option checkpoint_options[] = { { 'e', "export", "FILE.tar", "where to" }, END };
static const struct cli_option update_runtime_config_options[] = {
	{ 'p', "pod-cidr", "CIDR", "of this node's pods" },
	END,
};
static const struct cli_option port_forward_options[] = { TRANSPORT, END };
static const struct cli_option images_options[] = {
	{ 0, "digests", NULL, "show digests" },
	FILTER,
	NO_TRUNC, OUTPUT_OPTION,
	{ 0, "pinned", NULL, "show which are never collected" },
	QUIET,
	VERBOSE, END,
};
static const struct cli_option pull_options[] = {
	{ 'a', "annotation", "KEY=VALUE", "of the image; may be repeated" },
	AUTH, CREDS,
	{ 0, "pod-config", "POD", "file: the pod that it is for" },
	PULL_LIMIT, USERNAME, END,
};
static const struct cli_option rmi_options[] = {
	ALL("all images that are not pinned"),
	{ 'q', "prune", NULL, "those that no container uses" },
	END,
};
static const struct cli_option runp_options[] = { CANCEL, HANDLER, END };
static const struct cli_option rmp_options[] = {
	ALL("all pods"),
	{ 'f', "force", NULL, "stop it first if it is running" },
	END,
};
static const struct cli_option create_options[] = {
	AUTH, CANCEL, CREDS,
	{ 0, "no-pull", NULL, "do not pull the image first, whatever the settings say" },
	PULL_LIMIT, USERNAME,
	{ 0, "with-pull", NULL, "pull the image first" },
	END,
};
static const struct cli_option run_options[] = {
	AUTH, CANCEL, CREDS,
	{ 0, "no-pull", NULL, "do not pull the image first" },
	PULL_LIMIT, HANDLER, USERNAME,
	{ 0, "with-pull", NULL, "pull it, whatever the settings say" },
	END,
};
static const struct cli_option stop_options[] = {
	ALL("all that run"),
	{ 't', "timeout", "SECONDS", "between the stop signal and the end (0)" },
	END,
};
static const struct cli_option rm_options[] = {
	ALL("all containers"),
	{ 'f', "force", NULL, "stop it first if it is running" },
	{ 'k', "keep-logs", NULL, "leave its log and what rotation made of it" },
	END,
};
static const struct cli_option logs_options[] = {
	{ 'f', "follow", NULL, "go on until the container ends" },
	{ 0, "limit-bytes", "N", "no more than this" },
	{ 'p', "previous", NULL, "of the attempt before" },
	{ 'r', "reopen", NULL, "only make the runtime open its log file again" },
	{ 0, "since", "TIME", "from then on: 10m, 2006-01-02T15:04:05Z" },
	{ 's', "stream", "stdout|stderr", "only this one" },
	{ 0, "tail", "N", "the last N lines" },
	{ 't', "timestamps", NULL, "with the time of each line" },
	END,
};
static const struct cli_option exec_options[] = {
	{ 'i', "interactive", NULL, "pass standard input on" },
	{ 's', "sync", NULL, "by ExecSync: no input, output when it ended" },
	{ 't', "tty", NULL, "with a terminal" },
	TRANSPORT,
	{ 'e', "ignore-errors", NULL, "go on, and exit with 0, whatever the commands do" },
	{ 0, "image", "IMAGE", "instead of CONTAINER: in all of this image, one after another" },
	LABEL, LAST, LATEST, NAME,
	{ 'p', "pod", "PREFIX", "those of this pod" },
	{ 'q', "quiet", NULL, "do not print whose output follows" },
	{ 0, "state", "STATE", "those in this state" },
	END,
};
static const struct cli_option attach_options[] = {
	{ 'i', "stdin", NULL, "pass standard input on" },
	{ 't', "tty", NULL, "the container has a terminal" },
	TRANSPORT, END,
};
static const struct cli_option stats_options[] = {
	ALL("those without usage too"),
	{ 0, "id", "PREFIX", "of this one" },
	LABEL, NO_TRUNC, OUTPUT_OPTION,
	{ 'p', "pod", "PREFIX", "those of this pod" },
	{ 's', "seconds", "SECONDS", "between two samples (1)" },
	{ 'w', "watch", NULL, "again and again" },
	END,
};
static const struct cli_option statsp_options[] = {
	{ 0, "id", "PREFIX", "of this one" },
	LABEL, NO_TRUNC, OUTPUT_OPTION,
	{ 's', "seconds", "SECONDS", "between two samples (1)" },
	{ 'w', "watch", NULL, "again and again" },
	END,
};
static const struct cli_option update_options[] = {
	{ 0, "cpu-period", "MICROSECONDS", "" },
	{ 0, "cpu-quota", "MICROSECONDS", "" },
	{ 0, "cpu-share", "N", "" },
	{ 0, "cpuset-cpus", "LIST", "" },
	{ 0, "cpuset-mems", "LIST", "" },
	{ 0, "memory", "BYTES", "limit" },
	{ 0, "memory-swap", "BYTES", "limit of memory and swap" },
	{ 0, "oom-score-adj", "N", "who is killed first when memory is used up" },
	{ 0, "unified", "FILE=VALUE", "a cgroup v2 file; may be repeated" },
	END,
};

static const struct cli_option explain_options[] = {
	{ 0, "root", "DIR", "where records are, should no runtime answer; else as crisp serve is configured" },
	{ 'n', "tail", "N", "lines of each log (10)" },
	END,
};

const struct cli_verb cli_verbs[] = {
	{ "explain", "one page on a pod or container: what was asked and done, where it stands, why it ended", "POD|CONTAINER",
	  explain_options, cli_explain, 1, 1, 0 },
	{ "pods", "list pods", "", pods_options, cli_pods, 0, 0, 0 },
	{ "ps", "list containers", "", ps_options, cli_ps, 0, 0, 0 },
	{ "images", "list images", "[NAME]", images_options, cli_images, 0, 1, 0 },
	{ "inspectp", "show a pod", "[POD...]", inspectp_options, cli_inspectp, 0, -1, 0 },
	{ "inspect", "show a container", "[CONTAINER...]", inspect_options, cli_inspect, 0, -1, 0 },
	{ "inspecti", "show an image", "[IMAGE...]", inspecti_options, cli_inspecti, 0, -1, 0 },
	{ "logs", "print a container's log", "CONTAINER", logs_options, cli_logs, 1, 1, 0 },
	{ "exec", "run a command in a container", "[CONTAINER] COMMAND...", exec_options, cli_exec, 1, -1, CLI_REST_IS_COMMAND },
	{ "attach", "attach to a container", "CONTAINER", attach_options, cli_attach, 1, 1, 0 },
	{ "port-forward", "forward local ports to a pod", "POD [LOCAL:]REMOTE...", port_forward_options, cli_port_forward, 2, -1, 0 },
	{ "stats", "usage of containers", "[CONTAINER]", stats_options, cli_stats, 0, 1, 0 },
	{ "statsp", "usage of pods", "[POD]", statsp_options, cli_statsp, 0, 1, 0 },
	{ "events", "print what happens to containers, as it happens", "", output_only, cli_events, 0, 0, 0 },
	{ "info", "status of the runtime", "", info_options, cli_info, 0, 0, 0 },
	{ "imagefsinfo", "usage of the file systems for images", "", output_only, cli_imagefsinfo, 0, 0, 0 },
	{ "runtime-version", "the version that the runtime on the socket answers with", "", output_only, cli_version, 0, 0, 0 },
	{ "runtime-config", "the cgroup driver", "", output_only, cli_runtime_config, 0, 0, 0 },
	{ "metricsp", "metrics of pods", "", output_only, cli_metricsp, 0, 0, 0 },
	{ "metricdescs", "what the metrics mean", "", output_only, cli_metricdescs, 0, 0, 0 },
	{ "pull", "pull an image", "IMAGE", pull_options, cli_pull, 1, 1, 0 },
	{ "import", "import images from archives", "[NAME=]FILE|DIR[:TAG]...", NULL, cli_import, 1, -1, 0 },
	{ "rmi", "remove images", "[IMAGE...]", rmi_options, cli_rmi, 0, -1, 0 },
	{ "runp", "run a pod", "POD.[json|yaml]", runp_options, cli_runp, 1, 1, 0 },
	{ "stopp", "stop pods", "POD...", NULL, cli_stopp, 1, -1, 0 },
	{ "rmp", "remove pods", "[POD...]", rmp_options, cli_rmp, 0, -1, 0 },
	{ "create", "create a container", "POD CONTAINER.[json|yaml] POD.[json|yaml]", create_options, cli_create, 3, 3, 0 },
	{ "start", "start containers", "CONTAINER...", NULL, cli_start, 1, -1, 0 },
	{ "run", "run a pod with one container", "CONTAINER.[json|yaml] POD.[json|yaml]", run_options, cli_run, 2, 2, 0 },
	{ "update", "change a container's limits", "CONTAINER...", update_options, cli_update, 1, -1, 0 },
	{ "stop", "stop containers", "[CONTAINER...]", stop_options, cli_stop, 0, -1, 0 },
	{ "rm", "remove containers", "[CONTAINER...]", rm_options, cli_rm, 0, -1, 0 },
	{ "checkpoint", "checkpoint containers (crisp does not, and says why)", "CONTAINER...", checkpoint_options, cli_checkpoint, 1, -1, 0 },
	{ "update-runtime-config", "tell the runtime the pods' addresses", "", update_runtime_config_options, cli_update_runtime_config, 0, 0, 0 },
	{ "config", "this client's settings (/etc/crictl.yaml)", "[NAME VALUE]", config_options, cli_config, 0, 2, 0 },
	{ "completion", "print a completion script for bash", "[bash]", NULL, cli_completion, 0, 1, 0 },
	{ "version", "the version that the runtime on the socket answers with", "", output_only, cli_version, 0, 0, 0 },
	{ 0 },
};
