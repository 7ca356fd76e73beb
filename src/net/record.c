#include "net/record.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void mut_doc_free_p(yyjson_mut_doc **d)
{
	yyjson_mut_doc_free(*d);
}
#define _mut_doc_ _cleanup_(mut_doc_free_p)

void cni_record_done(struct cni_record *r)
{
	yyjson_doc_free(r->doc);
	*r = (struct cni_record){ 0 };
}

/* dockershim's and CRI-O's choice: "in practice, limiting to 2 Gbit is the equivalent of no limit"; the
 * bandwidth plugin refuses bursts of 2^32 bytes and more. */
#define BURST_BITS INT32_MAX

static yyjson_mut_val *make_ports(yyjson_mut_doc *m, const struct cni_pod *p)
{
	yyjson_mut_val *arr = yyjson_mut_arr(m);

	for (size_t i = 0; i < p->n_ports; i++) {
		const struct cni_port *port = &p->ports[i];

		if (!port->host_port)
			continue; /* api.proto PortMapping: no mapping wanted */
		yyjson_mut_val *o = yyjson_mut_arr_add_obj(m, arr);

		yyjson_mut_obj_add_uint(m, o, "hostPort", port->host_port);
		yyjson_mut_obj_add_uint(m, o, "containerPort", port->container_port);
		yyjson_mut_obj_add_strcpy(m, o, "protocol", port->protocol ? port->protocol : "tcp");
		if (!str_empty(port->host_ip))
			yyjson_mut_obj_add_strcpy(m, o, "hostIP", port->host_ip);
	}
	return arr;
}

static void add_rate(yyjson_mut_doc *m, yyjson_mut_val *o, const char *rate_key, const char *burst_key, uint64_t rate)
{
	if (!rate)
		return;
	yyjson_mut_obj_add_uint(m, o, rate_key, rate);
	yyjson_mut_obj_add_uint(m, o, burst_key, BURST_BITS);
}

static void add_words(yyjson_mut_doc *m, yyjson_mut_val *o, const char *key, const char *const *words)
{
	if (!words || !*words)
		return;
	yyjson_mut_val *arr = yyjson_mut_obj_add_arr(m, o, key);

	for (; *words; words++)
		yyjson_mut_arr_add_strcpy(m, arr, *words);
}

/* CONVENTIONS.md of CNI: the well-known capabilities and the shape of their arguments. */
static yyjson_mut_val *make_capabilities(yyjson_mut_doc *m, const struct cni_pod *p)
{
	yyjson_mut_val *caps = yyjson_mut_obj(m), *ports = make_ports(m, p);

	if (yyjson_mut_arr_size(ports))
		yyjson_mut_obj_add_val(m, caps, "portMappings", ports);
	if (p->ingress_rate || p->egress_rate) {
		yyjson_mut_val *o = yyjson_mut_obj_add_obj(m, caps, "bandwidth");

		add_rate(m, o, "ingressRate", "ingressBurst", p->ingress_rate);
		add_rate(m, o, "egressRate", "egressBurst", p->egress_rate);
	}
	if (!str_empty(p->mac))
		yyjson_mut_obj_add_strcpy(m, caps, "mac", p->mac);
	if (!str_empty(p->cgroup_parent))
		yyjson_mut_obj_add_strcpy(m, caps, "cgroupPath", p->cgroup_parent);
	if (p->dns) {
		yyjson_mut_val *o = yyjson_mut_obj_add_obj(m, caps, "dns");

		add_words(m, o, "servers", p->dns->servers);
		add_words(m, o, "searches", p->dns->searches);
		add_words(m, o, "options", p->dns->options);
	}
	return caps;
}

/* CNI_ARGS is KEY=VALUE;…: a value with these signs would forge others. */
static struct err *add_arg(struct buf *b, const char *key, const char *value)
{
	for (const char *c = value ? value : ""; *c; c++)
		if (*c == ';' || *c == '=' || (unsigned char)*c < 0x20)
			return err_new(ERR_INVALID, "\"%s\" can't be passed to CNI plugins as %s", value, key);
	buf_printf(b, ";%s=%s", key, value ? value : "");
	return NULL;
}

static struct err *make_args(const struct cni_pod *p, struct buf *b)
{
	buf_puts(b, "IgnoreUnknown=1");
	TRY(add_arg(b, "K8S_POD_NAMESPACE", p->namespace));
	TRY(add_arg(b, "K8S_POD_NAME", p->name));
	TRY(add_arg(b, "K8S_POD_INFRA_CONTAINER_ID", p->id));
	return add_arg(b, "K8S_POD_UID", p->uid);
}

static struct err *view(yyjson_doc *doc, struct cni_record *ret)
{
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct cni_record r = { .doc = doc };
	const char *kind = yyjson_get_str(yyjson_obj_get(root, "kind"));

	if (!kind || strcmp(kind, CNI_RECORD_KIND))
		return err_new(ERR_CORRUPT, "not a record of kind " CNI_RECORD_KIND);
	r.id = yyjson_get_str(yyjson_obj_get(root, "id"));
	r.netns = yyjson_get_str(yyjson_obj_get(root, "netns"));
	r.ifname = yyjson_get_str(yyjson_obj_get(root, "ifName"));
	r.args = yyjson_get_str(yyjson_obj_get(root, "args"));
	r.capabilities = yyjson_obj_get(root, "capabilityArgs");
	r.result = yyjson_obj_get(root, "result");
	if (!r.id || !cni_name_ok(r.id) || !r.ifname || !r.args || !r.netns)
		return err_new(ERR_CORRUPT, "a field is missing");
	TRY(cni_list_view(yyjson_obj_get(root, "config"), &r.list));
	*ret = r;
	return NULL;
}

/* The record that a document under construction describes; the document is read-only from then on. */
static struct err *finish(yyjson_mut_doc *m, struct cni_record *ret)
{
	yyjson_doc *doc = yyjson_mut_doc_imut_copy(m, NULL);

	if (!doc)
		return err_new(ERR_EXHAUSTED, "out of memory");
	struct err *e = view(doc, ret);

	if (e)
		yyjson_doc_free(doc);
	return e;
}

struct err *cni_record_make(const struct cni_pod *p, const struct cni_list *l, struct cni_record *ret)
{
	_mut_doc_ yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(m);
	_buf_ struct buf args = BUF_INIT;

	if (!cni_name_ok(p->id))
		return err_new(ERR_INVALID, "pod ID \"%s\" has signs that CNI does not allow", p->id);
	TRY(make_args(p, &args));
	yyjson_mut_doc_set_root(m, root);
	yyjson_mut_obj_add_str(m, root, "kind", CNI_RECORD_KIND);
	yyjson_mut_obj_add_str(m, root, "id", p->id);
	yyjson_mut_obj_add_str(m, root, "netns", p->netns ? p->netns : "");
	yyjson_mut_obj_add_str(m, root, "ifName", CNI_IFNAME);
	yyjson_mut_obj_add_str(m, root, "args", buf_text(&args));
	yyjson_mut_obj_add_val(m, root, "capabilityArgs", make_capabilities(m, p));
	yyjson_mut_obj_add_val(m, root, "config", yyjson_val_mut_copy(m, l->root));
	return finish(m, ret);
}

struct err *cni_record_set_result(struct cni_record *r, yyjson_val *result)
{
	_mut_doc_ yyjson_mut_doc *m = yyjson_doc_mut_copy(r->doc, NULL);
	struct cni_record with = { 0 };
	yyjson_mut_val *root = yyjson_mut_doc_get_root(m);

	yyjson_mut_obj_remove_key(root, "result");
	if (result)
		yyjson_mut_obj_add_val(m, root, "result", yyjson_val_mut_copy(m, result));
	TRY(finish(m, &with));
	cni_record_done(r);
	*r = with;
	return NULL;
}

struct err *cni_record_parse(const char *text, size_t len, struct cni_record *ret)
{
	yyjson_doc *doc = yyjson_read(text, len, YYJSON_READ_NOFLAG);

	if (!doc)
		return err_new(ERR_CORRUPT, "not JSON");
	struct err *e = view(doc, ret);

	if (e)
		yyjson_doc_free(doc);
	return e;
}

static char *record_path(const struct cni *c, const char *id)
{
	return base_printf("%s/%s.json", c->cache_dir, id);
}

struct err *cni_record_read(const struct cni *c, const char *id, struct cni_record *ret)
{
	_free_ char *path = record_path(c, id);
	_buf_ struct buf text = BUF_INIT;

	if (!cni_name_ok(id))
		return err_new(ERR_INVALID, "pod ID \"%s\" has signs that CNI does not allow", id);
	TRY(file_read_at(AT_FDCWD, path, CNI_RECORD_MAX, &text));
	return err_wrap(cni_record_parse(buf_text(&text), text.len, ret), "%s", path);
}

struct err *cni_record_write(const struct cni *c, const struct cni_record *r)
{
	_free_ char *path = record_path(c, r->id);
	size_t len;
	_free_ char *text = yyjson_write(r->doc, YYJSON_WRITE_NOFLAG, &len);

	if (!text)
		return err_new(ERR_INTERNAL, "write %s: the record is no JSON", path);
	TRY(file_make_dirs(c->cache_dir, 0700));
	return file_replace_at(AT_FDCWD, path, text, len, 0600, FILE_ORDERED);
}

struct err *cni_record_remove(const struct cni *c, const char *id)
{
	_free_ char *path = record_path(c, id);

	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(errno, "remove %s", path);
	return NULL;
}
