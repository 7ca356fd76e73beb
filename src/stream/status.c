#include "stream/status.h"

#include <stdio.h>
#include <yyjson.h>

struct status {
	const char *status, *reason, *message;
	int code;                    /* HTTP's */
	const char *exit_code;
};

/* metav1.Status as the kubelet's server writes it: version 4 of the protocol. */
static char *to_json(const struct status *st)
{
	yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(m);

	yyjson_mut_doc_set_root(m, root);
	yyjson_mut_obj_add_str(m, root, "status", st->status);
	if (st->message)
		yyjson_mut_obj_add_str(m, root, "message", st->message);
	if (st->reason)
		yyjson_mut_obj_add_str(m, root, "reason", st->reason);
	if (st->exit_code) {
		yyjson_mut_val *details = yyjson_mut_obj_add_obj(m, root, "details");
		yyjson_mut_val *cause = yyjson_mut_arr_add_obj(m, yyjson_mut_obj_add_arr(m, details, "causes"));

		yyjson_mut_obj_add_str(m, cause, "reason", "ExitCode");
		yyjson_mut_obj_add_str(m, cause, "message", st->exit_code);
	}
	if (st->code)
		yyjson_mut_obj_add_int(m, root, "code", st->code);
	/* Text from a container need not be UTF-8, and a failure must be told all the same. */
	char *text = yyjson_mut_write(m, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL);

	yyjson_mut_doc_free(m);
	return text ? text : base_strdup("{\"status\":\"Failure\"}");
}

char *status_exit(unsigned int version, int code)
{
	struct status st = { .status = "Success" };
	char number[12];

	if (code == 0)
		return version < 4 ? base_strdup("") : to_json(&st);
	snprintf(number, sizeof(number), "%d", code);
	_free_ char *message = base_printf("command terminated with non-zero exit code: exit status %d", code);

	if (version < 4)
		return base_strdup(message);
	st = (struct status){ .status = "Failure", .reason = "NonZeroExitCode", .message = message,
			      .exit_code = number };
	return to_json(&st);
}

char *status_failure(unsigned int version, const char *what, const struct err *e)
{
	_free_ char *message = base_printf("Internal error occurred: %s: %s", what, err_text(e));
	struct status st = { .status = "Failure", .reason = "InternalError", .message = message, .code = 500 };

	return version < 4 ? base_strdup(message) : to_json(&st);
}
