/* settings.h: what holds for all verbs: options before the verb, environment, /etc/crictl.yaml: as crictl reads them.
 *
 * An option wins over the environment, that over the file, that over what is built in.
 */
#ifndef CRISP_SETTINGS_H
#define CRISP_SETTINGS_H

#include "base/arena.h"
#include "base/err.h"

#define SETTINGS_FILE     "/etc/crictl.yaml"
#define SETTINGS_FILE_MAX (64u << 10)

struct settings {
	const char *file;                   /* that was asked for, or the default */
	bool file_asked;
	const char *runtime_endpoint;       /* NULL: not said */
	const char *image_endpoint;
	int64_t timeout_ns;                 /* 0: not said */
	bool debug, pull_on_create, no_pull_on_run;
};

/* One key of the file: names and values as crictl's `config` has them. */
struct setting {
	const char *name, *help;
	enum { SETTING_TEXT, SETTING_BOOL, SETTING_SECONDS } type;
	size_t offset;                      /* in struct settings */
};
extern const struct setting settings_table[];   /* ends with a name of NULL */

/* Reads s->file over *s*, in *a*; a missing one is none unless it was asked for. */
struct err *settings_read(struct arena *a, struct settings *s) _must_check_;
/* "true", "5", "unix:///…" of one key into *s*. */
struct err *settings_set(struct arena *a, struct settings *s, const char *name, const char *value) _must_check_;
/* Its value as text; owned by the caller. */
char *settings_get(const struct settings *s, const struct setting *key);
/* All of it to s->file, atomically. */
struct err *settings_write(const struct settings *s) _must_check_;

#endif
