#include "base/test.h"
#include "wire/http1_proxy.h"

TEST(no_proxy_entries)
{
	static const struct {
		const char *list, *host;
		int port;
		bool fits;
	} cases[] = {
		{ "", "a.test", 443, false },
		{ "*", "a.test", 443, true },
		{ "a.test", "a.test", 443, true },
		{ "A.Test", "a.test", 443, true },
		{ "a.test", "b.a.test", 443, true },
		{ "a.test", "ba.test", 443, false },
		{ ".a.test", "a.test", 443, false },
		{ ".a.test", "b.a.test", 443, true },
		{ "*.a.test", "b.a.test", 443, true },
		{ "*.a.test", "a.test", 443, false },
		{ "a.test:443", "a.test", 443, true },
		{ "a.test:5000", "a.test", 443, false },
		{ "x, a.test ,y", "a.test", 443, true },
		{ "x y\ta.test", "a.test", 443, true },
		{ "10.1.2.3", "10.1.2.3", 80, true },
		{ "10.1.2.3", "10.1.2.4", 80, false },
		{ "10.1.2.3:80", "10.1.2.3", 80, true },
		{ "10.1.2.3:81", "10.1.2.3", 80, false },
		{ "10.0.0.0/8", "10.255.0.1", 80, true },
		{ "10.0.0.0/8", "11.0.0.1", 80, false },
		{ "10.1.16.0/20", "10.1.31.255", 80, true },
		{ "10.1.16.0/20", "10.1.32.0", 80, false },
		{ "10.1.2.3/32", "10.1.2.3", 80, true },
		{ "0.0.0.0/0", "1.2.3.4", 80, true },
		{ "0.0.0.0/0", "a.test", 80, false },
		{ "10.0.0.0/33", "10.0.0.0", 80, false },
		{ "10.0.0.0/", "10.0.0.0", 80, false },
		{ "/8", "10.0.0.0", 80, false },
		{ "fd00::/8", "fd12::1", 80, true },
		{ "fd00::/8", "fe80::1", 80, false },
		{ "fd00::1", "fd00::1", 80, true },
		{ "[fd00::1]:80", "fd00::1", 80, true },
		{ "[fd00::1]:81", "fd00::1", 80, false },
		{ "[fd00::1]", "fd00:0::1", 80, true },
		{ ",,", "a", 80, false },
		{ "test", "1.2.3.test", 80, true },
		{ "3.4", "1.2.3.4", 80, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (http1_proxy_excepts(cases[i].list, cases[i].host, (uint16_t)cases[i].port) != cases[i].fits) {
			fprintf(stderr, "\"%s\" \"%s\"\n", cases[i].list, cases[i].host);
			CHECK(false);
		}
}

static bool choose(const char *http, const char *https, const char *none, const char *to, struct url *ret)
{
	struct http1_proxies p = { http, https, none };
	_url_ struct url u = { 0 };
	bool use;

	CHECK_OK(url_parse(to, &u));
	CHECK_OK(http1_proxy_for(&p, &u, &use, ret));
	return use;
}

TEST(proxy_by_scheme)
{
	struct url u;

	CHECK(choose("http://a:1", "http://user:pw@b:2", NULL, "http://x.test/", &u));
	CHECK_STR(u.host, "a");
	url_done(&u);
	CHECK(choose("http://a:1", "http://user:pw@b:2", "", "https://x.test/", &u));
	CHECK_STR(u.host, "b");
	CHECK_INT(u.port, 2);
	CHECK_STR(u.user, "user:pw");
	url_done(&u);
	CHECK(choose(NULL, "b:3128", "", "https://x.test/", &u));
	CHECK_INT(u.port, 3128);
	url_done(&u);
	CHECK(!choose("http://a:1", NULL, NULL, "https://x.test/", &u));
	CHECK(!choose("http://a:1", "", NULL, "https://x.test/", &u));
	CHECK(!choose("http://a:1", "b:1", NULL, "https://localhost/", &u));
	CHECK(!choose("http://a:1", "b:1", NULL, "http://127.0.0.1:5000/", &u));
	CHECK(!choose("http://a:1", "b:1", "x.test", "http://x.test:5000/", &u));
}

TEST(other_proxies_are_refused_in_words)
{
	struct http1_proxies p = { .https = "socks5://user:secret@b:1080" };
	_url_ struct url u = { 0 }, proxy = { 0 };
	bool use;

	CHECK_OK(url_parse("https://x.test", &u));
	struct err *e = http1_proxy_for(&p, &u, &use, &proxy);

	CHECK(e && strstr(err_text(e), "HTTPS_PROXY") && !strstr(err_text(e), "secret"));
	CHECK_ERR(e, ERR_UNIMPLEMENTED);
	p.https = "http://user:secret@b:port";
	e = http1_proxy_for(&p, &u, &use, &proxy);
	CHECK(e && strstr(err_text(e), "HTTPS_PROXY") && !strstr(err_text(e), "secret"));
	CHECK_ERR(e, ERR_INVALID);
}

TEST_MAIN
