/* Tests of the room with plugins that are shell scripts: each writes down what it was given
 * (environment, input) and answers as the test has it. */
#include "net/cni.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/test.h"
#include "net/list.h"
#include "net/plugin.h"
#include "net/record.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

struct world {
	char dir[64];
	char *conf, *bin, *cache;
	const char *bins[3];
	struct cni c;
	struct cni_pod p;
};

#define POD_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void setup(struct world *w)
{
	*w = (struct world){ .dir = "/tmp/crisp-net-XXXXXX" };
	if (!mkdtemp(w->dir))
		abort();
	w->conf = base_printf("%s/conf", w->dir);
	w->bin = base_printf("%s/bin", w->dir);
	w->cache = base_printf("%s/state/cache", w->dir);
	mkdir(w->conf, 0700);
	mkdir(w->bin, 0700);
	w->bins[0] = "/nonexistent/bin";
	w->bins[1] = w->bin;
	w->c = (struct cni){ .conf_dir = w->conf, .bin_dirs = w->bins, .cache_dir = w->cache,
			     .timeout_ns = 20 * NS_PER_S };
	w->p = (struct cni_pod){ .id = POD_ID, .name = "web-1", .namespace = "default", .uid = "u-1",
				 .netns = "/proc/self/ns/net" };
}

static void world_done(struct world *w)
{
	err_free(file_remove_tree(AT_FDCWD, w->dir));
	free(w->conf);
	free(w->bin);
	free(w->cache);
}
#define _world_ _cleanup_(world_done)

static void put(const char *dir, const char *name, const char *text, mode_t mode)
{
	_free_ char *path = base_printf("%s/%s", dir, name);

	err_free(file_replace_at(AT_FDCWD, path, text, strlen(text), mode, FILE_VOLATILE));
	chmod(path, mode);
}

/* A plugin that appends "NAME COMMAND" to log, keeps environment and input in NAME.COMMAND.{env,in},
 * then does *body*. */
static void put_plugin(struct world *w, const char *name, const char *body)
{
	_free_ char *text = base_printf("#!/bin/sh\nd=%s\necho \"%s $CNI_COMMAND\" >>$d/log\n"
					"env >$d/%s.$CNI_COMMAND.env\ncat >$d/%s.$CNI_COMMAND.in\n%s\n",
					w->dir, name, name, name, body);

	put(w->bin, name, text, 0755);
}

static char *slurp(struct world *w, const char *name)
{
	_free_ char *path = base_printf("%s/%s", w->dir, name);
	struct buf b = BUF_INIT;

	err_free(file_read_at(AT_FDCWD, path, MIB(4), &b));
	return buf_take(&b);
}

#define ANSWER(ips) "echo '{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"br0\"}," \
	"{\"name\":\"eth0\",\"sandbox\":\"/x\"}],\"ips\":[" ips "]}'"
#define ON_ADD(what) "[ $CNI_COMMAND = ADD ] || exit 0\n" what

static const char list_text[] =
	"{\"cniVersion\":\"1.0.0\",\"name\":\"podnet\",\"plugins\":["
	"{\"type\":\"first\",\"bridge\":\"br0\",\"capabilities\":{\"mac\":true,\"bandwidth\":false}},"
	"{\"type\":\"second\",\"capabilities\":{\"portMappings\":true,\"bandwidth\":true,\"dns\":true}}]}";

static void put_pair(struct world *w)
{
	put(w->conf, "10-pod.conflist", list_text, 0600);
	put_plugin(w, "first", ON_ADD(ANSWER("{\"address\":\"10.1.2.3/16\",\"interface\":1}")));
	put_plugin(w, "second",
		   ON_ADD(ANSWER("{\"address\":\"192.0.2.1/24\",\"interface\":0},"
				 "{\"address\":\"10.1.2.3/16\",\"interface\":1},{\"address\":\"fd00::5/64\"}")));
}

TEST(add_chains_results_and_del_runs_backwards_from_the_record)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };
	struct cni_port ports[] = { { 8080, 80, "tcp", "127.0.0.1" }, { 0, 81, "tcp", NULL }, { 53, 53, "udp", NULL } };
	const char *servers[] = { "10.0.0.10", NULL };
	struct cni_dns dns = { .servers = servers };

	setup(&w);
	put_pair(&w);
	w.p.ports = ports;
	w.p.n_ports = 3;
	w.p.mac = "02:00:00:00:00:01";
	w.p.ingress_rate = 1000000;
	w.p.dns = &dns;
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	CHECK_INT(ips.len, 2);
	CHECK_STR(ips.items[0], "10.1.2.3");
	CHECK_STR(ips.items[1], "fd00::5");

	_free_ char *in1 = slurp(&w, "first.ADD.in"), *in2 = slurp(&w, "second.ADD.in");
	_free_ char *env = slurp(&w, "first.ADD.env");

	CHECK_STR(in1, "{\"type\":\"first\",\"bridge\":\"br0\",\"capabilities\":{\"mac\":true,\"bandwidth\":false},"
		       "\"name\":\"podnet\",\"cniVersion\":\"1.0.0\",\"runtimeConfig\":{\"mac\":\"02:00:00:00:00:01\"}}");
	CHECK(strstr(in2, "\"prevResult\":{\"cniVersion\":\"1.0.0\""));
	CHECK(strstr(in2, "\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\","
			  "\"hostIP\":\"127.0.0.1\"},{\"hostPort\":53,\"containerPort\":53,\"protocol\":\"udp\"}]"));
	CHECK(strstr(in2, "\"bandwidth\":{\"ingressRate\":1000000,\"ingressBurst\":2147483647}"));
	CHECK(strstr(in2, "\"dns\":{\"servers\":[\"10.0.0.10\"]}"));
	CHECK(!strstr(in2, "\"mac\""));
	CHECK(strstr(env, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1;"
			  "K8S_POD_INFRA_CONTAINER_ID=" POD_ID ";K8S_POD_UID=u-1\n"));
	CHECK(strstr(env, "CNI_CONTAINERID=" POD_ID "\n") && strstr(env, "CNI_IFNAME=eth0\n"));
	CHECK(strstr(env, "CNI_NETNS=/proc/self/ns/net\n") && !strstr(env, "HOME="));

	CHECK_OK(cni_check(&w.c, &w.p));
	put(w.conf, "10-pod.conflist", "{\"name\":\"other\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"third\"}]}", 0600);
	w.p.netns = "/nonexistent/netns";
	CHECK_OK(cni_del(&w.c, &w.p));
	CHECK_OK(cni_del(&w.c, &w.p));

	_free_ char *log = slurp(&w, "log"), *del = slurp(&w, "second.DEL.in"), *denv = slurp(&w, "first.DEL.env");

	CHECK_STR(log, "first ADD\nsecond ADD\nfirst CHECK\nsecond CHECK\nsecond DEL\nfirst DEL\n");
	CHECK(strstr(del, "\"prevResult\":{") && strstr(del, "fd00::5") && strstr(del, "\"hostPort\":8080"));
	CHECK(strstr(denv, "CNI_NETNS=\n"));
}

TEST(failed_add_is_undone_and_says_which_plugin_and_why)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_pair(&w);
	put_plugin(&w, "second", ON_ADD("echo '{\"code\":7,\"msg\":\"no pool\",\"details\":\"range is full\"}'; exit 1"));
	_err_ struct err *e = cni_add(&w.c, &w.p, &ips);

	CHECK_STR(e ? err_text(e) : "ok", "network podnet: second plugin: no pool: range is full");
	_free_ char *log = slurp(&w, "log");

	CHECK_STR(log, "first ADD\nsecond ADD\nsecond DEL\nfirst DEL\n");
	CHECK_OK(cni_del(&w.c, &w.p)); /* no record: no plugin runs */
	_free_ char *again = slurp(&w, "log");

	CHECK_STR(again, log);
}

TEST(undo_that_fails_keeps_the_record_and_every_plugin_gets_its_del)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_pair(&w);
	put_plugin(&w, "second", "[ $CNI_COMMAND = DEL ] && [ ! -e $d/mended ] && { echo stuck >&2; exit 3; }\n"
				 "[ -e $d/mended ] || exit 9");
	CHECK_ERR(cni_add(&w.c, &w.p, &ips), ERR_INTERNAL);
	_err_ struct err *e = cni_del(&w.c, &w.p);

	CHECK_STR(e ? err_text(e) : "ok", "network podnet: second plugin: exit status 3: stuck");
	put(w.dir, "mended", "", 0600);
	CHECK_OK(cni_del(&w.c, &w.p));
	_free_ char *log = slurp(&w, "log");

	CHECK_STR(log, "first ADD\nsecond ADD\nsecond DEL\nfirst DEL\nsecond DEL\nfirst DEL\nsecond DEL\nfirst DEL\n");
}

TEST(spoiled_record_is_deleted_by_todays_configuration)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_pair(&w);
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	put(w.cache, POD_ID ".json", "", 0600);
	CHECK_OK(cni_del(&w.c, &w.p));
	put(w.cache, POD_ID ".json", "{", 0600);
	err_free(file_remove_tree(AT_FDCWD, w.conf));
	CHECK_OK(cni_del(&w.c, &w.p));
	_free_ char *log = slurp(&w, "log");

	CHECK_STR(log, "first ADD\nsecond ADD\nsecond DEL\nfirst DEL\n");
}

TEST(sweep_deletes_unknown_pods_and_temporary_files)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };
	const char *known[] = { POD_ID, NULL }, *none[] = { NULL };
	_free_ char *record = NULL, *tmp = NULL;

	setup(&w);
	put_pair(&w);
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	put(w.cache, ".tmp-1", "x", 0600);
	record = base_printf("%s/" POD_ID ".json", w.cache);
	tmp = base_printf("%s/.tmp-1", w.cache);
	cni_sweep(&w.c, known);
	CHECK(access(record, F_OK) == 0 && access(tmp, F_OK) < 0);
	cni_sweep(&w.c, none);
	CHECK(access(record, F_OK) < 0);
}

/* The attachments that are left are named; plugins before 1.1.0 and networks with disableGC are not asked. */
TEST(gc_tells_plugins_what_is_in_use)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };
	const char *known[] = { POD_ID, "of-the-nodes-network", NULL }, *none[] = { NULL };

	setup(&w);
	put(w.conf, "10.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"plugins\":[{\"type\":\"first\"},"
				   "{\"type\":\"second\"}]}", 0600);
	put_plugin(&w, "first", "[ $CNI_COMMAND = GC ] && exit 1; echo '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.2/24\"}]}'");
	put_plugin(&w, "second", "echo '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.2/24\"}]}'");
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	cni_gc(&w.c, known);
	_free_ char *log = slurp(&w, "log"), *in = slurp(&w, "second.GC.in");

	CHECK_STR(log, "first ADD\nsecond ADD\nfirst GC\nsecond GC\n");
	CHECK(strstr(in, "\"cni.dev/valid-attachments\":[{\"containerID\":\"" POD_ID "\",\"ifname\":\"eth0\"}]"));
	cni_gc(&w.c, none);
	_free_ char *empty = slurp(&w, "second.GC.in");

	CHECK(strstr(empty, "\"cni.dev/valid-attachments\":[]"));
}

TEST(gc_is_not_for_every_network)
{
	_world_ struct world w;
	const char *none[] = { NULL };

	setup(&w);
	put_plugin(&w, "first", "");
	put(w.conf, "10.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"first\"}]}", 0600);
	cni_gc(&w.c, none);
	put(w.conf, "10.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"disableGC\":true,"
				   "\"plugins\":[{\"type\":\"first\"}]}", 0600);
	cni_gc(&w.c, none);
	_free_ char *log = slurp(&w, "log");

	CHECK_STR(log, "");
}

/* Freed by mistake, an address would be given twice. */
TEST(gc_is_not_run_with_a_spoiled_record)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };
	const char *known[] = { POD_ID, NULL };

	setup(&w);
	put_plugin(&w, "first", "echo '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.2/24\"}]}'");
	put(w.conf, "10.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"plugins\":[{\"type\":\"first\"}]}", 0600);
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	put(w.cache, POD_ID ".json", "{", 0600);
	cni_gc(&w.c, known);
	_free_ char *log = slurp(&w, "log");

	CHECK_STR(log, "first ADD\n");
}

TEST(arguments_that_would_forge_others_are_refused)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_pair(&w);
	w.p.name = "x;K8S_POD_NAMESPACE=kube-system";
	CHECK_ERR(cni_add(&w.c, &w.p, &ips), ERR_INVALID);
	w.p.name = "ok";
	w.p.id = "../../etc/x";
	CHECK_ERR(cni_add(&w.c, &w.p, &ips), ERR_INVALID);
	CHECK_ERR(cni_del(&w.c, &w.p), ERR_INVALID);
}

TEST(plugin_that_hangs_is_killed_with_its_children)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_pair(&w);
	put_plugin(&w, "first", ON_ADD("sleep 300 & echo $! >$d/child; wait"));
	w.c.timeout_ns = 700 * NS_PER_MS;
	int64_t began = clock_mono_ns();
	_err_ struct err *e = cni_add(&w.c, &w.p, &ips);

	CHECK(err_is(e, ERR_TIMEOUT) && strstr(err_text(e), "first plugin: ADD: still running"));
	CHECK(clock_mono_ns() - began < 10 * NS_PER_S);
	_free_ char *child = slurp(&w, "child");
	_free_ char *proc = base_printf("/proc/%d/status", atoi(child));
	_buf_ struct buf b = BUF_INIT;
	struct err *gone = file_read_virtual(AT_FDCWD, proc, 4096, &b);

	CHECK(gone || strstr(buf_text(&b), "State:\tZ"));
	err_free(gone);
}

TEST(plugin_output_is_bounded_and_children_left_behind_do_not_block)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_pair(&w);
	put_plugin(&w, "first", ON_ADD("exec yes"));
	CHECK_ERR(cni_add(&w.c, &w.p, &ips), ERR_EXHAUSTED);
	put_plugin(&w, "first", ON_ADD("yes >&2 & sleep 300 & echo \"$! $$\" >$d/child; "
				       ANSWER("{\"address\":\"10.1.2.3/16\"}")));
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	_free_ char *kids = slurp(&w, "child");
	pid_t group = atoi(strchr(kids, ' '));

	CHECK(kill(-group, SIGKILL) == 0);
	put_plugin(&w, "second", ON_ADD("echo nonsense"));
	_err_ struct err *e = cni_add(&w.c, &w.p, &(struct strv){ 0 });

	CHECK_STR(err_text(e), "network podnet: second plugin: its result is not a JSON object");
	kids = (free(kids), slurp(&w, "child"));
	kill(-atoi(strchr(kids, ' ')), SIGKILL);
}

TEST(first_file_by_name_that_parses_is_taken_and_errors_name_the_file)
{
	_world_ struct world w;

	setup(&w);
	CHECK_ERR(cni_status(&w.c, CLOCK_NEVER), ERR_UNAVAILABLE);
	put(w.conf, "05-bad.conflist", "{\"name\":\"x\",", 0600);
	_cni_list_ struct cni_list none = { 0 };
	_err_ struct err *e = cni_list_load(w.conf, &none);

	CHECK(strstr(err_text(e), "conf/05-bad.conflist: not JSON: "));
	put(w.conf, "00-ignored.txt", "{}", 0600);
	put(w.conf, "20-late.conf", "{\"name\":\"late\",\"type\":\"x\"}", 0600);
	put(w.conf, "10-single.conf", "{\"cniVersion\":\"0.4.0\",\"name\":\"single\",\"type\":\"first\",\"k\":1}", 0600);
	_cni_list_ struct cni_list l = { 0 };

	CHECK_OK(cni_list_load(w.conf, &l));
	CHECK_STR(l.name, "single");
	CHECK_STR(l.version, "0.4.0");
	CHECK_INT(yyjson_arr_size(l.plugins), 1);
	CHECK_ERR(cni_status(&w.c, CLOCK_NEVER), ERR_UNAVAILABLE); /* no such program */
	put_plugin(&w, "first", "exit 1");
	put(w.conf, "touch", "", 0600);
	CHECK_OK(cni_status(&w.c, CLOCK_NEVER)); /* 0.4.0 has no STATUS */
}

TEST(plugins_beside_the_list_are_loaded_unless_inlined_only)
{
	_world_ struct world w;
	_free_ char *dir = NULL;

	setup(&w);
	dir = base_printf("%s/podnet", w.conf);
	mkdir(dir, 0700);
	put(dir, "b.conf", "{\"type\":\"third\"}", 0600);
	put(dir, "a.conf", "{\"type\":\"second\"}", 0600);
	put(w.conf, "10.conflist", "{\"name\":\"podnet\",\"cniVersion\":\"1.1.0\"}", 0600);
	_cni_list_ struct cni_list l = { 0 };

	CHECK_OK(cni_list_load(w.conf, &l));
	CHECK_INT(yyjson_arr_size(l.plugins), 2);
	CHECK_STR(cni_plugin_type(yyjson_arr_get(l.plugins, 0)), "second");
	put(w.conf, "10.conflist", "{\"name\":\"podnet\",\"cniVersion\":\"1.1.0\",\"loadOnlyInlinedPlugins\":true}", 0600);
	_cni_list_ struct cni_list none = { 0 };

	CHECK_ERR(cni_list_load(w.conf, &none), ERR_INVALID);
}

static const char *version_of(const char *keys, struct cni_list *l)
{
	_free_ char *text = base_printf("{\"name\":\"n\",%s\"plugins\":[{\"type\":\"x\"}]}", keys);
	bool more;
	struct err *e = cni_list_parse(text, strlen(text), l, &more);
	const char *v = e ? NULL : l->version;

	err_free(e);
	return v;
}

TEST(version_is_negotiated)
{
	static const struct { const char *keys, *want; } t[] = {
		{ "", "0.1.0" },
		{ "\"cniVersion\":\"0.3.1\",", "0.3.1" },
		{ "\"cniVersions\":[\"0.4.0\",\"1.1.0\",\"2.0.0\"],", "1.1.0" },
		{ "\"cniVersion\":\"1.0.0\",\"cniVersions\":[\"0.4.0\"],", "1.0.0" },
		{ "\"cniVersion\":\"2.0.0\",\"cniVersions\":[\"1.0.0\"],", "1.0.0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_cni_list_ struct cni_list l = { 0 };

		CHECK_STR(version_of(t[i].keys, &l), t[i].want);
	}
	_cni_list_ struct cni_list l = { 0 };

	CHECK(!version_of("\"cniVersion\":\"2.0.0\",", &l));
	CHECK(!version_of("\"cniVersion\":7,", &l));
	CHECK(!version_of("\"disableCheck\":\"perhaps\",", &l));
	CHECK(cni_version_at_least("1.0.0", "0.4.0") && !cni_version_at_least("0.3.1", "0.4.0"));
	CHECK(!cni_version_at_least("x", "0.4.0"));
}

TEST(status_runs_the_plugin_and_is_remembered)
{
	_world_ struct world w;

	setup(&w);
	put(w.conf, "10.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"plugins\":[{\"type\":\"first\"}]}", 0600);
	put_plugin(&w, "first", "echo '{\"code\":50,\"msg\":\"agent is not up\"}'; exit 1");
	_err_ struct err *e = cni_status(&w.c, CLOCK_NEVER), *again = cni_status(&w.c, CLOCK_NEVER);

	CHECK(err_is(e, ERR_UNAVAILABLE) && err_is(again, ERR_UNAVAILABLE));
	CHECK_STR(err_text(again), "network n: first plugin: agent is not up");
	_free_ char *log = slurp(&w, "log"), *env = slurp(&w, "first.STATUS.env");

	CHECK_STR(log, "first STATUS\n");
	CHECK(strstr(env, "CNI_CONTAINERID=\n"));
}

/* kubeadm's preflight gave up on a busy node: its two seconds for Status went by while plugins started. */
TEST(status_is_answered_in_time_while_plugins_take_theirs)
{
	static struct world w; /* the asking goes on */

	setup(&w);
	put(w.conf, "10.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.1.0\",\"plugins\":[{\"type\":\"first\"}]}", 0600);
	_free_ char *gate = base_printf("%s/gate", w.dir), *wait = base_printf("read x <%s", gate);

	CHECK(mkfifo(gate, 0600) == 0);
	put_plugin(&w, "first", wait);
	_err_ struct err *e = cni_status(&w.c, clock_mono_ns());

	CHECK(err_is(e, ERR_UNAVAILABLE));
	CHECK(strstr(err_text(e), "the network plugins have not answered STATUS yet, asked ") != NULL);
	_close_ int open_gate = open(gate, O_WRONLY | O_CLOEXEC);

	CHECK(write(open_gate, "\n", 1) == 1);
	CHECK_OK(cni_status(&w.c, CLOCK_NEVER));
	world_done(&w);
}

TEST(check_honours_disable_check_and_old_versions)
{
	_world_ struct world w;
	_strv_ struct strv ips = { 0 };

	setup(&w);
	put_plugin(&w, "first", "[ $CNI_COMMAND = CHECK ] && exit 5\n" ANSWER("{\"address\":\"10.1.2.3/16\"}"));
	put(w.conf, "1.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"first\"}]}", 0600);
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	CHECK_ERR(cni_check(&w.c, &w.p), ERR_INTERNAL);
	CHECK_OK(cni_del(&w.c, &w.p));
	CHECK_ERR(cni_check(&w.c, &w.p), ERR_NOT_FOUND);
	put(w.conf, "1.conflist", "{\"name\":\"n\",\"cniVersion\":\"1.0.0\",\"disableCheck\":\"true\",\"plugins\":[{\"type\":\"first\"}]}", 0600);
	strv_done(&ips);
	CHECK_OK(cni_add(&w.c, &w.p, &ips));
	CHECK_OK(cni_check(&w.c, &w.p));
}

TEST(results_of_old_versions_and_bad_addresses)
{
	_strv_ struct strv ips = { 0 };
	yyjson_doc *doc;
	static const char old[] = "{\"ip4\":{\"ip\":\"10.9.8.7/24\"},\"ip6\":{\"ip\":\"fd00::1/64\"}}";
	static const char bad[] = "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3.4/8\"}]}";

	CHECK_OK(cni_result_parse(old, strlen(old), "0.2.0", &doc));
	CHECK_STR(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "cniVersion")), "0.2.0");
	CHECK_OK(cni_result_ips(yyjson_doc_get_root(doc), &ips));
	yyjson_doc_free(doc);
	CHECK_INT(ips.len, 2);
	CHECK_STR(ips.items[0], "10.9.8.7");
	CHECK_OK(cni_result_parse(bad, strlen(bad), "1.0.0", &doc));
	CHECK_ERR(cni_result_ips(yyjson_doc_get_root(doc), &ips), ERR_INTERNAL);
	yyjson_doc_free(doc);
}

TEST_MAIN
