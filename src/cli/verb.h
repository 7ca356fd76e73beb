/* verb.h: what a verb's function is given: parsed options, a connection, memory that lives as long as the run. */
#ifndef CRISP_VERB_H
#define CRISP_VERB_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "cri/pack.h"
#include "wire/grpc.h"

#define CLI_ENDPOINT      "/run/crisp/crisp.sock"
#define CLI_QUERY_NS      (10 * NS_PER_S)    /* deadline of a call that only asks */
#define CLI_CHANGE_NS     (240 * NS_PER_S)   /* of one that changes something: as the kubelet's for a pod */

enum cli_verb_flags {
	CLI_REST_IS_COMMAND = 1,    /* options end at the first argument */
};

struct cli_option {
	char letter;                /* 0: none */
	const char *name;
	const char *value;          /* what it takes, as in the help; NULL: a flag */
	const char *help;
};

struct cli_given {
	const struct cli_option *option;
	const char *value;
};

struct cli {
	const struct cli_verb *verb;
	struct arena arena;
	struct settings settings;
	const char *endpoint, *image_endpoint;  /* paths of the sockets */
	int64_t timeout_ns;         /* --timeout; 0: each call's own */
	struct grpc_client *client; /* connected by the first call */
	struct grpc_client *image_client;       /* the same, for an image service of its own */
	struct cli_given *given;
	size_t n_given;
	char **args;
	size_t n_args;
	int status;                 /* exit status of a run without error */
};

/* ---- options (options.c) --------------------------------------------------------------------- */

/* Options that stand before the verb. */
struct cli_early {
	const char *name, *letter;  /* with their dashes; no letter: NULL */
	bool takes;
};

/* Index of the row that *word* ("--name", "--name=value", "-l") is; *n*: none. */
size_t cli_find_early(const struct cli_early *rows, size_t n, const char *word);
/* Reads argv from 1 up to the verb, whose index is returned. ret_values[k]: what was given for row k, "true" for a flag;
 * those that were not given are left alone. */
struct err *cli_parse_early(const struct cli_early *rows, size_t n, int argc, char **argv, const char **ret_values,
			    int *ret_verb) _must_check_;
/* Parses what follows the verb. ERR_CANCELLED: help was asked for. */
struct err *cli_parse(struct cli *c, int argc, char **argv) _must_check_;
bool cli_flag(const struct cli *c, const char *name);           /* given, and not "=false" */
const char *cli_text(const struct cli *c, const char *name);    /* the last value; NULL: not given */
const char *cli_text_n(const struct cli *c, const char *name, size_t n);     /* the n-th; NULL: no more */
struct err *cli_number(const struct cli *c, const char *name, int64_t *ret) _must_check_;  /* kept if not given */
struct err *cli_duration(const struct cli *c, const char *name, int64_t *ret_ns) _must_check_;
/* "30", "1.5s", "2h45m", "300ms": whole string, not negative. A bare number is seconds. */
bool cli_parse_duration(const char *text, int64_t *ret_ns);
/* "k=v" into its parts, in the arena. */
struct err *cli_pair(struct cli *c, const char *text, char **ret_key, char **ret_value) _must_check_;
void cli_print_help(const struct cli_verb *v);

/* ---- calls (call.c) -------------------------------------------------------------------------- */

/* *method* by its name in CRI's services; *ret_reply is the reply message, in the arena. */
struct err *cli_call(struct cli *c, const char *method, const void *request, int64_t timeout_ns, void *ret_reply)
	_must_check_;
struct err *cli_stream(struct cli *c, const char *method, const void *request,
		       bool (*on_message)(struct cli *c, const ProtobufCMessage *m, void *context), void *context)
	_must_check_;

/* The full ID of what begins with *prefix*; ambiguous and unknown ones are errors. */
struct err *cli_find_container(struct cli *c, const char *prefix, const char **ret_id) _must_check_;
struct err *cli_find_pod(struct cli *c, const char *prefix, const char **ret_id) _must_check_;

/* A message from a JSON or YAML file ("-": standard input). */
struct err *cli_read_config(struct cli *c, const char *path, const ProtobufCMessageDescriptor *d, void *ret) _must_check_;

/* Map entries of type *T*_Entry from the pairs given with --*name*. */
#define CLI_PAIRS(c, name, entry_type, init, ret_items, ret_n)                          \
	({                                                                              \
		struct err *pairs_e_ = NULL;                                            \
		const char *pairs_text_;                                                \
		size_t pairs_n_ = 0;                                                    \
		entry_type **pairs_items_ = arena_calloc(&(c)->arena, (c)->n_given + 1, sizeof(void *)); \
		while (!pairs_e_ && (pairs_text_ = cli_text_n(c, name, pairs_n_))) {    \
			entry_type *pairs_one_ = arena_alloc(&(c)->arena, sizeof(entry_type)); \
			init(pairs_one_);                                               \
			pairs_e_ = cli_pair(c, pairs_text_, &pairs_one_->key, &pairs_one_->value); \
			pairs_items_[pairs_n_++] = pairs_one_;                          \
		}                                                                       \
		*(ret_items) = pairs_items_;                                            \
		*(ret_n) = pairs_n_;                                                    \
		pairs_e_;                                                               \
	})

/* ---- the verbs ------------------------------------------------------------------------------- */

#define CLI_VERB_FUNCTIONS(X) \
	X(version) X(info) X(pods) X(ps) X(images) X(imagefsinfo) X(inspect) X(inspectp) X(inspecti) X(import) X(pull) X(rmi) \
	X(runp) X(stopp) X(rmp) X(create) X(start) X(stop) X(rm) X(run) X(logs) X(exec) X(attach) X(port_forward) \
	X(stats) X(statsp) X(metricsp) X(metricdescs) X(events) X(explain) X(runtime_config) X(update) X(completion) \
	X(config) X(checkpoint) X(update_runtime_config)

#define CLI_DECLARE(verb) struct err *cli_##verb(struct cli *c);
CLI_VERB_FUNCTIONS(CLI_DECLARE)
#undef CLI_DECLARE

#endif
