#include "net/cni.h"

#include "base/file.h"
#include "base/log.h"
#include "net/list.h"
#include "net/plugin.h"
#include "net/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static void doc_free_p(yyjson_doc **d)
{
	yyjson_doc_free(*d);
}

/* One plugin of the record's list; *netns* as the command wants it. */
static struct err *run_plugin(const struct cni *c, const struct cni_record *r, const char *command,
			      const char *netns, size_t i, yyjson_val *prev, struct buf *ret_out)
{
	yyjson_val *plugin = yyjson_arr_get(r->list.plugins, i);
	_free_ char *input = NULL;
	struct cni_call call = { .command = command, .type = cni_plugin_type(plugin), .id = r->id,
				 .netns = netns, .ifname = r->ifname, .args = r->args };

	TRY(cni_request(&r->list, plugin, prev, r->capabilities, &input, &call.input_len));
	call.input = input;
	return cni_plugin_run(c, &call, ret_out);
}

/* Gone after a reboot or the monitor's end; a file that was to be the mount point is no namespace
 * either, and plugins that open it would fail for ever. */
static const char *netns_if_there(const char *path)
{
	struct statfs fs;

	if (str_empty(path) || statfs(path, &fs) < 0 || fs.f_type != NSFS_MAGIC)
		return "";
	return path;
}

/* DEL of plugins n-1 … 0, all of them even if one fails; the first error counts. */
static struct err *delete_plugins(const struct cni *c, const struct cni_record *r, const char *netns, size_t n)
{
	bool with_result = cni_version_at_least(r->list.version, "0.4.0"); /* SPEC.md: since then DEL gets prevResult */
	struct err *first = NULL;

	netns = netns_if_there(netns);
	while (n-- > 0) {
		_buf_ struct buf out = BUF_INIT;
		struct err *e = run_plugin(c, r, "DEL", netns, n, with_result ? r->result : NULL, &out);

		if (!first)
			first = e;
		else
			err_ignore(e);
	}
	return first;
}

/* The chain: each plugin gets the result of the one before. *ret_ran counts those that were begun. */
static struct err *add_plugins(const struct cni *c, const struct cni_pod *p, const struct cni_record *r, size_t *ret_ran,
			       yyjson_doc **ret_result)
{
	_cleanup_(doc_free_p) yyjson_doc *prev = NULL;
	size_t n = yyjson_arr_size(r->list.plugins);

	for (*ret_ran = 0; *ret_ran < n; (*ret_ran)++) {
		_buf_ struct buf out = BUF_INIT;
		yyjson_doc *result;
		const char *type = cni_plugin_type(yyjson_arr_get(r->list.plugins, *ret_ran));
		if (p->running)
			p->running(p->context, "ADD", type);
		struct err *e = run_plugin(c, r, "ADD", r->netns, *ret_ran, yyjson_doc_get_root(prev), &out);

		if (!e)
			e = err_wrap(cni_result_parse(buf_text(&out), out.len, r->list.version, &result),
				     "%s plugin", type);
		if (e) {
			(*ret_ran)++;
			return e;
		}
		yyjson_doc_free(prev);
		prev = result;
	}
	*ret_result = TAKE(prev);
	return NULL;
}

static struct err *add(const struct cni *c, const struct cni_pod *p, struct cni_record *r, size_t *ret_ran, struct strv *ret_ips)
{
	_cleanup_(doc_free_p) yyjson_doc *result = NULL;
	_strv_ struct strv ips = { 0 };

	*ret_ran = 0;
	TRY(cni_record_write(c, r));
	TRY(add_plugins(c, p, r, ret_ran, &result));
	TRY(cni_record_set_result(r, yyjson_doc_get_root(result)));
	TRY(cni_result_ips(r->result, &ips));
	if (!ips.len)
		return err_new(ERR_INTERNAL, "the plugins gave the pod no address");
	TRY(cni_record_write(c, r));
	*ret_ips = ips;
	ips = (struct strv){ 0 };
	return NULL;
}

struct err *cni_add(const struct cni *c, const struct cni_pod *p, struct strv *ret_ips)
{
	_cni_list_ struct cni_list l = { 0 };
	_cni_record_ struct cni_record r = { 0 };
	size_t ran;

	TRY(cni_list_load(c->conf_dir, &l));
	TRY(cni_record_make(p, &l, &r));
	struct err *e = add(c, p, &r, &ran, ret_ips);

	if (!e)
		return NULL;
	struct err *undo = delete_plugins(c, &r, p->netns, ran);

	/* What could not be undone now keeps its record: the pod's destroy tries again. */
	if (undo)
		log_warn("pod %s: undo of a failed network set-up: %s", p->id, err_text(undo));
	else
		undo = cni_record_remove(c, p->id);
	err_ignore(undo);
	return err_wrap(e, "network %s", r.list.name);
}

struct err *cni_check(const struct cni *c, const struct cni_pod *p)
{
	_cni_record_ struct cni_record r = { 0 };

	TRY(cni_record_read(c, p->id, &r));
	if (!r.result)
		return err_new(ERR_PRECONDITION, "network %s: the pod was never fully added to it", r.list.name);
	if (r.list.disable_check || !cni_version_at_least(r.list.version, "0.4.0"))
		return NULL;
	for (size_t i = 0; i < yyjson_arr_size(r.list.plugins); i++) {
		_buf_ struct buf out = BUF_INIT;

		TRY_WRAP(run_plugin(c, &r, "CHECK", r.netns, i, r.result, &out), "network %s", r.list.name);
	}
	return NULL;
}

/* A record that a power cut spoiled: today's configuration is the best guess there is. */
static struct err *guess_record(const struct cni *c, const struct cni_pod *p, struct cni_record *ret)
{
	_cni_list_ struct cni_list l = { 0 };

	TRY(cni_list_load(c->conf_dir, &l));
	return cni_record_make(p, &l, ret);
}

struct err *cni_del(const struct cni *c, const struct cni_pod *p)
{
	_cni_record_ struct cni_record r = { 0 };

	if (!cni_name_ok(p->id))
		return err_new(ERR_INVALID, "pod ID \"%s\" has signs that CNI does not allow", p->id);
	struct err *e = cni_record_read(c, p->id, &r);

	if (err_is(e, ERR_NOT_FOUND)) { /* nothing was added, or it is deleted already */
		err_free(e);
		return NULL;
	}
	if (e) {
		log_warn("pod %s: network record: %s; deleting by today's configuration", p->id, err_text(e));
		err_free(e);
		e = guess_record(c, p, &r);
		if (e) {
			log_warn("pod %s: no network configuration to delete by: %s", p->id, err_text(e));
			err_free(e);
			return cni_record_remove(c, p->id);
		}
	}
	TRY_WRAP(delete_plugins(c, &r, str_empty(p->netns) ? r.netns : p->netns, yyjson_arr_size(r.list.plugins)),
		 "network %s", r.list.name);
	return cni_record_remove(c, p->id);
}

static bool is_known(const char *const *known, const char *id)
{
	for (; known && *known; known++)
		if (!strcmp(*known, id))
			return true;
	return false;
}

/* True if it was of a pod that is gone. */
static bool sweep_one(const struct cni *c, int dirfd, const char *name, const char *const *known)
{
	_free_ char *id = base_strdup(name);
	struct cni_pod p = { .id = id };

	if (str_starts(name, FILE_TMP_PREFIX)) {
		unlinkat(dirfd, name, 0);
		return false;
	}
	if (!str_ends(name, ".json"))
		return false;
	id[strlen(id) - strlen(".json")] = '\0';
	if (!cni_name_ok(id) || is_known(known, id))
		return false;
	struct err *e = cni_del(c, &p);

	if (e)
		log_warn("pod %s is gone, but not its network: %s", id, err_text(e));
	err_free(e);
	return true;
}

bool cni_sweep(const struct cni *c, const char *const *known)
{
	bool any = false;
	DIR *d = opendir(c->cache_dir);
	struct dirent *ent;

	while (d && (ent = readdir(d)))
		any |= sweep_one(c, dirfd(d), ent->d_name, known);
	if (d)
		closedir(d);
	return any;
}
