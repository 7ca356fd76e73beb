/* selectors.h: what lists and their filters share. */
#ifndef CRISP_SELECTORS_H
#define CRISP_SELECTORS_H

#include "cri/rpc.h"

/* protobuf-c makes a type of its own for each map; all have this form. */
struct map_entry {
	ProtobufCMessage base;
	char *key, *value;
};

/* Every pair of *want* is in *have*. */
bool selectors_match(const void *want, size_t n_want, const void *have, size_t n_have);

/* "" matches all; otherwise a prefix of the ID. */
bool selectors_id(const char *filter, const char *id);

#endif
