#include "wire/http1_proxy.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define NO_PROXY_MAX KIB(64)

/* 4 or 16 bytes, 0 for a name. */
static size_t parse_ip(const char *text, unsigned char ret[16])
{
	if (inet_pton(AF_INET, text, ret) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

static bool in_block(const char *block, const char *bits_text, const char *host)
{
	unsigned char net[16], ip[16];
	size_t len = parse_ip(block, net);
	uint64_t bits;

	if (!len || parse_ip(host, ip) != len || !str_to_u64(bits_text, len * 8, &bits))
		return false;
	if (memcmp(net, ip, bits / 8) != 0)
		return false;
	unsigned int mask = bits % 8 ? 0xffu << (8 - bits % 8) & 0xffu : 0;

	return !mask || ((net[bits / 8] ^ ip[bits / 8]) & mask) == 0;
}

/* "example.com" fits itself and a.example.com; ".example.com" only the latter. */
static bool domain_fits(const char *domain, const char *host)
{
	size_t n = strlen(domain), m = strlen(host);
	bool below_only = *domain == '.';

	if (!below_only && !strcasecmp(domain, host))
		return true;
	return m > n && !strcasecmp(host + m - n, domain) && (below_only || host[m - n - 1] == '.');
}

/* Cuts ":port" off; 0 if there is none, or it is part of a bare IPv6 address. */
static uint16_t cut_port(char *entry)
{
	char *colon = strrchr(entry, ':');
	unsigned char ip[16];
	uint64_t port;

	if (!colon || parse_ip(entry, ip) || !str_to_u64(colon + 1, 65535, &port))
		return 0;
	*colon = '\0';
	return (uint16_t)port;
}

static bool entry_fits(char *entry, const char *host, uint16_t port)
{
	unsigned char a[16], b[16];
	char *slash = strchr(entry, '/');

	if (!strcmp(entry, "*"))
		return true;
	if (slash) {
		*slash = '\0';
		return in_block(entry, slash + 1, host);
	}
	uint16_t only = cut_port(entry);
	size_t n = strlen(entry);

	if (only && only != port)
		return false;
	if (entry[0] == '[' && entry[n - 1] == ']') {
		entry[n - 1] = '\0';
		entry++;
	}
	size_t len = parse_ip(entry, a);

	if (len)
		return parse_ip(host, b) == len && !memcmp(a, b, len);
	if (entry[0] == '*' && entry[1] == '.')
		entry++;
	return *entry && domain_fits(entry, host);
}

bool http1_proxy_excepts(const char *list, const char *host, uint16_t port)
{
	if (str_empty(list))
		return false;
	_free_ char *copy = base_strndup(list, NO_PROXY_MAX);
	char *save = NULL;

	for (char *e = strtok_r(copy, ", \t", &save); e; e = strtok_r(NULL, ", \t", &save))
		if (entry_fits(e, host, port))
			return true;
	return false;
}

struct err *http1_proxy_for(const struct http1_proxies *p, const struct url *to, bool *ret_use, struct url *ret_proxy)
{
	const char *value = to->tls ? p->https : p->http;
	const char *name = to->tls ? "HTTPS_PROXY" : "HTTP_PROXY";
	_free_ char *text = NULL;

	*ret_use = false;
	if (str_empty(value) || url_host_is_local(to->host) || http1_proxy_excepts(p->none, to->host, to->port))
		return NULL;
	text = strstr(value, "://") ? base_strdup(value) : base_printf("http://%s", value);
	if (strncasecmp(text, "http://", 7) != 0)
		return err_new(ERR_UNIMPLEMENTED, "%s: only http:// proxies can be used", name);
	TRY_WRAP(url_parse(text, ret_proxy), "%s", name);
	*ret_use = true;
	return NULL;
}
