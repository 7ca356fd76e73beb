/* reload.h: the configuration as serve uses it: loaded at start, loaded again at SIGHUP, read while it may change.
 *
 * A reload that fails leaves all as it was and says why, file and line included. Which keys take effect the table in
 * config.c says (LIVE); of the others that were changed the names are logged: they wait for a restart.
 */
#ifndef CRISP_RELOAD_H
#define CRISP_RELOAD_H

#include "cri/serve.h"

/* serve's command line, which wins over the files. */
struct serve_options {
	const char *config, *root, *state, *listen, *log_level;
	bool print_config;
};

struct err *reload_first(struct serve *s, const struct serve_options *o) _must_check_;
void reload_now(struct serve *s);

/* sd_notify(3), where there is a service manager: READY=1 and its kind. */
void reload_notify(const char *state);

/* LIVE keys are read through these: copies, of the moment, in the call's arena. */
const char *reload_text(struct rpc *r, char *const *key);
const char *const *reload_list(struct rpc *r, const struct strv *key);   /* NULL-terminated, never NULL */
uint64_t reload_number(const uint64_t *key);

#endif
