/* list.h: one CNI network configuration list (SPEC.md section 1), read and checked.
 *
 * Whatever form the file had (list, single plugin, plugins in NAME/ beside it), here it is one object
 * {name, cniVersion, disableCheck, disableGC, plugins}; that object is also what a pod's record keeps, so
 * that DEL runs with the configuration that ADD ran with. A list borrows from its document.
 */
#ifndef CRISP_NET_LIST_H
#define CRISP_NET_LIST_H

#include "base/err.h"

#include <yyjson.h>

#define CNI_VERSION_NEWEST "1.1.0"
#define CNI_FILES_MAX 256            /* configuration files of one directory */

struct cni_list {
	yyjson_doc *doc;             /* owned; NULL when the list lies in somebody else's document */
	yyjson_val *root;            /* the normal form */
	const char *name, *version;
	bool disable_check, disable_gc;
	yyjson_val *plugins;         /* array of objects, each with a `type` */
};
void cni_list_done(struct cni_list *l);
#define _cni_list_ _cleanup_(cni_list_done)

/* The first file by name (*.conflist, *.conf, *.json) that parses. None does: the first one's error,
 * which names the file; ERR_UNAVAILABLE if there is no file at all. */
struct err *cni_list_load(const char *dir, struct cni_list *ret) _must_check_;

/* One file's text, in any of the forms; plugins from files beside it are not looked for.
 * *ret_more*: they should be (there is no loadOnlyInlinedPlugins). */
struct err *cni_list_parse(const char *text, size_t len, struct cni_list *ret, bool *ret_more) _must_check_;

/* A list in its normal form inside a document that outlives it. */
struct err *cni_list_view(yyjson_val *root, struct cni_list *ret) _must_check_;

const char *cni_plugin_type(yyjson_val *plugin);

/* Letters, digits, "_.-", not beginning with one of these (SPEC.md: network names, container IDs). */
bool cni_name_ok(const char *s);

/* True if dotted version *a* is at least *b*; a malformed one is older than any. */
bool cni_version_at_least(const char *a, const char *b);

#endif
