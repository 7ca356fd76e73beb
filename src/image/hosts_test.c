#include "base/test.h"
#include "base/file.h"
#include "base/log.h"
#include "image/hosts.h"

#include <fcntl.h>

static char dir[] = "/tmp/crisp-test-hosts-XXXXXX";

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

	hosts_done(h);
	TRY(reference_parse(image, &r));
	return hosts_load(&(struct hosts_paths){ .certs_dir = dir }, &r, h);
}

static void check_url(const struct host_endpoint *e, const char *want)
{
	_free_ char *shown = url_shown(&e->url);

	CHECK_STR(shown, want);
}

TEST(hosts_without_any_file)
{
	_hosts_ struct hosts h = { 0 };
	static const char *const cases[][2] = {
		{ "nginx", "https://registry-1.docker.io/v2" },
		{ "registry.test/x", "https://registry.test/v2" },
		{ "registry.test:5000/x", "https://registry.test:5000/v2" },
		{ "localhost/x", "http://localhost/v2" },
		{ "localhost:5000/x", "http://localhost:5000/v2" },
		{ "127.0.0.1:5000/x", "http://127.0.0.1:5000/v2" },
		{ "[::1]:5000/x", "http://[::1]:5000/v2" },
		{ "10.0.0.1:5000/x", "https://10.0.0.1:5000/v2" },
	};

	clean();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK_OK(load(cases[i][0], &h));
		CHECK_INT(h.n, 1);
		CHECK(h.items[0].server && h.items[0].pull && h.items[0].resolve && !h.items[0].namespace);
		check_url(&h.items[0], cases[i][1]);
	}
}

TEST(hosts_file_whole)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("docker.io/hosts.toml",
	    "server = \"https://registry-1.docker.io\"\n"
	    "\n"
	    "[host.\"https://mirror.test:5000\"]\n"
	    "  capabilities = [\"pull\", \"Resolve\"]\n"
	    "  ca = \"mirror.pem\"\n"
	    "  client = [[\"client.cert\", \"client.key\"]]\n"
	    "  dial_timeout = \"1m1s500ms\"\n"
	    "  [host.\"https://mirror.test:5000\".header]\n"
	    "    x-one = \"1\"\n"
	    "    x-two = [\"2\", \"3\"]\n"
	    "[host.\"http://plain.test/prefix/\"]\n"
	    "  capabilities = [\"pull\"]\n"
	    "  skip_verify = true\n"
	    "  ca = [\"mirror.pem\", \"other.pem\"]\n"
	    "[host.\"bare.test:1/project\"]\n"
	    "  override_path = true\n"
	    "  client = \"both.pem\"\n"
	    "[host.\"https://k3s.test/v2\"]\n"
	    "  capabilities = [\"push\"]\n"
	    "  [host.\"https://k3s.test/v2\".rewrite]\n"
	    "    \"^rancher/(.*)\" = \"no\"\n"
	    "    \"^library/(.*)\" = \"hub/$1\"\n");
	put("docker.io/mirror.pem", "MIRROR");
	put("docker.io/other.pem", "OTHER");
	put("docker.io/client.cert", "CERT");
	put("docker.io/client.key", "KEY");
	put("docker.io/both.pem", "BOTH");
	CHECK_OK(load("nginx", &h));
	CHECK_INT(h.n, 5);

	struct host_endpoint *e = h.items;

	check_url(&e[0], "https://mirror.test:5000/v2");
	CHECK(!e[0].server && e[0].pull && e[0].resolve && !e[0].skip_verify);
	CHECK_STR(e[0].namespace, "docker.io");
	CHECK_STR(e[0].ca.items[0], "MIRROR");
	CHECK_STR(e[0].cert, "CERT");
	CHECK_STR(e[0].key, "KEY");
	CHECK_INT(e[0].dial_timeout_ns, INT64_C(61500000000));
	CHECK_INT(e[0].headers.len, 3);
	CHECK_STR(e[0].headers.items[0], "x-one: 1");
	CHECK_STR(e[0].headers.items[2], "x-two: 3");
	CHECK_STR(e[0].repository, "library/nginx");

	check_url(&e[1], "http://plain.test/prefix/v2");
	CHECK(e[1].pull && !e[1].resolve && e[1].skip_verify);
	CHECK_INT(e[1].ca.len, 2);

	check_url(&e[2], "https://bare.test:1/project");
	CHECK_STR(e[2].cert, "BOTH");
	CHECK_STR(e[2].key, "BOTH");

	check_url(&e[3], "https://k3s.test/v2");
	CHECK(!e[3].pull && !e[3].resolve);
	CHECK_STR(e[3].repository, "hub/nginx");

	check_url(&e[4], "https://registry-1.docker.io/v2");
	CHECK(e[4].server && e[4].pull && e[4].resolve && !e[4].namespace);
}

TEST(hosts_file_without_server)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("registry.test:5000/hosts.toml", "skip_verify = true\n[host.\"https://registry.test:5000\"]\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	CHECK_INT(h.n, 2);
	CHECK(!h.items[0].namespace && !h.items[0].skip_verify);
	check_url(&h.items[1], "https://registry.test:5000/v2");
	CHECK(h.items[1].skip_verify && h.items[1].server);
	put("registry.test:5000/ca.pem", "CA");
	put("registry.test:5000/hosts.toml", "server = \"https://registry.test:5000\"\n[host.\"https://registry.test:5000\"]\nca = \"ca.pem\"\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	CHECK(h.n == 1 && h.items[0].server && h.items[0].ca.len == 1 && !h.items[0].namespace);
	put("registry.test:5000/hosts.toml", "server = \"\"\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	CHECK_INT(h.n, 1);
	put("registry.test:5000/hosts.toml", "");
	CHECK_OK(load("registry.test:5000/x", &h));
	CHECK_INT(h.n, 1);
	put("registry.test:5000/hosts.toml", "server = \"http://elsewhere.test\"\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	check_url(&h.items[0], "http://elsewhere.test/v2");
	CHECK_STR(h.items[0].namespace, "registry.test:5000");
}

TEST(hosts_directories_in_order)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("_default/hosts.toml", "server = \"https://default.test\"\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	check_url(&h.items[0], "https://default.test/v2");
	put("registry.test:5000/hosts.toml", "server = \"https://colon.test\"\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	check_url(&h.items[0], "https://colon.test/v2");
	put("registry.test_5000_/hosts.toml", "server = \"https://underscore.test\"\n");
	CHECK_OK(load("registry.test:5000/x", &h));
	check_url(&h.items[0], "https://underscore.test/v2");
}

TEST(hosts_docker_files)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("registry.test/b.crt", "B");
	put("registry.test/a.crt", "A");
	put("registry.test/client.cert", "CERT");
	put("registry.test/client.key", "KEY");
	put("registry.test/README", "x");
	CHECK_OK(load("registry.test/x", &h));
	CHECK_INT(h.n, 1);
	CHECK_INT(h.items[0].ca.len, 2);
	CHECK_STR(h.items[0].ca.items[0], "A");
	CHECK_STR(h.items[0].cert, "CERT");
	CHECK_STR(h.items[0].key, "KEY");
	put("registry.test/alone.cert", "CERT");
	CHECK_ERR(load("registry.test/x", &h), ERR_NOT_FOUND);

	put("localhost:5000/ca.crt", "A");
	CHECK_OK(load("localhost:5000/x", &h));
	check_url(&h.items[0], "https://localhost:5000/v2");
}

TEST(hosts_errors_name_file_and_line)
{
	static const char *const bad[][2] = {
		{ "server = 1\n", "hosts.toml:1: server" },
		{ "\nserver = \n", "hosts.toml:2" },
		{ "host = 1\n", "hosts.toml:1: host" },
		{ "[host.\"https://a\"]\ncapabilities = [\"fly\"]\n", "hosts.toml:2: capabilities: unknown capability \"fly\"" },
		{ "[host.\"https://a\"]\ncapabilities = \"pull\"\n", "hosts.toml:2" },
		{ "ca = 1\n", "hosts.toml:1: ca" },
		{ "ca = \"missing.pem\"\n", "missing.pem" },
		{ "client = [[\"a\",\"b\",\"c\"]]\n", "hosts.toml:1: client" },
		{ "client = [[]]\n", "hosts.toml:1: client" },
		{ "skip_verify = \"yes\"\n", "hosts.toml:1: skip_verify" },
		{ "[header]\n\"a b\" = \"c\"\n", "hosts.toml:2" },
		{ "[header]\na = \"c\\r\\nd: e\"\n", "hosts.toml:2" },
		{ "[header]\na = 1\n", "hosts.toml:2" },
		{ "dial_timeout = \"5\"\n", "hosts.toml:1: dial_timeout" },
		{ "dial_timeout = \"99999999999h\"\n", "hosts.toml:1: dial_timeout" },
		{ "override_path = 1\n", "hosts.toml:1: override_path" },
		{ "[host.\"https://u:p@a\"]\n", "auth file" },
		{ "[host.\"https://a/?x\"]\n", "query" },
		{ "[host.\"https://\"]\n", "hosts.toml:1" },
		{ "[host.\"https://a\".rewrite]\n\"(\" = \"x\"\n", "rewrite" },
		{ "[host.\"https://a\".rewrite]\n\"x\" = \"../..\"\n", "no repository's name" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_hosts_ struct hosts h = { 0 };

		clean();
		put("registry.test/hosts.toml", bad[i][0]);
		_err_ struct err *e = load("registry.test/x", &h);

		if (!e || !strstr(err_text(e), bad[i][1]))
			fprintf(stderr, "%s: %s\n", bad[i][0], e ? err_text(e) : "accepted");
		CHECK(e && strstr(err_text(e), bad[i][1]));
	}
}

TEST(hosts_rewrites)
{
	static const struct {
		const char *pattern, *replacement, *name, *want;
	} cases[] = {
		{ "^rancher/(.*)", "mirror/rancher-images/$1", "rancher/pause", "mirror/rancher-images/pause" },
		{ "(.*)/(.*)", "${2}/$1", "a/b", "b/a" },
		{ "x", "y", "a", NULL },
		{ "a", "b", "a/ca/a", "b/cb/b" },
		{ "^a", "b", "aa", "ba" },
		{ "$", "/end", "a", "a/end" },
		{ "(.*)", "p/$1", "a/b", "p/a/b" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_free_ char *got = NULL;

		CHECK_OK(hosts_rewrite(cases[i].pattern, cases[i].replacement, cases[i].name, &got));
		if (cases[i].want)
			CHECK_STR(got, cases[i].want);
		else
			CHECK(!got);
	}
}

/* ---- what k3s makes of its registries.yaml: HOST/hosts.toml below agent/etc/containerd/certs.d ---- */

#define K3S_HEAD "# File generated by k3s. DO NOT EDIT.\n\n"

/* mirrors: docker.io: { endpoint: [two], rewrite: … }; configs: the first mirror's tls */
TEST(k3s_hosts_mirrors_with_rewrites)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("pki/ca.crt", "CA");
	put("pki/client.crt", "CERT");
	put("pki/client.key", "KEY");
	_free_ char *text = base_printf(K3S_HEAD
		"server = \"https://registry-1.docker.io/v2\"\n"
		"capabilities = [\"pull\", \"resolve\", \"push\"]\n"
		"\n"
		"[host]\n"
		"[host.\"https://mirror.test:5000/v2\"]\n"
		"  capabilities = [\"pull\", \"resolve\"]\n"
		"  ca = [\"%s/pki/ca.crt\"]\n"
		"  client = [[\"%s/pki/client.crt\", \"%s/pki/client.key\"]]\n"
		"  skip_verify = true\n"
		"  [host.\"https://mirror.test:5000/v2\".rewrite]\n"
		"    \"^library/(.*)\" = \"hub/$1\"\n"
		"    \"^rancher/(.*)\" = \"mirrorproject/rancher-images/$1\"\n"
		"\n"
		"[host.\"http://10.0.0.1:5000/prefix/v2\"]\n"
		"  capabilities = [\"pull\", \"resolve\"]\n"
		"  override_path = true\n", dir, dir, dir);

	put("docker.io/hosts.toml", text);
	CHECK_OK(load("docker.io/rancher/mirrored-pause:3.6", &h));
	CHECK_INT(h.n, 3);
	check_url(&h.items[0], "https://mirror.test:5000/v2");
	CHECK_STR(h.items[0].repository, "mirrorproject/rancher-images/mirrored-pause");
	CHECK_STR(h.items[0].namespace, "docker.io");
	CHECK_STR(h.items[0].ca.items[0], "CA");
	CHECK_STR(h.items[0].cert, "CERT");
	CHECK_STR(h.items[0].key, "KEY");
	CHECK(h.items[0].skip_verify && h.items[0].pull && h.items[0].resolve);
	/* a path of its own is taken as it stands; no rewrite is of another endpoint */
	check_url(&h.items[1], "http://10.0.0.1:5000/prefix/v2");
	CHECK_STR(h.items[1].repository, "rancher/mirrored-pause");
	check_url(&h.items[2], "https://registry-1.docker.io/v2");
	CHECK_STR(h.items[2].repository, "rancher/mirrored-pause");
	CHECK(h.items[2].server && h.items[2].pull && h.items[2].resolve && !h.items[2].skip_verify);
}

/* configs alone: there is no mirror, what is said is of the registry itself */
TEST(k3s_hosts_configs_without_mirrors)
{
	_hosts_ struct hosts h = { 0 };
	static const char *const tails[] = { "\n[host]\n", "" };  /* 1.29.3 left the empty table out */

	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		_free_ char *text = base_printf(K3S_HEAD "server = \"https://registry.test:5000/v2\"\n"
			"capabilities = [\"pull\", \"resolve\", \"push\"]\nskip_verify = true\n%s", tails[i]);

		clean();
		put("registry.test:5000/hosts.toml", text);
		CHECK_OK(load("registry.test:5000/x", &h));
		CHECK_INT(h.n, 1);
		check_url(&h.items[0], "https://registry.test:5000/v2");
		CHECK(h.items[0].server && h.items[0].skip_verify && !h.items[0].namespace);
	}
}

/* A registry without TLS is a mirror of itself: k3s writes https for the server whatever the endpoint says. */
TEST(k3s_hosts_plain_registry_is_asked_first)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("10.0.0.1:5000/hosts.toml", K3S_HEAD "server = \"https://10.0.0.1:5000/v2\"\n"
	    "capabilities = [\"pull\", \"resolve\", \"push\"]\n\n[host]\n[host.\"http://10.0.0.1:5000/v2\"]\n"
	    "  capabilities = [\"pull\", \"resolve\"]\n");
	CHECK_OK(load("10.0.0.1:5000/x", &h));
	CHECK_INT(h.n, 2);
	check_url(&h.items[0], "http://10.0.0.1:5000/v2");
	check_url(&h.items[1], "https://10.0.0.1:5000/v2");
}

/* mirrors: "*" is _default; its server is empty, and stands for each registry itself. A host of its own hides it. */
TEST(k3s_hosts_wildcard)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("_default/hosts.toml", K3S_HEAD "server = \"\"\ncapabilities = [\"pull\", \"resolve\", \"push\"]\n\n"
	    "[host]\n[host.\"https://mirror.test/v2\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
	CHECK_OK(load("quay.io/x/y", &h));
	CHECK_INT(h.n, 2);
	check_url(&h.items[0], "https://mirror.test/v2");
	CHECK_STR(h.items[0].namespace, "quay.io");
	check_url(&h.items[1], "https://quay.io/v2");
	CHECK_OK(load("nginx", &h));
	check_url(&h.items[1], "https://registry-1.docker.io/v2");
	put("quay.io/hosts.toml", K3S_HEAD "server = \"https://quay.io/v2\"\ncapabilities = [\"pull\", \"resolve\", "
	    "\"push\"]\nskip_verify = true\n\n[host]\n");
	CHECK_OK(load("quay.io/x/y", &h));
	CHECK_INT(h.n, 1);
	/* configs: "*" has no server at all */
	put("_default/hosts.toml", K3S_HEAD "skip_verify = true\n\n[host]\n");
	CHECK_OK(load("registry.test/x", &h));
	CHECK_INT(h.n, 1);
	check_url(&h.items[0], "https://registry.test/v2");
	CHECK(h.items[0].skip_verify);
}

/* --disable-default-registry-endpoint: no server either. Here it comes last all the same, with no settings. */
TEST(k3s_hosts_without_default_endpoint)
{
	_hosts_ struct hosts h = { 0 };

	clean();
	put("docker.io/hosts.toml", K3S_HEAD "\n[host]\n[host.\"https://127.0.0.1:6443/v2\"]\n"
	    "  capabilities = [\"pull\", \"resolve\"]\n[host.\"https://mirror.test/v2\"]\n"
	    "  capabilities = [\"pull\", \"resolve\"]\n");
	CHECK_OK(load("nginx", &h));
	CHECK_INT(h.n, 3);
	check_url(&h.items[0], "https://127.0.0.1:6443/v2");
	check_url(&h.items[1], "https://mirror.test/v2");
	CHECK(h.items[2].server);
}

int main(int argc, char **argv)
{
	log_init("test", LOG_LEVEL_ERROR);
	if (!mkdtemp(dir))
		return 1;
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	err_free(file_remove_tree(AT_FDCWD, dir));
	return status;
}
