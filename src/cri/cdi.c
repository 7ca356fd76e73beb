#include "cri/cdi.h"

#include "base/file.h"
#include "spec/cdi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* One device that was asked for, while the directories are searched: a later directory's replaces an earlier's. */
struct wanted {
	const char *full, *kind, *name;
	const struct cdi_spec *spec;           /* NULL: not found yet */
	const struct cdi_device *device;
	const char *file;
	size_t dir;                            /* of the directories, the one it was found in */
};

struct search {
	struct rpc *rpc;
	struct wanted *list;
	size_t n;
	char *bad;                             /* files that could not be used, in words; NULL: all could */
};

static struct err *look(const char *path, struct spec_device *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(errno, "%s", path);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_new(ERR_INVALID, "%s is not a device node", path);
	*ret = (struct spec_device){
		.type = S_ISBLK(st.st_mode) ? 'b' : S_ISFIFO(st.st_mode) ? 'p' : 'c',
		.major = (int64_t)major(st.st_rdev), .minor = (int64_t)minor(st.st_rdev), .mode = st.st_mode & 07777,
	};
	return NULL;
}

static void note_bad(struct search *s, const char *file, const char *why)
{
	s->bad = arena_printf(&s->rpc->arena, "%s%s%s: %s", s->bad ? s->bad : "", s->bad ? "; " : "", file, why);
}

static struct err *take(struct search *s, const struct cdi_spec *spec, const char *file, size_t dir)
{
	for (size_t i = 0; i < s->n; i++) {
		struct wanted *w = &s->list[i];

		for (size_t k = 0; !strcmp(w->kind, spec->kind) && k < spec->n_devices; k++) {
			if (strcmp(w->name, spec->devices[k].name) != 0)
				continue;
			if (w->spec && w->dir == dir)
				return err_new(ERR_INVALID, "CDI device %s: both %s and %s have it", w->full, w->file, file);
			w->spec = spec;
			w->device = &spec->devices[k];
			w->file = file;
			w->dir = dir;
		}
	}
	return NULL;
}

/* A file that is malformed matters only to who asks for a device that is then missing. */
static struct err *read_file(struct search *s, const char *path, size_t dir)
{
	struct arena *a = &s->rpc->arena;
	struct cdi_spec *spec = arena_alloc(a, sizeof(*spec));
	_buf_ struct buf text = BUF_INIT;
	struct err *e = NULL;

	if (str_ends(path, ".yaml") || str_ends(path, ".yml")) {
		note_bad(s, path, "YAML is not read; CDI specs can be JSON as well");
		return NULL;
	}
	e = file_read_virtual(AT_FDCWD, path, CDI_FILE_MAX, &text);
	if (!e)
		e = cdi_parse(a, buf_text(&text), text.len, spec);
	if (!e)
		return take(s, spec, path, dir);
	note_bad(s, path, err_text(e));
	err_free(e);
	return NULL;
}

static bool is_spec_file(const struct dirent *d)
{
	return d->d_name[0] != '.' &&
	       (str_ends(d->d_name, ".json") || str_ends(d->d_name, ".yaml") || str_ends(d->d_name, ".yml"));
}

static struct err *read_dir(struct search *s, const char *path, size_t dir)
{
	DIR *d = opendir(path);
	struct err *e = NULL;
	size_t n = 0;

	if (!d)
		return errno == ENOENT ? NULL : err_errno(errno, "CDI directory %s", path);
	for (struct dirent *ent; !e && (ent = readdir(d));) {
		if (!is_spec_file(ent))
			continue;
		e = n++ == CDI_FILES_MAX ? err_new(ERR_EXHAUSTED, "CDI directory %s: more than %d files", path, CDI_FILES_MAX) :
					   read_file(s, arena_printf(&s->rpc->arena, "%s/%s", path, ent->d_name), dir);
	}
	closedir(d);
	return e;
}

static struct err *find(struct search *s)
{
	const struct strv *dirs = &s->rpc->serve->config.cdi_dirs;

	for (size_t i = 0; i < dirs->len; i++)
		TRY(read_dir(s, dirs->items[i], i));
	for (size_t i = 0; i < s->n; i++)
		if (!s->list[i].spec)
			return err_new(ERR_NOT_FOUND, "CDI device %s: no file of the node's CDI directories has it%s%s",
				       s->list[i].full, s->bad ? "; not used: " : "", s->bad ? s->bad : "");
	return NULL;
}

/* A file's own edits before those of the first of its devices, once. */
static size_t collect(const struct search *s, const struct yyjson_val **edits)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		bool seen = false;

		for (size_t k = 0; k < i; k++)
			seen |= s->list[k].spec == s->list[i].spec;
		if (!seen)
			edits[n++] = s->list[i].spec->edits;
		edits[n++] = s->list[i].device->edits;
	}
	return n;
}

struct err *cdi_edit_spec(struct rpc *r, const Runtime__V1__ContainerConfig *config, struct buf *spec)
{
	const size_t most = 2 * config->n_cdi_devices;
	struct search s = { .rpc = r, .list = RPC_ARRAY(r, most, struct wanted) };
	const struct yyjson_val **edits = RPC_ARRAY(r, most, const struct yyjson_val *);
	_buf_ struct buf edited = BUF_INIT;

	if (!config->n_cdi_devices)
		return NULL;
	for (size_t i = 0; i < config->n_cdi_devices; i++) {
		const char *full = config->cdi_devices[i]->name;
		struct wanted w = { .full = full };
		bool twice = false;

		TRY(cdi_split_name(&r->arena, full, &w.kind, &w.name));
		for (size_t k = 0; k < s.n; k++)
			twice |= !strcmp(s.list[k].full, full);
		if (!twice)
			s.list[s.n++] = w;
	}
	TRY(find(&s));
	TRY_WRAP(cdi_apply(spec->data, spec->len, edits, collect(&s, edits), look, &edited), "CDI devices");
	buf_clear(spec);
	buf_append(spec, edited.data, edited.len);
	return NULL;
}
