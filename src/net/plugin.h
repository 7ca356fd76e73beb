/* plugin.h: one run of one CNI plugin (SPEC.md section 2): found, fed, bounded, judged.
 *
 * The plugin gets CNI_* and PATH and nothing else of our environment, its input as a sealed memory
 * file, its own session. At the time limit it and its children are killed.
 */
#ifndef CRISP_NET_PLUGIN_H
#define CRISP_NET_PLUGIN_H

#include "base/buf.h"
#include "net/cni.h"

#define CNI_STDERR_MAX 4096   /* what is kept of a plugin's standard error */

struct cni_call {
	const char *command;               /* "ADD" … */
	const char *type;                  /* file name of the plugin */
	const char *id, *netns, *ifname, *args;   /* NULL: empty */
	const char *input;
	size_t input_len;
};

/* *ret_out: what it wrote, at most CNI_RESULT_MAX. Errors read "TYPE plugin: …". */
struct err *cni_plugin_run(const struct cni *c, const struct cni_call *call, struct buf *ret_out) _must_check_;

/* The path of a plugin in c->bin_dirs; owned by the caller. */
struct err *cni_plugin_find(const struct cni *c, const char *type, char **ret_path) _must_check_;

/* What a plugin that failed says: its error object {code, msg, details}, else its standard error, else
 * *fallback*. Codes 11, 50 and 51 are "later" (ERR_UNAVAILABLE). */
struct err *cni_plugin_error(const char *out, size_t len, const char *stderr_text, const char *fallback) _must_check_;

#endif
