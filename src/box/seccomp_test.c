/* The compiled filter against libseccomp's own of the same rules: a small interpreter of classic BPF runs both over
 * every call number and telling arguments. Where the two differ on purpose (numbers past the last known one) is
 * tested by itself. */
#include "base/arena.h"
#include "base/str.h"
#include "base/test.h"
#include "box/seccomp.h"
#include "spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <time.h>

/* Steps taken, for the figures. */
static size_t steps;

static uint32_t jump(const struct sock_filter *f, uint32_t a)
{
	bool yes = false;

	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		yes = a == f->k;
		break;
	case BPF_JGT:
		yes = a > f->k;
		break;
	case BPF_JGE:
		yes = a >= f->k;
		break;
	case BPF_JSET:
		yes = (a & f->k) != 0;
		break;
	case BPF_JA:
		return f->k;
	default:
		abort();
	}
	return yes ? f->jt : f->jf;
}

static uint32_t run(const struct sock_filter *p, size_t n, const struct seccomp_data *d)
{
	uint32_t a = 0, x = 0, m[16] = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *f = &p[i];

		steps++;
		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			if (BPF_MODE(f->code) == BPF_MEM)
				a = m[f->k];
			else if (BPF_MODE(f->code) == BPF_ABS)
				memcpy(&a, (const char *)d + f->k, 4);
			else
				abort();
			break;
		case BPF_ST:
			m[f->k] = a;
			break;
		case BPF_ALU:
			if (BPF_OP(f->code) != BPF_AND)
				abort();
			a &= BPF_SRC(f->code) == BPF_X ? x : f->k;
			break;
		case BPF_JMP:
			i += jump(f, a);
			break;
		case BPF_RET:
			return f->k;
		default:
			abort();
		}
	}
	abort();
}

/* The kernel's checks (bpf_check_classic, seccomp_check_filter) as far as they concern us. */
static void check_program(const struct seccomp_program *p)
{
	CHECK(p->n > 0 && p->n <= SECCOMP_PROGRAM_MAX);
	for (size_t i = 0; i < p->n; i++) {
		const struct sock_filter *f = &p->insns[i];

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (BPF_OP(f->code) == BPF_JA)
			CHECK(f->k < p->n - i - 1);
		else
			CHECK(i + f->jt + 1 < p->n && i + f->jf + 1 < p->n);
	}
	CHECK(BPF_CLASS(p->insns[p->n - 1].code) == BPF_RET);
}

static uint32_t to_scmp(uint32_t action)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
		return SCMP_ACT_ERRNO(action & 0xffff);
	case SECCOMP_RET_ALLOW:
		return SCMP_ACT_ALLOW;
	case SECCOMP_RET_LOG:
		return SCMP_ACT_LOG;
	case SECCOMP_RET_TRAP:
		return SCMP_ACT_TRAP;
	case SECCOMP_RET_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	default:
		return SCMP_ACT_KILL;
	}
}

static const enum scmp_compare ops[] = {
	[SECCOMP_OP_NE] = SCMP_CMP_NE, [SECCOMP_OP_LT] = SCMP_CMP_LT, [SECCOMP_OP_LE] = SCMP_CMP_LE,
	[SECCOMP_OP_EQ] = SCMP_CMP_EQ, [SECCOMP_OP_GE] = SCMP_CMP_GE, [SECCOMP_OP_GT] = SCMP_CMP_GT,
	[SECCOMP_OP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
};

static void add_rule(scmp_filter_ctx ctx, const struct oci_seccomp *s, const struct oci_seccomp_rule *r)
{
	struct scmp_arg_cmp args[6];

	/* libseccomp refuses rules that say what the default says. */
	if (r->action == s->default_action)
		return;
	for (size_t i = 0; i < r->n_args; i++)
		args[i] = (struct scmp_arg_cmp){ r->args[i].index, ops[r->args[i].op], r->args[i].value, r->args[i].value_two };
	for (size_t i = 0; i < r->n_names; i++) {
		int nr = seccomp_syscall_resolve_name(r->names[i]);

		if (nr != __NR_SCMP_ERROR)
			seccomp_rule_add_array(ctx, to_scmp(r->action), nr, (unsigned int)r->n_args, args);
	}
}

/* libseccomp's program. */
static size_t reference(const struct oci_seccomp *s, struct sock_filter *ret, size_t max)
{
	scmp_filter_ctx ctx = seccomp_init(to_scmp(s->default_action));
	size_t len = max * sizeof(*ret);

	CHECK(ctx != NULL);
	for (size_t i = 0; i < s->n_arches; i++)
		if (s->arches[i] != seccomp_arch_native())
			CHECK(seccomp_arch_add(ctx, s->arches[i]) == 0);
	for (size_t i = 0; i < s->n_rules; i++)
		add_rule(ctx, s, &s->rules[i]);
	int fd = memfd_create("bpf", MFD_CLOEXEC);

	CHECK(seccomp_export_bpf(ctx, fd) == 0);
	ssize_t n = pread(fd, ret, len, 0);

	close(fd);
	seccomp_release(ctx);
	CHECK(n > 0);
	return (size_t)n / sizeof(*ret);
}

static void parse(struct arena *a, const char *profile, struct oci_spec *spec)
{
	_free_ char *json = base_printf("{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"/\"},\"linux\":{\"namespaces\":["
					"{\"type\":\"mount\"}],\"seccomp\":%s}}", profile);
	char *kept = arena_strdup(a, json);

	CHECK_OK(oci_parse(a, kept, strlen(kept), spec));
}

/* Values around every comparison's own, and others. */
static const uint64_t interesting[] = {
	0, 1, 2, 8, 9, 10, 16, 38, 40, 41, 0x80, 0x20000, 0x20008, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
	0x100000008, 0x10000000, 0x02000000, 0x7e020000, 0x7e020080, UINT64_MAX, 0xabcdef0123456789,
};

static bool differs_on_purpose(const struct oci_seccomp *s, uint32_t mine, uint32_t theirs)
{
	/* Numbers past the profile's last. */
	return mine == (SECCOMP_RET_ERRNO | ENOSYS) && theirs == s->default_action;
}

static void compare(const struct oci_seccomp *s, const struct seccomp_program *p, const struct sock_filter *ref,
		    size_t n_ref, uint32_t arch, uint32_t base)
{
	bool narrow = arch == AUDIT_ARCH_I386 || base;

	for (uint32_t nr = 0; nr < 600; nr++) {
		for (size_t i = 0; i < ARRAY_LEN(interesting) * 3; i++) {
			struct seccomp_data d = { .nr = (int)(base + nr), .arch = arch };

			for (size_t k = 0; k < 6; k++)
				d.args[k] = i / 3 == 0 ? 0 : interesting[(i / 3 + k * (i % 3)) % ARRAY_LEN(interesting)];
			/* There a condition of more than 32 bits means nothing. */
			for (size_t k = 0; narrow && k < 6; k++)
				d.args[k] &= UINT32_MAX;
			uint32_t mine = run(p->insns, p->n, &d), theirs = run(ref, n_ref, &d);

			if (mine != theirs && !differs_on_purpose(s, mine, theirs)) {
				fprintf(stderr, "arch %#x nr %u arg0 %#llx: %#x, libseccomp %#x\n", arch, base + nr,
					(unsigned long long)d.args[0], mine, theirs);
				CHECK(mine == theirs);
			}
		}
	}
}

static void compare_all(const char *profile)
{
	static struct sock_filter ref[65536];
	_arena_ struct arena a;
	struct oci_spec spec;
	struct seccomp_program p;

	arena_init(&a);
	parse(&a, profile, &spec);
	CHECK_OK(seccomp_compile(&a, spec.seccomp, &p));
	check_program(&p);
	size_t n_ref = reference(spec.seccomp, ref, ARRAY_LEN(ref));

	compare(spec.seccomp, &p, ref, n_ref, AUDIT_ARCH_X86_64, 0);
	compare(spec.seccomp, &p, ref, n_ref, AUDIT_ARCH_X86_64, 0x40000000);
	compare(spec.seccomp, &p, ref, n_ref, AUDIT_ARCH_I386, 0);
	compare(spec.seccomp, &p, ref, n_ref, AUDIT_ARCH_AARCH64, 0);
}

#define ALL_ARCHES "\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],"

TEST(filter_answers_as_libseccomp_does)
{
	static const char *const profiles[] = {
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\"," ALL_ARCHES "\"syscalls\":[{\"names\":[\"mkdir\",\"socket\",\"nosuch\"],"
		"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":13}]}",
		/* x32 left out: its numbers must not slip past a list of what is forbidden. */
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86_64\"],"
		"\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\"," ALL_ARCHES "\"syscalls\":[{\"names\":[\"read\",\"write\",\"exit_group\",\"futex\"],"
		"\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"mmap\"],\"action\":\"SCMP_ACT_LOG\"}]}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\"," ALL_ARCHES "\"syscalls\":["
		"{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":8,\"op\":\"SCMP_CMP_EQ\"}]},"
		"{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":131072,\"op\":\"SCMP_CMP_EQ\"}]},"
		"{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":9,\"op\":\"SCMP_CMP_GT\"},"
		"{\"index\":1,\"value\":2147483648,\"op\":\"SCMP_CMP_LE\"}]},"
		"{\"names\":[\"fcntl\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":2,\"value\":40,\"op\":\"SCMP_CMP_GE\"}]},"
		"{\"names\":[\"prctl\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":41,\"op\":\"SCMP_CMP_LT\"}]},"
		"{\"names\":[\"madvise\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":41,\"op\":\"SCMP_CMP_NE\"}]},"
		"{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2114060288,\"valueTwo\":0,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}",
		/* Beyond 32 bits. */
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":["
		"{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":4294967304,\"op\":\"SCMP_CMP_LE\"}]},"
		"{\"names\":[\"fcntl\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":3,\"value\":4294967304,\"op\":\"SCMP_CMP_GT\"}]},"
		"{\"names\":[\"prctl\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":2,\"value\":18446744073709551615,"
		"\"valueTwo\":4294967296,\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
		"{\"names\":[\"madvise\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":4294967296,\"op\":\"SCMP_CMP_NE\"}]}]}",
		/* The same argument twice is "or". */
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_ALLOW\","
		"\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(profiles); i++)
		compare_all(profiles[i]);
}

static char *default_profile(struct arena *a, uint64_t caps)
{
	static char *none[] = { NULL }, *cmd[] = { (char *)"x", NULL };
	static char *all[] = { (char *)"ALL" };
	Runtime__V1__ContainerConfig c = RUNTIME__V1__CONTAINER_CONFIG__INIT;
	Runtime__V1__LinuxContainerConfig l = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT;
	Runtime__V1__LinuxContainerSecurityContext sc = RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	Runtime__V1__NamespaceOption ns = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	Runtime__V1__SecurityProfile p = RUNTIME__V1__SECURITY_PROFILE__INIT;
	Runtime__V1__Capability cap = RUNTIME__V1__CAPABILITY__INIT;
	struct image_config image = { .user = "", .working_dir = "", .env = none, .entrypoint = none, .cmd = cmd, .volumes = none };
	struct user user = { .home = "/", .name = "" };
	struct spec_input in = { .container = &c, .image = &image, .user = &user, .id = "i", .rootfs = "/r",
				 .ns_net = "/n", .ns_ipc = "/i", .ns_uts = "/u" };
	_buf_ struct buf out = BUF_INIT;

	cap.add_capabilities = all;
	cap.n_add_capabilities = caps ? 1 : 0;
	sc.capabilities = &cap;
	sc.seccomp = &p;
	sc.namespace_options = &ns;
	ns.pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	l.security_context = &sc;
	c.linux = &l;
	CHECK_OK(spec_build(&in, &out));
	return arena_strndup(a, out.data, out.len);
}

static uint32_t answer(const struct seccomp_program *p, const char *name, uint64_t arg0)
{
	struct seccomp_data d = { .nr = seccomp_syscall_resolve_name(name), .arch = AUDIT_ARCH_X86_64, .args = { arg0 } };

	return run(p->insns, p->n, &d);
}

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)

TEST(default_profile)
{
	_arena_ struct arena a;
	struct oci_spec spec;
	struct seccomp_program p;

	arena_init(&a);
	char *json = default_profile(&a, 0);

	CHECK_OK(oci_parse(&a, json, strlen(json), &spec));
	CHECK_OK(seccomp_compile(&a, spec.seccomp, &p));
	check_program(&p);
	CHECK_INT(answer(&p, "read", 0), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "clone", 0x11), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "clone", 0x10000000), REFUSED);   /* CLONE_NEWUSER */
	CHECK_INT(answer(&p, "unshare", 0x400), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "unshare", 0x20000), REFUSED);    /* CLONE_NEWNS */
	CHECK_INT(answer(&p, "clone3", 0), ABSENT);
	CHECK_INT(answer(&p, "mount", 0), REFUSED);
	CHECK_INT(answer(&p, "keyctl", 0), REFUSED);
	CHECK_INT(answer(&p, "io_uring_setup", 0), REFUSED);
	CHECK_INT(answer(&p, "bpf", 0), REFUSED);
	CHECK_INT(answer(&p, "chroot", 0), SECCOMP_RET_ALLOW); /* CAP_SYS_CHROOT is a default one */
	CHECK_INT(answer(&p, "socket", 2), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "socket", 40), REFUSED);          /* AF_VSOCK */
	CHECK_INT(answer(&p, "socket", 0x100000028), REFUSED); /* the same to the kernel */
	CHECK_INT(answer(&p, "personality", 0), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "personality", 0x40000), REFUSED); /* ADDR_NO_RANDOMIZE */
	CHECK_INT(answer(&p, "ptrace", 0), SECCOMP_RET_ALLOW);

	json = default_profile(&a, 1);
	CHECK_OK(oci_parse(&a, json, strlen(json), &spec));
	CHECK_OK(seccomp_compile(&a, spec.seccomp, &p));
	check_program(&p);
	CHECK_INT(answer(&p, "mount", 0), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "clone3", 0), SECCOMP_RET_ALLOW);
	CHECK_INT(answer(&p, "keyctl", 0), REFUSED);
}

/* A program that looks for a call newer than the profile must not be told EPERM. */
TEST(numbers_past_the_last_do_not_exist)
{
	_arena_ struct arena a;
	struct oci_spec spec;
	struct seccomp_program p;
	struct seccomp_data d = { .nr = 999, .arch = AUDIT_ARCH_X86_64 };

	arena_init(&a);
	parse(&a, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\",\"openat2\"],\"action\":\"SCMP_ACT_ALLOW\"}]}", &spec);
	CHECK_OK(seccomp_compile(&a, spec.seccomp, &p));
	CHECK_INT(run(p.insns, p.n, &d), ABSENT);
	d.nr = 100;
	CHECK_INT(run(p.insns, p.n, &d), REFUSED);
	/* What a tracer set to -1 is not refused for its number. */
	d.nr = -1;
	CHECK_INT(run(p.insns, p.n, &d), REFUSED);
	parse(&a, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\"}]}", &spec);
	CHECK_OK(seccomp_compile(&a, spec.seccomp, &p));
	CHECK_INT(run(p.insns, p.n, &d), SECCOMP_RET_ALLOW);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Not a test of speed but of size and depth, which decide it; the times are printed for whoever compares. */
TEST(default_profile_is_compact)
{
	static struct sock_filter ref[65536];
	_arena_ struct arena a;
	struct oci_spec spec;
	struct seccomp_program p;
	size_t worst = 0;

	arena_init(&a);
	double t0 = seconds();
	char *json = default_profile(&a, 0);
	double t1 = seconds();

	CHECK_OK(oci_parse(&a, json, strlen(json), &spec));
	double t2 = seconds();

	CHECK_OK(seccomp_compile(&a, spec.seccomp, &p));
	double t3 = seconds();
	size_t n_ref = reference(spec.seccomp, ref, ARRAY_LEN(ref));
	double t4 = seconds();

	for (int nr = 0; nr < 470; nr++) {
		struct seccomp_data d = { .nr = nr, .arch = AUDIT_ARCH_X86_64 };

		steps = 0;
		run(p.insns, p.n, &d);
		worst = MAX(worst, steps);
	}
	fprintf(stderr, "spec %zu bytes in %.0f us, parsed in %.0f us, %zu instructions in %.0f us, at most %zu steps; "
			"libseccomp: %zu instructions in %.0f us\n",
		strlen(json), (t1 - t0) * 1e6, (t2 - t1) * 1e6, p.n, (t3 - t2) * 1e6, worst, n_ref, (t4 - t3) * 1e6);
	CHECK(p.n < 400);
	CHECK(worst < 25);
}

TEST_MAIN
