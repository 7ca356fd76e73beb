/* The ring of failed calls and its file; the steps that objects keep. */
#include "cri/failures.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "cri/serve.h"
#include "cri/steps.h"

#include <fcntl.h>

static char dir[] = "/tmp/crisp-failures-XXXXXX";

static char *file_path(void)
{
	return base_printf("%s/failures", dir);
}

static void note(struct failures *f, const char *method, const char *pod_id, const char *pod, const char *error)
{
	failures_note(f, &(struct failure_note){ .text = { [FAILURE_METHOD] = method,
							   [FAILURE_KIND] = "internal",
							   [FAILURE_POD_ID] = pod_id,
							   [FAILURE_POD] = pod,
							   [FAILURE_NAMESPACE] = "ns",
							   [FAILURE_ERROR] = error },
						 .at_ns = 1800000000 * NS_PER_S,
						 .took_ns = 1500 * NS_PER_MS });
}

/* Owned. */
static char *text_of(struct failures *f, const char *pod_id, const char *pod)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	char *text = yyjson_mut_val_write(failures_tree(f, doc, pod_id, pod, "ns"), YYJSON_WRITE_NOFLAG, NULL);

	yyjson_mut_doc_free(doc);
	return text;
}

TEST(failures_are_listed_and_filtered)
{
	_free_ char *path = file_path();
	struct failures *f = failures_open(path);

	note(f, "RunPodSandbox", NULL, "web", "network: no address");
	note(f, "CreateContainer", "p2", "db", "image: not there");
	_free_ char *all = text_of(f, NULL, NULL), *web = text_of(f, "p1", "web"), *db = text_of(f, "p2", "other");

	CHECK_STR(web, "[{\"time\":\"2027-01-15T08:00:00.000000000Z\",\"method\":\"RunPodSandbox\",\"kind\":\"internal\","
		       "\"pod\":\"web\",\"namespace\":\"ns\",\"error\":\"network: no address\",\"seconds\":1.5}]");
	CHECK(strstr(db, "CreateContainer") && !strstr(db, "RunPodSandbox"));
	CHECK(strstr(all, "CreateContainer") && strstr(all, "RunPodSandbox"));
	failures_free(f);
	unlink(path);
}

TEST(the_same_failure_is_counted)
{
	_free_ char *path = file_path();
	struct failures *f = failures_open(path);

	for (int i = 0; i < 1000; i++)
		note(f, "PullImage", NULL, "web", "no route to host");
	_free_ char *text = text_of(f, NULL, NULL);

	CHECK(strstr(text, "\"count\":1000"));
	failures_free(f);
	unlink(path);
}

TEST(failures_outlive_serve_and_are_bounded)
{
	_free_ char *path = file_path();
	struct failures *f = failures_open(path);
	_buf_ struct buf file = BUF_INIT;

	for (int i = 0; i < 5 * FAILURES_MAX; i++) {
		_free_ char *error = base_printf("number %d", i);

		note(f, "StartContainer", "p", "web", error);
	}
	_free_ char *before = text_of(f, NULL, NULL);

	failures_free(f);
	CHECK_OK(file_read_at(AT_FDCWD, path, FAILURES_FILE_MAX, &file));
	f = failures_open(path);
	_free_ char *after = text_of(f, NULL, NULL);

	CHECK_STR(after, before);
	CHECK(!strstr(after, "\"number 255\"") && strstr(after, "\"number 256\"") && strstr(after, "\"number 319\""));
	failures_free(f);
	unlink(path);
}

TEST(damaged_lines_and_foreign_bytes_do_no_harm)
{
	static const char damage[] = "{\"method\":\"Exec\",\"count\":1}\nnot json\n{\"method\":\n[]\n{\"x\":1}\n";
	_free_ char *path = file_path();

	CHECK_OK(file_replace_at(AT_FDCWD, path, damage, strlen(damage), 0600, FILE_VOLATILE));
	struct failures *f = failures_open(path);

	note(f, "RunPodSandbox", NULL, "web", "plugin said \xff\xfe");
	_free_ char *text = text_of(f, NULL, NULL);

	CHECK(strstr(text, "\"Exec\"") && strstr(text, "plugin said ??"));
	failures_free(f);
	unlink(path);
}

TEST(an_object_keeps_its_steps)
{
	static const struct rpc_row row = { "CreateContainer", NULL, RPC_STEPS, NULL };
	static struct serve s;
	struct object o = { 0 };
	struct rpc r = { .serve = &s, .row = &row, .object = &o, .started_ns = clock_mono_ns() };
	_arena_ struct arena a;
	struct step_line line;

	arena_init(&a);
	pods_init(&s.pods);
	rpc_stage(&r, "waiting for the same container's earlier operation");
	rpc_stage(&r, "mounting the\nimage");
	rpc_stage(&r, "recording");
	steps_keep(&r);
	steps_keep(&r); /* nothing twice */
	const char *rest = steps_next(&a, o.steps, &line);

	CHECK(rest);
	CHECK_STR(line.method, "CreateContainer");
	CHECK_STR(line.what, "mounting the image");
	CHECK(line.took_ns >= 0 && line.took_ns < 60 * NS_PER_S);
	CHECK(line.began_ns > clock_wall_ns() - 60 * NS_PER_S);
	rest = steps_next(&a, rest, &line);
	CHECK_STR(line.what, "recording");
	CHECK(!steps_next(&a, rest, &line));
	for (int i = 0; i < 1000; i++) {
		r.n_steps = r.n_kept = 0;
		rpc_stage(&r, "again and again");
		steps_keep(&r);
	}
	CHECK(strlen(o.steps) <= STEPS_TEXT_MAX && strlen(o.steps) > STEPS_TEXT_MAX / 2);
	CHECK(!steps_next(&a, "garbage\n1 2\nx y z w\n", &line));
	free(o.steps);
}

int main(int argc, char **argv)
{
	if (!mkdtemp(dir))
		return 1;
	int status = test_run_all(argc > 1 ? argv[1] : NULL);

	rmdir(dir);
	return status;
}
