/* fetch as serve uses it: the real process, confined, talking to a server on loopback. */
#include "base/test.h"
#include "base/log.h"
#include "image/fetch.h"
#include "image/fetch_confine.h"
#include "image/fetch_settings.h"
#include "wire/http1_testserver.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/crisp-test-fetch-XXXXXX";

static int64_t soon(void)
{
	return clock_mono_ns() + 60 * NS_PER_S;
}

static void put(const char *name, const char *text)
{
	_free_ char *path = base_printf("%s/%s", dir, name), *parent = base_strdup(path);

	*strrchr(parent, '/') = '\0';
	CHECK_OK(file_make_dirs(parent, 0755));
	CHECK_OK(file_replace_at(AT_FDCWD, path, text, strlen(text), 0644, FILE_VOLATILE));
}

/* registry.test is served by *s*. */
static void point_at(const struct test_server *s)
{
	_free_ char *ca = test_pki_text("ca.pem");
	_free_ char *hosts = base_printf("server = \"http%s://127.0.0.1:%d\"\nca = \"ca.pem\"\n", s->tls ? "s" : "", s->port);

	put("certs.d/registry.test/hosts.toml", hosts);
	put("certs.d/registry.test/ca.pem", ca);
}

static struct fetch *start_as(uid_t uid, const struct fetch_auth *auth)
{
	_free_ char *certs = base_printf("%s/certs.d", dir), *auth_file = base_printf("%s/auth.json", dir);
	_reference_ struct reference r = { 0 };
	struct fetch_options o = { .hosts.certs_dir = certs, .auth_file = auth_file, .auth = auth, .uid = uid };
	struct fetch *f = NULL;

	CHECK_OK(reference_parse("registry.test/team/app", &r));
	CHECK_OK(fetch_start(&r, &o, &f));
	return f;
}

static struct fetch *start(const struct fetch_auth *auth)
{
	return start_as(geteuid() == 0 ? 65533 : 0, auth);
}

struct blob {
	struct fetch *f;
	uint64_t size;
	int from, to;
	char *got;
	size_t n;
	struct err *error;
	pthread_t reader, caller;
};

static void *read_blob(void *arg)
{
	struct blob *b = arg;
	struct buf got = BUF_INIT;

	err_free(file_read_fd(b->from, MIB(64), &got));
	b->n = got.len;
	b->got = got.len ? buf_take(&got) : base_strdup("");
	buf_done(&got);
	return NULL;
}

static void *call_blob(void *arg)
{
	struct blob *b = arg;

	b->error = fetch_blob(b->f, DIGEST, b->size, b->to, 20 * NS_PER_S);
	return NULL;
}

static void blob_begin(struct blob *b, struct fetch *f, uint64_t size)
{
	int fds[2];

	*b = (struct blob){ .f = f, .size = size };
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	b->from = fds[0];
	b->to = fds[1];
	CHECK(pthread_create(&b->reader, NULL, read_blob, b) == 0);
	CHECK(pthread_create(&b->caller, NULL, call_blob, b) == 0);
}

static struct err *blob_end(struct blob *b)
{
	pthread_join(b->caller, NULL);
	pthread_join(b->reader, NULL);
	close(b->from);
	return b->error;
}

/* ---- servers ---- */

static char *big;
static size_t big_size = MIB(8) + 123;

static void registry(struct test_conn *c, const struct http1_head *h, void *context)
{
	const char *auth = http1_header(h, "Authorization");

	(void)context;
	if (!auth || strcmp(auth, "Basic dXNlcjpwYXNz") != 0)
		test_answer(c, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "{\"errors\":[{\"message\":\"who are you\"}]}");
	else if (strstr(h->target, "/manifests/latest"))
		test_answer(c, 200, "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n", "{\"the\":\"manifest\"}");
	else if (strstr(h->target, "/manifests/empty"))
		test_answer(c, 200, "", "");
	else if (strstr(h->target, "/blobs/")) {
		test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", big_size);
		test_send(c, big, big_size);
	} else {
		test_answer(c, 404, "", "");
	}
}

static const struct fetch_auth user = { .username = "user", .password = "pass" };

TEST(fetch_manifest_and_blobs)
{
	struct test_server *s = test_server_new("server", false, registry, NULL);

	point_at(s);
	struct fetch *f = start(&user);
	_buf_ struct buf b = BUF_INIT;
	_free_ char *type = NULL, *none = NULL;
	struct blob blobs[FETCH_PARALLEL * 2];

	CHECK_OK(fetch_manifest(f, "latest", soon(), &b, &type));
	CHECK_STR(b.data, "{\"the\":\"manifest\"}");
	CHECK_STR(type, "application/vnd.oci.image.manifest.v1+json");
	for (size_t i = 0; i < ARRAY_LEN(blobs); i++)
		blob_begin(&blobs[i], f, big_size);
	for (size_t i = 0; i < ARRAY_LEN(blobs); i++) {
		CHECK_OK(blob_end(&blobs[i]));
		CHECK_INT(blobs[i].n, big_size);
		CHECK(!memcmp(blobs[i].got, big, big_size));
		free(blobs[i].got);
	}
	CHECK(s->connections <= FETCH_PARALLEL);
	buf_done(&b);
	CHECK_OK(fetch_manifest(f, "empty", soon(), &b, &none));
	CHECK_INT(b.len, 0);
	fetch_stop(f);
}

TEST(fetch_errors_come_over)
{
	struct test_server *s = test_server_new("server", false, registry, NULL);

	point_at(s);
	struct fetch *f = start(NULL);
	_buf_ struct buf b = BUF_INIT;
	char *type = NULL;
	struct err *e = fetch_manifest(f, "latest", soon(), &b, &type);

	CHECK(e && strstr(err_text(e), "/v2/team/app/manifests/latest"));
	CHECK(strstr(err_text(e), "who are you"));
	CHECK_ERR(e, ERR_AUTH);
	fetch_stop(f);
}

/* A pull secret that is wrong must not succeed by the node's own account. */
TEST(fetch_with_a_wrong_secret_does_not_fall_back_to_the_auth_file)
{
	struct test_server *s = test_server_new("server", false, registry, NULL);

	point_at(s);
	put("auth.json", "{\"auths\":{\"registry.test/team\":{\"auth\":\"dXNlcjpwYXNz\"}}}");
	struct fetch_auth wrong = { .username = "user", .password = "wrong" };
	struct fetch *f = start(&wrong);
	_buf_ struct buf b = BUF_INIT;
	_free_ char *type = NULL;

	CHECK_ERR(fetch_manifest(f, "latest", soon(), &b, &type), ERR_AUTH);
	fetch_stop(f);
	f = start(NULL);
	CHECK_OK(fetch_manifest(f, "latest", soon(), &b, &type));
	fetch_stop(f);
	put("auth.json", "{}");
}

/* ---- endings ---- */

static void stuck(struct test_conn *c, const struct http1_head *h, void *context)
{
	(void)h;
	(void)context;
	test_printf(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
}

TEST(fetch_cancelled_while_a_blob_is_under_way)
{
	struct test_server *s = test_server_new("server", false, stuck, NULL);
	struct blob b;

	point_at(s);
	struct fetch *f = start(NULL);
	int64_t before = clock_mono_ns();

	blob_begin(&b, f, 100);
	while (s->requests == 0)
		usleep(1000);
	fetch_cancel(f);
	CHECK_ERR(blob_end(&b), ERR_CANCELLED);
	free(b.got);
	CHECK(clock_mono_ns() - before < 10 * NS_PER_S);
	blob_begin(&b, f, 100);
	CHECK_ERR(blob_end(&b), ERR_CANCELLED);
	free(b.got);
	fetch_stop(f);
	fetch_stop(NULL);
}

TEST(fetch_stopped_at_once)
{
	struct test_server *s = test_server_new(NULL, false, stuck, NULL);

	point_at(s);
	for (int i = 0; i < 5; i++)
		fetch_stop(start(NULL));
}

static pid_t only_child(void)
{
	_buf_ struct buf b = BUF_INIT;
	_free_ char *path = base_printf("/proc/self/task/%d/children", gettid());

	CHECK_OK(file_read_virtual(AT_FDCWD, path, 4096, &b));
	return b.len ? atoi(b.data) : 0;
}

TEST(fetch_process_that_dies_is_noticed)
{
	struct test_server *s = test_server_new("server", false, stuck, NULL);
	struct blob b;

	point_at(s);
	struct fetch *f = start(NULL);
	pid_t pid = only_child();

	CHECK(pid > 0);
	blob_begin(&b, f, 100);
	while (s->requests == 0)
		usleep(1000);
	kill(pid, SIGTERM);
	struct err *e = blob_end(&b);

	CHECK(e && strstr(err_text(e), "ended unexpectedly: killed by signal 15"));
	CHECK_ERR(e, ERR_INTERNAL);
	free(b.got);
	fetch_stop(f);
}

/* ---- confinement ---- */

static char *status_of(pid_t pid)
{
	struct buf b = BUF_INIT;
	_free_ char *path = base_printf("/proc/%d/status", pid);

	CHECK_OK(file_read_virtual(AT_FDCWD, path, KIB(16), &b));
	return buf_take(&b);
}

TEST(fetch_process_is_confined)
{
	struct test_server *s = test_server_new("server", false, registry, NULL);

	point_at(s);
	struct fetch *f = start(&user);
	_buf_ struct buf b = BUF_INIT;
	_free_ char *type = NULL;

	CHECK_OK(fetch_manifest(f, "latest", soon(), &b, &type));
	_free_ char *status = status_of(only_child());

	CHECK(strstr(status, "\nNoNewPrivs:\t1\n"));
	CHECK(strstr(status, "\nSeccomp:\t2\n"));
	if (geteuid() == 0) {
		CHECK(strstr(status, "\nUid:\t65533\t65533\t65533\t65533\n"));
		CHECK(strstr(status, "\nGid:\t65533\t65533\t65533\t65533\n"));
		CHECK(strstr(status, "\nGroups:\t \n"));
		CHECK(strstr(status, "\nCapEff:\t0000000000000000\n"));
		CHECK(strstr(status, "\nCapPrm:\t0000000000000000\n"));
	}
	fetch_stop(f);
}

/* What a confined process that does *what* ends with. */
static int confined(int what)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct err *e = fetch_confine(geteuid() == 0 ? 65533 : 0);

		if (e)
			_exit(100);
		switch (what) {
		case 'e':
			execl("/bin/true", "true", NULL);
			break;
		case 'u':
			_exit(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM ? 1 : 2);
		case 'o':
			_exit(open(dir, O_RDONLY | O_DIRECTORY) < 0 ? 1 : 2);
		case 'w':
			_exit(open("/tmp/crisp-test-must-not-be", O_WRONLY | O_CREAT, 0600) < 0 ? 1 : 2);
		case 'r':
			_exit(open("/etc/hosts", O_RDONLY) >= 0 ? 1 : 2);
		case 'm':
			_exit(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 1 : 2);
		case 't':
			_exit(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 1 : 2);
		}
		_exit(3);
	}
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(fetch_confinement_holds)
{
	CHECK_INT(confined('e'), -SIGSYS);
	CHECK_INT(confined('u'), 1);
	CHECK_INT(confined('m'), 1);
	CHECK_INT(confined('t'), 1);
	CHECK_INT(confined('r'), 1);
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6) {
		CHECK_INT(confined('o'), 1);
		CHECK_INT(confined('w'), 1);
	}
}

TEST(fetch_settings_give_each_endpoint_its_own_credentials)
{
	_registry_config_ struct registry_config c = { 0 };
	_reference_ struct reference r = { 0 };
	_free_ char *certs = base_printf("%s/certs.d", dir), *auth_file = base_printf("%s/auth.json", dir);
	struct fetch_options o = { .hosts.certs_dir = certs, .auth_file = auth_file, .auth = &user };

	put("certs.d/many.test/hosts.toml", "[host.\"https://mirror.test:5000\"]\n[host.\"https://other.test\"]\n");
	put("auth.json", "{\"auths\":{\"mirror.test:5000\":{\"username\":\"for the mirror\"},\"many.test\":{\"username\":\"from the file\"}}}");
	setenv("HTTPS_PROXY", "http://proxy.test:3128", 1);
	setenv("no_proxy", "other.test", 1);
	CHECK_OK(reference_parse("many.test/x", &r));
	CHECK_OK(fetch_settings_gather(&r, &o, &c));
	unsetenv("HTTPS_PROXY");
	unsetenv("no_proxy");
	put("auth.json", "{}");
	CHECK_INT(c.n_endpoints, 3);
	CHECK_INT(c.endpoints[0].n_credentials, 1);
	CHECK_STR(c.endpoints[0].credentials[0].username, "for the mirror");
	CHECK_INT(c.endpoints[1].n_credentials, 0);
	CHECK_INT(c.endpoints[2].n_credentials, 1);
	CHECK_STR(c.endpoints[2].credentials[0].username, "user");
	CHECK_STR(c.https_proxy, "http://proxy.test:3128");
	CHECK_STR(c.no_proxy, "other.test");
}

TEST(fetch_bad_settings_are_errors_at_once)
{
	_free_ char *certs = base_printf("%s/certs.d", dir);
	_reference_ struct reference r = { 0 };
	struct fetch_options o = { .hosts.certs_dir = certs };
	struct fetch *f;

	put("certs.d/bad.test/hosts.toml", "server = \n");
	CHECK_OK(reference_parse("bad.test/x", &r));
	struct err *e = fetch_start(&r, &o, &f);

	CHECK(e && strstr(err_text(e), "hosts.toml:1"));
	CHECK_ERR(e, ERR_INVALID);
}

int main(int argc, char **argv)
{
	/* The process that fetch_start() makes is this program again. _exit: the leak checker cannot work
	 * in a confined process. */
	if (argc > 1 && !strcmp(argv[1], "fetch"))
		_exit(fetch_main(argc - 1, argv + 1));
	log_init("test", getenv("CRISP_TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	if (!mkdtemp(dir))
		return 1;
	big = base_alloc(big_size);
	for (size_t i = 0; i < big_size; i++)
		big[i] = (char)(i * 2654435761u >> 13);
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	free(big);
	err_free(file_remove_tree(AT_FDCWD, dir));
	return status;
}
