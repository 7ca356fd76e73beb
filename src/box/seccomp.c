#include "box/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>

/* x32 calls come as x86_64 with this bit in the number (asm/unistd.h). */
#define X32_BIT 0x40000000u
/* What a tracer sets to skip a call: never refused for its number's sake. */
#define NR_SKIPPED UINT32_MAX

/* A name of a rule, resolved. */
struct entry {
	uint32_t nr;
	const struct oci_seccomp_rule *rule;
	struct oci_seccomp_arg *args;   /* of the rule, or of socketcall, ipc */
	size_t n_args;
};

struct table {
	struct entry *entries;
	size_t n, cap;
};

/* Numbers from *start* to the next segment's share one answer: an action, or entries with conditions. */
struct segment {
	uint32_t start;
	uint32_t action;
	const struct entry *entries;   /* NULL: just the action */
	size_t n;
};

struct emitter {
	struct sock_filter *insns;
	size_t n;
	bool over;
	uint32_t default_action;
};

/* 32-bit x86 multiplexes these two families through one call each; whoever forbids socket(2) means
 * socketcall(2) with SYS_SOCKET too. The first argument tells which. Since Linux 4.3 and 5.1 most have a number of their
 * own beside (0: none), which libseccomp does not give. */
static const struct {
	const char *name;
	unsigned int nr, call, own;
} multiplexed[] = {
	{ "socket", 102, 1, 359 }, { "bind", 102, 2, 361 }, { "connect", 102, 3, 362 },
	{ "listen", 102, 4, 363 }, { "accept", 102, 5, 0 }, { "getsockname", 102, 6, 367 },
	{ "getpeername", 102, 7, 368 }, { "socketpair", 102, 8, 360 }, { "send", 102, 9, 0 },
	{ "recv", 102, 10, 0 }, { "sendto", 102, 11, 369 }, { "recvfrom", 102, 12, 371 },
	{ "shutdown", 102, 13, 373 }, { "setsockopt", 102, 14, 366 }, { "getsockopt", 102, 15, 365 },
	{ "sendmsg", 102, 16, 370 }, { "recvmsg", 102, 17, 372 }, { "accept4", 102, 18, 364 },
	{ "recvmmsg", 102, 19, 337 }, { "sendmmsg", 102, 20, 345 }, { "semop", 117, 1, 0 },
	{ "semget", 117, 2, 393 }, { "semctl", 117, 3, 394 }, { "semtimedop", 117, 4, 0 },
	{ "msgsnd", 117, 11, 400 }, { "msgrcv", 117, 12, 401 }, { "msgget", 117, 13, 399 },
	{ "msgctl", 117, 14, 402 }, { "shmat", 117, 21, 397 }, { "shmdt", 117, 22, 398 },
	{ "shmget", 117, 23, 395 }, { "shmctl", 117, 24, 396 },
};

static void emit(struct emitter *e, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (e->n == SECCOMP_PROGRAM_MAX) {
		e->over = true;
		return;
	}
	e->insns[e->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void add_entry(struct arena *a, struct table *t, const struct entry *entry)
{
	if (t->n == t->cap) {
		size_t cap = MAX(t->cap * 2, (size_t)512);
		struct entry *grown = arena_calloc(a, cap, sizeof(*grown));

		if (t->n)
			memcpy(grown, t->entries, t->n * sizeof(*grown));
		t->entries = grown;
		t->cap = cap;
	}
	t->entries[t->n++] = *entry;
}

static void add_multiplexed(struct arena *a, struct table *t, const struct oci_seccomp_rule *r, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(multiplexed); i++) {
		/* Asked for every name of a profile: most differ at the first letter. */
		if (multiplexed[i].name[0] != name[0] || strcmp(multiplexed[i].name, name) != 0)
			continue;
		if (multiplexed[i].own)
			add_entry(a, t, &(struct entry){ .nr = multiplexed[i].own, .rule = r, .args = r->args,
							 .n_args = r->n_args });
		/* The other arguments of a multiplexed call lie behind a pointer, where no filter can look. */
		if (r->n_args)
			return;
		struct oci_seccomp_arg arg = { .value = multiplexed[i].call, .op = SECCOMP_OP_EQ };
		struct entry e = {
			.nr = multiplexed[i].nr, .rule = r, .args = arena_memdup(a, &arg, sizeof(arg)), .n_args = 1,
		};

		add_entry(a, t, &e);
	}
}

static void collect(struct arena *a, const struct oci_seccomp *s, uint32_t arch, struct table *t)
{
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct oci_seccomp_rule *r = &s->rules[i];

		for (size_t j = 0; j < r->n_names; j++) {
			int nr = seccomp_syscall_resolve_name_arch(arch, r->names[j]);

			if (nr >= 0)
				add_entry(a, t, &(struct entry){ .nr = (uint32_t)nr, .rule = r, .args = r->args,
								 .n_args = r->n_args });
			if (arch == SCMP_ARCH_X86)
				add_multiplexed(a, t, r, r->names[j]);
		}
	}
}

/* Merge sort, bottom up: libc's qsort(3) moves by calls through pointers, which was most of the time here. */
static uint64_t *sort_keys(uint64_t *keys, uint64_t *spare, size_t n)
{
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t from = 0; from < n; from += 2 * width) {
			size_t i = from, mid = MIN(from + width, n), j = mid, end = MIN(from + 2 * width, n);

			for (size_t k = from; k < end; k++)
				spare[k] = j == end || (i < mid && keys[i] <= keys[j]) ? keys[i++] : keys[j++];
		}
		uint64_t *sorted = spare;

		spare = keys;
		keys = sorted;
	}
	return keys;
}

/* By number, then in the profile's order: keys of both are sorted in place of the entries themselves. */
static void sort_entries(struct arena *a, struct table *t)
{
	uint64_t *keys = arena_calloc(a, 2 * t->n + 2, sizeof(*keys));
	struct entry *sorted = arena_calloc(a, t->n + 1, sizeof(*sorted));

	for (size_t i = 0; i < t->n; i++)
		keys[i] = (uint64_t)t->entries[i].nr << 32 | i;
	keys = sort_keys(keys, keys + t->n, t->n);
	for (size_t i = 0; i < t->n; i++)
		sorted[i] = t->entries[keys[i] & UINT32_MAX];
	t->entries = sorted;
}

static void add_segment(struct segment *segments, size_t *n, const struct segment *s)
{
	struct segment *last = *n ? &segments[*n - 1] : NULL;

	if (last && last->start == s->start)
		*last = *s;
	else if (!last || last->entries || s->entries || last->action != s->action)
		segments[(*n)++] = *s;
}

/* The answer for one number's entries: the first without conditions decides alone. */
static struct segment decide(const struct entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!e[i].n_args)
			return (struct segment){ .start = e->nr, .action = e[i].rule->action };
	return (struct segment){ .start = e->nr, .entries = e, .n = n };
}

/* A program tries a new call and falls back if it is told ENOSYS; EPERM makes it give up. So numbers past
 * the last that the profile knows do not exist, as runc has it. */
static uint32_t beyond(const struct oci_seccomp *s)
{
	uint32_t action = s->default_action & SECCOMP_RET_ACTION_FULL;

	if (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG || action == SECCOMP_RET_TRACE || !s->n_rules)
		return s->default_action;
	return SECCOMP_RET_ERRNO | ENOSYS;
}

/* Segments of the numbers from *base* on, up to *end*. *t* is sorted. */
static void make_segments(const struct oci_seccomp *s, const struct table *t, uint32_t base, uint32_t end,
			  struct segment *segments, size_t *n)
{
	uint32_t next = base;

	add_segment(segments, n, &(struct segment){ .start = base, .action = s->default_action });
	for (size_t i = 0, j; i < t->n; i = j) {
		for (j = i; j < t->n && t->entries[j].nr == t->entries[i].nr; j++)
			;
		if (t->entries[i].nr < base || t->entries[i].nr >= end)
			continue;
		if (t->entries[i].nr > next)
			add_segment(segments, n, &(struct segment){ .start = next, .action = s->default_action });
		struct segment one = decide(&t->entries[i], j - i);

		add_segment(segments, n, &one);
		next = one.start + 1;
	}
	if (next > base && next < end)
		add_segment(segments, n, &(struct segment){ .start = next, .action = beyond(s) });
}

#define OFFSET_NR   ((uint32_t)offsetof(struct seccomp_data, nr))
#define OFFSET_ARCH ((uint32_t)offsetof(struct seccomp_data, arch))

static uint32_t low_offset(unsigned int index)
{
	return (uint32_t)(offsetof(struct seccomp_data, args) + 8 * index) +
	       (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
}

static uint32_t high_offset(unsigned int index)
{
	return low_offset(index) ^ 4;
}

/* Jump targets inside a rule, known only at its end. */
enum { NEXT = 0, PASS = 254, FAIL = 255 };

#define LD (BPF_LD | BPF_W | BPF_ABS)
#define JEQ (BPF_JMP | BPF_JEQ | BPF_K)
#define JGT (BPF_JMP | BPF_JGT | BPF_K)
#define JGE (BPF_JMP | BPF_JGE | BPF_K)
#define AND (BPF_ALU | BPF_AND | BPF_K)
#define RET (BPF_RET | BPF_K)
#define JA  (BPF_JMP | BPF_JA)

/* A 64-bit comparison in two halves. */
static void emit_compare(struct emitter *e, const struct oci_seccomp_arg *arg)
{
	uint32_t high = (uint32_t)(arg->value >> 32), low = (uint32_t)arg->value;

	emit(e, LD, high_offset(arg->index), 0, 0);
	switch (arg->op) {
	case SECCOMP_OP_EQ:
		emit(e, JEQ, high, NEXT, FAIL);
		emit(e, LD, low_offset(arg->index), 0, 0);
		emit(e, JEQ, low, PASS, FAIL);
		break;
	case SECCOMP_OP_NE:
		emit(e, JEQ, high, NEXT, PASS);
		emit(e, LD, low_offset(arg->index), 0, 0);
		emit(e, JEQ, low, FAIL, PASS);
		break;
	case SECCOMP_OP_GT:
	case SECCOMP_OP_GE:
		emit(e, JGT, high, PASS, NEXT);
		emit(e, JEQ, high, NEXT, FAIL);
		emit(e, LD, low_offset(arg->index), 0, 0);
		emit(e, arg->op == SECCOMP_OP_GT ? JGT : JGE, low, PASS, FAIL);
		break;
	case SECCOMP_OP_LT:
	case SECCOMP_OP_LE:
		emit(e, JGT, high, FAIL, NEXT);
		emit(e, JEQ, high, NEXT, PASS);
		emit(e, LD, low_offset(arg->index), 0, 0);
		emit(e, arg->op == SECCOMP_OP_LT ? JGE : JGT, low, FAIL, PASS);
		break;
	case SECCOMP_OP_MASKED_EQ:
		emit(e, AND, high, 0, 0);
		emit(e, JEQ, (uint32_t)(arg->value_two >> 32), NEXT, FAIL);
		emit(e, LD, low_offset(arg->index), 0, 0);
		emit(e, AND, low, 0, 0);
		emit(e, JEQ, (uint32_t)arg->value_two, PASS, FAIL);
		break;
	}
}

/* At most six comparisons of six instructions: the distances fit. */
static void patch(struct emitter *e, size_t from, uint8_t mark, size_t target)
{
	for (size_t i = from; i < e->n; i++) {
		struct sock_filter *f = &e->insns[i];

		if (BPF_CLASS(f->code) != BPF_JMP || BPF_OP(f->code) == BPF_JA)
			continue;
		if (f->jt == mark)
			f->jt = (uint8_t)(target - i - 1);
		if (f->jf == mark)
			f->jf = (uint8_t)(target - i - 1);
	}
}

static void emit_entry(struct emitter *e, const struct entry *entry)
{
	size_t start = e->n;

	for (size_t i = 0; i < entry->n_args; i++) {
		size_t from = e->n;

		emit_compare(e, &entry->args[i]);
		patch(e, from, PASS, e->n);
	}
	emit(e, RET, entry->rule->action, 0, 0);
	patch(e, start, FAIL, e->n);
}

/* A conditional answer, tried rule by rule. */
static void emit_block(struct emitter *e, const struct segment *s)
{
	for (size_t i = 0; i < s->n; i++)
		emit_entry(e, &s->entries[i]);
	emit(e, RET, e->default_action, 0, 0);
}

/* Few enough segments that every jump among their comparisons and answers is a near one. */
#define ISLAND_MAX 64

/* What the comparisons of an island lead to: slots behind them. */
struct island {
	size_t first;                       /* instruction of the first slot, once known */
	const struct segment *slots[ISLAND_MAX];
	size_t n;
};

/* The slot for *s*: actions are shared. */
static size_t slot_of(struct island *island, const struct segment *s)
{
	for (size_t i = 0; i < island->n; i++)
		if (!s->entries && !island->slots[i]->entries && island->slots[i]->action == s->action)
			return i;
	island->slots[island->n] = s;
	return island->n++;
}

/* A comparison for each boundary; *n* - 1 of them, in preorder: the lower half follows at once. Returns where the
 * code for these segments begins: an instruction, or a slot. */
static size_t emit_compares(struct emitter *e, struct island *island, const struct segment *segments, size_t n)
{
	if (n == 1)
		return island->first + slot_of(island, segments);
	size_t mid = n / 2, at = e->n;

	emit(e, JGE, segments[mid].start, 0, 0);
	size_t lower = emit_compares(e, island, segments, mid);
	size_t upper = emit_compares(e, island, segments + mid, n - mid);

	if (!e->over) {
		e->insns[at].jt = (uint8_t)(upper - at - 1);
		e->insns[at].jf = (uint8_t)(lower - at - 1);
	}
	return at;
}

static void emit_island(struct emitter *e, const struct segment *segments, size_t n)
{
	struct island island = { .first = e->n + n - 1 };
	size_t jumps[ISLAND_MAX];

	emit_compares(e, &island, segments, n);
	for (size_t i = 0; i < island.n; i++) {
		jumps[i] = e->n;
		if (island.slots[i]->entries)
			emit(e, JA, 0, 0, 0);
		else
			emit(e, RET, island.slots[i]->action, 0, 0);
	}
	for (size_t i = 0; i < island.n && !e->over; i++) {
		if (!island.slots[i]->entries)
			continue;
		e->insns[jumps[i]].k = (uint32_t)(e->n - jumps[i] - 1);
		emit_block(e, island.slots[i]);
	}
}

/* Down to an island by far jumps. */
static void emit_tree(struct emitter *e, const struct segment *segments, size_t n)
{
	if (n <= ISLAND_MAX) {
		emit_island(e, segments, n);
		return;
	}
	size_t mid = n / 2, at = e->n;

	emit(e, JGE, segments[mid].start, 0, 1);
	emit(e, JA, 0, 0, 0);
	emit_tree(e, segments, mid);
	if (e->over)
		return;
	e->insns[at + 1].k = (uint32_t)(e->n - at - 2);
	emit_tree(e, segments + mid, n - mid);
}

static bool has_arch(const struct oci_seccomp *s, uint32_t arch)
{
	for (size_t i = 0; i < s->n_arches; i++)
		if (s->arches[i] == arch)
			return true;
	return false;
}

static void emit_arch(struct arena *a, struct emitter *e, const struct oci_seccomp *s, uint32_t arch)
{
	struct table t = { 0 };
	bool x86_64 = arch == SCMP_ARCH_X86_64, x32 = x86_64 && has_arch(s, SCMP_ARCH_X32);
	size_t n = 0;

	collect(a, s, arch, &t);
	if (x32)
		collect(a, s, SCMP_ARCH_X32, &t);
	sort_entries(a, &t);
	struct segment *segments = arena_calloc(a, 2 * t.n + 8, sizeof(*segments));

	make_segments(s, &t, 0, x86_64 ? X32_BIT : NR_SKIPPED, segments, &n);
	if (x32)
		make_segments(s, &t, X32_BIT, NR_SKIPPED, segments, &n);
	else if (x86_64)
		add_segment(segments, &n, &(struct segment){ .start = X32_BIT, .action = SECCOMP_RET_KILL_THREAD });
	add_segment(segments, &n, &(struct segment){ .start = NR_SKIPPED, .action = s->default_action });

	emit(e, JEQ, arch, 1, 0);
	size_t skip = e->n;

	emit(e, JA, 0, 0, 0);
	emit(e, LD, OFFSET_NR, 0, 0);
	emit_tree(e, segments, n);
	if (!e->over)
		e->insns[skip].k = (uint32_t)(e->n - skip - 1);
}

struct err *seccomp_compile(struct arena *a, const struct oci_seccomp *s, struct seccomp_program *ret)
{
	uint32_t native = seccomp_arch_native();
	struct emitter e = {
		.insns = arena_calloc(a, SECCOMP_PROGRAM_MAX, sizeof(*e.insns)), .default_action = s->default_action,
	};

	emit(&e, LD, OFFSET_ARCH, 0, 0);
	/* The native one first, named or not: it is what nearly all calls are of. */
	emit_arch(a, &e, s, native);
	for (size_t i = 0; i < s->n_arches; i++)
		if (s->arches[i] != native && s->arches[i] != SCMP_ARCH_X32)
			emit_arch(a, &e, s, s->arches[i]);
	emit(&e, RET, SECCOMP_RET_KILL_THREAD, 0, 0);
	if (e.over)
		return err_new(ERR_EXHAUSTED, "the profile needs more than %d instructions", SECCOMP_PROGRAM_MAX);
	*ret = (struct seccomp_program){ e.insns, e.n };
	return NULL;
}
