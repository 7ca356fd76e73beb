#include "cri/devices.h"

#include "base/test.h"

#include <string.h>
#include <unistd.h>

/* A pod, its request, and what one container asks for; /dev/null and /dev/full are everywhere. */
struct fixture {
	struct arena a;
	struct pod pod;
	Runtime__V1__RunPodSandboxRequest request;
	Runtime__V1__PodSandboxConfig pod_config;
	Runtime__V1__LinuxPodSandboxConfig pod_linux;
	Runtime__V1__LinuxSandboxSecurityContext pod_sc;
	Runtime__V1__NamespaceOption ns;
	Runtime__V1__UserNamespace users;
	Runtime__V1__IDMapping map, *maps[1];
	Runtime__V1__ContainerConfig config;
	Runtime__V1__LinuxContainerConfig l;
	Runtime__V1__LinuxContainerSecurityContext sc;
	Runtime__V1__Device device, *devices[1];
	Runtime__V1__Int64Value uid, gid;
	struct config settings;
	struct spec_input in;
};

static void fixture_init(struct fixture *f)
{
	*f = (struct fixture){ 0 };
	arena_init(&f->a);
	runtime__v1__run_pod_sandbox_request__init(&f->request);
	runtime__v1__pod_sandbox_config__init(&f->pod_config);
	runtime__v1__linux_pod_sandbox_config__init(&f->pod_linux);
	runtime__v1__linux_sandbox_security_context__init(&f->pod_sc);
	runtime__v1__namespace_option__init(&f->ns);
	runtime__v1__user_namespace__init(&f->users);
	runtime__v1__idmapping__init(&f->map);
	runtime__v1__container_config__init(&f->config);
	runtime__v1__linux_container_config__init(&f->l);
	runtime__v1__linux_container_security_context__init(&f->sc);
	runtime__v1__device__init(&f->device);
	runtime__v1__int64_value__init(&f->uid);
	runtime__v1__int64_value__init(&f->gid);
	f->pod.request = &f->request;
	f->request.config = &f->pod_config;
	f->pod_config.linux = &f->pod_linux;
	f->pod_linux.security_context = &f->pod_sc;
	f->pod_sc.namespace_options = &f->ns;
	f->map.host_id = 100000;
	f->map.length = 1;   /* the container's root and nobody else */
	f->maps[0] = &f->map;
	f->users.uids = f->users.gids = f->maps;
	f->users.n_uids = f->users.n_gids = 1;
	f->config.linux = &f->l;
	f->l.security_context = &f->sc;
	f->device.container_path = (char *)(uintptr_t)"/dev/full-of-it";
	f->device.host_path = (char *)(uintptr_t)"/dev/full";
	f->device.permissions = (char *)(uintptr_t)"rw";
	f->devices[0] = &f->device;
	f->config.devices = f->devices;
	f->config.n_devices = 1;
	f->uid.value = 1000;
	f->gid.value = 1001;
}

static const struct spec_device *collect(struct fixture *f, const char *path)
{
	f->in = (struct spec_input){ 0 };
	CHECK_OK(devices_collect(&f->a, &f->settings, false, &f->pod, &f->config, &f->in));
	for (size_t i = 0; i < f->in.n_devices; i++)
		if (!strcmp(f->in.devices[i].path, path))
			return &f->in.devices[i];
	return NULL;
}

TEST(listed)
{
	struct fixture f;

	fixture_init(&f);
	const struct spec_device *d = collect(&f, "/dev/full-of-it");

	CHECK(d && d->type == 'c' && d->major == 1 && d->minor == 7);
	CHECK_STR(d->access, "rw");
	CHECK_INT(f.in.n_devices, 1);
	f.device.permissions = (char *)(uintptr_t)"rx";
	CHECK_ERR(devices_collect(&f.a, &f.settings, false, &f.pod, &f.config, &f.in), ERR_INVALID);
	f.device.permissions = (char *)(uintptr_t)"r";
	f.device.host_path = (char *)(uintptr_t)"/dev";
	CHECK(collect(&f, "/dev/full-of-it/null") != NULL);
	arena_done(&f.a);
}

TEST(owner_of_security_context)
{
	struct fixture f;

	fixture_init(&f);
	f.sc.run_as_user = &f.uid;
	f.sc.run_as_group = &f.gid;
	const struct spec_device *d = collect(&f, "/dev/full-of-it");

	CHECK(d && d->uid != 1000 && d->gid != 1001);
	f.settings.device_ownership_from_security_context = true;
	d = collect(&f, "/dev/full-of-it");
	CHECK(d && d->uid == 1000 && d->gid == 1001);
	f.uid.value = -1;
	d = collect(&f, "/dev/full-of-it");
	CHECK(d && d->uid != (uint32_t)-1 && d->gid == 1001);
	arena_done(&f.a);
}

TEST(owner_that_is_not_mapped)
{
	struct fixture f;

	fixture_init(&f);
	f.sc.run_as_user = &f.uid;
	f.settings.device_ownership_from_security_context = true;
	f.ns.userns_options = &f.users;
	const struct spec_device *d = collect(&f, "/dev/full-of-it");

	CHECK(d && d->uid == 0 && d->gid == 0);
	arena_done(&f.a);
}

static bool is_bound(const struct fixture *f, const char *path)
{
	for (size_t i = 0; i < f->in.n_mounts; i++)
		if (!strcmp(f->in.mounts[i].destination, path))
			return true;
	return false;
}

/* Who is privileged in a user namespace is nobody on the node: nothing of the node's becomes its own. */
TEST(privileged)
{
	struct fixture f;

	fixture_init(&f);
	f.sc.privileged = true;
	CHECK(collect(&f, "/dev/null") != NULL);
	CHECK(!f.in.only_listed_devices && f.in.n_mounts == 0);
	f.ns.userns_options = &f.users;
	CHECK(collect(&f, "/dev/full-of-it") != NULL);
	CHECK_INT(f.in.n_devices, 1);
	CHECK(!is_bound(&f, "/dev/null") && !is_bound(&f, "/dev/ptmx"));
	for (size_t i = 0; i < f.in.n_mounts; i++)
		CHECK(access(f.in.mounts[i].source, F_OK) == 0);
	f.ns.userns_options = NULL;
	f.settings.privileged_without_host_devices = true;
	CHECK(collect(&f, "/dev/null") == NULL);
	CHECK(f.in.only_listed_devices);
	arena_done(&f.a);
}

TEST_MAIN
