#include "base/test.h"
#include "base/buf.h"
#include "image/reference.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

struct golden {
	const char *text, *host, *repository, *tag, *digest;
};

static const struct golden good[] = {
	{ "nginx", "docker.io", "library/nginx", "latest", "" },
	{ "nginx:1.27", "docker.io", "library/nginx", "1.27", "" },
	{ "user/app", "docker.io", "user/app", "latest", "" },
	{ "docker.io/nginx", "docker.io", "library/nginx", "latest", "" },
	{ "index.docker.io/nginx", "docker.io", "library/nginx", "latest", "" },
	{ "index.docker.io/a/b", "docker.io", "a/b", "latest", "" },
	{ "registry.k8s.io/pause:3.10", "registry.k8s.io", "pause", "3.10", "" },
	{ "localhost/x", "localhost", "x", "latest", "" },
	{ "localhost:5000/x/y:z", "localhost:5000", "x/y", "z", "" },
	{ "127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest", "" },
	{ "[::1]:5000/x", "[::1]:5000", "x", "latest", "" },
	{ "[2001:db8::1]/x", "[2001:db8::1]", "x", "latest", "" },
	{ "Host/x", "Host", "x", "latest", "" },
	{ "registry:5000/x", "registry:5000", "x", "latest", "" },
	{ "ghcr.io/a/b/c/d:v1.0_rc-2", "ghcr.io", "a/b/c/d", "v1.0_rc-2", "" },
	{ "a.b/c@" DIGEST, "a.b", "c", "", DIGEST },
	{ "a.b/c:t@" DIGEST, "a.b", "c", "t", DIGEST },
	{ "busybox@" DIGEST, "docker.io", "library/busybox", "", DIGEST },
	{ "a/b__c-----d.e_f", "docker.io", "a/b__c-----d.e_f", "latest", "" },
	{ "sha256:" HEX64, "docker.io", "library/sha256", HEX64, "" },
	{ "xn--n3h.com/x", "xn--n3h.com", "x", "latest", "" },
};

TEST(references_are_normalised)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct reference r;

		CHECK_OK(reference_parse(good[i].text, &r));
		CHECK_STR(r.host, good[i].host);
		CHECK_STR(r.repository, good[i].repository);
		CHECK_STR(r.tag, good[i].tag);
		CHECK_STR(r.digest, good[i].digest);
		reference_done(&r);
	}
}

TEST(bad_references_are_refused)
{
	static const char *const bad[] = {
		"", " ", "/", "a/", "/a", "a//b", "a:", "a:b:c", "a@", "a@sha256:12", "a@sha512:" HEX64 HEX64,
		"a@" DIGEST "0", "a@" DIGEST "@" DIGEST, "A", "docker.io/Upper", "a/B", HEX64, HEX64 ":tag",
		"a b", "a\n", "a:\n", "a:-x", "a:.x", "-a", "a-", "_a", "a_", "a..b", "a___b", ".a", "a.",
		"../a", "../../etc/x", "a.b/../c", "..:5000/x", "a..b/c", "-a.b/c", "a-.b/c", "a.b-/c", "a.b:/c", "a.b:0/c",
		"a.b:65536/c", "a.b:-1/c", "a.b:5000x/c", "[::1/x", "[::1]x/x", "[::g]:1/x", "[]:1/x", "[a]/x",
		"https://a.b/c", "a.b/c?x", "a.b/c#x", "a.b\\c/d", "us\xc3\xa9r/x",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct reference r = { 0 };
		struct err *e = reference_parse(bad[i], &r);

		if (!e)
			fprintf(stderr, "accepted: \"%s\"\n", bad[i]);
		CHECK_ERR(e, ERR_INVALID);
	}
}

TEST(long_references_are_refused)
{
	struct reference r;
	_buf_ struct buf name = BUF_INIT, tag = BUF_INIT, huge = BUF_INIT;

	buf_puts(&name, "a.b/");
	for (int i = 0; i < 251; i++)
		buf_putc(&name, 'a');
	CHECK_OK(reference_parse(name.data, &r));
	reference_done(&r);
	buf_putc(&name, 'a');
	CHECK_ERR(reference_parse(name.data, &r), ERR_INVALID);
	buf_puts(&tag, "a:");
	for (int i = 0; i < 128; i++)
		buf_putc(&tag, 'a');
	CHECK_OK(reference_parse(tag.data, &r));
	reference_done(&r);
	buf_putc(&tag, 'a');
	CHECK_ERR(reference_parse(tag.data, &r), ERR_INVALID);
	for (int i = 0; i <= REFERENCE_MAX; i++)
		buf_putc(&huge, 'a');
	CHECK_ERR(reference_parse(huge.data, &r), ERR_INVALID);
}

TEST(references_are_written)
{
	_reference_ struct reference r = { 0 };

	CHECK_OK(reference_parse("nginx:1", &r));
	_free_ char *name = reference_name(&r);
	_free_ char *tagged = reference_tagged(&r);
	_free_ char *digested = reference_digested(&r, DIGEST);

	CHECK_STR(name, "docker.io/library/nginx");
	CHECK_STR(tagged, "docker.io/library/nginx:1");
	CHECK_STR(digested, "docker.io/library/nginx@" DIGEST);
	CHECK_STR(reference_endpoint_host(&r), "registry-1.docker.io");
	reference_done(&r);
	CHECK_OK(reference_parse("a.b:1/c@" DIGEST, &r));
	_free_ char *none = reference_tagged(&r);

	CHECK_STR(none, "");
	CHECK_STR(reference_endpoint_host(&r), "a.b:1");
}

TEST_MAIN
