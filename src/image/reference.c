#include "image/reference.h"

#include "base/sha256.h"
#include "base/str.h"

#include <string.h>

#define DEFAULT_HOST   "docker.io"
#define DEFAULT_SERVER "registry-1.docker.io"
#define NAME_MAX_LEN   255     /* distribution: RepositoryNameTotalLengthMax, host included */
#define TAG_MAX_LEN    128

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* domain-component *[ "." domain-component ], each beginning and ending with a letter or digit. That
 * also makes a host fit to be a directory's name: no slash, no "..". */
static bool domain_ok(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool edge = i == 0 || i + 1 == len || s[i - 1] == '.' || s[i + 1] == '.';

		if (!is_alnum(s[i]) && (edge || (s[i] != '-' && s[i] != '.')))
			return false;
	}
	return len > 0;
}

static bool ipv6_ok(const char *s, size_t len)
{
	if (len < 4 || s[0] != '[' || s[len - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < len; i++)
		if (!is_alnum(s[i]) && s[i] != ':')
			return false;
	return strspn(s + 1, "0123456789abcdefABCDEF:") == len - 2;
}

static bool host_ok(const char *host)
{
	const char *colon = strrchr(host, ':');
	size_t len = strlen(host);
	uint64_t port;

	if (colon && host[len - 1] != ']') {
		if (!str_to_u64(colon + 1, 65535, &port) || port == 0)
			return false;
		len = (size_t)(colon - host);
	}
	return host[0] == '[' ? ipv6_ok(host, len) : domain_ok(host, len);
}

/* The separator at *s*: one of . _ __ or any number of dashes; 0 for anything else. */
static size_t separator_len(const char *s)
{
	if (*s == '-')
		return strspn(s, "-");
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return *s == '.' ? 1 : 0;
}

static bool repository_ok(const char *s)
{
	for (;;) {
		if (!is_lower(*s))
			return false;
		while (is_lower(*s))
			s++;
		if (!*s)
			return true;
		size_t n = *s == '/' ? 1 : separator_len(s);

		if (!n)
			return false;
		s += n;
	}
}

static bool tag_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > TAG_MAX_LEN || *s == '.' || *s == '-')
		return false;
	for (; *s; s++)
		if (!is_alnum(*s) && *s != '_' && *s != '.' && *s != '-')
			return false;
	return true;
}

/* Docker's rule (distribution/reference/normalize.go): what comes before the first slash is a host
 * only if it looks like one. */
static bool first_is_host(const char *name, size_t len)
{
	if (len == strlen("localhost") && !strncmp(name, "localhost", len))
		return true;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '.' || name[i] == ':' || (name[i] >= 'A' && name[i] <= 'Z'))
			return true;
	return false;
}

bool reference_is_short(const char *text)
{
	const char *slash = strchr(text, '/');

	return !slash || !first_is_host(text, (size_t)(slash - text));
}

static void split_name(const char *name, struct reference *r)
{
	const char *slash = strchr(name, '/');

	if (slash && first_is_host(name, (size_t)(slash - name))) {
		r->host = base_strndup(name, (size_t)(slash - name));
		name = slash + 1;
	} else {
		r->host = base_strdup(DEFAULT_HOST);
	}
	if (str_eq(r->host, "index.docker.io")) {
		free(r->host);
		r->host = base_strdup(DEFAULT_HOST);
	}
	bool bare = str_eq(r->host, DEFAULT_HOST) && !strchr(name, '/');

	r->repository = base_printf("%s%s", bare ? "library/" : "", name);
}

static struct err *check_name(const struct reference *r)
{
	if (!host_ok(r->host))
		return err_new(ERR_INVALID, "\"%s\" is not a registry's host name", r->host);
	for (const char *s = r->repository; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			return err_new(ERR_INVALID, "the repository's name must be in lower case");
	if (!repository_ok(r->repository))
		return err_new(ERR_INVALID, "\"%s\" is not a repository's name", r->repository);
	if (strlen(r->host) + 1 + strlen(r->repository) > NAME_MAX_LEN)
		return err_new(ERR_INVALID, "the name is longer than %d bytes", NAME_MAX_LEN);
	return NULL;
}

/* *text* is changed: cut at its tag and digest. */
static struct err *parse(char *text, struct reference *r)
{
	char *at = strchr(text, '@');

	if (at) {
		*at++ = '\0';
		if (!digest_ok(at))
			return err_new(ERR_INVALID, "what follows the @ is not a sha256 digest");
	}
	char *slash = strrchr(text, '/');
	char *colon = strchr(slash ? slash : text, ':');

	if (colon) {
		*colon++ = '\0';
		if (!tag_ok(colon))
			return err_new(ERR_INVALID, "what follows the : is not a tag");
	}
	r->digest = base_strdup(at ? at : "");
	r->tag = base_strdup(colon ? colon : at ? "" : "latest");
	if (str_is_hex(text, strnlen(text, 64)) && strlen(text) == 64)
		return err_new(ERR_INVALID, "64 hexadecimal digits are an ID, not a name");
	split_name(text, r);
	return check_name(r);
}

struct err *reference_parse(const char *text, struct reference *ret)
{
	_reference_ struct reference r = { 0 };
	size_t len = strnlen(text, REFERENCE_MAX + 1);

	if (len == 0)
		return err_new(ERR_INVALID, "image reference is empty");
	if (len > REFERENCE_MAX)
		return err_new(ERR_INVALID, "image reference is longer than %d bytes", REFERENCE_MAX);
	_free_ char *copy = base_strdup(text);

	TRY_WRAP(parse(copy, &r), "image reference \"%s\"", text);
	*ret = (struct reference){ TAKE(r.host), TAKE(r.repository), TAKE(r.tag), TAKE(r.digest) };
	return NULL;
}

void reference_done(struct reference *r)
{
	free(r->host);
	free(r->repository);
	free(r->tag);
	free(r->digest);
	*r = (struct reference){ 0 };
}

char *reference_name(const struct reference *r)
{
	return base_printf("%s/%s", r->host, r->repository);
}

char *reference_tagged(const struct reference *r)
{
	return *r->tag ? base_printf("%s/%s:%s", r->host, r->repository, r->tag) : base_strdup("");
}

char *reference_digested(const struct reference *r, const char *digest)
{
	return base_printf("%s/%s@%s", r->host, r->repository, digest);
}

const char *reference_endpoint_host(const struct reference *r)
{
	return str_eq(r->host, DEFAULT_HOST) ? DEFAULT_SERVER : r->host;
}
