#include "base/str.h"
#include "spec/build.h"

#include <string.h>

/* One mount on its way into the list. */
struct mount {
	const char *destination, *source, *type;
	const char *options[24];   /* NULL-terminated */
	size_t n_options;
	const Runtime__V1__Mount *cri;   /* for its ID mappings; NULL: none */
	size_t depth, order;
};

struct list {
	struct mount *items;
	size_t n;
};

static const struct spec_mount defaults[] = {
	{ "/proc", "proc", "proc", (const char *const[]){ "nosuid", "noexec", "nodev", NULL } },
	{ "/dev", "tmpfs", "tmpfs", (const char *const[]){ "nosuid", "strictatime", "mode=755", "size=65536k", NULL } },
	{ "/dev/pts", "devpts", "devpts",
	  (const char *const[]){ "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", NULL } },
	{ "/dev/mqueue", "mqueue", "mqueue", (const char *const[]){ "nosuid", "noexec", "nodev", NULL } },
	{ "/sys", "sysfs", "sysfs", (const char *const[]){ "nosuid", "noexec", "nodev", NULL } },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", (const char *const[]){ "nosuid", "noexec", "nodev", "relatime", NULL } },
};

char *build_clean_path(struct arena *a, const char *path)
{
	char *out = arena_alloc(a, strlen(path) + 2);
	size_t n = 0;

	for (const char *s = path; *s;) {
		s += strspn(s, "/");
		size_t len = strcspn(s, "/");

		if (len == 2 && !strncmp(s, "..", 2)) {
			while (n > 0 && out[n - 1] != '/')
				n--;
			n -= n > 0;
		} else if (len && !(len == 1 && *s == '.')) {
			out[n++] = '/';
			memcpy(out + n, s, len);
			n += len;
		}
		s += len;
	}
	if (!n)
		out[n++] = '/';
	out[n] = '\0';
	return out;
}

static struct err *add_option(struct mount *m, const char *option)
{
	if (m->n_options == ARRAY_LEN(m->options) - 1)
		return err_new(ERR_INVALID, "mount %.256s: more than %zu options", m->destination, ARRAY_LEN(m->options) - 1);
	m->options[m->n_options++] = option;
	return NULL;
}

static size_t depth_of(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1];
	return n;
}

/* What a later one covers: the same place, and with /dev all in it. */
static bool is_overridden(const struct list *given, const char *destination)
{
	for (size_t i = 0; i < given->n; i++) {
		const char *d = given->items[i].destination;

		if (!strcmp(d, destination) || (!strcmp(d, "/dev") && str_starts(destination, "/dev/")))
			return true;
	}
	return false;
}

static struct err *add(struct build *b, struct list *l, const struct spec_mount *from, struct mount **ret)
{
	struct mount *m = &l->items[l->n];

	*m = (struct mount){ .source = from->source, .type = from->type, .order = l->n };
	m->destination = build_clean_path(b->arena, from->destination);
	m->depth = depth_of(m->destination);
	if (!strcmp(m->destination, "/"))
		return err_new(ERR_INVALID, "mount: nothing can be mounted on the root itself");
	for (const char *const *o = from->options; o && *o; o++)
		TRY(add_option(m, *o));
	l->n++;
	*ret = m;
	return NULL;
}

/* Only words that say less, never what would change what is mounted. */
static struct err *add_cri_option(struct mount *m, const char *word)
{
	static const char *const allowed[] = { "noexec", "nodev", "nosuid" };

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (!strcmp(word, allowed[i]))
			return add_option(m, allowed[i]);
	return err_new(ERR_INVALID, "mount %.256s: option \"%.64s\" is not one of noexec, nodev, nosuid", m->destination, word);
}

static struct err *check_recursive_readonly(const Runtime__V1__Mount *from)
{
	if (!from->recursive_read_only)
		return NULL;
	if (!from->readonly)
		return err_new(ERR_INVALID, "mount %.256s: recursive_read_only needs readonly", from->container_path);
	if (from->propagation != RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return err_new(ERR_INVALID, "mount %.256s: recursive_read_only needs private propagation",
			       from->container_path);
	return NULL;
}

static struct err *add_cri(struct build *b, struct list *l, const Runtime__V1__Mount *from)
{
	static const char *const bind[] = { "rbind", NULL };
	const struct spec_mount plain = { from->container_path, from->host_path, "bind", bind };
	struct mount *m;

	if (str_empty(from->container_path))
		return err_new(ERR_INVALID, "mount: no container path");
	if (str_empty(from->host_path) || from->host_path[0] != '/')
		return err_new(ERR_INVALID, "mount %.256s: host path \"%.256s\" is not absolute", from->container_path,
			       from->host_path);
	TRY(check_recursive_readonly(from));
	TRY(add(b, l, &plain, &m));
	m->cri = from;
	switch (from->propagation) {
	case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE:
		TRY(add_option(m, "rprivate"));
		break;
	case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER:
		TRY(add_option(m, "rslave"));
		break;
	case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL:
		TRY(add_option(m, "rshared"));
		break;
	default:
		return err_new(ERR_INVALID, "mount %.256s: unknown propagation %d", from->container_path, (int)from->propagation);
	}
	TRY(add_option(m, from->recursive_read_only ? "rro" : from->readonly ? "ro" : "rw"));
	for (size_t i = 0; i < from->n_mount_options; i++)
		TRY(add_cri_option(m, from->mount_options[i]));
	return NULL;
}

/* Deeper ones later, else in the order given: a mount must not hide what lies below it. */
static int compare(const void *p, const void *q)
{
	const struct mount *a = p, *b = q;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static struct err *collect_given(struct build *b, struct list *given)
{
	const struct spec_input *in = b->in;
	struct mount *ignored;

	for (size_t i = 0; i < in->n_mounts; i++)
		TRY(add(b, given, &in->mounts[i], &ignored));
	for (size_t i = 0; i < in->container->n_mounts; i++)
		TRY(add_cri(b, given, in->container->mounts[i]));
	if (given->n > 1)
		qsort(given->items, given->n, sizeof(*given->items), compare);
	return NULL;
}

static struct err *add_shm(struct build *b, struct list *l)
{
	static const char *const bind[] = { "rbind", "rprivate", "nosuid", "noexec", "nodev", "rw", NULL };
	static const char *const own[] = { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k", NULL };
	const char *dir = b->in->shm_dir;
	struct mount *m;

	/* With the node's IPC namespace its shared memory too. */
	if (!dir && b->ns->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE)
		dir = "/dev/shm";
	if (dir)
		return add(b, l, &(struct spec_mount){ "/dev/shm", dir, "bind", bind }, &m);
	return add(b, l, &(struct spec_mount){ "/dev/shm", "shm", "tmpfs", own }, &m);
}

static struct err *add_pod_files(struct build *b, struct list *l, const struct list *given)
{
	const char *const files[][2] = {
		{ "/etc/hostname", b->in->hostname_file }, { "/etc/hosts", b->in->hosts_file },
		{ "/etc/resolv.conf", b->in->resolv_file },
	};
	const char *const options[] = { "rbind", "rprivate", b->sc->readonly_rootfs ? "ro" : "rw", NULL };
	struct mount *m;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (files[i][1] && !is_overridden(given, files[i][0]))
			TRY(add(b, l, &(struct spec_mount){ files[i][0], files[i][1], "bind", options }, &m));
	return NULL;
}

static struct err *add_defaults(struct build *b, struct list *l, const struct list *given)
{
	struct mount *m;

	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		const char *d = defaults[i].destination;

		if (is_overridden(given, d))
			continue;
		TRY(add(b, l, &defaults[i], &m));
		if (str_starts(d, "/sys"))
			TRY(add_option(m, b->sc->privileged ? "rw" : "ro"));
	}
	if (!is_overridden(given, "/dev/shm"))
		TRY(add_shm(b, l));
	return add_pod_files(b, l, given);
}

static struct err *put_mounts(struct build *b, yyjson_mut_val *arr, const struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct mount *m = &l->items[i];
		yyjson_mut_val *obj = yyjson_mut_arr_add_obj(b->doc, arr);

		json_put_str(b->doc, obj, "destination", m->destination);
		json_put_str(b->doc, obj, "type", m->type);
		json_put_str(b->doc, obj, "source", m->source);
		json_put_strings(b->doc, obj, "options", m->options, m->n_options);
		if (!m->cri || (!m->cri->n_uidmappings && !m->cri->n_gidmappings))
			continue;
		if (!m->cri->n_uidmappings || !m->cri->n_gidmappings)
			return err_new(ERR_INVALID, "mount %.256s: uidMappings and gidMappings go together", m->destination);
		TRY(build_ids(b, obj, "uidMappings", m->cri->uidmappings, m->cri->n_uidmappings));
		TRY(build_ids(b, obj, "gidMappings", m->cri->gidmappings, m->cri->n_gidmappings));
	}
	return NULL;
}

struct err *build_mounts(struct build *b, yyjson_mut_val *root)
{
	size_t n_given = b->in->n_mounts + b->in->container->n_mounts;
	struct list given = { 0 }, own = { 0 };

	if (n_given > BUILD_MOUNTS_MAX)
		return err_new(ERR_INVALID, "more than %d mounts", BUILD_MOUNTS_MAX);
	given.items = arena_calloc(b->arena, n_given + 1, sizeof(*given.items));
	own.items = arena_calloc(b->arena, ARRAY_LEN(defaults) + 8, sizeof(*own.items));
	TRY(collect_given(b, &given));
	TRY(add_defaults(b, &own, &given));
	yyjson_mut_val *arr = json_put_arr(b->doc, root, "mounts");

	TRY(put_mounts(b, arr, &own));
	return put_mounts(b, arr, &given);
}
