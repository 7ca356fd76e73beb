/* Containers of another OCI runtime in a monitor: a shell script takes runc's command line here. */
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "pod/external.h"
#include "pod/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

/* The container is BUNDLE/script; one whose script begins with "# FAIL VERB" fails at that verb. */
static const char runtime[] =
	"#!/bin/sh\n"
	"root=$2 log=$4 verb=$7\n"
	"shift 7\n"
	"while [ $# -gt 1 ]; do\n"
	"\tcase $1 in\n"
	"\t--bundle) bundle=$2; shift ;;\n"
	"\t--pid-file) pid=$2; shift ;;\n"
	"\t--process) process=$2; shift ;;\n"
	"\tesac\n"
	"\tshift\n"
	"done\n"
	"id=$1\n"
	"[ -z \"$bundle\" ] && [ -e $root/$id/bundle ] && bundle=$(cat $root/$id/bundle)\n"
	"if grep -q \"^# FAIL $verb\" $bundle/script 2>/dev/null; then\n"
	"\techo '{\"level\":\"warning\",\"msg\":\"not this\"}' >>$log\n"
	"\techo '{\"level\":\"error\",\"msg\":\"no '$verb' today\"}' >>$log\n"
	"\texit 1\n"
	"fi\n"
	"case $verb in\n"
	"create) mkdir -p $root/$id; echo $bundle >$root/$id/bundle; mkfifo $root/$id/go\n"
	"\tsh -c \"read x <$root/$id/go; exec sh $bundle/script\" & echo $! >$pid ;;\n"
	"start) echo >$root/$id/go ;;\n"
	"exec) cp $process $bundle/process; sh $bundle/process & echo $! >$pid ;;\n"
	"delete) echo $id >>$root/deleted; rm -rf $root/$id ;;\n"
	"esac\n";

static char *top, *path, *root, *bundle;

static void write_file(const char *name, const char *text, mode_t mode)
{
	CHECK_OK(file_replace_at(AT_FDCWD, name, text, strlen(text), mode, FILE_VOLATILE));
}

static void forget(void)
{
	if (root)
		err_free(file_remove_tree(AT_FDCWD, root));
	free(top), free(path), free(root), free(bundle);
	top = path = root = bundle = NULL;
}

static void begin(const char *script)
{
	if (!fixture_possible())
		SKIP("needs root");
	fixture_begin();
	CHECK_OK(fixture_start());
	forget();
	top = base_printf("%s/ext", fixture.top);
	path = base_printf("%s/runtime", top);
	root = base_printf("/tmp/crisp-external-%d", (int)getpid()); /* to be looked at when the pod is gone */
	err_free(file_remove_tree(AT_FDCWD, root));
	atexit(forget);
	bundle = base_printf("%s/bundle", top);
	_free_ char *file = base_printf("%s/script", bundle);

	CHECK_OK(file_make_dirs(root, 0700));
	CHECK_OK(file_make_dirs(bundle, 0700));
	write_file(path, runtime, 0755);
	write_file(file, script, 0644);
}

static struct err *create(const char *id)
{
	_free_ char *state = base_printf("%s/%s", fixture.states, id);
	_free_ char *log = base_printf("%s.log", id);
	const struct pod_create c = { .id = id, .bare_fd = -1, .bundle = bundle, .state_dir = state, .log_dir = fixture.logs,
				      .log_path = log, .spec = "{}", .spec_len = 2, .runtime = path, .runtime_root = root };
	pid_t pid;

	CHECK(mkdir(state, 0700) == 0);
	return pod_container_create(fixture.dir, &c, &pid);
}

static bool is_deleted(const char *id)
{
	_free_ char *file = base_printf("%s/deleted", root);
	_buf_ struct buf text = BUF_INIT;
	struct err *e = file_read_at(AT_FDCWD, file, KIB(4), &text);

	err_free(e);
	return !e && strstr(text.data, id) != NULL;
}

TEST(external_life)
{
	struct pod_exit x = { 0 };
	int conn, out;

	begin("echo out; echo err >&2; exec sleep 1000");
	CHECK_OK(create("e1"));
	CHECK_OK(pod_container_start(fixture.dir, "e1"));
	CHECK_OK(fixture_exec("e1", "echo inside", MONITOR_FLAG_STDOUT, &conn, &out));
	_free_ char *said = fixture_read(out, NULL);

	CHECK_STR(said, "inside\n");
	close(conn), close(out);
	CHECK_OK(pod_container_signal(fixture.dir, "e1", SIGKILL, false));
	CHECK_OK(fixture_wait("e1", &x));
	CHECK_INT(x.code, 137);
	CHECK(x.started_ns > 0 && x.finished_ns >= x.started_ns);
	_free_ char *log = fixture_log("e1");

	CHECK(strstr(log, "stdout F out\n") && strstr(log, "stderr F err\n"));
	CHECK(is_deleted("e1"));
	CHECK_OK(pod_container_forget(fixture.dir, "e1"));
	CHECK_OK(fixture_end());
}

/* The program is over before the runtime's start is: it has run, and its code is known. */
TEST(external_ends_at_once)
{
	struct pod_exit x = { 0 };

	begin("exit 7");
	CHECK_OK(create("e2"));
	CHECK_OK(pod_container_start(fixture.dir, "e2"));
	CHECK_OK(fixture_wait("e2", &x));
	CHECK_INT(x.code, 7);
	CHECK(x.started_ns > 0);
	CHECK_OK(fixture_end());
}

TEST(external_fails_in_its_words)
{
	struct pod_exit x = { 0 };

	begin("# FAIL create\n");
	struct err *e = create("e3");

	CHECK(e && strstr(err_text(e), "runtime: no create today") && !strstr(err_text(e), "not this"));
	err_free(e);
	CHECK(is_deleted("e3"));
	CHECK_OK(fixture_end());

	begin("# FAIL start\nsleep 1000\n");
	CHECK_OK(create("e4"));
	e = pod_container_start(fixture.dir, "e4");
	CHECK(e && strstr(err_text(e), "no start today"));
	err_free(e);
	CHECK_OK(fixture_wait("e4", &x));
	CHECK_INT(x.code, 137);
	CHECK_OK(fixture_end());
}

TEST(external_stopped_before_start)
{
	begin("exit 0");
	CHECK_OK(create("e5"));
	CHECK_OK(fixture_end());
	CHECK(is_deleted("e5"));
}

TEST(external_log)
{
	static const char text[] = "time=\"x\" not JSON\n{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"info\",\"msg\":\"no\"}\n"
				   "{\"level\":\"error\",\"msg\":\"last\"}\n{\"level\":\"error\"}\n{";
	_free_ char *words = external_read_log(text, sizeof(text) - 1);
	_free_ char *none = external_read_log("", 0);

	CHECK_STR(words, "last");
	CHECK(none == NULL);
}

int main(int argc, char **argv)
{
	return fixture_main(argc, argv, test_run_all);
}
