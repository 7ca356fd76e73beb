#include "cri/config.h"

#include "base/file.h"
#include "base/toml.h"
#include "box/lsm.h"
#include "box/sysctl.h"
#include "cri/config_runtime.h"
#include "spec/ulimit.h"
#include "sys/caps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CONFIG_FILE_MAX    (1u << 20)
#define CONFIG_DROPINS_MAX 256
#define CONFIG_DEFAULT     "/etc/crisp/config.toml"

enum key_type { KEY_STRING, KEY_NUMBER, KEY_LIST, KEY_BOOL };

/* Every key: where it goes, its default as TOML would write it, and what it means. */
static const struct key {
	const char *name;
	enum key_type type;
	size_t offset;
	const char *fallback;   /* lists: members separated by blanks */
	const char *doc;
	bool live;              /* in force from a reload on; the others wait for a restart */
} keys[] = {
#define KEY(name, type, fallback, doc) { #name, type, offsetof(struct config, name), fallback, doc, false }
#define LIVE(name, type, fallback, doc) { #name, type, offsetof(struct config, name), fallback, doc, true }
	KEY(root, KEY_STRING, "/var/lib/crisp", "Images, records of pods, writable layers. Survives reboots."),
	KEY(state, KEY_STRING, "/run/crisp", "Sockets and mounts. A tmpfs."),
	KEY(listen, KEY_STRING, "unix:///run/crisp/crisp.sock", "Where the kubelet finds CRI."),
	LIVE(log_level, KEY_STRING, "info", "error, warn, info or debug."),
	KEY(cgroup_driver, KEY_STRING, "cgroupfs", "Who manages the node's cgroups: cgroupfs (crisp and the kubelet) or systemd; told to the kubelet."),
	KEY(monitor_cgroup, KEY_STRING, "/crisp", "The cgroup of the pods' monitors, below /sys/fs/cgroup; with systemd their slice (system.slice)."),
	KEY(stream_address, KEY_STRING, "127.0.0.1:0", "Where exec, attach and port-forward connect; port 0: any free one."),
	KEY(certs_dir, KEY_STRING, "/etc/crisp/certs.d", "Registries' settings: HOST/hosts.toml, as containerd reads them."),
	KEY(registries_conf, KEY_STRING, "/etc/containers/registries.conf", "Mirrors, short names and blocked registries, as CRI-O reads them; FILE.d beside it."),
	KEY(registries_certs_dir, KEY_STRING, "/etc/containers/certs.d", "HOST/*.crt, *.cert and *.key of registries, as CRI-O reads them."),
	KEY(auth_file, KEY_STRING, "/etc/crisp/auth.json", "Registries' credentials, in the form of docker's config.json."),
	KEY(cni_conf_dir, KEY_STRING, "/etc/cni/net.d", "CNI network configurations; the first by name counts."),
	KEY(cni_bin_dirs, KEY_LIST, "/opt/cni/bin /usr/lib/cni /usr/libexec/cni", "Where CNI plugins are."),
	KEY(cni_timeout_s, KEY_NUMBER, "120", "Seconds that one run of a CNI plugin may take."),
	KEY(image_stores, KEY_LIST, "/usr/share/crisp/store", "Read-only image stores of the OS image; missing ones are skipped."),
	KEY(import_dirs, KEY_LIST, "/var/lib/crisp/import", "Directories whose archives (.tar, .tar.gz, .tar.zst, OCI layouts) and lists (.txt) are imported, and pinned while they are there."),
	LIVE(pinned_images, KEY_LIST, "", "Images that are never garbage, by whole name (registry.k8s.io/pause:3.10); * stands for anything."),
	LIVE(default_env, KEY_LIST, "", "NAME=VALUE given to every container that does not set NAME."),
	LIVE(default_ulimits, KEY_LIST, "", "Resource limits of every container: nofile=1024:4096, core=0, memlock=unlimited."),
	LIVE(default_sysctls, KEY_LIST, "", "KEY=VALUE of every pod with the namespace that KEY is of (net., kernel.shm…); a pod's own win."),
	LIVE(pids_limit, KEY_NUMBER, "0", "Processes of a container; 0: no limit but the kubelet's of the pod."),
	KEY(pull_timeout_s, KEY_NUMBER, "60", "Seconds without a byte after which a pull fails."),
	KEY(pull_max_bytes, KEY_NUMBER, "68719476736", "Bytes of one image, unpacked."),
	KEY(pull_parallel, KEY_NUMBER, "3", "Pulls at once; further ones wait."),
	KEY(unprivileged_uid, KEY_NUMBER, "65533", "User ID of the processes that talk to the outside: fetch, unpack, stream."),
	KEY(metrics_listen, KEY_STRING, "", "Where serve's own metrics are, for Prometheus: unix:///PATH or a loopback ADDRESS:PORT; empty: nowhere."),
	KEY(cadvisor_listen, KEY_STRING, "",
	    "Where the kubelet's cAdvisor asks about containers, as it asks CRI-O: unix:///run/crio/crio.sock. Cgroups of containers are called "
	    "crio-ID then. Empty: nowhere."),
	LIVE(shm_size, KEY_NUMBER, "67108864", "Bytes of a pod's /dev/shm."),
	KEY(apparmor_profile, KEY_STRING, LSM_APPARMOR_DEFAULT,
	    "RuntimeDefault of AppArmor: crisp-default is built in; another one is loaded by the OS; unconfined: none."),
	KEY(selinux, KEY_STRING, "auto", "Labels for containers and volumes: auto (where the node has a policy), on or off."),
	LIVE(default_capabilities, KEY_LIST,
	    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
	    "AUDIT_WRITE", "What a container has that adds and drops nothing."),
	LIVE(seccomp_profile, KEY_STRING, "", "RuntimeDefault of seccomp: a JSON file in the form of OCI or Docker; empty: built in."),
	KEY(device_ownership_from_security_context, KEY_BOOL, "false",
	    "Devices that the kubelet lists belong to the container's runAsUser and runAsGroup."),
	KEY(privileged_without_host_devices, KEY_BOOL, "false", "Privileged containers get only the devices that are listed."),
	KEY(absent_mount_sources_to_reject, KEY_LIST, "", "Host paths that are not made when they are missing: an error instead."),
	KEY(cdi_dirs, KEY_LIST, "/etc/cdi /var/run/cdi", "Where CDI specs of devices are (JSON); a later directory's win."),
#undef KEY
#undef LIVE
};

/* ---- values ----------------------------------------------------------------------------------- */

static void put_string(struct config *c, const struct key *k, const char *value)
{
	char **to = (char **)((char *)c + k->offset);

	free(*to);
	*to = base_strdup(value);
}

static void put_number(struct config *c, const struct key *k, uint64_t value)
{
	*(uint64_t *)((char *)c + k->offset) = value;
}

static struct strv *list_of(struct config *c, const struct key *k)
{
	return (struct strv *)((char *)c + k->offset);
}

static bool *bool_of(struct config *c, const struct key *k)
{
	return (bool *)((char *)c + k->offset);
}

static void put_default(struct config *c, const struct key *k)
{
	uint64_t n = 0;

	if (k->type == KEY_STRING)
		put_string(c, k, k->fallback);
	if (k->type == KEY_NUMBER && str_to_u64(k->fallback, UINT64_MAX, &n))
		put_number(c, k, n);
	if (k->type == KEY_BOOL)
		*bool_of(c, k) = !strcmp(k->fallback, "true");
	if (k->type != KEY_LIST)
		return;
	_free_ char *words = base_strdup(k->fallback);
	char *save = NULL;

	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
		strv_push(list_of(c, k), w);
}

static struct err *wrong_type(const char *name, const struct toml *t, const struct key *k)
{
	static const char *const wants[] = { "a string", "a number that is not negative", "an array of strings",
					     "true or false" };

	return err_new(ERR_INVALID, "%s:%u: %s must be %s, not a value of type %s", name, t->line, k->name,
		       wants[k->type], toml_type_name(t->type));
}

static struct err *put(struct config *c, const char *name, const struct key *k, struct toml *t)
{
	switch (k->type) {
	case KEY_STRING:
		if (t->type != TOML_STRING)
			return wrong_type(name, t, k);
		put_string(c, k, t->string);
		return NULL;
	case KEY_NUMBER:
		if (t->type != TOML_INTEGER || t->integer < 0)
			return wrong_type(name, t, k);
		put_number(c, k, (uint64_t)t->integer);
		return NULL;
	case KEY_BOOL:
		if (t->type != TOML_BOOL)
			return wrong_type(name, t, k);
		*bool_of(c, k) = t->boolean;
		return NULL;
	case KEY_LIST:
		break;
	}
	if (t->type != TOML_ARRAY)
		return wrong_type(name, t, k);
	for (struct toml *m = t->first; m; m = m->next)
		if (m->type != TOML_STRING)
			return wrong_type(name, m, k);
	strv_done(list_of(c, k));
	for (struct toml *m = t->first; m; m = m->next)
		strv_push(list_of(c, k), m->string);
	return NULL;
}

static struct err *check_security(const struct config *c)
{
	if (!str_eq(c->selinux, "auto") && !str_eq(c->selinux, "on") && !str_eq(c->selinux, "off"))
		return err_new(ERR_INVALID, "selinux \"%s\": not one of auto, on, off", c->selinux);
	if (!*c->apparmor_profile)
		return err_new(ERR_INVALID, "apparmor_profile is empty; \"unconfined\" means none");
	if (*c->seccomp_profile && c->seccomp_profile[0] != '/')
		return err_new(ERR_INVALID, "seccomp_profile \"%s\" is not an absolute path", c->seccomp_profile);
	for (size_t i = 0; i < c->default_capabilities.len; i++)
		if (caps_from_name(c->default_capabilities.items[i]) < 0)
			return err_new(ERR_INVALID, "default_capabilities: unknown capability \"%.64s\"",
				       c->default_capabilities.items[i]);
	return NULL;
}

static struct err *check_defaults(const struct config *c)
{
	struct ulimit ignored;

	for (size_t i = 0; i < c->default_ulimits.len; i++)
		TRY_WRAP(ulimit_parse(c->default_ulimits.items[i], &ignored), "default_ulimits");
	for (size_t i = 0; i < c->default_sysctls.len; i++) {
		const char *text = c->default_sysctls.items[i], *value = strchr(text, '=');

		if (!value || value == text || !sysctl_namespace_flag(text, (size_t)(value - text)))
			return err_new(ERR_INVALID, "default_sysctls: \"%.100s\" is not KEY=VALUE of a sysctl that pods have "
						    "for themselves", text);
	}
	for (size_t i = 0; i < c->default_env.len; i++)
		if (strchr(c->default_env.items[i], '=') == c->default_env.items[i] || !strchr(c->default_env.items[i], '='))
			return err_new(ERR_INVALID, "default_env: \"%.100s\" is not NAME=VALUE", c->default_env.items[i]);
	return NULL;
}

/* What the types do not say. */
static struct err *check(struct config *c)
{
	bool systemd = str_eq(c->cgroup_driver, "systemd");

	if (!systemd && !str_eq(c->cgroup_driver, "cgroupfs"))
		return err_new(ERR_INVALID, "cgroup_driver \"%s\": not one of cgroupfs, systemd", c->cgroup_driver);
	if (systemd && str_eq(c->monitor_cgroup, "/crisp")) {
		/* the other driver's default */
		free(c->monitor_cgroup);
		c->monitor_cgroup = base_strdup("system.slice");
	}
	if (!systemd && c->monitor_cgroup[0] != '/')
		return err_new(ERR_INVALID, "monitor_cgroup \"%s\" must begin with a slash", c->monitor_cgroup);
	if (c->pull_parallel == 0 || c->pull_timeout_s == 0 || c->cni_timeout_s == 0)
		return err_new(ERR_INVALID, "pull_parallel, pull_timeout_s and cni_timeout_s must be at least 1");
	if (c->unprivileged_uid == 0 || c->unprivileged_uid >= UINT32_MAX)
		return err_new(ERR_INVALID, "unprivileged_uid must be a user ID other than root's");
	TRY(config_check_runtimes(c));
	TRY(check_defaults(c));
	return check_security(c);
}

/* ---- files ------------------------------------------------------------------------------------ */

static struct err *read_one(struct config *c, const char *path)
{
	_buf_ struct buf text = BUF_INIT;
	_arena_ struct arena a = { 0 };
	struct toml *root;

	TRY(file_read_virtual(AT_FDCWD, path, CONFIG_FILE_MAX, &text));
	TRY(toml_parse(&a, path, buf_text(&text), text.len, &root));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct toml *t = toml_get(root, keys[i].name);

		if (t)
			TRY(put(c, path, &keys[i], t));
	}
	TRY(config_read_runtimes(c, path, root));
	const struct toml *unknown = toml_unasked(root);

	if (unknown)
		return err_new(ERR_INVALID, "%s:%u: unknown key \"%.100s\"", path, unknown->line, unknown->key);
	return NULL;
}

struct dropin {
	char *name, *path;
};

/* The same name in a later directory replaces the earlier. */
static void add_dropin(struct dropin *list, size_t *n, const char *dir, const char *name)
{
	size_t i = 0;

	while (i < *n && strcmp(list[i].name, name))
		i++;
	if (i == CONFIG_DROPINS_MAX)
		return;
	if (i == *n)
		list[(*n)++].name = base_strdup(name);
	free(list[i].path);
	list[i].path = base_printf("%s/%s", dir, name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct dropin *)a)->name, ((const struct dropin *)b)->name);
}

static struct err *read_dropins(struct config *c)
{
	static const char *const dirs[] = { "/usr/lib/crisp/config.d", "/etc/crisp/config.d", "/run/crisp/config.d" };
	struct dropin *list = base_calloc(CONFIG_DROPINS_MAX, sizeof(*list));
	struct err *e = NULL;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		DIR *d = opendir(dirs[i]);
		struct dirent *ent;

		while (d && (ent = readdir(d)))
			if (ent->d_name[0] != '.' && str_ends(ent->d_name, ".toml"))
				add_dropin(list, &n, dirs[i], ent->d_name);
		if (d)
			closedir(d);
	}
	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++) {
		if (!e)
			e = read_one(c, list[i].path);
		free(list[i].name);
		free(list[i].path);
	}
	free(list);
	return e;
}

static struct err *load(const char *path, struct config *c)
{
	struct err *e = read_one(c, path ? path : CONFIG_DEFAULT);

	if (!path && err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		e = NULL;
	}
	TRY(e);
	TRY(read_dropins(c));
	return check(c);
}

struct err *config_load(const char *path, struct config *ret)
{
	struct config c = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		put_default(&c, &keys[i]);
	struct err *e = load(path, &c);

	if (e) {
		config_done(&c);
		return err_wrap(e, "configuration");
	}
	*ret = c;
	return NULL;
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (keys[i].type == KEY_STRING)
			free(*(char **)((char *)c + keys[i].offset));
		if (keys[i].type == KEY_LIST)
			strv_done(list_of(c, &keys[i]));
	}
	config_free_runtimes(c);
	*c = (struct config){ 0 };
}

/* ---- at a reload ------------------------------------------------------------------------------ */

static bool same_list(const struct strv *a, const struct strv *b)
{
	size_t i = 0;

	while (i < a->len && i < b->len && !strcmp(a->items[i], b->items[i]))
		i++;
	return i == a->len && i == b->len;
}

static bool same_value(struct config *a, struct config *b, const struct key *k)
{
	switch (k->type) {
	case KEY_STRING:
		return str_eq(*(char **)((char *)a + k->offset), *(char **)((char *)b + k->offset));
	case KEY_NUMBER:
		return *(uint64_t *)((char *)a + k->offset) == *(uint64_t *)((char *)b + k->offset);
	case KEY_BOOL:
		return *bool_of(a, k) == *bool_of(b, k);
	case KEY_LIST:
		break;
	}
	return same_list(list_of(a, k), list_of(b, k));
}

static void exchange(void *a, void *b, size_t n)
{
	char t[sizeof(struct strv)];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

void config_take(struct config *now, struct config *fresh, struct strv *ret_taken, struct strv *ret_later)
{
	static const size_t sizes[] = { [KEY_STRING] = sizeof(char *), [KEY_NUMBER] = sizeof(uint64_t),
					[KEY_LIST] = sizeof(struct strv), [KEY_BOOL] = sizeof(bool) };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct key *k = &keys[i];

		if (same_value(now, fresh, k))
			continue;
		strv_push(k->live ? ret_taken : ret_later, k->name);
		if (k->live)
			exchange((char *)now + k->offset, (char *)fresh + k->offset, sizes[k->type]);
	}
	if (!config_same_runtimes(now, fresh))
		strv_push(ret_later, "runtime");
}

char *config_describe(void)
{
	struct buf b = BUF_INIT;
	struct config c = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct key *k = &keys[i];

		buf_printf(&b, "# %s%s\n", k->doc, k->live ? " Reloaded on SIGHUP." : "");
		if (k->type == KEY_STRING)
			buf_printf(&b, "%s = \"%s\"\n\n", k->name, k->fallback);
		if (k->type == KEY_NUMBER || k->type == KEY_BOOL)
			buf_printf(&b, "%s = %s\n\n", k->name, k->fallback);
		if (k->type != KEY_LIST)
			continue;
		put_default(&c, k);
		buf_printf(&b, "%s = [", k->name);
		for (size_t n = 0; n < list_of(&c, k)->len; n++)
			buf_printf(&b, "%s\"%s\"", n ? ", " : "", list_of(&c, k)->items[n]);
		buf_puts(&b, "]\n\n");
	}
	config_done(&c);
	config_describe_runtimes(&b);
	return buf_take(&b);
}
