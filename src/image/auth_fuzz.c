/* The first byte chooses: a WWW-Authenticate line, an auth file, a token server's answer. */
#include "image/auth.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void challenge(const char *line)
{
	_challenge_ struct auth_challenge c = { 0 };

	auth_challenge_parse(line, &c);
	if (!c.realm || !c.service || !c.scope || (c.scheme == AUTH_BEARER && strlen(c.realm) > strlen(line)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	_free_ char *text = base_strndup((const char *)data + 1, size - 1);
	_credential_ struct credential c = { 0 };
	_secret_ char *token = NULL;
	bool found;

	if (data[0] % 3 == 0)
		challenge(text);
	else if (data[0] % 3 == 1)
		err_free(auth_file_find((const char *)data + 1, size - 1, "registry.test:5000", "team/app", &found, &c));
	else
		err_free(auth_token_parse((const char *)data + 1, size - 1, &token));
	return 0;
}
