/* explain: the page from what serve answers, from records on disk, and for a pod that is not there. */
#include "cli/explain.h"
#include "cli/harness.h"

#include "store/record.h"

#include <sys/stat.h>

static char log_path[96];

static void answer_explained(void)
{
	set_answer("ListPodSandbox",
		   "{\"items\":[{\"id\":\"" POD "\",\"metadata\":{\"name\":\"web-0\",\"namespace\":\"default\"},"
		   "\"createdAt\":\"1700000000000000000\"}]}");
	answer_containers();
	set_answer("PodSandboxStatus",
		   "{\"status\":{\"id\":\"" POD "\",\"state\":0,\"network\":{\"ip\":\"10.0.0.7\"}},\"info\":{\"info\":\"%s\"}}",
		   "{\\\"config\\\":{\\\"metadata\\\":{\\\"name\\\":\\\"web-0\\\",\\\"namespace\\\":\\\"default\\\"},"
		   "\\\"hostname\\\":\\\"web\\\"},"
		   "\\\"steps\\\":[{\\\"time\\\":\\\"2023-11-14T22:13:20.000000000Z\\\",\\\"seconds\\\":0.25,"
		   "\\\"call\\\":\\\"RunPodSandbox\\\",\\\"what\\\":\\\"network: ADD of plugin bridge\\\"}],"
		   "\\\"operations\\\":[{\\\"method\\\":\\\"CreateContainer\\\",\\\"container\\\":\\\"side\\\","
		   "\\\"stage\\\":\\\"mounting the image\\\",\\\"age\\\":12.5,\\\"stageAge\\\":12.0}],"
		   "\\\"failures\\\":[{\\\"time\\\":\\\"2023-11-14T22:13:21.000000000Z\\\",\\\"method\\\":\\\"PullImage\\\","
		   "\\\"subject\\\":\\\"x:1\\\",\\\"error\\\":\\\"no route\\\",\\\"count\\\":7,"
		   "\\\"first\\\":\\\"2023-11-14T22:13:11.000000000Z\\\"}]}");
	write_file("log", "2023-11-14T22:13:22.000000000Z stdout F one\n2023-11-14T22:13:22.000000000Z stderr P tw\n"
			  "2023-11-14T22:13:22.000000000Z stderr F o\x1b[2J\n",
		   log_path);
	set_answer("ContainerStatus",
		   "{\"status\":{\"id\":\"" ID_A "\",\"state\":2,\"image\":{\"image\":\"nginx:1\"},\"exitCode\":139,"
		   "\"startedAt\":\"1700000001000000000\",\"finishedAt\":\"1700000003500000000\",\"reason\":\"Error\","
		   "\"createdAt\":\"1700000000500000000\",\"logPath\":\"%s\"},\"info\":{\"info\":\"%s\"}}",
		   log_path,
		   "{\\\"signal\\\":11,\\\"lastPid\\\":0,\\\"config\\\":{\\\"metadata\\\":{\\\"name\\\":\\\"web\\\"},"
		   "\\\"command\\\":[\\\"sh\\\",\\\"-c\\\",\\\"a b\\\\nc\\\"],\\\"envs\\\":[{\\\"key\\\":\\\"K\\\","
		   "\\\"value\\\":\\\"geheim\\\"}],\\\"linux\\\":{\\\"resources\\\":{\\\"memoryLimitInBytes\\\":\\\"64000000\\\"},"
		   "\\\"securityContext\\\":{\\\"runAsUser\\\":{\\\"value\\\":\\\"7\\\"},\\\"privileged\\\":true}}}}");
}

TEST(explain_is_one_page)
{
	static const char *const lines[] = {
		"Pod web-0 in namespace default: ready\n",
		"  address    10.0.0.7\n",
		"  hostname   web\n",
		"    2023-11-14T22:13:20.000Z     0.250 s  RunPodSandbox: network: ADD of plugin bridge\n",
		"In flight: CreateContainer side for 12.5 s; it is mounting the image, since 12.0 s\n",
		"Container web (attempt 0): exited, exit code 139, Error\n",
		"  image      nginx:1\n",
		"  command    sh -c 'a b\\x0ac'\n",
		"  limits     memory 64MB\n",
		"  security   user 7, privileged\n",
		", after 2.500 s\n",
		"    It was ended by signal 11 (SIGSEGV): it crashed",
		"    one\n    two\\x1b[2J\n",
		"    2023-11-14T22:13:21.000Z  PullImage x:1 (7 times since 2023-11-14T22:13:11Z): no route\n",
	};

	start();
	answer_explained();
	RUN_OK("explain", "web-0");
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (!strstr(fake.out, lines[i]))
			fprintf(stderr, "missing %s in\n%s", lines[i], fake.out);
		CHECK(strstr(fake.out, lines[i]));
	}
	/* Secrets live in the environment. */
	CHECK(!strstr(fake.out, "geheim"));
	/* Both containers of the pod; one, if it is the one that is named. */
	CHECK(strstr(strstr(fake.out, "\nContainer ") + 1, "\nContainer "));
	RUN_OK("explain", "--tail", "1", "aaaa");
	CHECK(!strstr(strstr(fake.out, "\nContainer ") + 1, "\nContainer "));
	CHECK(!strstr(fake.out, "    one\n") && strstr(fake.out, "    two"));
	RUN_OK("explain", "default/web-0");
	RUN_FAILS("crisp: explain: aa is ambiguous: 2 IDs begin so\n", "explain", "aa");
	unlink(log_path);
	stop();
}

TEST(explain_what_is_not_there)
{
	start();
	set_answer("ListPodSandbox", "{}");
	set_answer("ListContainers", "{}");
	RUN_FAILS("crisp: explain: there is no pod or container gone\n", "explain", "gone");
	set_answer("Status", "{\"info\":{\"operations\":\"[]\",\"failures\":\"%s\"}}",
		   "[{\\\"method\\\":\\\"RunPodSandbox\\\",\\\"pod\\\":\\\"gone\\\",\\\"namespace\\\":\\\"ns\\\","
		   "\\\"error\\\":\\\"network: no address\\\",\\\"time\\\":\\\"2023-11-14T22:13:21.000000000Z\\\"},"
		   "{\\\"method\\\":\\\"Exec\\\",\\\"pod\\\":\\\"other\\\",\\\"namespace\\\":\\\"ns\\\",\\\"error\\\":\\\"x\\\"}]");
	CHECK_INT(run("explain", "gone", NULL), 1);
	CHECK(strstr(fake.out, "there is no pod or container gone; of a pod with this name is known:") &&
	      strstr(fake.out, "RunPodSandbox : network: no address") && !strstr(fake.out, "Exec"));
	stop();
}

static void write_record(const char *kind, const char *id, const ProtobufCMessage *request, const ProtobufCMessage *status,
			 const char *steps)
{
	_free_ char *dir = base_printf("%s/%s/%s", fake.dir, kind, id), *parent = base_printf("%s/%s", fake.dir, kind);
	uint8_t bytes[2][512];
	_buf_ struct buf b = BUF_INIT;
	_close_ int fd = -1;

	mkdir(parent, 0700);
	CHECK(mkdir(dir, 0700) == 0);
	record_begin(&b);
	record_add(&b, RECORD_REQUEST, bytes[0], protobuf_c_message_pack(request, bytes[0]));
	record_add(&b, RECORD_STATUS, bytes[1], protobuf_c_message_pack(status, bytes[1]));
	record_add_str(&b, RECORD_STEPS, steps);
	CHECK_OK(file_open_dir(AT_FDCWD, dir, false, 0, &fd));
	CHECK_OK(record_write(fd, "record", &b));
	if (!strcmp(kind, "containers"))
		CHECK_OK(file_replace_at(fd, "exit", "v1 137 9 1 1700000001000000000 1700000002000000000\n", 51, 0600, FILE_VOLATILE));
}

TEST(explain_without_a_runtime_reads_the_records)
{
	Runtime__V1__RunPodSandboxRequest pq = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__PodSandboxConfig pc = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
	Runtime__V1__PodSandboxMetadata pm = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
	Runtime__V1__PodSandboxStatus ps = RUNTIME__V1__POD_SANDBOX_STATUS__INIT;
	Runtime__V1__CreateContainerRequest cq = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
	Runtime__V1__ContainerConfig cc = RUNTIME__V1__CONTAINER_CONFIG__INIT;
	Runtime__V1__ContainerMetadata cm = RUNTIME__V1__CONTAINER_METADATA__INIT;
	Runtime__V1__ContainerStatus cs = RUNTIME__V1__CONTAINER_STATUS__INIT;

	start();
	pm.name = "db-0";
	pm.namespace_ = "prod";
	pc.metadata = &pm;
	pq.config = &pc;
	cm.name = "db";
	cc.metadata = &cm;
	cq.config = &cc;
	cq.pod_sandbox_id = POD;
	write_record("pods", POD, &pq.base, &ps.base, NULL);
	write_record("containers", ID_A, &cq.base, &cs.base, "1700000000000000000 250000000 CreateContainer mounting the image\n");
	_free_ char *root = base_strdup(fake.dir);

	strcpy(fake.path, "/nonexistent/crisp.sock");
	RUN_OK("explain", "--root", root, "db-0");
	CHECK(strstr(fake.out, "no CRI runtime") && strstr(fake.out, "records on disk"));
	CHECK(strstr(fake.out, "Pod db-0 in namespace prod: recorded") && strstr(fake.out, "exited, exit code 137"));
	CHECK(strstr(fake.out, "0.250 s  CreateContainer: mounting the image") && strstr(fake.out, "(OOM)"));
	snprintf(fake.path, sizeof(fake.path), "%s/sock", fake.dir);
	CHECK_OK(file_remove_tree(AT_FDCWD, root));
	stop();
}

TEST(settings_file_and_yaml_input)
{
	char settings[96], pod[96];

	start();
	set_answer("RunPodSandbox", "{\"podSandboxId\":\"" POD "\"}");
	set_answer("Version", "{\"version\":\"0.1.0\",\"runtimeName\":\"crisp\",\"runtimeVersion\":\"1\",\"runtimeApiVersion\":\"v1\"}");
	write_file("pod.yaml", "metadata:\n  name: web\n  uid: \"1\"\n  namespace: default\n  attempt: 2\n"
			       "linux:\n  sysctls: {net.core.somaxconn: \"1024\"}\n", pod);
	RUN_OK("runp", "--cancel-timeout", "5s", pod);
	CHECK(strstr(buf_text(&fake.asked), "\"name\":\"web\",\"uid\":\"1\",\"namespace\":\"default\",\"attempt\":2") &&
	      strstr(buf_text(&fake.asked), "\"net.core.somaxconn\":\"1024\""));
	write_file("pod.yaml", "metadata:\n  name: 12\n", pod);
	_free_ char *words = base_printf("crisp: runp: %s: metadata: name: text is wanted, not uint\n", pod);

	RUN_FAILS(words, "runp", pod);
	_free_ char *text = base_printf("runtime-endpoint: unix://%s\nimage-endpoint: \"\"\ntimeout: 5\ndebug: true\n", fake.path);

	write_file("crictl.yaml", text, settings);
	setenv("CRI_CONFIG_FILE", settings, 1);
	char *argv[] = { (char *)"crictl", (char *)"version", NULL };
	int keep[2], file[2];

	swap_fd(1, &keep[0], &file[0]);
	swap_fd(2, &keep[1], &file[1]);
	int status = cli_main(2, argv);

	fflush(stderr);
	_free_ char *out = swap_back(1, keep[0], file[0]), *err = swap_back(2, keep[1], file[1]);

	CHECK_INT(status, 0);
	CHECK(strstr(out, "RuntimeName:  crisp") && strstr(err, "debug: /runtime.v1.RuntimeService/Version: "));
	RUN_OK("config", "--set", "timeout=7,debug=false", "--set", "pull-image-on-create=true");
	RUN_OK("config", "--get", "timeout");
	CHECK_STR(fake.out, "7\n");
	RUN_OK("config", "--list");
	CHECK(strstr(fake.out, "pull-image-on-create   true") && strstr(fake.out, fake.path));
	RUN_FAILS("crisp: config: there is no setting \"x\"\n", "config", "x", "1");
	write_file("crictl.yaml", "timeout: [1]\n", settings);
	_free_ char *wrong = base_printf("crisp: version: %s: timeout: text, a number or true and false are wanted\n", settings);

	RUN_FAILS(wrong, "version");
	unsetenv("CRI_CONFIG_FILE");
	unlink(settings);
	unlink(pod);
	stop();
}

TEST(crictls_newer_flags)
{
	start();
	answer_containers();
	answer_pods();
	set_answer("ContainerStatus", "{\"status\":{\"id\":\"" ID_A "\",\"state\":1}}");
	set_answer("StopContainer", "{}");
	set_answer("UpdateRuntimeConfig", "{}");
	set_failure("CheckpointContainer", GRPC_UNIMPLEMENTED, "CheckpointContainer: not offered");
	set_answer("ListImages", "{\"images\":[{\"id\":\"sha256:1\",\"repoTags\":[\"a:1\"]},{\"id\":\"sha256:2\"}]}");
	RUN_OK("inspect", "--name", "web", "-q");
	CHECK(strstr(buf_text(&fake.asked), "ContainerStatus {\"containerId\":\"" ID_A "\",\"verbose\":false}"));
	RUN_FAILS("crisp: inspect: no container is named, and none fits the filters\n", "inspect", "--name", "nothing");
	RUN_OK("stop", "--all");
	CHECK_STR(fake.out, ID_A "\n");
	RUN_OK("ps", "-v");
	CHECK(strstr(fake.out, "PodID: " POD "\nName: web\nAttempt: 1\nState: Running\n"));
	RUN_OK("pods", "-v");
	CHECK(strstr(fake.out, "Namespace: "));
	RUN_OK("images", "-q", "--filter", "dangling=true");
	CHECK_STR(fake.out, "sha256:2\n");
	RUN_OK("images", "-q", "--filter", "reference=^a:");
	CHECK_STR(fake.out, "sha256:1\n");
	RUN_FAILS("crisp: images: --filter before: CRI does not say when an image came\n", "images", "--filter", "before=x");
	RUN_FAILS("crisp: checkpoint: container " ID_A ": CheckpointContainer: not offered\n", "checkpoint", "-e", "/x", "aaaa");
	RUN_OK("update-runtime-config", "--pod-cidr", "10.0.0.0/8");
	CHECK(strstr(buf_text(&fake.asked), "\"podCidr\":\"10.0.0.0/8\""));
	RUN_FAILS("crisp: attach: --transport: this client speaks spdy only, not websocket\n", "attach", "-r", "websocket", "aaaa");
	RUN_FAILS("crisp: ps: --output go-template: this client has no Go templates; take json and jq\n", "ps", "-o", "go-template");
	stop();
}

TEST_MAIN
