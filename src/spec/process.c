#include "base/str.h"
#include "spec/build.h"
#include "spec/ulimit.h"
#include "spec/extension.h"
#include "sys/caps.h"

#include <string.h>

/* What containerd gives, and what images are made for (Kubernetes' baseline, and NET_RAW). */
static const char *const default_caps[] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
	"CAP_AUDIT_WRITE", NULL,
};

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ALL_CAPS ((UINT64_C(1) << CAPS_N) - 1)

static struct err *caps_of(const char *what, char *const *names, size_t n, uint64_t *ret, bool *ret_all)
{
	for (size_t i = 0; i < n; i++) {
		if (ret_all && (!strcmp(names[i], "ALL") || !strcmp(names[i], "all"))) {
			*ret_all = true;
			continue;
		}
		int cap = caps_from_name(names[i]);

		if (cap < 0)
			return err_new(ERR_INVALID, "%s: unknown capability \"%.64s\"", what, names[i]);
		*ret |= UINT64_C(1) << cap;
	}
	return NULL;
}

static size_t list_length(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* ALL first, then the single ones, drops last: as containerd and CRI-O have it. */
struct err *build_caps(struct build *b)
{
	const Runtime__V1__Capability *c = b->sc->capabilities;
	uint64_t add = 0, drop = 0;
	bool add_all = false, drop_all = false;

	if (b->sc->privileged) {
		b->caps = ALL_CAPS;
		return NULL;
	}
	const char *const *names = b->in->default_caps ? b->in->default_caps : default_caps;

	TRY(caps_of("default", (char *const *)(uintptr_t)names, list_length((char *const *)(uintptr_t)names), &b->caps, NULL));
	if (!c)
		return NULL;
	TRY(caps_of("add_capabilities", c->add_capabilities, c->n_add_capabilities, &add, &add_all));
	TRY(caps_of("drop_capabilities", c->drop_capabilities, c->n_drop_capabilities, &drop, &drop_all));
	TRY(caps_of("add_ambient_capabilities", c->add_ambient_capabilities, c->n_add_ambient_capabilities,
		    &b->ambient, NULL));
	if (add_all)
		b->caps = ALL_CAPS;
	if (drop_all)
		b->caps = 0;
	b->caps = ((b->caps | add) & ~drop) | b->ambient;
	return NULL;
}

static void put_cap_set(struct build *b, yyjson_mut_val *obj, const char *key, uint64_t mask)
{
	yyjson_mut_val *arr = json_put_arr(b->doc, obj, key);

	for (unsigned int i = 0; i < CAPS_N; i++)
		if (mask >> i & 1)
			yyjson_mut_arr_add_str(b->doc, arr, caps_name(i));
}

/* Inheritable ones would pass to programs with file capabilities (CVE-2022-24769); only ambient ones need to be. */
static void put_caps(struct build *b, yyjson_mut_val *process)
{
	yyjson_mut_val *obj = json_put_obj(b->doc, process, "capabilities");

	put_cap_set(b, obj, "bounding", b->caps);
	put_cap_set(b, obj, "effective", b->caps);
	put_cap_set(b, obj, "permitted", b->caps);
	if (!b->ambient)
		return;
	put_cap_set(b, obj, "inheritable", b->ambient);
	put_cap_set(b, obj, "ambient", b->ambient);
}

/* CRI: `command` takes the place of the image's entrypoint and its cmd, `args` that of its cmd. */
static struct err *put_args(struct build *b, yyjson_mut_val *process)
{
	const Runtime__V1__ContainerConfig *c = b->in->container;
	const struct image_config *image = b->in->image;
	char *const *first = c->command, *const *rest = c->args;
	size_t n_first = c->n_command, n_rest = c->n_args;

	if (!n_first) {
		first = image->entrypoint;
		n_first = list_length(first);
		if (!n_rest) {
			rest = image->cmd;
			n_rest = list_length(rest);
		}
	}
	const char *program = n_first ? first[0] : n_rest ? rest[0] : "";

	if (!*program)
		return err_new(ERR_INVALID, "no command specified: neither the container nor its image names one");
	if (n_first + n_rest > BUILD_ARGS_MAX)
		return err_new(ERR_INVALID, "more than %d arguments", BUILD_ARGS_MAX);
	yyjson_mut_val *arr = json_put_arr(b->doc, process, "args");

	for (size_t i = 0; i < n_first; i++)
		yyjson_mut_arr_add_str(b->doc, arr, first[i]);
	for (size_t i = 0; i < n_rest; i++)
		yyjson_mut_arr_add_str(b->doc, arr, rest[i]);
	return NULL;
}

/* The environment while it is put together: later ones replace earlier ones, in their place. Names are found
 * through a table of *size* slots, so that many variables do not cost their square. */
struct env {
	const char **items;
	size_t *lengths;   /* bytes, for values are bytes */
	size_t n, max;
	size_t *slots;     /* index + 1 */
	size_t size;
};

static size_t hash_name(const char *s, size_t n)
{
	size_t h = 1469598103934665603u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 1099511628211u;
	return h;
}

static size_t *env_slot(struct env *e, const char *item, size_t name_len)
{
	for (size_t i = hash_name(item, name_len);; i++) {
		size_t *slot = &e->slots[i & (e->size - 1)];

		if (!*slot || (!strncmp(e->items[*slot - 1], item, name_len) && e->items[*slot - 1][name_len] == '='))
			return slot;
	}
}

/* *item* is NAME=VALUE. */
static void env_set(struct env *e, const char *item, size_t len)
{
	size_t *slot = env_slot(e, item, strcspn(item, "="));

	if (!*slot)
		*slot = ++e->n;
	e->items[*slot - 1] = item;
	e->lengths[*slot - 1] = len;
}

static bool env_has(struct env *e, const char *name)
{
	return *env_slot(e, name, strlen(name)) != 0;
}

/* What the image or the configuration says; what is not NAME=VALUE cannot be passed on. */
static void env_add_list(struct env *e, const char *const *list)
{
	for (; list && *list; list++)
		if (strchr(*list, '=') && **list != '=')
			env_set(e, *list, strlen(*list));
}

static struct err *env_add_cri(struct build *b, struct env *e)
{
	const Runtime__V1__ContainerConfig *c = b->in->container;

	for (size_t i = 0; i < c->n_envs; i++) {
		const Runtime__V1__KeyValue *kv = c->envs[i];
		size_t key_len = strlen(kv->key), len = key_len + 1 + kv->value.len;

		if (!key_len || strchr(kv->key, '='))
			return err_new(ERR_INVALID, "environment: \"%.64s\" is no name", kv->key);
		if (kv->value.len && memchr(kv->value.data, '\0', kv->value.len))
			return err_new(ERR_INVALID, "environment: the value of %.64s holds a NUL byte", kv->key);
		char *item = arena_alloc(b->arena, len + 1);

		memcpy(item, kv->key, key_len);
		item[key_len] = '=';
		if (kv->value.len)
			memcpy(item + key_len + 1, kv->value.data, kv->value.len);
		env_set(e, item, len);
	}
	return NULL;
}

/* Values are bytes, JSON is text: what is not goes beside it. */
static void write_env(struct build *b, yyjson_mut_val *process, const struct env *e)
{
	yyjson_mut_val *arr = json_put_arr(b->doc, process, "env"), *raw = NULL;

	for (size_t i = 0; i < e->n; i++) {
		bool changed;

		yyjson_mut_arr_add_str(b->doc, arr, json_make_text(b->arena, e->items[i], e->lengths[i], &changed));
		if (!changed)
			continue;
		char *hex = arena_alloc(b->arena, 2 * e->lengths[i] + 1);

		str_hex(e->items[i], e->lengths[i], hex);
		if (!raw)
			raw = json_put_obj(b->doc, process, EXTENSION_ENV);
		json_put_str(b->doc, raw, arena_printf(b->arena, "%zu", i), hex);
	}
}

static struct err *put_env(struct build *b, yyjson_mut_val *process)
{
	const struct spec_input *in = b->in;
	struct env e = { .max = 8 + in->container->n_envs, .size = 64 };

	e.max += list_length((char *const *)(uintptr_t)in->default_env) + list_length(in->image->env);
	if (e.max > BUILD_ENV_MAX)
		return err_new(ERR_INVALID, "environment: more than %d variables", BUILD_ENV_MAX);
	while (e.size < 2 * e.max)
		e.size *= 2;
	e.items = arena_calloc(b->arena, e.max, sizeof(*e.items));
	e.lengths = arena_calloc(b->arena, e.max, sizeof(*e.lengths));
	e.slots = arena_calloc(b->arena, e.size, sizeof(*e.slots));
	env_set(&e, "PATH=" DEFAULT_PATH, strlen("PATH=" DEFAULT_PATH));
	if (!str_empty(in->hostname)) {
		const char *item = arena_printf(b->arena, "HOSTNAME=%s", in->hostname);

		env_set(&e, item, strlen(item));
	}
	if (in->container->tty)
		env_set(&e, "TERM=xterm", strlen("TERM=xterm"));
	env_add_list(&e, in->default_env);
	env_add_list(&e, (const char *const *)(uintptr_t)in->image->env);
	TRY(env_add_cri(b, &e));
	if (!env_has(&e, "HOME")) {
		const char *item = arena_printf(b->arena, "HOME=%s", str_empty(in->user->home) ? "/" : in->user->home);

		env_set(&e, item, strlen(item));
	}
	write_env(b, process, &e);
	return NULL;
}

static void put_user(struct build *b, yyjson_mut_val *process)
{
	const struct user *u = b->in->user;
	yyjson_mut_val *obj = json_put_obj(b->doc, process, "user"), *arr;

	yyjson_mut_obj_add_uint(b->doc, obj, "uid", u->uid);
	yyjson_mut_obj_add_uint(b->doc, obj, "gid", u->gid);
	arr = json_put_arr(b->doc, obj, "additionalGids");
	for (size_t i = 0; i < u->n_groups; i++)
		yyjson_mut_arr_add_uint(b->doc, arr, u->groups[i]);
}

/* The container's own word first, then the image's, which may be relative by mistake. */
static const char *working_dir(struct build *b)
{
	const char *dir = b->in->container->working_dir;

	if (str_empty(dir))
		dir = b->in->image->working_dir;
	return str_empty(dir) ? "/" : build_clean_path(b->arena, dir);
}

static struct err *put_ulimits(struct build *b, yyjson_mut_val *p)
{
	const char *const *text = b->in->ulimits;
	yyjson_mut_val *arr = text && *text ? json_put_arr(b->doc, p, "rlimits") : NULL;

	for (; arr && *text; text++) {
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(b->doc, arr);
		struct ulimit u;

		TRY(ulimit_parse(*text, &u));
		yyjson_mut_obj_add_strcpy(b->doc, obj, "type", u.type);
		yyjson_mut_obj_add_uint(b->doc, obj, "hard", u.hard);
		yyjson_mut_obj_add_uint(b->doc, obj, "soft", u.soft);
	}
	return NULL;
}

struct err *build_process(struct build *b, yyjson_mut_val *root)
{
	yyjson_mut_val *p = json_put_obj(b->doc, root, "process");

	yyjson_mut_obj_add_bool(b->doc, p, "terminal", b->in->container->tty);
	put_user(b, p);
	TRY(put_args(b, p));
	TRY(put_env(b, p));
	json_put_str(b->doc, p, "cwd", working_dir(b));
	put_caps(b, p);
	yyjson_mut_obj_add_bool(b->doc, p, "noNewPrivileges", b->sc->no_new_privs);
	TRY(put_ulimits(b, p));
	if (b->oom_score_adj < -1000 || b->oom_score_adj > 1000)
		return err_new(ERR_INVALID, "oom_score_adj %lld is not from -1000 to 1000", (long long)b->oom_score_adj);
	if (b->has_oom_score_adj)
		yyjson_mut_obj_add_sint(b->doc, p, "oomScoreAdj", b->oom_score_adj);
	TRY(build_apparmor(b, p));
	json_put_str(b->doc, p, "selinuxLabel", b->in->selinux_process);
	return NULL;
}
