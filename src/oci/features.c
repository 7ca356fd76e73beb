/* features: what this runtime can do (runtime-spec, features.md), from the tables that do it. */
#include "base/file.h"
#include "box/oci.h"
#include "oci/verb.h"
#include "spec/json.h"

#include <seccomp.h>

static void add_hooks_and_namespaces(yyjson_mut_doc *d, yyjson_mut_val *root, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *hooks = json_put_arr(d, root, "hooks");
	yyjson_mut_val *namespaces = json_put_arr(d, linux_obj, "namespaces");

	for (int i = 0; i < OCI_HOOK_KINDS; i++)
		yyjson_mut_arr_add_str(d, hooks, oci_hook_name((enum oci_hook_kind)i));
	for (int i = 0; i < OCI_NS_KINDS; i++)
		yyjson_mut_arr_add_str(d, namespaces, oci_namespace_name((enum oci_namespace_kind)i));
}

static void add_mount_options(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *options = json_put_arr(d, root, "mountOptions");
	const char *word;
	char text[32];

	for (size_t i = 0; (word = oci_mount_option(i, text)); i++)
		yyjson_mut_arr_add_strcpy(d, options, word);
}

static void add_words(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *(*word)(size_t i))
{
	yyjson_mut_val *arr = json_put_arr(d, obj, key);

	for (size_t i = 0; word(i); i++)
		yyjson_mut_arr_add_str(d, arr, word(i));
}

static void add_flag(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, bool enabled)
{
	yyjson_mut_obj_add_bool(d, json_put_obj(d, obj, key), "enabled", enabled);
}

/* Those whose numbers libseccomp knows and this kernel can check. */
static void add_archs(yyjson_mut_doc *d, yyjson_mut_val *seccomp)
{
	static const struct {
		const char *name;
		uint32_t arch;
	} archs[] = {
		{ "SCMP_ARCH_X86", SCMP_ARCH_X86 },	  { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
		{ "SCMP_ARCH_X32", SCMP_ARCH_X32 },	  { "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
		{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	};
	yyjson_mut_val *arr = json_put_arr(d, seccomp, "archs");

	for (size_t i = 0; i < ARRAY_LEN(archs); i++)
		yyjson_mut_arr_add_str(d, arr, archs[i].name);
}

static void add_seccomp(yyjson_mut_doc *d, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *seccomp = json_put_obj(d, linux_obj, "seccomp");

	yyjson_mut_obj_add_bool(d, seccomp, "enabled", true);
	add_words(d, seccomp, "actions", oci_seccomp_action);
	add_words(d, seccomp, "operators", oci_seccomp_operator);
	add_archs(d, seccomp);
	add_words(d, seccomp, "knownFlags", oci_seccomp_flag);
	add_words(d, seccomp, "supportedFlags", oci_seccomp_flag);
}

static void add_cgroup(yyjson_mut_doc *d, yyjson_mut_val *linux_obj)
{
	yyjson_mut_val *cgroup = json_put_obj(d, linux_obj, "cgroup");

	yyjson_mut_obj_add_bool(d, cgroup, "v1", false);
	yyjson_mut_obj_add_bool(d, cgroup, "v2", true);
	yyjson_mut_obj_add_bool(d, cgroup, "systemd", false);
	yyjson_mut_obj_add_bool(d, cgroup, "systemdUser", false);
	yyjson_mut_obj_add_bool(d, cgroup, "rdma", false);
}

struct err *oci_features(struct oci_call *c)
{
	yyjson_mut_doc *d = json_new(&c->cli.arena);
	yyjson_mut_val *root = yyjson_mut_obj(d), *linux_obj, *caps;
	_buf_ struct buf text = BUF_INIT;

	yyjson_mut_doc_set_root(d, root);
	json_put_str(d, root, "ociVersionMin", "1.0.0");
	json_put_str(d, root, "ociVersionMax", "1.2.0");
	add_mount_options(d, root);
	linux_obj = json_put_obj(d, root, "linux");
	add_hooks_and_namespaces(d, root, linux_obj);
	caps = json_put_arr(d, linux_obj, "capabilities");
	for (unsigned int i = 0; caps_name(i); i++)
		yyjson_mut_arr_add_str(d, caps, caps_name(i));
	add_cgroup(d, linux_obj);
	add_seccomp(d, linux_obj);
	add_flag(d, linux_obj, "apparmor", true);
	add_flag(d, linux_obj, "selinux", true);
	add_flag(d, linux_obj, "intelRdt", false);
	add_flag(d, json_put_obj(d, linux_obj, "mountExtensions"), "idmap", true);
	json_put_str(d, json_put_obj(d, root, "annotations"), "org.crisp.version", CRISP_VERSION);
	TRY(json_write(d, YYJSON_WRITE_PRETTY_TWO_SPACES, &text));
	buf_putc(&text, '\n');
	return file_write_fd(1, text.data, text.len);
}
