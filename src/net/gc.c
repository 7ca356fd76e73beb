/* GC, SPEC.md section 2: plugins free what belongs to no attachment that they are told of. */
#include "net/plugin.h"
#include "net/record.h"

#include "base/log.h"

#include <string.h>

static void mut_doc_free_p(yyjson_mut_doc **d)
{
	yyjson_mut_doc_free(*d);
}

static void doc_free_p(yyjson_doc **d)
{
	yyjson_doc_free(*d);
}

/* The attachments of this network that its pods still have. */
static void add_attachments(const struct cni *c, const struct cni_list *l, const char *const *known, yyjson_mut_doc *m,
			    yyjson_mut_val *list)
{
	for (; known && *known; known++) {
		_cni_record_ struct cni_record r = { 0 };
		struct err *e = cni_name_ok(*known) ? cni_record_read(c, *known, &r) : NULL;

		if (!e && r.doc && !strcmp(r.list.name, l->name)) {
			yyjson_mut_val *one = yyjson_mut_arr_add_obj(m, list);

			yyjson_mut_obj_add_strcpy(m, one, "containerID", *known);
			yyjson_mut_obj_add_strcpy(m, one, "ifname", r.ifname);
		}
		err_free(e); /* a pod on the node's network has no record; one that is spoiled is DEL's to tell */
	}
}

/* A spoiled record would make its pod's address look free. */
static bool all_readable(const struct cni *c, const char *const *known)
{
	for (; known && *known; known++) {
		_cni_record_ struct cni_record r = { 0 };
		struct err *e = cni_name_ok(*known) ? cni_record_read(c, *known, &r) : NULL;
		bool spoiled = e && !err_is(e, ERR_NOT_FOUND);

		if (spoiled)
			log_warn("no GC of the network: record of pod %.12s: %s", *known, err_text(e));
		err_free(e);
		if (spoiled)
			return false;
	}
	return true;
}

static struct err *run_one(const struct cni *c, const struct cni_list *l, yyjson_val *plugin, const char *const *known)
{
	_cleanup_(mut_doc_free_p) yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_val_mut_copy(m, plugin), *list = yyjson_mut_arr(m);
	_free_ char *input = NULL;
	_buf_ struct buf out = BUF_INIT;
	struct cni_call call = { .command = "GC", .type = cni_plugin_type(plugin) };

	yyjson_mut_doc_set_root(m, root);
	yyjson_mut_obj_remove_key(root, "cni.dev/valid-attachments");
	add_attachments(c, l, known, m, list);
	yyjson_mut_obj_add_val(m, root, "cni.dev/valid-attachments", list);
	_cleanup_(doc_free_p) yyjson_doc *doc = yyjson_mut_doc_imut_copy(m, NULL);

	if (!doc)
		return err_new(ERR_EXHAUSTED, "out of memory");
	TRY(cni_request(l, yyjson_doc_get_root(doc), NULL, NULL, &input, &call.input_len));
	call.input = input;
	return cni_plugin_run(c, &call, &out);
}

void cni_gc(const struct cni *c, const char *const *known)
{
	_cni_list_ struct cni_list l = { 0 };
	yyjson_val *plugin;
	size_t i, n;
	struct err *e = cni_list_load(c->conf_dir, &l);

	if (e || l.disable_gc || !cni_version_at_least(l.version, "1.1.0") || !all_readable(c, known)) {
		err_free(e); /* no network yet: Status says so */
		return;
	}
	/* One that fails keeps none of the others from it. */
	yyjson_arr_foreach(l.plugins, i, n, plugin) {
		e = run_one(c, &l, plugin, known);
		if (e)
			log_warn("network %s: GC: %s", l.name, err_text(e));
		err_free(e);
	}
}
