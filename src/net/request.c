/* What goes into a plugin and what comes out of it (record.h declares both). */
#include "net/record.h"

#include <arpa/inet.h>
#include <string.h>

static void mut_doc_free_p(yyjson_mut_doc **d)
{
	yyjson_mut_doc_free(*d);
}
#define _mut_doc_ _cleanup_(mut_doc_free_p)

/* Only capabilities that the plugin declares true (SPEC.md "Deriving runtimeConfig"). */
static yyjson_mut_val *runtime_config(yyjson_mut_doc *m, yyjson_val *plugin, yyjson_val *capabilities)
{
	yyjson_mut_val *rc = yyjson_mut_obj(m);
	yyjson_val *declared = yyjson_obj_get(plugin, "capabilities"), *key, *value;
	size_t i, n;

	if (!capabilities)
		return rc; /* yyjson's loop would step from NULL */
	yyjson_obj_foreach(capabilities, i, n, key, value)
		if (yyjson_is_true(yyjson_obj_getn(declared, yyjson_get_str(key), yyjson_get_len(key))))
			yyjson_mut_obj_add(rc, yyjson_val_mut_copy(m, key), yyjson_val_mut_copy(m, value));
	return rc;
}

struct err *cni_request(const struct cni_list *l, yyjson_val *plugin, yyjson_val *prev, yyjson_val *capabilities,
			char **ret_text, size_t *ret_len)
{
	_mut_doc_ yyjson_mut_doc *m = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_val_mut_copy(m, plugin);
	yyjson_mut_val *rc = runtime_config(m, plugin, capabilities);

	yyjson_mut_doc_set_root(m, root);
	yyjson_mut_obj_remove_key(root, "name");
	yyjson_mut_obj_remove_key(root, "cniVersion");
	yyjson_mut_obj_remove_key(root, "prevResult");
	yyjson_mut_obj_add_str(m, root, "name", l->name);
	yyjson_mut_obj_add_str(m, root, "cniVersion", l->version);
	if (prev)
		yyjson_mut_obj_add_val(m, root, "prevResult", yyjson_val_mut_copy(m, prev));
	if (yyjson_mut_obj_size(rc)) {
		yyjson_mut_obj_remove_key(root, "runtimeConfig");
		yyjson_mut_obj_add_val(m, root, "runtimeConfig", rc);
	}
	*ret_text = yyjson_mut_write(m, YYJSON_WRITE_NOFLAG, ret_len);
	if (!*ret_text)
		return err_new(ERR_INTERNAL, "the plugin's input can't be written as JSON");
	return NULL;
}

struct err *cni_result_parse(const char *text, size_t len, const char *version, yyjson_doc **ret)
{
	yyjson_doc *doc = yyjson_read(text, len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc);
	yyjson_val *own = yyjson_obj_get(root, "cniVersion");

	if (!yyjson_is_obj(root)) {
		yyjson_doc_free(doc);
		return err_new(ERR_INTERNAL, "its result is %s", len ? "not a JSON object" : "empty");
	}
	if (yyjson_is_str(own) && yyjson_get_len(own)) {
		*ret = doc;
		return NULL;
	}
	/* Old plugins leave the version out: it is that of the configuration. */
	_mut_doc_ yyjson_mut_doc *m = yyjson_doc_mut_copy(doc, NULL);

	yyjson_doc_free(doc);
	yyjson_mut_obj_remove_key(yyjson_mut_doc_get_root(m), "cniVersion");
	yyjson_mut_obj_add_str(m, yyjson_mut_doc_get_root(m), "cniVersion", version);
	*ret = yyjson_mut_doc_imut_copy(m, NULL);
	return *ret ? NULL : err_new(ERR_EXHAUSTED, "out of memory");
}

/* "10.1.0.5/16" without its prefix length, if it is an address of either family. */
static struct err *push_ip(yyjson_val *address, struct strv *ret)
{
	const char *s = yyjson_get_str(address);
	char text[INET6_ADDRSTRLEN + 4];
	unsigned char bytes[16];

	if (!s || strlen(s) >= sizeof(text))
		return err_new(ERR_INTERNAL, "its result has an address that is none");
	strcpy(text, s);
	text[strcspn(text, "/")] = '\0';
	if (inet_pton(AF_INET, text, bytes) != 1 && inet_pton(AF_INET6, text, bytes) != 1)
		return err_new(ERR_INTERNAL, "its result has the address \"%s\", which is none", s);
	strv_push(ret, text);
	return NULL;
}

/* An address may name its interface: one in the host (no sandbox) is not the pod's. */
static bool is_pods(yyjson_val *result, yyjson_val *ip)
{
	yyjson_val *index = yyjson_obj_get(ip, "interface");
	yyjson_val *ifaces = yyjson_obj_get(result, "interfaces");

	if (!yyjson_is_uint(index) || !yyjson_is_arr(ifaces))
		return true;
	yyjson_val *iface = yyjson_arr_get(ifaces, (size_t)yyjson_get_uint(index));

	return !iface || yyjson_get_len(yyjson_obj_get(iface, "sandbox")) > 0;
}

#define CNI_IPS_MAX 64

struct err *cni_result_ips(yyjson_val *result, struct strv *ret)
{
	yyjson_val *ips = yyjson_obj_get(result, "ips"), *ip;
	static const char *const old[] = { "ip4", "ip6" };
	size_t i, n;

	yyjson_arr_foreach(ips, i, n, ip) {
		if (i == CNI_IPS_MAX)
			return err_new(ERR_EXHAUSTED, "its result has more than %d addresses", CNI_IPS_MAX);
		if (is_pods(result, ip))
			TRY(push_ip(yyjson_obj_get(ip, "address"), ret));
	}
	for (i = 0; !ips && i < ARRAY_LEN(old); i++) { /* versions before 0.3.0 */
		yyjson_val *one = yyjson_obj_get(result, old[i]);

		if (one)
			TRY(push_ip(yyjson_obj_get(one, "ip"), ret));
	}
	return NULL;
}
