/* registries.h: containers-registries.conf(5), version 2, as CRI-O and podman read it: which hosts an image comes from, and
 * what a name without a host means. Read by serve at each use, as the administrator's word.
 *
 * The file and then FILE.d/NAME.conf by name; a later [[registry]] of the same prefix, alias or setting replaces the earlier.
 * Where certs.d has settings for the very host, those count (hosts.h), but what is blocked here stays blocked.
 */
#ifndef CRISP_IMAGE_REGISTRIES_H
#define CRISP_IMAGE_REGISTRIES_H

#include "base/str.h"
#include "image/hosts.h"

#define REGISTRIES_FILE_MAX    (1u << 20)  /* bytes of one file */
#define REGISTRIES_DROPINS_MAX 256
#define REGISTRIES_MAX         4096        /* [[registry]], of all files */
#define REGISTRIES_MIRRORS_MAX 32          /* of one */
#define REGISTRIES_SEARCH_MAX  32

enum registry_pull { REGISTRY_PULL_ALL, REGISTRY_PULL_DIGEST, REGISTRY_PULL_TAG };

struct registry_mirror {
	char *location;
	bool insecure;
	enum registry_pull pull;
};

struct registry_entry {
	char *prefix;                /* "host[:port][/path][:tag|@digest]" or "*.domain" */
	char *location;              /* "" (only with *.domain): the reference as it is */
	bool insecure, blocked;
	struct registry_mirror *mirrors;
	size_t n_mirrors;
	char *where;                 /* FILE:LINE */
};

enum short_names { SHORT_NAMES_ENFORCING, SHORT_NAMES_PERMISSIVE, SHORT_NAMES_DISABLED };

struct registries {
	struct registry_entry *entries;
	size_t n;
	struct strv search;          /* unqualified-search-registries; none: docker.io */
	struct strv alias_names, alias_values;
	enum short_names mode;
};
void registries_done(struct registries *r);
#define _registries_ _cleanup_(registries_done)

/* A missing file is empty; errors name file and line. */
struct err *registries_load(const char *path, struct registries *ret) _must_check_;
/* registries_file.c: what one file says, added to *r*. */
struct err *registries_parse(const char *file, const char *text, size_t len, struct registries *r) _must_check_;
void registry_entry_done(struct registry_entry *e);

/* The entry of the longest prefix that fits, NULL if none does. */
const struct registry_entry *registries_find(const struct registries *r, const struct reference *ref);

/* Where *ref* is fetched from by *e*: mirrors, then the location, appended to *h*; certificates from certs_dir/HOST[:PORT]
 * (containers-certs.d(5)). */
struct err *registries_hosts(const struct registry_entry *e, const char *certs_dir, const struct reference *ref,
			     struct hosts *h) _must_check_;

/* The references that *text* may mean, best first: itself, if it names a host; else its alias, or its name at each registry
 * that is searched. *ret_unsure*: with short-name-mode "enforcing" a person would have to choose: good for looking
 * up, not for pulling. */
void registries_candidates(const struct registries *r, const char *text, struct strv *ret, bool *ret_unsure);

#endif
