#include "cri/selectors.h"

#include <string.h>

_Static_assert(offsetof(struct map_entry, key) == offsetof(Runtime__V1__PodSandboxConfig__LabelsEntry, key) &&
		       offsetof(struct map_entry, value) ==
			       offsetof(Runtime__V1__PodSandboxFilter__LabelSelectorEntry, value),
	       "protobuf-c's map entries have one form");

static bool has_pair(const struct map_entry *pair, struct map_entry *const *have, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(have[i]->key, pair->key) && !strcmp(have[i]->value, pair->value))
			return true;
	return false;
}

bool selectors_match(const void *want, size_t n_want, const void *have, size_t n_have)
{
	struct map_entry *const *pairs = want;

	for (size_t i = 0; i < n_want; i++)
		if (!has_pair(pairs[i], have, n_have))
			return false;
	return true;
}

bool selectors_id(const char *filter, const char *id)
{
	return str_empty(filter) || str_starts(id, filter);
}
