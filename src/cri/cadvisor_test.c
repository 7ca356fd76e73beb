#include "cri/cadvisor.h"

#include "base/test.h"
#include "cri/cgroups.h"
#include "cri/serve.h"

#define POD       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CONTAINER "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct serve s;
static struct pod *pod;

static char *text(const char *literal)
{
	return (char *)(uintptr_t)literal;
}

static void add_container(void)
{
	static Runtime__V1__CreateContainerRequest request;
	static Runtime__V1__ContainerConfig config;
	static Runtime__V1__ImageSpec image;
	static Runtime__V1__ContainerConfig__LabelsEntry label, *labels[] = { &label };
	struct container *c;
	bool is_new;

	runtime__v1__create_container_request__init(&request);
	runtime__v1__container_config__init(&config);
	runtime__v1__image_spec__init(&image);
	runtime__v1__container_config__labels_entry__init(&label);
	request.config = &config;
	config.image = &image;
	image.image = text("sha256:12");
	image.user_specified_image = text("registry.test/web:1");
	label.key = text("io.kubernetes.container.name");
	label.value = text("web \"1\"");
	config.labels = labels;
	config.n_labels = 1;
	CHECK_OK(pods_add_container(&s.pods, pod, "web", clock_mono_ns(), &c, &is_new));
	snprintf(c->o.id, sizeof(c->o.id), "%s", CONTAINER);
	c->request = &request;
	c->state = CONTAINER_RUNNING;
	c->pid = 77;
	c->created_ns = 5;
}

static void need_pod(void)
{
	static Runtime__V1__RunPodSandboxRequest request;
	static Runtime__V1__PodSandboxConfig config;
	bool is_new;

	if (pod)
		return;
	pods_init(&s.pods);
	s.containers_state = text("/run/crisp/containers");
	s.config.root = text("/var/lib/crisp");
	s.config.cgroup_driver = text("cgroupfs");
	s.config.cadvisor_listen = text("unix:///run/crio/crio.sock");
	runtime__v1__run_pod_sandbox_request__init(&request);
	runtime__v1__pod_sandbox_config__init(&config);
	request.config = &config;
	CHECK_OK(pods_add(&s.pods, "pod", clock_mono_ns(), &pod, &is_new));
	snprintf(pod->o.id, sizeof(pod->o.id), "%s", POD);
	pod->request = &request;
	pod->cgroup_parent = text("/kubepods/pod1");
	pod->state = POD_READY;
	add_container();
}

static int ask(const char *path, struct buf *ret)
{
	need_pod();
	buf_done(ret);
	return cadvisor_pages.answer(&s, path, ret);
}

TEST(info_says_what_cadvisor_can_do_without)
{
	_buf_ struct buf b = BUF_INIT;

	CHECK_INT(ask("/info", &b), 200);
	CHECK_STR(buf_text(&b), "{\"storage_driver\":\"erofs\",\"storage_root\":\"/var/lib/crisp\",\"storage_image\":\"\","
				"\"cgroup_driver\":\"cgroupfs\"}");
}

TEST(a_container_has_its_labels_image_and_process)
{
	_buf_ struct buf b = BUF_INIT;

	CHECK_INT(ask("/containers/" CONTAINER, &b), 200);
	CHECK_STR(buf_text(&b), "{\"name\":\"" CONTAINER "\",\"image\":\"registry.test/web:1\",\"pid\":77,\"created_time\":5,"
				"\"labels\":{\"io.kubernetes.container.name\":\"web \\\"1\\\"\"},\"annotations\":{},"
				"\"root\":\"/run/crisp/containers/" CONTAINER "/rootfs\"}");
}

TEST(a_pod_is_told_as_its_pause_container_with_a_process_in_its_network)
{
	_buf_ struct buf b = BUF_INIT;

	CHECK_INT(ask("/containers/" POD, &b), 200);
	CHECK(strstr(buf_text(&b), "\"pid\":77") != NULL);
	CHECK(strstr(buf_text(&b), "\"labels\":{\"io.kubernetes.container.name\":\"POD\"}") != NULL);
}

TEST(only_whole_ids_and_known_pages_are_answered)
{
	_buf_ struct buf b = BUF_INIT;

	CHECK_INT(ask("/containers/bbbb", &b), 404);
	CHECK_INT(ask("/containers/" POD "/", &b), 404);
	CHECK_INT(ask("/containers/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", &b), 404);
	CHECK_INT(ask("/metrics", &b), 404);
	CHECK_INT(b.len, 0);
}

TEST(requests_are_judged_by_their_first_line)
{
	static const struct {
		const char *text;
		int status;
		const char *path;
	} all[] = {
		{ "GET /info HTTP/1.1\r\nHost: crio\r\n\r\n", 200, "/info" },
		{ "GET /a?b=c HTTP/1.0\r\n\r\n", 200, "/a" },
		{ "GET /info HTTP/1.1\r\nHost: crio\r\n", 0, NULL },
		{ "POST /info HTTP/1.1\r\n\r\n", 405, NULL },
		{ "GET info HTTP/1.1\r\n\r\n", 400, NULL },
		{ "GET /info\r\n\r\n", 400, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char path[PAGES_PATH_MAX] = "";

		CHECK_INT(pages_request(all[i].text, strlen(all[i].text), path), all[i].status);
		if (all[i].path)
			CHECK_STR(path, all[i].path);
	}
}

TEST(cgroups_are_called_as_cadvisor_knows_them)
{
	need_pod();
	_free_ char *init = cgroups_of_init(&s, pod);

	CHECK_STR(init, "/kubepods/pod1/" POD); /* the counters' cgroup stands for the pod */
	_free_ char *asked = cgroups_of_container(&s, pod, CONTAINER);

	CHECK_STR(asked, "/kubepods/pod1/crio-" CONTAINER);
	s.config.cadvisor_listen = text("");
	_free_ char *usual = cgroups_of_container(&s, pod, CONTAINER);

	s.config.cadvisor_listen = text("unix:///run/crio/crio.sock");
	CHECK_STR(usual, "/kubepods/pod1/" CONTAINER);
	s.config.cgroup_driver = text("systemd");
	pod->cgroup_parent = text("/kubepods.slice/kubepods-pod1.slice");
	_free_ char *scope = cgroups_of_container(&s, pod, CONTAINER), *spec = cgroups_spec_path(scope);

	s.config.cgroup_driver = text("cgroupfs");
	pod->cgroup_parent = text("/kubepods/pod1");
	CHECK_STR(scope, "/kubepods.slice/kubepods-pod1.slice/crio-" CONTAINER ".scope");
	CHECK_STR(spec, "kubepods-pod1.slice:crio:" CONTAINER);
}

TEST_MAIN
