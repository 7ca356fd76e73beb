#include "wire/url.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct err *decode(const char *s, size_t len, char **ret)
{
	_free_ char *out = base_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		out[n++] = s[i];
		if (s[i] != '%')
			continue;
		int high = i + 2 < len ? str_hex_digit(s[i + 1]) : -1, low = high >= 0 ? str_hex_digit(s[i + 2]) : -1;

		if (low < 0)
			return err_new(ERR_INVALID, "malformed percent-encoding");
		out[n - 1] = (char)(high * 16 + low);
		if ((unsigned char)out[n - 1] < 0x20)
			return err_new(ERR_INVALID, "encoded control character");
		i += 2;
	}
	*ret = TAKE(out);
	return NULL;
}

static struct err *parse_host(const char *s, size_t len, struct url *u)
{
	bool v6 = len > 2 && s[0] == '[' && s[len - 1] == ']';
	struct in6_addr addr;

	u->host = v6 ? base_strndup(s + 1, len - 2) : base_strndup(s, len);
	if (v6 && inet_pton(AF_INET6, u->host, &addr) == 1)
		return NULL;
	for (char *p = u->host; *p; p++) {
		if (!is_alnum(*p) && *p != '-' && *p != '.' && *p != '_')
			return err_new(ERR_INVALID, "malformed host name");
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	}
	return *u->host && len < 256 && !v6 ? NULL : err_new(ERR_INVALID, "malformed host name");
}

/* [user@]host[:port] */
static struct err *parse_authority(const char *s, size_t len, struct url *u)
{
	const char *at = memrchr(s, '@', len);

	if (at) {
		TRY(decode(s, (size_t)(at - s), &u->user));
		len -= (size_t)(at + 1 - s);
		s = at + 1;
	}
	const char *colon = memrchr(s, ':', len);

	u->port = u->tls ? 443 : 80;
	if (colon && !memchr(colon, ']', (size_t)(s + len - colon))) {
		_free_ char *text = base_strndup(colon + 1, (size_t)(s + len - colon - 1));
		uint64_t port;

		if (!str_to_u64(text, 65535, &port) || port == 0)
			return err_new(ERR_INVALID, "malformed port");
		u->port = (uint16_t)port;
		len = (size_t)(colon - s);
	}
	return parse_host(s, len, u);
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= 0x20 || *s == 0x7f)
			return false;
	return true;
}

static struct err *parse(const char *text, struct url *u)
{
	size_t len = strnlen(text, URL_MAX + 1);

	if (len > URL_MAX)
		return err_new(ERR_EXHAUSTED, "longer than %d bytes", URL_MAX);
	if (!printable(text))
		return err_new(ERR_INVALID, "it has a space or a control character");
	u->tls = !strncasecmp(text, "https://", 8);
	if (!u->tls && strncasecmp(text, "http://", 7) != 0)
		return err_new(ERR_INVALID, "neither http:// nor https://");
	const char *authority = text + (u->tls ? 8 : 7);
	size_t n = strcspn(authority, "/?#");
	const char *rest = authority + n;

	TRY(parse_authority(authority, n, u));
	u->target = base_printf("%s%.*s", *rest == '/' ? "" : "/", (int)strcspn(rest, "#"), rest);
	return NULL;
}

struct err *url_parse(const char *text, struct url *ret)
{
	_url_ struct url u = { 0 };
	struct err *e = parse(text, &u);

	/* The text may hold a password: it is not repeated. */
	if (e)
		return err_wrap(e, "URL of %s", u.host ? u.host : "no host");
	*ret = u;
	u = (struct url){ 0 };
	return NULL;
}

/* RFC 3986 section 5.2.4, in place, on a path that begins with a slash; a query stays as it is. */
static void remove_dots(char *path)
{
	char *in = path, *out = path;
	char *end = path + strcspn(path, "?");

	while (in < end) {
		size_t n = 1 + strcspn(in + 1, "/?");
		bool up = n == 3 && !strncmp(in, "/..", 3);

		if (up)
			while (out > path && *--out != '/')
				;
		if (up || (n == 2 && in[1] == '.')) {
			in += n;
			if (in == end)
				*out++ = '/';
			continue;
		}
		memmove(out, in, n);
		out += n;
		in += n;
	}
	memmove(out, end, strlen(end) + 1);
}

static char *resolve_text(const struct url *base, const char *location)
{
	if (!strncasecmp(location, "http://", 7) || !strncasecmp(location, "https://", 8))
		return base_strdup(location);
	if (str_starts(location, "//"))
		return base_printf("http%s:%s", base->tls ? "s" : "", location);
	_free_ char *authority = url_authority(base);
	int path_len = (int)strcspn(base->target, "?");
	_free_ char *path = NULL;

	if (*location == '/') {
		path = base_strdup(location);
	} else if (*location == '?' || *location == '#' || !*location) {
		path = base_printf("%.*s%s", path_len, base->target, location);
	} else {
		while (path_len > 0 && base->target[path_len - 1] != '/')
			path_len--;
		path = base_printf("%.*s%s", path_len, base->target, location);
	}
	remove_dots(path);
	return base_printf("http%s://%s%s", base->tls ? "s" : "", authority, path);
}

/* "mailto:x" and the like: letters up to a colon before any slash. */
static bool other_scheme(const char *location)
{
	size_t n = strcspn(location, ":/?#");

	return n > 0 && location[n] == ':' && strncasecmp(location, "http", n) != 0 &&
	       strncasecmp(location, "https", n) != 0;
}

struct err *url_resolve(const struct url *base, const char *location, struct url *ret)
{
	_url_ struct url u = { 0 };

	if (other_scheme(location))
		return err_new(ERR_INVALID, "redirect to a scheme other than http and https");
	if (strnlen(location, URL_MAX + 1) > URL_MAX)
		return err_new(ERR_EXHAUSTED, "redirect to a URL longer than %d bytes", URL_MAX);
	_free_ char *text = resolve_text(base, location);

	TRY_WRAP(url_parse(text, &u), "redirect");
	if (u.user)
		return err_new(ERR_INVALID, "redirect to a URL with a user in it");
	*ret = u;
	u = (struct url){ 0 };
	return NULL;
}

void url_done(struct url *u)
{
	free(u->user);
	free(u->host);
	free(u->target);
	*u = (struct url){ 0 };
}

struct url url_copy(const struct url *u)
{
	return (struct url){ u->tls, u->user ? base_strdup(u->user) : NULL, base_strdup(u->host), u->port,
			     base_strdup(u->target) };
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->tls == b->tls && a->port == b->port && str_eq(a->host, b->host);
}

char *url_authority(const struct url *u)
{
	bool v6 = strchr(u->host, ':');
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";

	if (u->port == (u->tls ? 443 : 80))
		return base_printf("%s%s%s", open, u->host, close);
	return base_printf("%s%s%s:%u", open, u->host, close, u->port);
}

char *url_shown(const struct url *u)
{
	_free_ char *authority = url_authority(u);

	return base_printf("http%s://%s%.*s", u->tls ? "s" : "", authority, (int)strcspn(u->target, "?"), u->target);
}

bool url_host_is_local(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return !strcasecmp(host, "localhost");
}

void url_escape(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (is_alnum(*s) || strchr("-._~", *s))
			buf_putc(b, *s);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s);
	}
}
