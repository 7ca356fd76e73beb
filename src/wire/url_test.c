#include "base/test.h"
#include "wire/url.h"

TEST(urls_are_split)
{
	static const struct {
		const char *text;
		bool tls;
		const char *user, *host;
		int port;
		const char *target;
	} good[] = {
		{ "https://a.b", true, NULL, "a.b", 443, "/" },
		{ "HTTP://A.b/", false, NULL, "a.b", 80, "/" },
		{ "https://a:5000/v2/x?y=z#frag", true, NULL, "a", 5000, "/v2/x?y=z" },
		{ "https://a?x=/y", true, NULL, "a", 443, "/?x=/y" },
		{ "http://[::1]:80/x", false, NULL, "::1", 80, "/x" },
		{ "https://[2001:db8::1]/", true, NULL, "2001:db8::1", 443, "/" },
		{ "http://user:p%40ss@proxy:3128", false, "user:p@ss", "proxy", 3128, "/" },
		{ "https://host_name/x", true, NULL, "host_name", 443, "/x" },
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		_url_ struct url u = { 0 };

		CHECK_OK(url_parse(good[i].text, &u));
		CHECK_INT(u.tls, good[i].tls);
		CHECK(good[i].user ? u.user && !strcmp(u.user, good[i].user) : !u.user);
		CHECK_STR(u.host, good[i].host);
		CHECK_INT(u.port, good[i].port);
		CHECK_STR(u.target, good[i].target);
	}
}

TEST(bad_urls_are_refused)
{
	static const char *const bad[] = {
		"", "a", "ftp://a/", "https:/a", "https://", "https:///x", "https://:443/", "https://a:0/", "https://a:/",
		"https://a:65536/", "https://a:1x/", "https://a b/", "https://a/b c", "https://a/\n", "https://a\\b/",
		"https://[::1/", "https://[x]/", "https://[::1]x/", "https://[]/", "https://%61/", "https://a%/",
		"http://u%zz@a/", "http://u%0a@a/", "http://u%00@a/",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct url u = { 0 };
		struct err *e = url_parse(bad[i], &u);

		if (!e)
			fprintf(stderr, "accepted \"%s\"\n", bad[i]);
		CHECK_ERR(e, ERR_INVALID);
	}
}

TEST(redirects_are_resolved)
{
	static const char *const cases[][3] = {
		{ "https://a/v2/x/blobs/d?ns=y", "https://b/c?d=e", "https://b/c?d=e" },
		{ "https://a/v2/x/blobs/d?ns=y", "//b:81/c", "https://b:81/c" },
		{ "https://a:5000/v2/x/blobs/d?ns=y", "/c", "https://a:5000/c" },
		{ "http://a/v2/x/blobs/d?ns=y", "e", "http://a/v2/x/blobs/e" },
		{ "http://a/v2/x/blobs/d?ns=y", "../e/./f", "http://a/v2/x/e/f" },
		{ "http://a/v2/x/blobs/d?ns=y", "../../../../../e", "http://a/e" },
		{ "http://a/v2/x/blobs/d", ".", "http://a/v2/x/blobs/" },
		{ "http://a/v2/x/blobs/d", "..", "http://a/v2/x/" },
		{ "http://a/v2/x", "?q=/../..", "http://a/v2/x?q=/../.." },
		{ "http://a/v2/x", "/b?q=/../..", "http://a/b?q=/../.." },
		{ "http://a/v2/x", "y/z:1", "http://a/v2/y/z:1" },
		{ "http://[::1]:5000/v2/x", "y", "http://[::1]:5000/v2/y" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_url_ struct url base = { 0 }, got = { 0 }, want = { 0 };

		CHECK_OK(url_parse(cases[i][0], &base));
		CHECK_OK(url_resolve(&base, cases[i][1], &got));
		CHECK_OK(url_parse(cases[i][2], &want));
		CHECK(url_same_origin(&got, &want));
		CHECK_STR(got.target, want.target);
	}
}

TEST(redirects_do_not_choose_credentials_or_schemes)
{
	_url_ struct url base = { 0 };
	struct url u;

	CHECK_OK(url_parse("https://a/", &base));
	CHECK_ERR(url_resolve(&base, "https://u:p@b/", &u), ERR_INVALID);
	CHECK_ERR(url_resolve(&base, "//u@b/", &u), ERR_INVALID);
	CHECK_ERR(url_resolve(&base, "file:///etc/passwd", &u), ERR_INVALID);
	CHECK_ERR(url_resolve(&base, "javascript:x", &u), ERR_INVALID);
	CHECK_ERR(url_resolve(&base, "/a\tb", &u), ERR_INVALID);
}

TEST(what_is_shown_holds_no_secrets)
{
	_url_ struct url u = { 0 };

	CHECK_OK(url_parse("https://user:pass@a:444/x/y?signature=secret", &u));
	_free_ char *shown = url_shown(&u), *authority = url_authority(&u);

	CHECK_STR(shown, "https://a:444/x/y");
	CHECK_STR(authority, "a:444");

	_err_ struct err *e = url_parse("https://user:pass@a:444444/x?secret", &u);

	CHECK(e && !strstr(err_text(e), "pass") && !strstr(err_text(e), "secret"));
}

TEST(origins_differ_by_scheme_host_and_port)
{
	_url_ struct url a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };

	CHECK_OK(url_parse("https://a/x", &a));
	CHECK_OK(url_parse("https://A:443/y", &b));
	CHECK_OK(url_parse("http://a:443/x", &c));
	CHECK_OK(url_parse("https://a:444/x", &d));
	CHECK_OK(url_parse("https://b/x", &e));
	CHECK(url_same_origin(&a, &b));
	CHECK(!url_same_origin(&a, &c) && !url_same_origin(&a, &d) && !url_same_origin(&a, &e));
}

TEST(local_hosts)
{
	CHECK(url_host_is_local("localhost") && url_host_is_local("127.0.0.1") && url_host_is_local("127.9.9.9") &&
	      url_host_is_local("::1"));
	CHECK(!url_host_is_local("localhost.example.com") && !url_host_is_local("10.0.0.1") &&
	      !url_host_is_local("::2") && !url_host_is_local("127.0.0.1.example.com"));
}

TEST(query_values_are_escaped)
{
	_buf_ struct buf b = BUF_INIT;

	url_escape(&b, "repository:a/b_c-d.e~:pull&x=\xc3\xa9 ");
	CHECK_STR(b.data, "repository%3Aa%2Fb_c-d.e~%3Apull%26x%3D%C3%A9%20");
}

TEST_MAIN
