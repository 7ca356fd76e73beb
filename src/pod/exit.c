#include "pod/exit.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

size_t exit_format(const struct exit_record *x, char ret_text[EXIT_RECORD_MAX])
{
	return (size_t)snprintf(ret_text, EXIT_RECORD_MAX, "v1 %d %d %d %lld %lld\n", x->code, x->signal, x->oom,
				(long long)x->started_ns, (long long)x->finished_ns);
}

/* The next word of *text, decimal, at most *max*. */
static bool next_number(const char **text, uint64_t max, uint64_t *ret)
{
	size_t n = strcspn(*text, " \n");
	char word[24];

	if (n >= sizeof(word))
		return false;
	memcpy(word, *text, n);
	word[n] = '\0';
	*text += n + ((*text)[n] == ' ');
	return str_to_u64(word, max, ret);
}

struct err *exit_parse(const char *text, struct exit_record *ret)
{
	static const uint64_t max[] = { 255, 64, 1, INT64_MAX, INT64_MAX };
	uint64_t v[ARRAY_LEN(max)];

	if (!str_starts(text, "v1 ") || !strchr(text, '\n'))
		return err_new(ERR_CORRUPT, "exit record: not a line of version 1");
	text += 3;
	for (size_t i = 0; i < ARRAY_LEN(max); i++)
		if (!next_number(&text, max[i], &v[i]))
			return err_new(ERR_CORRUPT, "exit record: field %zu is not what it should be", i + 1);
	*ret = (struct exit_record){ (int)v[0], (int)v[1], v[2], (int64_t)v[3], (int64_t)v[4] };
	return NULL;
}
