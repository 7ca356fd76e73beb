/* Fuzz target: an OCI spec, as the command line takes it from a bundle; its seccomp profile is compiled. */
#include "box/oci.h"
#include "box/seccomp.h"

#include <linux/filter.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As the kernel checks: no jump leaves the program, the end is a return. */
static void check_program(const struct seccomp_program *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct sock_filter *f = &p->insns[i];
		size_t left = p->n - i - 1;

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (BPF_OP(f->code) == BPF_JA ? f->k >= left : (f->jt >= left || f->jf >= left))
			abort();
	}
	if (!p->n || BPF_CLASS(p->insns[p->n - 1].code) != BPF_RET)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ struct arena a;
	struct oci_spec spec;
	struct oci_process process;
	struct seccomp_program program;

	arena_init(&a);
	struct err *e = oci_parse(&a, (const char *)data, size, &spec);

	if (!e && spec.seccomp) {
		e = seccomp_compile(&a, spec.seccomp, &program);
		if (!e)
			check_program(&program);
	}
	if (!e && spec.process && (!spec.process->n_args || spec.process->uid == UINT32_MAX))
		abort();
	err_free(e);
	err_free(oci_parse_process_json(&a, (const char *)data, size, &process));
	return 0;
}
