#include "base/arena.h"
#include "box/cgroup.h"
#include "box/cgroup_device.h"
#include "box/cgroup_file.h"
#include "sys/bpf.h"

#include <linux/bpf.h>
#include <stddef.h>

/* runtime-spec leaves these to the runtime; runc and crun allow the same. */
static const struct cgroup_device always[] = {
	{ true, 'c', -1, -1, false, false, true }, { true, 'b', -1, -1, false, false, true },
	{ true, 'c', 1, 3, true, true, true },	   { true, 'c', 1, 5, true, true, true },
	{ true, 'c', 1, 7, true, true, true },	   { true, 'c', 1, 8, true, true, true },
	{ true, 'c', 1, 9, true, true, true },	   { true, 'c', 5, 0, true, true, true },
	{ true, 'c', 5, 1, true, true, true },	   { true, 'c', 5, 2, true, true, true },
	{ true, 'c', 136, -1, true, true, true },
};

static bool is_everything(const struct cgroup_device *d)
{
	return d->type == 'a' && d->major < 0 && d->minor < 0 && d->read && d->write && d->mknod;
}

/* Registers of the program. */
enum { R_RESULT = 0, R_CTX = 1, R_TYPE = 2, R_ACCESS = 3, R_MAJOR = 4, R_MINOR = 5, R_TMP = 6 };

static struct bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	return (struct bpf_insn){ .code = code, .dst_reg = dst & 0xf, .src_reg = src & 0xf, .off = off, .imm = imm };
}

/* One rule: 10 instructions at most; falls through where it does not match. */
static size_t emit_rule(struct bpf_insn *p, const struct cgroup_device *d)
{
	const uint32_t access = (d->mknod ? BPF_DEVCG_ACC_MKNOD : 0u) | (d->read ? BPF_DEVCG_ACC_READ : 0u) |
				(d->write ? BPF_DEVCG_ACC_WRITE : 0u);
	const uint32_t all = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;
	size_t n = 0, fix[4], n_fix = 0;

	if (d->type != 'a') {
		fix[n_fix++] = n;
		p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, R_TYPE, 0, 0,
			      d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	}
	if (access != all) {
		p[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, R_TMP, R_ACCESS, 0, 0);
		p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, R_TMP, 0, 0, (int32_t)access);
		fix[n_fix++] = n;
		/* Allowed: if nothing beyond the rule is asked for. Denied: if anything of it is. */
		p[n++] = d->allow ? insn(BPF_JMP | BPF_JNE | BPF_X, R_TMP, R_ACCESS, 0, 0) :
				    insn(BPF_JMP | BPF_JEQ | BPF_K, R_TMP, 0, 0, 0);
	}
	if (d->major >= 0) {
		fix[n_fix++] = n;
		p[n++] = insn(BPF_JMP32 | BPF_JNE | BPF_K, R_MAJOR, 0, 0, (int32_t)d->major);
	}
	if (d->minor >= 0) {
		fix[n_fix++] = n;
		p[n++] = insn(BPF_JMP32 | BPF_JNE | BPF_K, R_MINOR, 0, 0, (int32_t)d->minor);
	}
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, R_RESULT, 0, 0, d->allow);
	p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (size_t i = 0; i < n_fix; i++)
		p[fix[i]].off = (int16_t)(n - fix[i] - 1);
	return n;
}

#define PROLOGUE 6
#define RULE_MAX 10
#define EPILOGUE 2

/* struct bpf_cgroup_dev_ctx: access_type is access in the upper half, type in the lower. */
static size_t emit_prologue(struct bpf_insn *p)
{
	const int16_t access = offsetof(struct bpf_cgroup_dev_ctx, access_type);

	p[0] = insn(BPF_LDX | BPF_W | BPF_MEM, R_TYPE, R_CTX, access, 0);
	p[1] = insn(BPF_ALU | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
	p[2] = insn(BPF_LDX | BPF_W | BPF_MEM, R_ACCESS, R_CTX, access, 0);
	p[3] = insn(BPF_ALU | BPF_RSH | BPF_K, R_ACCESS, 0, 0, 16);
	p[4] = insn(BPF_LDX | BPF_W | BPF_MEM, R_MAJOR, R_CTX, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	p[5] = insn(BPF_LDX | BPF_W | BPF_MEM, R_MINOR, R_CTX, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
	return PROLOGUE;
}

bool cgroup_device_program(struct arena *a, const struct cgroup_device *rules, size_t n,
			   struct cgroup_device_program *ret)
{
	size_t first = 0;
	bool by_default = false, denies = false;

	/* What comes before a rule for everything cannot matter. */
	for (size_t i = 0; i < n; i++) {
		if (!is_everything(&rules[i]))
			continue;
		first = i + 1;
		by_default = rules[i].allow;
	}
	for (size_t i = first; i < n; i++)
		denies |= !rules[i].allow;
	if (by_default && !denies)
		return false;
	struct bpf_insn *p = arena_calloc(a, PROLOGUE + EPILOGUE + (n - first + ARRAY_LEN(always)) * RULE_MAX, sizeof(*p));
	size_t len = emit_prologue(p);

	/* The last rule that matches wins: from the last to the first. */
	for (size_t i = ARRAY_LEN(always); i-- > 0;)
		len += emit_rule(p + len, &always[i]);
	for (size_t i = n; i-- > first;)
		len += emit_rule(p + len, &rules[i]);
	p[len++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, R_RESULT, 0, 0, by_default);
	p[len++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	*ret = (struct cgroup_device_program){ p, len };
	return true;
}

struct err *cgroup_set_devices(const char *path, const struct cgroup_device *rules, size_t n)
{
	_arena_ struct arena a;
	_close_ int dir = -1, prog = -1;
	struct cgroup_device_program program;
	int old[BPF_PROGS_MAX];
	size_t n_old = 0;
	struct err *e = NULL;

	arena_init(&a);
	TRY(cgroup_open(path, &dir));
	bool wanted = cgroup_device_program(&a, rules, n, &program);

	if (wanted)
		TRY_WRAP(bpf_load_device(program.insns, program.n, &prog), "cgroup %s", path);
	TRY_WRAP(bpf_list_device(dir, old, &n_old), "cgroup %s", path);
	/* All programs of a cgroup must allow: an old one that stays would still deny. */
	if (wanted)
		e = bpf_attach_device(dir, prog, n_old == 1 ? old[0] : -1);
	for (size_t i = 0; i < n_old; i++) {
		if (!e && !(wanted && n_old == 1))
			e = bpf_detach_device(dir, old[i]);
		close(old[i]);
	}
	return err_wrap(e, "cgroup %s", path);
}
