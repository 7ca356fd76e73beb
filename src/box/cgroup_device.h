/* cgroup_device.h: the device rules of a cgroup as a BPF program; for cgroup_devices.c and its tests. */
#ifndef CRISP_CGROUP_DEVICE_H
#define CRISP_CGROUP_DEVICE_H

#include "base/arena.h"
#include "box/cgroup.h"

struct bpf_insn;

struct cgroup_device_program {
	struct bpf_insn *insns;   /* the arena's */
	size_t n;
};

/* False: everything is allowed, no program is needed. */
bool cgroup_device_program(struct arena *a, const struct cgroup_device *rules, size_t n,
			   struct cgroup_device_program *ret);

#endif
