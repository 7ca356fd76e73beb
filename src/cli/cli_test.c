/* Each verb against a server that answers with what a test says. */
#include "cli/harness.h"

TEST(ps_table_escapes_what_a_terminal_acts_on)
{
	start();
	answer_containers();
	RUN_OK("ps", "-a");
	CHECK_STR(fake.out,
		  "CONTAINER           IMAGE               CREATED             STATE               NAME                "
		  "ATTEMPT             POD ID              POD                 NAMESPACE\n"
		  "aaaa456789abc       docker.io/nginx:1   2 minutes ago       Running             web                 "
		  "1                   cccc456789abc       web-0               default\n"
		  "aabb456789abc       eeee456789abc       2 hours ago         Exited              init\\x1b[2Jx        "
		  "0                   cccc456789abc       unknown             unknown\n");
	CHECK_STR(buf_text(&fake.asked),
		  "ListContainers {\"filter\":{\"id\":\"\",\"state\":null,\"podSandboxId\":\"\",\"labelSelector\":{}}}\n");
	stop();
}

TEST(ps_filters)
{
	start();
	answer_containers();
	RUN_OK("ps", "--label", "a=b", "--label=c=d=e", "-q");
	CHECK_STR(fake.out, ID_A "\n" ID_B "\n");
	CHECK_STR(buf_text(&fake.asked),
		  "ListContainers {\"filter\":{\"id\":\"\",\"state\":{\"state\":\"CONTAINER_RUNNING\"},\"podSandboxId\":\"\","
		  "\"labelSelector\":{\"a\":\"b\",\"c\":\"d=e\"}}}\n");
	RUN_OK("ps", "-q", "--name", "^w.b$");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_OK("ps", "-aq", "--image=nginx");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_OK("ps", "-q", "--state", "Exited", "--id", "aabb");
	CHECK_STR(fake.out, ID_B "\n");
	CHECK(strstr(buf_text(&fake.asked), "CONTAINER_EXITED"));
	RUN_OK("ps", "-ql");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_OK("ps", "-q", "-n", "1", "-p", "cccc");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_OK("ps", "-q", "-p", "ffff");
	CHECK_STR(fake.out, "");
	RUN_OK("ps", "-q", "--namespace", "default");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_FAILS("crisp: ps: --state: \"dead\" is not created, running, exited or unknown\n", "ps", "--state", "dead");
	RUN_FAILS("crisp: ps: \"nolabel\" is not NAME=VALUE\n", "ps", "--label", "nolabel");
	RUN_FAILS("crisp: ps: pattern \"a(b\": ( is not supported (\\( for the character)\n", "ps", "--name", "a(b");
	RUN_FAILS("crisp: ps: --last: \"x\" is not a number\n", "ps", "--last", "x");
	RUN_FAILS("crisp: ps: --output: \"xml\" is not json, yaml or table\n", "ps", "-o", "xml");
	stop();
}

TEST(ps_json_and_yaml)
{
	start();
	set_answer("ListContainers", "{\"containers\":[{\"id\":\"1\",\"state\":2,\"createdAt\":\"5\","
				     "\"labels\":{\"k\":\"a\\u009bb\\u007f\"}}]}");
	RUN_OK("ps", "-a", "-o", "json");
	CHECK_STR(fake.out,
		  "{\n  \"containers\": [\n    {\n      \"id\": \"1\",\n      \"podSandboxId\": \"\",\n"
		  "      \"metadata\": null,\n      \"image\": null,\n      \"imageRef\": \"\",\n"
		  "      \"state\": \"CONTAINER_EXITED\",\n      \"createdAt\": \"5\",\n      \"labels\": {\n"
		  "        \"k\": \"a\\u009bb\\u007f\"\n      },\n      \"annotations\": {},\n      \"imageId\": \"\"\n"
		  "    }\n  ]\n}\n");
	RUN_OK("ps", "-a", "-o=yaml");
	CHECK_STR(fake.out,
		  "containers:\n- id: \"1\"\n  podSandboxId: \"\"\n  metadata: null\n  image: null\n  imageRef: \"\"\n"
		  "  state: CONTAINER_EXITED\n  createdAt: \"5\"\n  labels:\n    k: \"a\\u009bb\\u007f\"\n"
		  "  annotations: {}\n  imageId: \"\"\n");
	stop();
}

TEST(pods_table)
{
	start();
	answer_pods();
	RUN_OK("pods");
	CHECK_STR(fake.out,
		  "POD ID              CREATED              STATE               NAME                NAMESPACE           "
		  "ATTEMPT             RUNTIME\n"
		  "cccc456789abc       About a minute ago   Ready               web-0               default             "
		  "2                   (default)\n"
		  "dd11                2 weeks ago          NotReady            dns                 kube-system         "
		  "0                   runc\n");
	RUN_OK("pods", "-q", "--name", "dns|nothing");
	CHECK_STR(fake.out, "dd11\n");
	RUN_OK("pods", "--state", "notready", "-q");
	CHECK(strstr(buf_text(&fake.asked), "{\"state\":{\"state\":\"SANDBOX_NOTREADY\"}") ||
	      strstr(buf_text(&fake.asked), "\"state\":{\"state\":\"SANDBOX_NOTREADY\"}"));
	stop();
}

TEST(images_table)
{
	start();
	set_answer("ListImages",
		   "{\"images\":["
		   "{\"id\":\"sha256:1111222233334444\",\"repoTags\":[\"reg:5000/web:1\",\"reg:5000/web:latest\"],"
		   "\"repoDigests\":[\"reg:5000/web@sha256:9999888877776666\"],\"size\":\"1234567\",\"pinned\":true},"
		   "{\"id\":\"sha256:5555666677778888\",\"repoDigests\":[\"docker.io/x@sha256:aaaabbbbccccdddd\"],"
		   "\"size\":\"999999\"}]}");
	RUN_OK("images", "--digests", "--pinned");
	CHECK_STR(fake.out,
		  "IMAGE               TAG                 DIGEST              IMAGE ID            SIZE                PINNED\n"
		  "docker.io/x         <none>              aaaabbbbccccd       5555666677778       1MB                 false\n"
		  "reg:5000/web        1                   9999888877776       1111222233334       1.23MB              true\n"
		  "reg:5000/web        latest              9999888877776       1111222233334       1.23MB              true\n");
	RUN_OK("images", "-q", "web");
	CHECK_STR(fake.out, "sha256:5555666677778888\nsha256:1111222233334444\n");
	CHECK(strstr(buf_text(&fake.asked), "ListImages {\"filter\":{\"image\":{\"image\":\"web\""));
	stop();
}

TEST(inspect_puts_info_beside_status_and_times_in_words)
{
	start();
	answer_containers();
	set_answer("ContainerStatus",
		   "{\"status\":{\"id\":\"x\",\"createdAt\":\"1700000000000000001\",\"reason\":\"Completed\",\"exitCode\":3},"
		   "\"info\":{\"pid\":\"42\",\"note\":\"not json\",\"spec\":\"{\\\"a\\\":[1]}\"}}");
	RUN_OK("inspect", "aaaa");
	CHECK(strstr(fake.out, "{\n  \"status\": {\n    \"id\": \"x\",\n"));
	CHECK(strstr(fake.out, "\"createdAt\": \"2023-11-14T22:13:20.000000001Z\""));
	CHECK(strstr(fake.out, "\"exitCode\": 3,"));
	CHECK(strstr(fake.out, "  \"note\": \"not json\",\n  \"pid\": 42,\n") ||
	      (strstr(fake.out, "  \"pid\": 42") && strstr(fake.out, "  \"note\": \"not json\"")));
	CHECK(strstr(fake.out, "  \"spec\": {\n    \"a\": [\n      1\n    ]\n  }\n"));
	CHECK(strstr(buf_text(&fake.asked), "ContainerStatus {\"containerId\":\"" ID_A "\",\"verbose\":true}"));
	RUN_OK("inspect", "-o", "table", "aaaa");
	CHECK(!strncmp(fake.out, "ID: x\nState: Created\nCreated: 2023-11-14T22:13:20.000000001Z\n", 60));
	stop();
}

TEST(id_prefixes)
{
	start();
	answer_containers();
	set_answer("StartContainer", "{}");
	RUN_OK("start", ID_A, "aab");
	CHECK_STR(fake.out, ID_A "\n" ID_B "\n");
	RUN_FAILS("crisp: start: aa is ambiguous: 2 containers begin so\n", "start", "aa");
	RUN_FAILS("crisp: start: there is no container zz\n", "start", "zz");
	RUN_FAILS("crisp: start: the container's ID is empty\n", "start", "");
	stop();
}

TEST(server_errors_are_one_safe_line)
{
	start();
	answer_containers();
	set_failure("StartContainer", GRPC_NOT_FOUND, "container gone:\x1b]0;title\x07 line");
	CHECK_INT(run("start", "aaaa", NULL), 1);
	CHECK_STR(fake.err, "crisp: start: container " ID_A ": container gone:?]0;title? line\n");
	RUN_FAILS("crisp: pods: not in this test\n", "pods");
	stop();
	fake = (struct fake){ .path = "/nonexistent/sock" };
	CHECK_INT(run("pods", NULL), 1);
	CHECK_STR(fake.err, "crisp: pods: no CRI runtime (is crisp serve running? --runtime-endpoint names another socket): "
			    "connect to /nonexistent/sock: No such file or directory\n");
	free(TAKE(fake.out));
	free(TAKE(fake.err));
}

TEST(usage_errors)
{
	fake = (struct fake){ .path = "/nonexistent" };
	RUN_FAILS("crisp: there is no verb frobnicate: crisp --help lists them\n", "frobnicate");
	RUN_FAILS("crisp: stopp: usage: crisp stopp [OPTIONS] POD...\n", "stopp");
	RUN_FAILS("crisp: pods: there is no option --frob (see --help)\n", "pods", "--frob");
	RUN_FAILS("crisp: pods: there is no option -x (see --help)\n", "pods", "-qx");
	RUN_FAILS("crisp: pods: --label takes KEY=VALUE\n", "pods", "--label");
	RUN_FAILS("crisp: pods: \"tcp://x\" is not the address of a unix socket (unix:///path)\n", "pods",
		  "--runtime-endpoint", "tcp://x");
	RUN_FAILS("crisp: pods: --timeout: \"soon\" is not a duration such as 30s or 5m\n", "pods", "--timeout", "soon");
	free(TAKE(fake.out));
	free(TAKE(fake.err));
}

TEST(every_verb_has_help)
{
	fake = (struct fake){ .path = "/nonexistent" };
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		RUN_OK(v->name, "--help");
		_free_ char *begin = base_printf("crisp %s: %s\n\nusage: crisp %s [OPTIONS] %s\n", v->name, v->help, v->name,
						 v->usage);

		CHECK(str_starts(fake.out, begin));
	}
	RUN_OK("completion");
	CHECK(strstr(fake.out, "ps:-*) words='--all --id --image "));
	RUN_FAILS("crisp: completion: there is a script for bash only, not for fish\n", "completion", "fish");
	free(TAKE(fake.out));
	free(TAKE(fake.err));
}

TEST(pull_and_rmi)
{
	start();
	set_answer("PullImage", "{\"imageRef\":\"sha256:12\"}");
	RUN_OK("pull", "--creds", "me:pass:word", "busybox");
	CHECK_STR(fake.out, "Image is up to date for sha256:12\n");
	CHECK(strstr(buf_text(&fake.asked), "\"image\":\"busybox\"") &&
	      strstr(buf_text(&fake.asked), "\"username\":\"me\",\"password\":\"pass:word\""));
	RUN_FAILS("crisp: pull: --creds and --auth exclude each other\n", "pull", "--creds", "a", "--auth", "b", "x");
	set_answer("ListImages", "{\"images\":[{\"id\":\"sha256:aaa111\",\"repoTags\":[\"a:1\",\"a:2\"]},"
				 "{\"id\":\"sha256:bbb222\",\"pinned\":true},{\"id\":\"sha256:ccc333\",\"repoDigests\":[\"c@d\"]}]}");
	set_answer("ListContainers", "{\"containers\":[{\"id\":\"1\",\"imageId\":\"sha256:ccc333\"}]}");
	set_answer("ImageStatus", "{\"image\":{\"id\":\"sha256:aaa111\",\"repoTags\":[\"a:1\",\"a:2\"]}}");
	set_answer("RemoveImage", "{}");
	RUN_OK("rmi", "aaa1");
	CHECK_STR(fake.out, "Deleted: a:1\nDeleted: a:2\n");
	CHECK(strstr(buf_text(&fake.asked), "ImageStatus {\"image\":{\"image\":\"sha256:aaa111\""));
	/* Pinned ones stay, those in use too. */
	RUN_OK("rmi", "--prune");
	CHECK_STR(fake.out, "Deleted: a:1\nDeleted: a:2\n");
	RUN_OK("rmi", "-a");
	CHECK_STR(fake.out, "Deleted: a:1\nDeleted: a:2\nDeleted: c@d\n");
	RUN_FAILS("crisp: rmi: name images, or use --all or --prune\n", "rmi");
	stop();
}

TEST(run_makes_pod_and_container)
{
	char container[96], pod[96];

	start();
	write_file("c.json", "{\"metadata\":{\"name\":\"c\"},\"image\":{\"image\":\"busybox\"},\"command\":[\"top\"]}", container);
	write_file("p.json", "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\",\"namespace\":\"n\"},\"log_directory\":\"/l\"}", pod);
	set_answer("PullImage", "{\"imageRef\":\"x\"}");
	set_answer("RunPodSandbox", "{\"podSandboxId\":\"" POD "\"}");
	set_answer("CreateContainer", "{\"containerId\":\"" ID_A "\"}");
	set_answer("StartContainer", "{}");
	RUN_OK("run", "-r", "runc", container, pod);
	CHECK_STR(fake.out, ID_A "\n");
	const char *asked = buf_text(&fake.asked), *order[] = { "PullImage ", "RunPodSandbox ", "CreateContainer ",
								 "StartContainer " };

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		asked = strstr(asked, order[i]);
		CHECK(asked);
	}
	CHECK(strstr(buf_text(&fake.asked), "\"runtimeHandler\":\"runc\"}\n"));
	CHECK(strstr(buf_text(&fake.asked), "\"command\":[\"top\"]"));
	buf_clear(&fake.asked);
	RUN_OK("run", "--no-pull", container, pod);
	CHECK(!strstr(buf_text(&fake.asked), "PullImage"));
	write_file("c.json", "{\"image\":\"busybox\"}", container);
	_free_ char *want = base_printf("crisp: run: %s: image: an object is wanted, not string\n", container);

	RUN_FAILS(want, "run", container, pod);
	unlink(container);
	unlink(pod);
	stop();
}

TEST(exec_sync_passes_output_and_status)
{
	start();
	answer_containers();
	set_answer("ExecSync", "{\"stdout\":\"b3V0Cg==\",\"stderr\":\"ZXJyCg==\",\"exitCode\":7}");
	CHECK_INT(run("exec", "-s", "--timeout", "1500ms", "aaaa", "sh", "-c", "exit 7", NULL), 7);
	CHECK_STR(fake.out, "out\n");
	CHECK_STR(fake.err, "err\n");
	CHECK(strstr(buf_text(&fake.asked),
		     "ExecSync {\"containerId\":\"" ID_A "\",\"cmd\":[\"sh\",\"-c\",\"exit 7\"],\"timeout\":\"2\"}"));
	CHECK_INT(run("exec", "-s", "aaaa", "--", "ls", NULL), 7);
	CHECK(strstr(buf_text(&fake.asked), "\"cmd\":[\"ls\"],\"timeout\":\"0\"}"));
	stop();
}

TEST(stop_update_and_rm)
{
	start();
	answer_containers();
	set_answer("StopContainer", "{}");
	set_answer("RemoveContainer", "{}");
	set_answer("UpdateContainerResources", "{}");
	RUN_OK("stop", "-t", "30", "aaaa");
	CHECK(strstr(buf_text(&fake.asked), "StopContainer {\"containerId\":\"" ID_A "\",\"timeout\":\"30\"}"));
	RUN_OK("update", "--cpu-quota", "-1", "--memory=1048576", "--unified", "memory.high=max", "aaaa");
	CHECK(strstr(buf_text(&fake.asked), "\"cpuQuota\":\"-1\"") && strstr(buf_text(&fake.asked), "\"memory.high\":\"max\""));
	RUN_FAILS("crisp: update: nothing to change: see --help\n", "update", "aaaa");
	set_answer("ContainerStatus", "{\"status\":{\"id\":\"" ID_A "\",\"state\":1}}");
	RUN_FAILS("crisp: rm: container " ID_A " is running: stop it first (stop), or use --force\n", "rm", "aaaa");
	RUN_OK("rm", "-f", "aaaa");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_OK("rm", "-fa");
	CHECK_STR(fake.out, ID_A "\n" ID_B "\n");
	stop();
}

TEST(stats_between_two_samples)
{
	start();
	set_answer("ListContainerStats",
		   "{\"stats\":[{\"attributes\":{\"id\":\"" ID_A "\",\"metadata\":{\"name\":\"web\"}},"
		   "\"cpu\":{\"timestamp\":\"1\",\"usageCoreNanoSeconds\":{\"value\":\"10\"}},"
		   "\"memory\":{\"workingSetBytes\":{\"value\":\"12345678\"}},"
		   "\"writableLayer\":{\"usedBytes\":{\"value\":\"4096\"},\"inodesUsed\":{\"value\":\"12\"}}}]}");
	RUN_OK("stats", "-s", "0.01");
	CHECK_STR(fake.out,
		  "CONTAINER           NAME                CPU %               MEM                 DISK                "
		  "INODES              SWAP\n"
		  "aaaa456789abc       web                 0.00                12.35MB             4.096kB             "
		  "12                  0B\n");
	stop();
}

TEST(info_merges_and_table)
{
	start();
	set_answer("Status", "{\"status\":{\"conditions\":[{\"type\":\"RuntimeReady\",\"status\":true},"
			     "{\"type\":\"NetworkReady\",\"reason\":\"NoCNI\",\"message\":\"none\"}]},"
			     "\"info\":{\"config\":\"{\\\"x\\\":1}\"}}");
	RUN_OK("info");
	CHECK(strstr(fake.out, "  \"config\": {\n    \"x\": 1\n  }\n") && !strstr(fake.out, "\"info\""));
	RUN_OK("info", "-o", "table");
	CHECK_STR(fake.out, "CONDITION           STATUS              REASON              MESSAGE\n"
			    "RuntimeReady        true                                    \n"
			    "NetworkReady        false               NoCNI               none\n");
	stop();
}

TEST(events_as_lines)
{
	start();
	set_answer("GetContainerEvents",
		   "{\"containerId\":\"" ID_A "\",\"containerEventType\":2,\"createdAt\":\"1700000000000000001\","
		   "\"podSandboxStatus\":{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"default\"}}}");
	RUN_OK("events", "-o", "table");
	CHECK_STR(fake.out, "2023-11-14T22:13:20.000000001Z  CONTAINER_STOPPED_EVENT  aaaa456789abc  default/web-0\n");
	stop();
}

TEST(runtime_version_and_config)
{
	start();
	set_answer("Version", "{\"version\":\"0.1.0\",\"runtimeName\":\"crisp\",\"runtimeVersion\":\"1\",\"runtimeApiVersion\":\"v1\"}");
	set_answer("RuntimeConfig", "{\"linux\":{\"cgroupDriver\":\"CGROUPFS\"}}");
	RUN_OK("runtime-version");
	CHECK_STR(fake.out, "Version:  0.1.0\nRuntimeName:  crisp\nRuntimeVersion:  1\nRuntimeApiVersion:  v1\n");
	RUN_OK("runtime-config");
	CHECK_STR(fake.out, "{\n  \"linux\": {\n    \"cgroupDriver\": \"CGROUPFS\"\n  }\n}\n");
	stop();
}

/* ---- logs ------------------------------------------------------------------------------------ */

static const char log_lines[] = "2023-11-14T22:13:20.000000001Z stdout F one\n"
				"2023-11-14T22:13:21.5Z stderr F oops\n"
				"2023-11-14T22:13:22Z stdout P two-\n"
				"2023-11-14T22:13:22Z stdout F part\n"
				"2023-11-14T23:13:23+01:00 stdout F three\n";

static void answer_log(const char *path, int state)
{
	set_answer("ContainerStatus", "{\"status\":{\"id\":\"" ID_A "\",\"state\":%d,\"logPath\":\"%s\"}}", state, path);
}

TEST(logs_of_both_streams)
{
	char path[96];

	start();
	answer_containers();
	write_file("0.log", log_lines, path);
	answer_log(path, 2);
	RUN_OK("logs", "aaaa");
	CHECK_STR(fake.out, "one\ntwo-part\nthree\n");
	CHECK_STR(fake.err, "oops\n");
	RUN_OK("logs", "--tail", "2", "aaaa");
	CHECK_STR(fake.out, "part\nthree\n");
	RUN_OK("logs", "--tail=0", "aaaa");
	CHECK_STR(fake.out, "");
	RUN_OK("logs", "--tail=99", "aaaa");
	CHECK_STR(fake.out, "one\ntwo-part\nthree\n");
	RUN_OK("logs", "-t", "aaaa");
	CHECK_STR(fake.out, "2023-11-14T22:13:20.000000001Z one\n2023-11-14T22:13:22Z two-part\n"
			    "2023-11-14T23:13:23+01:00 three\n");
	RUN_OK("logs", "--since", "2023-11-14T22:13:23Z", "aaaa");
	CHECK_STR(fake.out, "three\n");
	RUN_OK("logs", "--since", "1h", "aaaa");
	CHECK_STR(fake.out, "");
	RUN_OK("logs", "--limit-bytes", "6", "aaaa");
	CHECK_STR(fake.out, "one\n");
	CHECK_STR(fake.err, "oo");
	RUN_FAILS("crisp: logs: --since: \"yesterday\" is neither a duration (10m) nor a time (2006-01-02T15:04:05Z)\n", "logs",
		  "--since", "yesterday", "aaaa");
	unlink(path);
	stop();
}

static void *write_and_rotate(void *arg)
{
	const char *path = arg;
	char old[128];

	usleep(300000);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	err_free(file_write_fd(fd, "2023-11-14T22:13:30Z stdout F late\n", 35));
	close(fd);
	usleep(200000);
	snprintf(old, sizeof(old), "%s.1", path);
	rename(path, old);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	usleep(200000);
	err_free(file_write_fd(fd, "2023-11-14T22:13:31Z stdout F rotated\n", 38));
	close(fd);
	unlink(old);
	return NULL;
}

/* `logs -f` of a container in *state* while *meanwhile* happens to its log, whose path it is given; what it has to print is *want*. */
static void follow_while(int state, void *(*meanwhile)(void *), const char *want)
{
	char path[96];
	pthread_t t;

	start();
	answer_containers();
	write_file("0.log", log_lines, path);
	answer_log(path, state);
	pthread_create(&t, NULL, meanwhile, path);
	RUN_OK("logs", "-f", "--tail", "1", "aaaa");
	pthread_join(t, NULL);
	CHECK_STR(fake.out, want);
	unlink(path);
	stop();
}

TEST(logs_follow_through_rotation_until_the_end)
{
	/* Ended already: followed until the log has been silent for a moment. */
	follow_while(2, write_and_rotate, "three\nlate\nrotated\n");
}

/* Away for longer than the log may be silent before somebody asks; when serve is back the container has ended. */
static void *replace_server(void *path)
{
	usleep(300000);
	server_stop();
	usleep(1500000);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	err_free(file_write_fd(fd, "2023-11-14T22:13:31Z stdout F meanwhile\n", 40));
	close(fd);
	free(fake.answers[fake.n_answers - 1].json);
	fake.n_answers--;
	answer_log(path, 2);
	server_start();
	return NULL;
}

TEST(logs_follow_while_serve_is_replaced)
{
	follow_while(1, replace_server, "three\nmeanwhile\n");
}

TEST(logs_malformed_lines_are_left_out_and_said)
{
	char path[96];

	start();
	answer_containers();
	write_file("0.log", "garbage\n2023-11-14T22:13:20Z stdout F good\n2023-11-14T22:13:20Z stdlog F bad\n", path);
	answer_log(path, 2);
	CHECK_INT(run("logs", "aaaa", NULL), 1);
	CHECK_STR(fake.out, "good\n");
	_free_ char *want = base_printf("crisp: logs: log %s: lines that are not in CRI's format were left out\n", path);

	CHECK_STR(fake.err, want);
	unlink(path);
	stop();
}

TEST_MAIN
