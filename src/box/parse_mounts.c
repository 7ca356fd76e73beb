#include "base/str.h"
#include "box/oci.h"
#include "spec/json.h"

#include <stdio.h>
#include <string.h>

/* linux/mount.h has MOUNT_ATTR_* and MS_*; a word sets or clears bits on the mount ("ro", "rw"), or,
 * with an "r" before it, on all below too ("rro"). As in runtime-spec config.md, "Linux mount options". */
static const struct attr_word {
	const char *word;
	uint64_t set, clear;
} attr_words[] = {
	{ "ro", MOUNT_ATTR_RDONLY, 0 },
	{ "rw", 0, MOUNT_ATTR_RDONLY },
	{ "nosuid", MOUNT_ATTR_NOSUID, 0 },
	{ "suid", 0, MOUNT_ATTR_NOSUID },
	{ "nodev", MOUNT_ATTR_NODEV, 0 },
	{ "dev", 0, MOUNT_ATTR_NODEV },
	{ "noexec", MOUNT_ATTR_NOEXEC, 0 },
	{ "exec", 0, MOUNT_ATTR_NOEXEC },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, 0 },
	{ "diratime", 0, MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW },
	/* Access times are one field: whoever sets a value clears the field first (mount_setattr(2)). */
	{ "relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
};

static const struct {
	const char *word;
	uint64_t propagation;
} propagation_words[] = {
	{ "private", MS_PRIVATE }, { "slave", MS_SLAVE }, { "shared", MS_SHARED }, { "unbindable", MS_UNBINDABLE },
};

/* Words that mean nothing here: what they ask for is so anyway, or lies with the superblock. */
static const char *const no_words[] = { "defaults", "async", "sync", "dirsync", "mand", "nomand", "loud",
					"silent", "iversion", "noiversion", "lazytime", "nolazytime" };

static const char *const bind_words[] = { "bind", "rbind", "idmap", "ridmap" };

/* Each word that has one also in its recursive form. */
const char *oci_mount_option(size_t i, char ret[32])
{
	const char *word = NULL;
	size_t k;

	if (i < ARRAY_LEN(bind_words))
		return bind_words[i];
	i -= ARRAY_LEN(bind_words);
	if (i < ARRAY_LEN(no_words))
		return no_words[i];
	i -= ARRAY_LEN(no_words);
	k = i / 2;
	if (k < ARRAY_LEN(attr_words))
		word = attr_words[k].word;
	else if (k - ARRAY_LEN(attr_words) < ARRAY_LEN(propagation_words))
		word = propagation_words[k - ARRAY_LEN(attr_words)].word;
	if (word)
		snprintf(ret, 32, "%s%s", i % 2 ? "r" : "", word);
	return word ? ret : NULL;
}

static bool attr_option(const char *word, struct oci_mount_flags *f)
{
	for (size_t i = 0; i < ARRAY_LEN(attr_words); i++) {
		const struct attr_word *w = &attr_words[i];
		uint64_t mask = w->set | w->clear;

		if (!strcmp(word, w->word)) {
			f->set = (f->set & ~mask) | w->set;
			f->clear = (f->clear & ~mask) | w->clear;
			return true;
		}
		if (word[0] == 'r' && !strcmp(word + 1, w->word)) {
			f->rset = (f->rset & ~mask) | w->set;
			f->rclear = (f->rclear & ~mask) | w->clear;
			return true;
		}
	}
	return false;
}

static bool propagation_option(const char *word, struct oci_mount_flags *f)
{
	for (size_t i = 0; i < ARRAY_LEN(propagation_words); i++) {
		bool recursive = word[0] == 'r' && !strcmp(word + 1, propagation_words[i].word);

		if (!recursive && strcmp(word, propagation_words[i].word) != 0)
			continue;
		f->propagation = propagation_words[i].propagation;
		f->propagation_recursive = recursive;
		return true;
	}
	return false;
}

static bool bind_option(const char *word, struct oci_mount_flags *f)
{
	if (!strcmp(word, "bind"))
		f->bind = true;
	else if (!strcmp(word, "rbind"))
		f->bind = f->recursive = true;
	else if (!strcmp(word, "idmap"))
		f->idmap = true;
	else if (!strcmp(word, "ridmap"))
		f->idmap = f->idmap_recursive = true;
	else
		return false;
	return true;
}

static bool no_option(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(no_words); i++)
		if (!strcmp(word, no_words[i]))
			return true;
	return false;
}

static struct err *parse_options(struct arena *a, char *const *words, size_t n, struct oci_mount *m)
{
	m->data = arena_calloc(a, n + 1, sizeof(*m->data));
	for (size_t i = 0; i < n; i++) {
		if (attr_option(words[i], &m->flags) || propagation_option(words[i], &m->flags) ||
		    bind_option(words[i], &m->flags) || no_option(words[i]))
			continue;
		if (!strcmp(words[i], "tmpcopyup") || !strcmp(words[i], "remount"))
			return err_new(ERR_UNIMPLEMENTED, "option \"%s\" is not supported", words[i]);
		char *key = arena_strdup(a, words[i]);
		char *value = strchr(key, '=');

		if (value)
			*value++ = '\0';
		m->data[m->n_data++] = (struct mount_option){ key, value };
	}
	if (str_eq(m->type, "bind"))
		m->flags.bind = true;
	if (m->flags.bind)
		m->type = "bind"; /* whatever it says: "none" is common */
	return NULL;
}

static struct err *check_mount(const struct oci_mount *m)
{
	if (!m->destination || m->destination[0] != '/')
		return err_new(ERR_INVALID, "destination: not an absolute path");
	if (m->flags.bind && str_empty(m->source))
		return err_new(ERR_INVALID, "source: missing");
	if (m->flags.bind && m->n_data)
		return err_new(ERR_INVALID, "a bind mount has no option \"%.64s\"", m->data[0].key);
	if (!m->flags.bind && str_empty(m->type))
		return err_new(ERR_INVALID, "type: missing");
	if ((m->flags.idmap || m->uids.n || m->gids.n) && !m->flags.bind)
		return err_new(ERR_UNIMPLEMENTED, "only bind mounts can be idmapped");
	if (!m->uids.n != !m->gids.n)
		return err_new(ERR_INVALID, "uidMappings and gidMappings go together");
	return NULL;
}

static struct err *parse_mount(struct arena *a, yyjson_val *obj, struct oci_mount *m)
{
	char **words;
	size_t n;

	TRY(json_get_str(obj, "destination", &m->destination));
	TRY(json_get_str(obj, "type", &m->type));
	TRY(json_get_str(obj, "source", &m->source));
	TRY(json_get_strings(a, obj, "options", OCI_OPTIONS_MAX, &words, &n));
	TRY(parse_options(a, words, n, m));
	TRY(oci_parse_ids(a, obj, "uidMappings", &m->uids));
	TRY(oci_parse_ids(a, obj, "gidMappings", &m->gids));
	return check_mount(m);
}

struct err *oci_parse_mounts(struct arena *a, struct yyjson_val *root, struct oci_spec *ret)
{
	yyjson_val *arr, *v;
	size_t i, n;

	TRY(json_get_arr(root, "mounts", OCI_MOUNTS_MAX, &arr));
	ret->n_mounts = yyjson_arr_size(arr);
	ret->mounts = arena_calloc(a, ret->n_mounts + 1, sizeof(*ret->mounts));
	json_each(arr, i, n, v) {
		struct oci_mount *m = &ret->mounts[i];

		TRY_WRAP(parse_mount(a, v, m), "mounts[%zu] %.256s", i, m->destination ? m->destination : "");
	}
	return NULL;
}
