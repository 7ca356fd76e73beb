#include "sys/bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

#define BPF_LOG_MAX 4096

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

struct err *bpf_load_device(const struct bpf_insn *insns, size_t n, int *ret_fd)
{
	union bpf_attr attr = { 0 };
	char log[BPF_LOG_MAX] = "";

	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uint64_t)(uintptr_t)"Apache-2.0";
	int fd = sys_bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0) {
		/* Once more with the verifier's log, for the error. */
		int saved = errno;

		attr.log_buf = (uint64_t)(uintptr_t)log;
		attr.log_size = sizeof(log);
		attr.log_level = 1;
		fd = sys_bpf(BPF_PROG_LOAD, &attr);
		if (fd < 0) {
			log[sizeof(log) - 1] = '\0';
			return err_errno(saved, "load device program: %.400s", log);
		}
	}
	*ret_fd = fd;
	return NULL;
}

struct err *bpf_attach_device(int cgroup_fd, int prog_fd, int replace_fd)
{
	union bpf_attr attr = { 0 };

	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (replace_fd >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t)replace_fd;
	}
	if (sys_bpf(BPF_PROG_ATTACH, &attr) < 0)
		return err_errno(errno, "attach device program");
	return NULL;
}

struct err *bpf_detach_device(int cgroup_fd, int prog_fd)
{
	union bpf_attr attr = { 0 };

	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	if (sys_bpf(BPF_PROG_DETACH, &attr) < 0)
		return err_errno(errno, "detach device program");
	return NULL;
}

struct err *bpf_list_device(int cgroup_fd, int ret_fds[BPF_PROGS_MAX], size_t *ret_n)
{
	uint32_t ids[BPF_PROGS_MAX];
	union bpf_attr attr = { 0 };
	size_t n = 0;

	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = BPF_PROGS_MAX;
	if (sys_bpf(BPF_PROG_QUERY, &attr) < 0)
		return err_errno(errno, "list device programs");
	for (uint32_t i = 0; i < attr.query.prog_cnt && i < BPF_PROGS_MAX; i++) {
		union bpf_attr get = { 0 };

		get.prog_id = ids[i];
		int fd = sys_bpf(BPF_PROG_GET_FD_BY_ID, &get);

		if (fd >= 0)
			ret_fds[n++] = fd;
	}
	*ret_n = n;
	return NULL;
}
