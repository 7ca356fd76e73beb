/* config_runtime.h: the [runtime.NAME] tables of the configuration; for config.c. */
#ifndef CRISP_CONFIG_RUNTIME_H
#define CRISP_CONFIG_RUNTIME_H

#include "base/buf.h"
#include "base/toml.h"
#include "cri/config.h"

#define CONFIG_RUNTIMES_MAX 32

/* A table of the same name in a later file adds to the earlier. *name* is the file's. */
struct err *config_read_runtimes(struct config *c, const char *name, struct toml *root) _must_check_;
struct err *config_check_runtimes(const struct config *c) _must_check_;
void config_free_runtimes(struct config *c);
bool config_same_runtimes(const struct config *a, const struct config *b);
void config_describe_runtimes(struct buf *b);

#endif
