/* bpf.h: bpf(2), as far as the device controller of cgroup v2 needs it. */
#ifndef CRISP_BPF_H
#define CRISP_BPF_H

#include "base/err.h"

struct bpf_insn;

#define BPF_PROGS_MAX 64   /* programs of one cgroup that can be listed */

/* BPF_PROG_LOAD of a BPF_PROG_TYPE_CGROUP_DEVICE program; the verifier's words are in the error. */
struct err *bpf_load_device(const struct bpf_insn *insns, size_t n, int *ret_fd) _must_check_;
/* BPF_PROG_ATTACH with BPF_F_ALLOW_MULTI; *replace_fd* (-1: none) goes in the same step. */
struct err *bpf_attach_device(int cgroup_fd, int prog_fd, int replace_fd) _must_check_;
struct err *bpf_detach_device(int cgroup_fd, int prog_fd) _must_check_;
/* The device programs attached to *cgroup_fd* itself: descriptors, owned by the caller. */
struct err *bpf_list_device(int cgroup_fd, int ret_fds[BPF_PROGS_MAX], size_t *ret_n) _must_check_;

#endif
