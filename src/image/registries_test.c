#include "base/test.h"
#include "base/file.h"
#include "image/registries.h"

#include <fcntl.h>

static char dir[] = "/tmp/crisp-test-registries-XXXXXX";

static void put(const char *name, const char *text)
{
	_free_ char *path = base_printf("%s/%s", dir, name), *parent = base_strdup(path);

	*strrchr(parent, '/') = '\0';
	CHECK_OK(file_make_dirs(parent, 0755));
	CHECK_OK(file_replace_at(AT_FDCWD, path, text, strlen(text), 0644, FILE_VOLATILE));
}

static void clean(void)
{
	CHECK_OK(file_remove_tree(AT_FDCWD, dir));
	CHECK_OK(file_make_dirs(dir, 0755));
}

static struct err *load(const char *image, struct hosts *h)
{
	_reference_ struct reference r = { 0 };
	_free_ char *conf = base_printf("%s/registries.conf", dir), *own = base_printf("%s/crisp", dir),
		    *theirs = base_printf("%s/certs.d", dir);
	const struct hosts_paths p = { own, conf, theirs };

	hosts_done(h);
	TRY(reference_parse(image, &r));
	return hosts_load(&p, &r, h);
}

/* "URL/REPOSITORY" of each endpoint, one after another; "!" where certificates are not looked at, "=" the registry itself. */
static char *endpoints(const char *image)
{
	_hosts_ struct hosts h = { 0 };
	struct buf b = BUF_INIT;
	_err_ struct err *e = load(image, &h);

	if (e)
		return base_printf("%s", err_text(e));
	for (size_t i = 0; i < h.n; i++) {
		_free_ char *url = url_shown(&h.items[i].url);

		CHECK(h.items[i].pull && h.items[i].resolve && !(h.items[i].mirror && h.items[i].server));
		CHECK(!h.items[i].mirror || !h.items[i].namespace);
		buf_printf(&b, "%s%s%s%s/%s", i ? " " : "", h.items[i].server ? "=" : "", h.items[i].skip_verify ? "!" : "", url,
			   h.items[i].repository);
	}
	return buf_take(&b);
}

static void check_endpoints(const char *image, const char *want)
{
	_free_ char *got = endpoints(image);

	CHECK_STR(got, want);
}

#define D "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* The examples of containers-registries.conf(5), and what CRI-O's installations hold. */
TEST(registries_rewrite_what_the_prefix_stands_for)
{
	clean();
	put("registries.conf",
	    "[[registry]]\nprefix = \"example.com/foo\"\nlocation = \"internal-registry-for-example.com/bar\"\n"
	    "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"mirror.test:5000/hub/\"\ninsecure = true\n"
	    "[[registry]]\nprefix = \"*.wild.test\"\n"
	    "[[registry]]\nprefix = \"*.moved.test\"\nlocation = \"one.test/all\"\n"
	    "[[registry]]\nprefix = \"example.com/foo/exact:1\"\nlocation = \"exact.test/image:2\"\n"
	    "[[registry]]\nprefix = \"port.test\"\nlocation = \"port.mirror\"\n");
	check_endpoints("example.com/foo/image:1", "https://internal-registry-for-example.com/v2/bar/image");
	check_endpoints("example.com/foobar/image", "=https://example.com/v2/foobar/image");
	check_endpoints("example.com/foo/exact:1", "https://exact.test/v2/image");
	check_endpoints("example.com/foo/exact:12", "https://internal-registry-for-example.com/v2/bar/exact");
	check_endpoints("nginx", "!https://mirror.test:5000/v2/hub/library/nginx http://mirror.test:5000/v2/hub/library/nginx "
				 "=https://registry-1.docker.io/v2/library/nginx");
	check_endpoints("a.wild.test/x/y" D, "=https://a.wild.test/v2/x/y");
	check_endpoints("a.b.moved.test/x/y", "https://one.test/v2/all/x/y");
	check_endpoints("moved.test/x", "=https://moved.test/v2/x");
	check_endpoints("port.test:5000/x", "https://port.mirror:5000/v2/x");
}

TEST(registries_mirrors_for_digests_and_tags)
{
	clean();
	put("registries.conf",
	    "[[registry]]\nlocation = \"a.test\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"m.test\"\n"
	    "[[registry]]\nlocation = \"b.test\"\n[[registry.mirror]]\nlocation = \"d.test\"\npull-from-mirror = \"digest-only\"\n"
	    "[[registry.mirror]]\nlocation = \"t.test\"\npull-from-mirror = \"tag-only\"\n");
	check_endpoints("a.test/x:1", "=https://a.test/v2/x");
	check_endpoints("a.test/x" D, "https://m.test/v2/x =https://a.test/v2/x");
	check_endpoints("b.test/x:1", "https://t.test/v2/x =https://b.test/v2/x");
	check_endpoints("b.test/x" D, "https://d.test/v2/x =https://b.test/v2/x");
	check_endpoints("b.test/x:1" D, "https://d.test/v2/x =https://b.test/v2/x");
}

TEST(registries_dropins_replace_by_prefix)
{
	clean();
	put("registries.conf", "unqualified-search-registries = [\"one.test\"]\n[[registry]]\nlocation = \"a.test\"\n"
			       "[[registry]]\nlocation = \"b.test\"\nblocked = true\n[aliases]\nfedora = \"f.test/fedora\"\ngone = \"g.test/g\"\n");
	put("registries.conf.d/20-b.conf", "[[registry]]\nprefix = \"a.test\"\nlocation = \"second.test\"\n[aliases]\ngone = \"\"\n");
	put("registries.conf.d/10-a.conf", "[[registry]]\nprefix = \"a.test\"\nlocation = \"first.test\"\n");
	put("registries.conf.d/30-not-read", "nonsense");
	check_endpoints("a.test/x", "https://second.test/v2/x");
	_free_ char *got = endpoints("b.test/x");

	CHECK(strstr(got, "registry b.test: it is blocked by ") && strstr(got, "/registries.conf:4"));
}

static char *candidates(const char *text, bool *ret_unsure)
{
	_registries_ struct registries r = { 0 };
	_free_ char *conf = base_printf("%s/registries.conf", dir);
	_strv_ struct strv v = { 0 };
	struct buf b = BUF_INIT;

	CHECK_OK(registries_load(conf, &r));
	registries_candidates(&r, text, &v, ret_unsure);
	for (size_t i = 0; i < v.len; i++)
		buf_printf(&b, "%s%s", i ? " " : "", v.items[i]);
	return buf_take(&b);
}

static void check_candidates(const char *text, bool unsure, const char *want)
{
	bool got_unsure;
	_free_ char *got = candidates(text, &got_unsure);

	CHECK_STR(got, want);
	CHECK(got_unsure == unsure);
}

TEST(short_names_by_alias_then_by_search)
{
	clean();
	check_candidates("nginx:1", false, "nginx:1");
	put("registries.conf", "unqualified-search-registries = [\"one.test\", \"docker.io\"]\nshort-name-mode = \"enforcing\"\n"
			       "[aliases]\nfedora = \"f.test/fedora\"\n\"team/app\" = \"t.test/x/app\"\n");
	check_candidates("fedora", false, "f.test/fedora");
	check_candidates("fedora:40", false, "f.test/fedora:40");
	check_candidates("team/app" D, false, "t.test/x/app" D);
	check_candidates("nginx:1", true, "one.test/nginx:1 docker.io/nginx:1");
	check_candidates("team/other", true, "one.test/team/other docker.io/team/other");
	check_candidates("localhost/x", false, "localhost/x");
	check_candidates("x.test/y", false, "x.test/y");
	put("registries.conf.d/a.conf", "short-name-mode = \"permissive\"\n");
	check_candidates("nginx:1", false, "one.test/nginx:1 docker.io/nginx:1");
}

/* hosts.toml of the very host is crisp's own word; _default is only for what nothing else names. */
TEST(registries_and_hosts_toml_together)
{
	clean();
	put("registries.conf", "[[registry]]\nlocation = \"a.test\"\n[[registry.mirror]]\nlocation = \"m.test\"\n"
			       "[[registry]]\nlocation = \"b.test\"\n[[registry.mirror]]\nlocation = \"m.test\"\n"
			       "[[registry]]\nlocation = \"c.test\"\nblocked = true\n");
	put("crisp/a.test/hosts.toml", "server = \"https://own.test\"\n");
	put("crisp/c.test/hosts.toml", "server = \"https://own.test\"\n");
	put("crisp/_default/hosts.toml", "server = \"https://default.test\"\n");
	check_endpoints("a.test/x", "=https://own.test/v2/x");
	check_endpoints("b.test/x", "https://m.test/v2/x =https://b.test/v2/x");
	check_endpoints("d.test/x", "=https://default.test/v2/x");
	_free_ char *got = endpoints("c.test/x");

	CHECK(strstr(got, "blocked"));
}

TEST(registries_certificates_beside_containers)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("registries.conf", "[[registry]]\nlocation = \"a.test\"\n[[registry.mirror]]\nlocation = \"m.test:5000\"\n");
	put("certs.d/m.test:5000/ca.crt", "ca of the mirror");
	put("certs.d/m.test:5000/client.cert", "cert");
	put("certs.d/m.test:5000/client.key", "key");
	put("certs.d/alone.test/ca.crt", "ca of one that nothing else names");
	CHECK_OK(load("a.test/x", &h));
	CHECK(h.n == 2 && h.items[0].ca.len == 1 && h.items[0].cert && h.items[0].key && !h.items[1].ca.len);
	CHECK_STR(h.items[0].ca.items[0], "ca of the mirror");
	CHECK_OK(load("alone.test/x", &h));
	CHECK(h.n == 1 && h.items[0].ca.len == 1);
}

TEST(registries_errors_name_file_and_line)
{
	static const struct { const char *text, *words; } t[] = {
		{ "[[registry]]\nlocation = \"http://a.test\"\n", "registries.conf:2: location: \"http://a.test\": a scheme" },
		{ "\n[[registry]]\ninsecure = true\n", "registries.conf:2: neither prefix nor location" },
		{ "[[registry]]\nprefix = \"a.test\"\n", "location must be set" },
		{ "[[registry]]\nprefix = \"*.a.test/x\"\n", ":2: prefix: " },
		{ "[[registry]]\nprefix = \"a.*.test\"\n", ":2: prefix: " },
		{ "[[registry]]\nlocation = 5\n", ":2: location: is a " },
		{ "[[registry]]\nlocation = \"a\"\ninsecure = \"yes\"\n", ":3: insecure: is a string, must be a boolean" },
		{ "[[registry]]\nlocation = \"a\"\n[[registry.mirror]]\n", "a mirror without a location" },
		{ "[[registry]]\nlocation = \"a\"\n[[registry.mirror]]\nlocation = \"b\"\npull-from-mirror = \"x\"\n", ":5: pull-from-mirror" },
		{ "[[registry]]\nlocation = \"a\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"b\"\n"
		  "pull-from-mirror = \"all\"\n", "cannot be combined" },
		{ "[[registry]]\nlocation = \"a/../b\"\n", "empty part" },
		{ "[[registry]]\nlocation = \"a b\"\n", "HOST[:PORT]" },
		{ "short-name-mode = \"x\"\n", ":1: short-name-mode" },
		{ "unqualified-search-registries = [\"a\", 5]\n", "must be a string" },
		{ "[registries.search]\nregistries = ['docker.io']\n", "version 1" },
		{ "registry = 5\n", ":1: registry: is a" },
		{ "x = \n", "registries.conf:1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_hosts_ struct hosts h = { 0 };

		clean();
		put("registries.conf", t[i].text);
		_err_ struct err *e = load("a.test/x", &h);

		CHECK(e && strstr(err_text(e), t[i].words));
		if (!e || !strstr(err_text(e), t[i].words))
			fprintf(stderr, "%s: %s\n", t[i].words, e ? err_text(e) : "no error");
	}
}

int main(int argc, char **argv)
{
	if (!mkdtemp(dir))
		return 1;
	int n = test_run_all(argc > 1 ? argv[1] : NULL);

	err_ignore(file_remove_tree(AT_FDCWD, dir));
	return n;
}
