/* config.h: the OCI image configuration (image-spec config.md), the parts that a container needs.
 *
 * Parsed from digest-checked but hostile bytes: every count and size has a limit; unknown members
 * are skipped. Nothing in it chooses a host action (rule R6).
 */
#ifndef CRISP_IMAGE_CONFIG_H
#define CRISP_IMAGE_CONFIG_H

#include "base/arena.h"
#include "base/err.h"

#define IMAGE_CONFIG_MAX  (4u << 20)   /* bytes of JSON */
#define IMAGE_LAYERS_MAX  500          /* overlayfs takes as many lower layers (OVL_MAX_STACK) */
#define IMAGE_STRINGS_MAX 4096         /* members of any one list */

struct image_config {           /* all memory from the arena given to the parser */
	const char *architecture, *os, *variant;
	const char *user;       /* "", "uid", "uid:gid", "name:group" … as written */
	const char *working_dir;
	const char *stop_signal;
	char **env;             /* NULL-terminated lists, never NULL themselves */
	char **entrypoint;
	char **cmd;
	char **volumes;         /* paths */
	struct image_label { const char *key, *value; } *labels;
	size_t n_labels;
	char **diff_ids;        /* grammar-checked digests */
	size_t n_diff_ids;
};

struct err *image_config_parse(struct arena *a, const char *json, size_t len,
			       struct image_config *ret) _must_check_;

#endif
