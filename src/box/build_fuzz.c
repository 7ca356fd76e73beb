/* Fuzz target: the spec builder. The input is two protobuf messages, a PodSandboxConfig and a ContainerConfig (two bytes of
 * length before the first), and what the builder makes of them must be a spec that the executor takes. */
#include "base/buf.h"
#include "box/oci.h"
#include "box/seccomp.h"
#include "spec/spec.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *take(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void leave(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

static struct err *build(const Runtime__V1__PodSandboxConfig *pod,
			 const Runtime__V1__ContainerConfig *container, uint8_t flags, struct buf *out)
{
	static char *none[] = { NULL }, *cmd[] = { (char *)"cmd", NULL }, *env[] = { (char *)"A=b", (char *)"x", NULL };
	const struct image_config image = { .user = "", .working_dir = "w", .env = env, .entrypoint = none,
					    .cmd = flags & 1 ? cmd : none, .volumes = none };
	uint32_t groups[] = { 1, 2 };
	const struct user user = { .uid = 1, .gid = 1, .groups = groups, .n_groups = 2, .name = "", .home = "/" };
	const struct spec_device devices[] = { { "/dev/x", 'c', 1, 3, 0666, 0, 0, "rw" } };
	const struct spec_input in = {
		.pod = pod, .container = container, .image = &image, .user = &user, .id = "id", .pod_id = "pod",
		.rootfs = "/root", .cgroups_path = "/c/id", .hostname = "h",
		.ns_net = flags & 2 ? "/ns/n" : NULL, .ns_ipc = flags & 2 ? "/ns/i" : NULL,
		.ns_uts = flags & 2 ? "/ns/u" : NULL, .ns_pid = flags & 4 ? "/ns/p" : NULL,
		.ns_user = flags & 8 ? "/ns/user" : NULL, .seccomp_profile = flags & 16 ? "{\"defaultAction\":\"SCMP_ACT_LOG\"}" : NULL,
		.selinux_process = flags & 32 ? "u:r:t:s0" : NULL, .selinux_mount = flags & 32 ? "u:o:t:s0" : NULL,
		.apparmor = flags & 64 ? "p" : NULL, .shm_dir = flags & 128 ? "/shm" : NULL,
		.devices = devices, .n_devices = flags & 1,
	};

	return spec_build(&in, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ struct arena a;
	_buf_ struct buf out = BUF_INIT, process = BUF_INIT;
	struct oci_spec spec;
	struct seccomp_program program;
	char *args[] = { (char *)"ls" };

	arena_init(&a);
	if (size < 3)
		return 0;
	ProtobufCAllocator alloc = { take, leave, &a };
	size_t n = MIN((size_t)(data[1] << 8 | data[2]), size - 3);
	Runtime__V1__PodSandboxConfig *pod = runtime__v1__pod_sandbox_config__unpack(&alloc, n, data + 3);
	Runtime__V1__ContainerConfig *container =
		runtime__v1__container_config__unpack(&alloc, size - 3 - n, data + 3 + n);

	if (!pod || !container)
		return 0;
	struct err *e = build(pod, container, data[0], &out);

	if (!e) {
		struct err *bad = oci_parse(&a, out.data, out.len, &spec);

		if (!bad && spec.seccomp)
			bad = seccomp_compile(&a, spec.seccomp, &program);
		if (!bad)
			bad = spec_build_exec(out.data, out.len, args, 1, true, &process);
		if (bad) {
			fprintf(stderr, "%s\n", err_text(bad));
			abort();
		}
	}
	err_free(e);
	return 0;
}
