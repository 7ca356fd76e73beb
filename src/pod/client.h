/* client.h: serve's side of a pod's monitor: launching it, asking it, hearing from it.
 *
 * Every call opens its own connection (protocol.h), so callers on different threads need no lock.
 * `dir` is the pod's state directory /run/crisp/pods/ID (0700), which holds monitor.sock.
 */
#ifndef CRISP_CLIENT_H
#define CRISP_CLIENT_H

#include "base/clock.h"
#include "pod/protocol.h"

struct pod_id_map { uint32_t inside, outside, count; };

struct pod_start {
	const char *id;
	const char *dir;
	bool new_net, new_ipc, new_uts;     /* false: the node's */
	bool share_pid;                     /* one PID namespace, with an init of ours, for the pod */
	const struct pod_id_map *uid_maps, *gid_maps;   /* n_maps 0: no user namespace */
	size_t n_uid_maps, n_gid_maps;
	const char *hostname;               /* new_uts only */
	const char *netns_path;             /* where the network namespace is bound for CNI, or NULL */
	const struct pod_sysctl { const char *key, *value; } *sysctls;
	size_t n_sysctls;
	const char *cgroup;                 /* cgroup of the monitor itself (not the pod's), or NULL */
	const char *slice;                  /* systemd instead: the slice of the monitor's scope, or NULL */
	const char *pod_cgroup;             /* where the pod's init goes (share_pid), or NULL; may be a scope's */
};

struct pod_namespaces {                     /* owned paths; NULL: the node's */
	char *user, *net, *ipc, *uts, *pid;
	pid_t monitor;
};
void pod_namespaces_done(struct pod_namespaces *n);

/* Starts the monitor (`crisp monitor`, detached: it outlives us) and the pod's namespaces. On
 * error nothing is left. */
struct err *pod_monitor_start(const struct pod_start *p, struct pod_namespaces *ret) _must_check_;

struct pod_create {
	const char *id, *bundle, *state_dir, *cgroup;
	const char *log_dir, *log_path;     /* NULL: output is discarded */
	const char *spec;
	size_t spec_len;
	unsigned flags;                     /* enum monitor_flags */
	const char *runtime, *runtime_root; /* another OCI runtime's program and --root; NULL: the built-in executor */
	int bare_fd;                        /* of bare_make(); -1: none */
};
struct err *pod_container_create(const char *dir, const struct pod_create *c, pid_t *ret_pid) _must_check_;
struct err *pod_container_start(const char *dir, const char *id) _must_check_;
/* *now_ns* (wall clock) is what the monitor then reports as the time of the start, so that it is the same before and
 * after a restart of serve. */
struct err *pod_container_start_at(const char *dir, const char *id, int64_t now_ns) _must_check_;
struct err *pod_container_signal(const char *dir, const char *id, int signal, bool all) _must_check_;
struct err *pod_container_resize(const char *dir, const char *id, unsigned rows, unsigned cols) _must_check_;
struct err *pod_container_reopen_log(const char *dir, const char *id) _must_check_;
struct err *pod_container_forget(const char *dir, const char *id) _must_check_;

/* Output of a running container from now on into *out_fd*, *err_fd* (-1: not wanted; with a terminal
 * only out_fd): pipes or sockets, which become non-blocking. *ret_stdin: where its input is written
 * (non-blocking), -1 if it has none. *ret_conn serves RESIZE; EXITED arrives there and may come before the
 * last output was read: read that to its end. Closing the connection detaches. */
struct err *pod_container_attach(const char *dir, const char *id, int out_fd, int err_fd, bool want_stdin,
				 int *ret_stdin, int *ret_conn) _must_check_;

struct pod_exec {
	const char *id;                     /* of the container */
	const char *process;                /* OCI process object, JSON */
	size_t process_len;
	int stdio[3];                       /* -1: none; ignored with MONITOR_FLAG_TERMINAL */
	unsigned flags;
};
/* *ret_conn: the session's connection (EXITED arrives there; RESIZE, SIGNAL go there); *ret_master: the
 * terminal's master with MONITOR_FLAG_TERMINAL, else -1. Returns once the program runs. */
struct err *pod_exec_start(const char *dir, const struct pod_exec *x, int *ret_conn, int *ret_master) _must_check_;

struct pod_exit {
	char id[65];            /* "" for an exec */
	int code;               /* 128+signal where a signal ended it */
	int signal;             /* 0: exited */
	bool oom;
	int64_t started_ns, finished_ns;   /* wall clock */
};
/* Next EXITED on a session's or subscriber's connection. *ret_eof: the monitor is gone, or closed the
 * connection of a subscriber that did not read. On an attachment, ERR_TIMEOUT with "detached: …" ends it:
 * output was not read. To miss nothing, subscribe first, then pod_list(). */
struct err *pod_wait_exit(int conn, int64_t deadline_ns, struct pod_exit *ret, bool *ret_eof) _must_check_;

/* On an exec's or attachment's connection; the answer is not waited for (pod_wait_exit() passes over it). A
 * signal goes to the exec's process group. */
struct err *pod_session_signal(int conn, int signal) _must_check_;
struct err *pod_session_resize(int conn, unsigned rows, unsigned cols) _must_check_;

struct err *pod_forward_start(const char *dir, int *ret_conn) _must_check_;
/* On a FORWARD connection: a TCP socket in the pod's network namespace. */
struct err *pod_forward_socket(int conn, int family, int *ret_fd) _must_check_;

/* A NETLINK_ROUTE socket of the pod's network namespace (sys/netlink.h). ERR_PRECONDITION: it has none of its own;
 * ERR_UNIMPLEMENTED: a monitor from before this message. */
struct err *pod_netlink(const char *dir, int *ret_fd) _must_check_;

struct pod_state {
	char id[65];
	enum monitor_state state;
	pid_t pid;
	struct pod_exit exit;   /* MONITOR_EXITED_STATE; started_ns also while it runs */
	uint64_t log_lost;      /* bytes of log that could not be written */
};
/* What the monitor holds, for recovery; *ret_states owned, free(3). ERR_NOT_FOUND: no monitor lives. */
struct err *pod_list(const char *dir, struct pod_state **ret_states, size_t *ret_n, struct pod_namespaces *ret_ns) _must_check_;
struct err *pod_subscribe(const char *dir, int *ret_conn) _must_check_;

/* The exit record of a container whose monitor is gone (reboot): ERR_NOT_FOUND if it never ended. */
struct err *pod_read_exit(const char *state_dir, struct pod_exit *ret) _must_check_;

/* Ends monitor, init and namespaces, from any state; also when the monitor is already gone: unbinds
 * netns_path and removes the socket. Idempotent. */
struct err *pod_monitor_stop(const char *dir, const char *netns_path) _must_check_;

#endif
