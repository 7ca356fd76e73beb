#include "base/str.h"
#include "base/test.h"
#include "spec/extension.h"
#include "spec/json.h"
#include "spec/spec.h"

#include <errno.h>
#include <linux/capability.h>


/* One container to start from; a test changes what it is about. */
struct fixture {
	Runtime__V1__ContainerConfig c;
	Runtime__V1__ContainerMetadata meta;
	Runtime__V1__ImageSpec image_spec;
	Runtime__V1__LinuxContainerConfig linux_config;
	Runtime__V1__LinuxContainerSecurityContext sc;
	Runtime__V1__NamespaceOption ns;
	Runtime__V1__PodSandboxConfig pod;
	Runtime__V1__PodSandboxMetadata pod_meta;
	struct image_config image;
	struct user user;
	struct spec_input in;
	struct buf out;
	struct arena arena;
	yyjson_val *root;
	char *text;
};

static char *no_strings[] = { NULL };
static char *entrypoint[] = { (char *)"/entry", (char *)"-e", NULL };
static char *image_cmd[] = { (char *)"cmd", NULL };
static char *image_env[] = { (char *)"FROM=image", (char *)"PATH=/img", (char *)"broken", NULL };

static void fixture_init(struct fixture *f)
{
	static uint32_t groups[] = { 5, 6 };

	*f = (struct fixture){
		.c = RUNTIME__V1__CONTAINER_CONFIG__INIT,
		.meta = RUNTIME__V1__CONTAINER_METADATA__INIT,
		.image_spec = RUNTIME__V1__IMAGE_SPEC__INIT,
		.linux_config = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT,
		.sc = RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT,
		.ns = RUNTIME__V1__NAMESPACE_OPTION__INIT,
		.pod = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT,
		.pod_meta = RUNTIME__V1__POD_SANDBOX_METADATA__INIT,
		.image = { .user = "", .working_dir = "", .env = image_env, .entrypoint = entrypoint,
			   .cmd = image_cmd, .volumes = no_strings, .diff_ids = no_strings },
		.user = { .uid = 4, .gid = 5, .groups = groups, .n_groups = 2, .name = "u", .home = "/home/u" },
	};
	f->meta.name = (char *)"web";
	f->image_spec.image = (char *)"example.org/web:1";
	f->c.metadata = &f->meta;
	f->c.image = &f->image_spec;
	f->c.linux = &f->linux_config;
	f->linux_config.security_context = &f->sc;
	f->sc.namespace_options = &f->ns;
	f->ns.pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	f->pod_meta.name = (char *)"pod";
	f->pod_meta.namespace_ = (char *)"ns";
	f->pod_meta.uid = (char *)"uid";
	f->pod.metadata = &f->pod_meta;
	f->in = (struct spec_input){
		.pod = &f->pod, .container = &f->c, .image = &f->image, .user = &f->user, .id = "id1", .pod_id = "pod1",
		.rootfs = "/run/root", .cgroups_path = "/kube/id1", .ns_net = "/ns/net", .ns_ipc = "/ns/ipc",
		.ns_uts = "/ns/uts", .hostname = "host1", .hosts_file = "/pod/hosts", .resolv_file = "/pod/resolv",
		.hostname_file = "/pod/hostname", .shm_dir = "/pod/shm",
	};
	arena_init(&f->arena);
}

static void fixture_done(struct fixture *f)
{
	buf_done(&f->out);
	arena_done(&f->arena);
	free(f->text);
}
#define _fixture_ _cleanup_(fixture_done)

static struct err *build(struct fixture *f)
{
	buf_clear(&f->out);
	TRY(spec_build(&f->in, &f->out));
	return json_read(&f->arena, f->out.data, f->out.len, &f->root);
}

/* What is at a JSON pointer, as text; "-" where there is nothing. */
static const char *at(struct fixture *f, const char *pointer)
{
	yyjson_val *v = yyjson_ptr_get(f->root, pointer);

	free(f->text);
	f->text = v ? yyjson_val_write(v, 0, NULL) : strdup("-");
	return f->text;
}

/* Whole, so that every member shows. */
TEST(spec_golden)
{
	_fixture_ struct fixture f;

	fixture_init(&f);
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/ociVersion"), "\"1.2.0\"");
	CHECK_STR(at(&f, "/root"), "{\"path\":\"/run/root\",\"readonly\":false}");
	CHECK_STR(at(&f, "/process"),
		  "{\"terminal\":false,\"user\":{\"uid\":4,\"gid\":5,\"additionalGids\":[5,6]},"
		  "\"args\":[\"/entry\",\"-e\",\"cmd\"],"
		  "\"env\":[\"PATH=/img\",\"HOSTNAME=host1\",\"FROM=image\",\"HOME=/home/u\"],\"cwd\":\"/\","
		  "\"capabilities\":{"
		  "\"bounding\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_SETGID\","
		  "\"CAP_SETUID\",\"CAP_SETPCAP\",\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_CHROOT\",\"CAP_MKNOD\","
		  "\"CAP_AUDIT_WRITE\",\"CAP_SETFCAP\"],"
		  "\"effective\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_SETGID\","
		  "\"CAP_SETUID\",\"CAP_SETPCAP\",\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_CHROOT\",\"CAP_MKNOD\","
		  "\"CAP_AUDIT_WRITE\",\"CAP_SETFCAP\"],"
		  "\"permitted\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_SETGID\","
		  "\"CAP_SETUID\",\"CAP_SETPCAP\",\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_CHROOT\",\"CAP_MKNOD\","
		  "\"CAP_AUDIT_WRITE\",\"CAP_SETFCAP\"]},"
		  "\"noNewPrivileges\":false}");
	CHECK_STR(at(&f, "/mounts"),
		  "[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
		  "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
		  "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
		  "{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
		  "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
		  "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"relatime\",\"ro\"]},"
		  "{\"destination\":\"/dev/shm\",\"type\":\"bind\",\"source\":\"/pod/shm\",\"options\":[\"rbind\",\"rprivate\",\"nosuid\",\"noexec\",\"nodev\",\"rw\"]},"
		  "{\"destination\":\"/etc/hostname\",\"type\":\"bind\",\"source\":\"/pod/hostname\",\"options\":[\"rbind\",\"rprivate\",\"rw\"]},"
		  "{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"/pod/hosts\",\"options\":[\"rbind\",\"rprivate\",\"rw\"]},"
		  "{\"destination\":\"/etc/resolv.conf\",\"type\":\"bind\",\"source\":\"/pod/resolv\",\"options\":[\"rbind\",\"rprivate\",\"rw\"]}]");
	CHECK_STR(at(&f, "/linux"),
		  "{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"cgroup\"},{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/ns/net\"},"
		  "{\"type\":\"ipc\",\"path\":\"/ns/ipc\"},{\"type\":\"uts\",\"path\":\"/ns/uts\"}],"
		  "\"cgroupsPath\":\"/kube/id1\",\"devices\":[],"
		  "\"resources\":{\"devices\":[{\"allow\":false,\"type\":\"a\",\"access\":\"rwm\"}],\"cpu\":{},\"memory\":{}},"
		  "\"rootfsPropagation\":\"rprivate\",\"maskedPaths\":[],\"readonlyPaths\":[]}");
	CHECK_STR(at(&f, "/annotations"),
		  "{\"io.kubernetes.cri.container-type\":\"container\",\"io.kubernetes.cri.container-name\":\"web\","
		  "\"io.kubernetes.cri.image-name\":\"example.org/web:1\",\"io.kubernetes.cri.sandbox-id\":\"pod1\","
		  "\"io.kubernetes.cri.sandbox-name\":\"pod\",\"io.kubernetes.cri.sandbox-namespace\":\"ns\","
		  "\"io.kubernetes.cri.sandbox-uid\":\"uid\"}");
}

TEST(args_as_cri_combines_them_with_the_image)
{
	static char *command[] = { (char *)"c1", (char *)"c2" }, *args[] = { (char *)"a1" };
	static const struct {
		bool command, args, entrypoint, cmd;
		const char *want;   /* NULL: an error */
	} cases[] = {
		{ true, true, true, true, "[\"c1\",\"c2\",\"a1\"]" },  { true, false, true, true, "[\"c1\",\"c2\"]" },
		{ false, true, true, true, "[\"/entry\",\"-e\",\"a1\"]" }, { false, false, true, true, "[\"/entry\",\"-e\",\"cmd\"]" },
		{ false, false, true, false, "[\"/entry\",\"-e\"]" }, { false, false, false, true, "[\"cmd\"]" },
		{ false, true, false, true, "[\"a1\"]" },	      { false, true, false, false, "[\"a1\"]" },
		{ true, false, false, false, "[\"c1\",\"c2\"]" },     { false, false, false, false, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_fixture_ struct fixture f;

		fixture_init(&f);
		f.c.command = command, f.c.n_command = cases[i].command ? 2 : 0;
		f.c.args = args, f.c.n_args = cases[i].args ? 1 : 0;
		f.image.entrypoint = cases[i].entrypoint ? entrypoint : no_strings;
		f.image.cmd = cases[i].cmd ? image_cmd : no_strings;
		if (cases[i].want) {
			CHECK_OK(build(&f));
			CHECK_STR(at(&f, "/process/args"), cases[i].want);
		} else {
			CHECK_ERR(build(&f), ERR_INVALID);
		}
	}
}

TEST(limits_of_the_configuration)
{
	static const char *const ulimits[] = { "nofile=1024:4096", "core=0", "memlock=unlimited", NULL };
	_fixture_ struct fixture f;

	fixture_init(&f);
	f.in.ulimits = ulimits;
	f.in.pids_limit = 77;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/rlimits"), "[{\"type\":\"RLIMIT_NOFILE\",\"hard\":4096,\"soft\":1024},"
					      "{\"type\":\"RLIMIT_CORE\",\"hard\":0,\"soft\":0},"
					      "{\"type\":\"RLIMIT_MEMLOCK\",\"hard\":18446744073709551615,\"soft\":18446744073709551615}]");
	CHECK_STR(at(&f, "/linux/resources/pids"), "{\"limit\":77}");
}

TEST(environment)
{
	static const char *const defaults[] = { "CONF=1", "FROM=conf", NULL };
	_fixture_ struct fixture f;
	Runtime__V1__KeyValue kv[3] = { RUNTIME__V1__KEY_VALUE__INIT, RUNTIME__V1__KEY_VALUE__INIT, RUNTIME__V1__KEY_VALUE__INIT };
	Runtime__V1__KeyValue *list[] = { &kv[0], &kv[1], &kv[2] };

	fixture_init(&f);
	kv[0].key = (char *)"FROM", kv[0].value = (ProtobufCBinaryData){ 3, (uint8_t *)"cri" };
	kv[1].key = (char *)"HOME", kv[1].value = (ProtobufCBinaryData){ 2, (uint8_t *)"/h" };
	kv[2].key = (char *)"BYTES", kv[2].value = (ProtobufCBinaryData){ 3, (uint8_t *)"a\xff=" };
	f.c.envs = list, f.c.n_envs = 3;
	f.c.tty = true;
	f.in.default_env = defaults;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/env"), "[\"PATH=/img\",\"HOSTNAME=host1\",\"TERM=xterm\",\"CONF=1\",\"FROM=cri\",\"HOME=/h\",\"BYTES=a\xef\xbf\xbd=\"]");
	CHECK_STR(at(&f, "/process/" EXTENSION_ENV), "{\"6\":\"42595445533d61ff3d\"}");
	kv[2].value = (ProtobufCBinaryData){ 3, (uint8_t *)"a\0b" };
	CHECK_ERR(build(&f), ERR_INVALID);
	kv[2].value.len = 0;
	CHECK_OK(build(&f));
	kv[2].key = (char *)"A=B";
	CHECK_ERR(build(&f), ERR_INVALID);
	kv[2].key = (char *)"";
	CHECK_ERR(build(&f), ERR_INVALID);
}

TEST(capabilities)
{
	static char *all[] = { (char *)"ALL" }, *some[] = { (char *)"SYS_TIME", (char *)"cap_net_admin" },
		    *chown[] = { (char *)"CHOWN" }, *bad[] = { (char *)"NOSUCH" };
	_fixture_ struct fixture f;
	Runtime__V1__Capability caps = RUNTIME__V1__CAPABILITY__INIT;

	fixture_init(&f);
	f.sc.capabilities = &caps;
	caps.drop_capabilities = all, caps.n_drop_capabilities = 1;
	caps.add_capabilities = some, caps.n_add_capabilities = 2;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/capabilities/bounding"), "[\"CAP_NET_ADMIN\",\"CAP_SYS_TIME\"]");
	CHECK_STR(at(&f, "/process/capabilities/inheritable"), "-");
	caps.add_capabilities = all, caps.n_add_capabilities = 1;
	caps.drop_capabilities = chown;
	CHECK_OK(build(&f));
	CHECK(!strstr(at(&f, "/process/capabilities/effective"), "CAP_CHOWN"));
	CHECK(strstr(f.text, "CAP_CHECKPOINT_RESTORE") && strstr(f.text, "CAP_SYS_ADMIN"));
	caps.n_add_capabilities = 0, caps.drop_capabilities = all;
	caps.add_ambient_capabilities = chown, caps.n_add_ambient_capabilities = 1;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/capabilities"),
		  "{\"bounding\":[\"CAP_CHOWN\"],\"effective\":[\"CAP_CHOWN\"],\"permitted\":[\"CAP_CHOWN\"],"
		  "\"inheritable\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_CHOWN\"]}");
	caps.drop_capabilities = bad;
	CHECK_ERR(build(&f), ERR_INVALID);
}

TEST(mounts_of_cri)
{
	_fixture_ struct fixture f;
	Runtime__V1__Mount m[4];
	Runtime__V1__Mount *list[] = { &m[0], &m[1], &m[2], &m[3] };
	Runtime__V1__IDMapping map = RUNTIME__V1__IDMAPPING__INIT, *maps[] = { &map };
	static char *options[] = { (char *)"noexec", (char *)"nosuid" }, *suid[] = { (char *)"suid" };

	fixture_init(&f);
	for (size_t i = 0; i < 4; i++)
		m[i] = (Runtime__V1__Mount)RUNTIME__V1__MOUNT__INIT;
	/* Deeper ones after their parents, whatever the order. */
	m[0].container_path = (char *)"/data//deep/./x", m[0].host_path = (char *)"/h/deep";
	m[0].readonly = m[0].recursive_read_only = true;
	m[1].container_path = (char *)"data", m[1].host_path = (char *)"/h/data";
	m[1].propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	m[1].mount_options = options, m[1].n_mount_options = 2;
	m[2].container_path = (char *)"/etc/hosts", m[2].host_path = (char *)"/h/hosts", m[2].readonly = true;
	m[3].container_path = (char *)"/dev/shm", m[3].host_path = (char *)"/h/shm";
	map.container_id = 0, map.host_id = 65536, map.length = 65536;
	m[3].uidmappings = m[3].gidmappings = maps, m[3].n_uidmappings = m[3].n_gidmappings = 1;
	f.c.mounts = list, f.c.n_mounts = 4;
	CHECK_OK(build(&f));
	/* /etc/hosts and /dev/shm of the pod make way. */
	CHECK_STR(at(&f, "/mounts/8/destination"), "\"/data\"");
	CHECK_STR(at(&f, "/mounts/8/options"), "[\"rbind\",\"rslave\",\"rw\",\"noexec\",\"nosuid\"]");
	CHECK_STR(at(&f, "/mounts/9"), "{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"/h/hosts\",\"options\":[\"rbind\",\"rprivate\",\"ro\"]}");
	CHECK_STR(at(&f, "/mounts/10"),
		  "{\"destination\":\"/dev/shm\",\"type\":\"bind\",\"source\":\"/h/shm\",\"options\":[\"rbind\",\"rprivate\",\"rw\"],"
		  "\"uidMappings\":[{\"containerID\":0,\"hostID\":65536,\"size\":65536}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":65536,\"size\":65536}]}");
	CHECK_STR(at(&f, "/mounts/11"), "{\"destination\":\"/data/deep/x\",\"type\":\"bind\",\"source\":\"/h/deep\",\"options\":[\"rbind\",\"rprivate\",\"rro\"]}");
	CHECK_STR(at(&f, "/mounts/12"), "-");
	CHECK_STR(at(&f, "/linux/rootfsPropagation"), "\"rslave\"");

	m[1].mount_options = suid, m[1].n_mount_options = 1;
	CHECK_ERR(build(&f), ERR_INVALID);
	m[1].n_mount_options = 0;
	m[0].readonly = false;
	CHECK_ERR(build(&f), ERR_INVALID);
	m[0].readonly = true, m[0].propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	CHECK_ERR(build(&f), ERR_INVALID);
	m[0].recursive_read_only = false;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/rootfsPropagation"), "\"rshared\"");
	m[0].container_path = (char *)"/a/../..";
	CHECK_ERR(build(&f), ERR_INVALID);
	m[0].container_path = (char *)"/x", m[0].host_path = (char *)"relative";
	CHECK_ERR(build(&f), ERR_INVALID);
}

/* A volume on /dev: nothing of ours in it. */
TEST(mount_on_dev_takes_all_of_it)
{
	_fixture_ struct fixture f;
	Runtime__V1__Mount m = RUNTIME__V1__MOUNT__INIT, *list[] = { &m };

	fixture_init(&f);
	m.container_path = (char *)"/dev/", m.host_path = (char *)"/dev";
	f.c.mounts = list, f.c.n_mounts = 1;
	CHECK_OK(build(&f));
	CHECK(!strstr(at(&f, "/mounts"), "/dev/pts") && !strstr(f.text, "/dev/shm") && !strstr(f.text, "\"tmpfs\""));
}

TEST(privileged)
{
	static char *masked[] = { (char *)"/proc/kcore" };
	static const struct spec_device devices[] = { { "/dev/sda", 'b', 8, 0, 0660, 0, 6, "rwm" } };
	Runtime__V1__SecurityProfile profile = RUNTIME__V1__SECURITY_PROFILE__INIT;
	_fixture_ struct fixture f;

	fixture_init(&f);
	f.sc.masked_paths = masked, f.sc.n_masked_paths = 1;
	f.sc.seccomp = &profile;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/maskedPaths"), "[\"/proc/kcore\"]");
	CHECK(strcmp(at(&f, "/linux/seccomp"), "-") != 0);
	f.sc.privileged = true;
	f.in.devices = devices, f.in.n_devices = 1;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/maskedPaths"), "-");
	CHECK_STR(at(&f, "/linux/seccomp"), "-");
	CHECK_STR(at(&f, "/linux/devices"), "[{\"path\":\"/dev/sda\",\"type\":\"b\",\"major\":8,\"minor\":0,\"fileMode\":432,\"uid\":0,\"gid\":6}]");
	CHECK_STR(at(&f, "/linux/resources/devices"), "[{\"allow\":true,\"type\":\"a\",\"access\":\"rwm\"}]");
	CHECK_STR(at(&f, "/mounts/4/options"), "[\"nosuid\",\"noexec\",\"nodev\",\"rw\"]");
	CHECK(!strstr(at(&f, "/linux/namespaces"), "cgroup"));
	f.sc.privileged = false;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/resources/devices"),
		  "[{\"allow\":false,\"type\":\"a\",\"access\":\"rwm\"},{\"allow\":true,\"type\":\"b\",\"major\":8,\"minor\":0,\"access\":\"rwm\"}]");
}

TEST(namespaces)
{
	_fixture_ struct fixture f;
	Runtime__V1__UserNamespace u = RUNTIME__V1__USER_NAMESPACE__INIT;
	Runtime__V1__IDMapping map = RUNTIME__V1__IDMAPPING__INIT, *maps[] = { &map };

	fixture_init(&f);
	f.ns.network = f.ns.ipc = f.ns.pid = RUNTIME__V1__NAMESPACE_MODE__NODE;
	f.in.ns_net = f.in.ns_ipc = f.in.ns_uts = NULL;
	f.in.shm_dir = NULL;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/namespaces"), "[{\"type\":\"mount\"},{\"type\":\"cgroup\"}]");
	CHECK_STR(at(&f, "/mounts/6/source"), "\"/dev/shm\"");
	/* The pod's are joined or it is an error, never the node's by omission. */
	f.ns.network = RUNTIME__V1__NAMESPACE_MODE__POD;
	CHECK_ERR(build(&f), ERR_INVALID);
	f.ns.network = RUNTIME__V1__NAMESPACE_MODE__NODE, f.ns.pid = RUNTIME__V1__NAMESPACE_MODE__POD;
	CHECK_ERR(build(&f), ERR_INVALID);
	f.in.ns_pid = "/ns/pid";
	map.host_id = 100000, map.length = 65536;
	u.mode = RUNTIME__V1__NAMESPACE_MODE__POD, u.uids = u.gids = maps, u.n_uids = u.n_gids = 1;
	f.ns.userns_options = &u;
	CHECK_ERR(build(&f), ERR_INVALID);
	f.in.ns_user = "/ns/user";
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/namespaces"),
		  "[{\"type\":\"mount\"},{\"type\":\"cgroup\"},{\"type\":\"user\",\"path\":\"/ns/user\"},{\"type\":\"pid\",\"path\":\"/ns/pid\"}]");
	CHECK_STR(at(&f, "/linux/uidMappings"), "[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]");
}

TEST(resources)
{
	_fixture_ struct fixture f;
	Runtime__V1__LinuxContainerResources r = RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;
	Runtime__V1__LinuxContainerResources__UnifiedEntry high = RUNTIME__V1__LINUX_CONTAINER_RESOURCES__UNIFIED_ENTRY__INIT;
	Runtime__V1__LinuxContainerResources__UnifiedEntry *unified[] = { &high };
	Runtime__V1__HugepageLimit page = RUNTIME__V1__HUGEPAGE_LIMIT__INIT, *pages[] = { &page };

	fixture_init(&f);
	f.linux_config.resources = &r;
	r.oom_score_adj = -5;
	r.cpu_shares = 102, r.cpu_quota = 20000, r.cpu_period = 100000, r.memory_limit_in_bytes = 1 << 20;
	r.cpuset_cpus = (char *)"0-1";
	high.key = (char *)"memory.high", high.value = (char *)"max";
	r.unified = unified, r.n_unified = 1;
	page.page_size = (char *)"2MB", page.limit = 4096;
	r.hugepage_limits = pages, r.n_hugepage_limits = 1;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/oomScoreAdj"), "-5");
	CHECK_STR(at(&f, "/linux/resources"),
		  "{\"devices\":[{\"allow\":false,\"type\":\"a\",\"access\":\"rwm\"}],"
		  "\"cpu\":{\"shares\":102,\"quota\":20000,\"period\":100000,\"cpus\":\"0-1\"},"
		  "\"memory\":{\"limit\":1048576,\"swap\":1048576},"
		  "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4096}],\"unified\":{\"memory.high\":\"max\"}}");
	r.memory_swap_limit_in_bytes = 1 << 19;
	CHECK_ERR(build(&f), ERR_INVALID);
	r.memory_swap_limit_in_bytes = 1 << 21;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/resources/memory/swap"), "2097152");
	r.cpu_period = -1;
	CHECK_ERR(build(&f), ERR_INVALID);
}

TEST(seccomp_profiles)
{
	_fixture_ struct fixture f;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;

	fixture_init(&f);
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/seccomp"), "-");
	f.sc.seccomp = &p;
	p.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/seccomp"), "-");
	p.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/seccomp/defaultErrnoRet"), "1");
	/* What the set of capabilities opens is closed without it. */
	CHECK(strstr(at(&f, "/linux/seccomp/syscalls/0/names"), "\"openat2\"") && strstr(f.text, "\"chroot\"") &&
	      !strstr(f.text, "\"mount\""));
	p.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	f.in.seccomp_profile = "{\"defaultAction\":\"SCMP_ACT_LOG\"}";
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/seccomp"), "{\"defaultAction\":\"SCMP_ACT_LOG\"}");
	f.in.seccomp_profile = "[]";
	CHECK_ERR(build(&f), ERR_INVALID);
}

TEST(cve_2023_2431_localhost_without_a_profile_is_an_error)
{
	_fixture_ struct fixture f;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;

	fixture_init(&f);
	f.sc.seccomp = &p;
	p.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	CHECK_ERR(build(&f), ERR_INVALID);
	f.in.seccomp_profile = "";
	CHECK_ERR(build(&f), ERR_INVALID);
}

TEST(cve_2022_24769_inheritable_is_empty)
{
	_fixture_ struct fixture f;

	fixture_init(&f);
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/capabilities/inheritable"), "-");
}

TEST(selinux_labels_are_the_callers)
{
	_fixture_ struct fixture f;

	fixture_init(&f);
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/selinuxLabel"), "-");
	CHECK_STR(at(&f, "/linux/mountLabel"), "-");
	f.in.selinux_process = "u:r:t:s0:c1,c2";
	f.in.selinux_mount = "u:o:f:s0:c1,c2";
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/selinuxLabel"), "\"u:r:t:s0:c1,c2\"");
	CHECK_STR(at(&f, "/linux/mountLabel"), "\"u:o:f:s0:c1,c2\"");
}

TEST(default_capabilities_of_the_configuration)
{
	static const char *const few[] = { "CHOWN", "CAP_KILL", NULL }, *const none[] = { NULL };
	_fixture_ struct fixture f;

	fixture_init(&f);
	f.in.default_caps = few;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/capabilities/bounding"), "[\"CAP_CHOWN\",\"CAP_KILL\"]");
	f.in.default_caps = none;
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/process/capabilities/bounding"), "[]");
}

TEST(seccomp_profiles_in_dockers_form)
{
	static const char text[] =
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_MIPS\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]},"
		"{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]},"
		"{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_ARM\"]}],\"syscalls\":["
		"{\"names\":[\"always\"],\"action\":\"SCMP_ACT_ALLOW\",\"comment\":\"x\",\"includes\":{},\"excludes\":{}},"
		"{\"name\":\"single\",\"action\":\"SCMP_ACT_ALLOW\"},"
		"{\"names\":[\"has\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_CHOWN\",\"CAP_KILL\"]}},"
		"{\"names\":[\"half\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_CHOWN\",\"CAP_SYS_ADMIN\"]}},"
		"{\"names\":[\"unknown\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_OF_TOMORROW\"]}},"
		"{\"names\":[\"not\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_CHOWN\"]}},"
		"{\"names\":[\"without\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
		"{\"names\":[\"arch\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":[\"amd64\",\"arm64\"]}},"
		"{\"names\":[\"other\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":[\"s390x\"]}},"
		"{\"names\":[\"excluded\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"arches\":[\"amd64\",\"arm64\"]}},"
		"{\"names\":[\"old\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"4.8\"}},"
		"{\"names\":[\"new\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"99.0\"}}]}";
	static const char *const want[] = { "always", "single", "has", "without", "arch", "old" };
	static const char *const bad[] = {
		"{\"syscalls\":[1]}", "{\"syscalls\":[{\"includes\":{\"minKernel\":\"new\"}}]}", "{\"syscalls\":[{\"includes\":[]}]}",
		"{\"architectures\":[],\"archMap\":[]}", "[]", "{",
	};
	_fixture_ struct fixture f;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;
	char path[64], name[64];

	fixture_init(&f);
	f.sc.seccomp = &p;
	p.profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	f.in.seccomp_profile = text;
	CHECK_OK(build(&f));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		snprintf(path, sizeof(path), "/linux/seccomp/syscalls/%zu", i);
		snprintf(name, sizeof(name), "{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ALLOW\"}", want[i]);
		if (!strcmp(want[i], "single"))
			snprintf(name, sizeof(name), "{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[\"single\"]}");
		CHECK_STR(at(&f, path), name);
	}
	CHECK_STR(at(&f, "/linux/seccomp/syscalls/6"), "-");
	CHECK_STR(at(&f, "/linux/seccomp/archMap"), "-");
	CHECK(strcmp(at(&f, "/linux/seccomp/architectures/0"), "-") != 0);
	CHECK(strcmp(at(&f, "/linux/seccomp/architectures/1"), "-") != 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		f.in.seccomp_profile = bad[i];
		CHECK_ERR(build(&f), ERR_INVALID);
	}
}

TEST(seccomp_default_of_the_configuration)
{
	_fixture_ struct fixture f;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;

	fixture_init(&f);
	f.sc.seccomp = &p;
	f.in.seccomp_profile = "{\"defaultAction\":\"SCMP_ACT_LOG\"}";
	CHECK_OK(build(&f));
	CHECK_STR(at(&f, "/linux/seccomp"), "{\"defaultAction\":\"SCMP_ACT_LOG\"}");
}

TEST(working_directory)
{
	static const char *const cases[][3] = {
		{ "", "", "\"/\"" }, { "/c", "/i", "\"/c\"" }, { "", "/i/../j", "\"/j\"" }, { "", "rel", "\"/rel\"" },
		{ "/proc/self/fd/7", "", "\"/proc/self/fd/7\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_fixture_ struct fixture f;

		fixture_init(&f);
		f.c.working_dir = (char *)(uintptr_t)cases[i][0];
		f.image.working_dir = cases[i][1];
		CHECK_OK(build(&f));
		CHECK_STR(at(&f, "/process/cwd"), cases[i][2]);
	}
}

TEST(exec_process)
{
	static char *args[] = { (char *)"ls", (char *)"-l" };
	_fixture_ struct fixture f;
	_buf_ struct buf process = BUF_INIT;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;

	fixture_init(&f);
	f.sc.no_new_privs = true;
	f.sc.seccomp = &p;
	CHECK_OK(build(&f));
	CHECK_OK(spec_build_exec(f.out.data, f.out.len, args, 2, true, &process));
	CHECK_OK(json_read(&f.arena, process.data, process.len, &f.root));
	CHECK_STR(at(&f, "/args"), "[\"ls\",\"-l\"]");
	CHECK_STR(at(&f, "/terminal"), "true");
	CHECK_STR(at(&f, "/user/uid"), "4");
	CHECK_STR(at(&f, "/noNewPrivileges"), "true");
	CHECK_STR(at(&f, "/env"), "[\"PATH=/img\",\"HOSTNAME=host1\",\"FROM=image\",\"HOME=/home/u\",\"TERM=xterm\"]");
	CHECK(strcmp(at(&f, "/" EXTENSION_SECCOMP "/defaultAction"), "\"SCMP_ACT_ERRNO\"") == 0);
	CHECK_ERR(spec_build_exec(f.out.data, f.out.len, args, 0, false, &process), ERR_INVALID);
}

TEST_MAIN
