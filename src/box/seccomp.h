/* seccomp.h: an OCI seccomp profile becomes one compact BPF program.
 *
 * System calls are looked up by number in a binary tree over ranges with one answer, so that a call
 * passes in about eight steps, and the kernel's own pass over all numbers at load time is short.
 * Names come from libseccomp's tables; names that an architecture lacks are passed over, as runc does.
 *
 * Where several rules name one call: one without conditions decides alone; else the first rule whose
 * conditions all hold; else the default action.
 */
#ifndef CRISP_BOX_SECCOMP_H
#define CRISP_BOX_SECCOMP_H

#include "box/oci.h"

#include <linux/filter.h>

enum seccomp_op {
	SECCOMP_OP_NE, SECCOMP_OP_LT, SECCOMP_OP_LE, SECCOMP_OP_EQ, SECCOMP_OP_GE, SECCOMP_OP_GT,
	SECCOMP_OP_MASKED_EQ,   /* (arg & value) == value_two */
};

#define SECCOMP_PROGRAM_MAX 4096   /* BPF_MAXINSNS */

struct seccomp_program {
	struct sock_filter *insns;   /* the arena's */
	size_t n;
};

struct err *seccomp_compile(struct arena *a, const struct oci_seccomp *s, struct seccomp_program *ret) _must_check_;

#endif
