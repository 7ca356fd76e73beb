/* record.h: what is kept of a pod's network: cache_dir/ID.json.
 *
 * A record holds everything that a plugin call needs (configuration, CNI_ARGS, capability
 * arguments, result), so ADD, CHECK and DEL all run from one, whatever became of the files since.
 * It is written before the first plugin runs (its presence says: DEL is due), again with the result, and removed by
 * DEL: a power cut that leaves what a plugin noted later on the same file system leaves the record too. One that can't
 * be read still says that DEL is due.
 */
#ifndef CRISP_NET_RECORD_H
#define CRISP_NET_RECORD_H

#include "net/cni.h"
#include "net/list.h"

#define CNI_RECORD_KIND "crispCniV1"
#define CNI_RECORD_MAX (4 * CNI_CONFIG_MAX)
#define CNI_IFNAME "eth0"

struct cni_record {
	yyjson_doc *doc;             /* owned; everything below lies in it */
	const char *id, *netns, *ifname, *args;
	yyjson_val *capabilities;    /* object: what runtimeConfig may get */
	yyjson_val *result;          /* NULL until ADD is done */
	struct cni_list list;
};
void cni_record_done(struct cni_record *r);
#define _cni_record_ _cleanup_(cni_record_done)

/* From the pod and today's configuration. Values that can't be CNI_ARGS are ERR_INVALID. */
struct err *cni_record_make(const struct cni_pod *p, const struct cni_list *l, struct cni_record *ret) _must_check_;
/* Puts the final result in. */
struct err *cni_record_set_result(struct cni_record *r, yyjson_val *result) _must_check_;

struct err *cni_record_parse(const char *text, size_t len, struct cni_record *ret) _must_check_;
struct err *cni_record_read(const struct cni *c, const char *id, struct cni_record *ret) _must_check_;
struct err *cni_record_write(const struct cni *c, const struct cni_record *r) _must_check_;
struct err *cni_record_remove(const struct cni *c, const char *id) _must_check_;

/* The input of one plugin: its configuration with name, cniVersion, prevResult (NULL: none) and those of
 * *capabilities* that it declares as runtimeConfig. Owned, free(3). */
struct err *cni_request(const struct cni_list *l, yyjson_val *plugin, yyjson_val *prev, yyjson_val *capabilities,
			char **ret_text, size_t *ret_len) _must_check_;

/* A plugin's result for a configuration of *version*: an object whose cniVersion is filled in if absent. */
struct err *cni_result_parse(const char *text, size_t len, const char *version, yyjson_doc **ret) _must_check_;
/* Addresses of the pod's interface, in order, without prefix length; each checked. */
struct err *cni_result_ips(yyjson_val *result, struct strv *ret) _must_check_;

#endif
