/* state.h: what the monitor's own files share: its tables, and who does what to them.
 *
 * One process a pod, one thread, one epoll, one `struct monitor` in .bss. Its slots are touched only when
 * used, so an idle monitor of a small pod stays small. Nothing is kept on the heap: an error's sentence
 * lives until its reply is sent. What may block or allocate (making containers, writing exit records) is done by a
 * forked job (job.h) that reports on a socket; the loop itself never waits for anything but epoll.
 *
 * A container's life (enum phase): MAKING (a job calls box_create) → CREATED (init waits) → STARTING
 * (init was told to exec) → RUNNING → DRAINING (init is dead, output is still in the pipes) → RECORDING
 * (a job writes the exit record) → EXITED (EXITED was sent) → FREE (FORGET). It can die in any of them.
 *
 * A slot is named by index and generation: what refers to one that was given back finds nothing.
 */
#ifndef CRISP_POD_STATE_H
#define CRISP_POD_STATE_H

#include "base/clock.h"
#include "box/box.h"
#include "pod/crilog.h"
#include "pod/protocol.h"

#define MONITOR_JOBS_MAX    64                /* forked helpers at once */
#define MONITOR_ORPHANS_MAX 32                /* ended children not yet known by a job's report */
#define MONITOR_READ_MAX    KIB(32)           /* of output at once */
#define MONITOR_SINK_MAX    KIB(16)           /* the same while somebody is attached: what a slow reader can owe */
#define MONITOR_STALL_NS    (10 * NS_PER_S)   /* an attached reader may hold a container's output up this long */
#define MONITOR_HOLD_NS     (200 * NS_PER_MS) /* an unfinished line is written as it is after this time */
#define MONITOR_QUIET_NS    (100 * NS_PER_MS) /* a dead container's output counts as complete after this silence … */
#define MONITOR_DRAIN_NS    (2 * NS_PER_S)    /* … and at the latest after this time */
#define MONITOR_RETRY_NS    (1 * NS_PER_S)    /* a terminal that nobody has open is looked at again */
#define MONITOR_LONELY_NS   (30 * NS_PER_S)   /* without a pod and without a client it ends */
#define MONITOR_NOFILE      8192              /* descriptors, from the limits above */

/* Descriptors at fixed numbers: /proc/PID/fd/4 … 8 are how box and CNI join the pod's namespaces. */
enum monitor_fd {
	MONITOR_FD_LISTEN = 3,
	MONITOR_FD_NS,                        /* NS + bit number of enum monitor_new */
	MONITOR_FD_OWN_NET = MONITOR_FD_NS + MONITOR_NEW_N,
	MONITOR_FD_SIGNAL,
	MONITOR_FD_EPOLL,
	MONITOR_FD_FREE,
};

enum phase { PHASE_FREE, PHASE_MAKING, PHASE_CREATED, PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING,
	     PHASE_RECORDING, PHASE_EXITED };

/* What a connection may do: the roles column of the message table (dispatch.c). */
enum role {
	ROLE_NEW = 1 << 0,       /* before HELLO */
	ROLE_OPEN = 1 << 1,
	ROLE_EXEC = 1 << 2,      /* sessions: the descriptor is the right, and the only one */
	ROLE_ATTACH = 1 << 3,
	ROLE_FORWARD = 1 << 4,
};

/* Who gets the answer to a request that is answered later. type 0: nobody. */
struct waiter {
	uint32_t gen, id;
	uint16_t client, type;
};

struct client {
	int fd;                  /* 0: free */
	uint32_t gen;
	enum role role;
	bool subscribed;
	uint16_t session;        /* exec or attach slot */
};

struct stream {                  /* one output of a container */
	int fd;                  /* -1: none or at its end */
	bool watched;
	int64_t retry_ns;        /* monotonic; 0: not waiting */
	int64_t held_ns;         /* since when a line is unfinished; 0: none is */
	struct crilog_stream log;
};

/* The container's ends, between pipe(2) and fork. */
struct child_io {
	int stdio[3], start, error, console, spec, mounts, bare, target;
};

struct container {
	enum phase phase;
	uint32_t gen;
	char id[MONITOR_ID_MAX + 1];
	unsigned flags;
	pid_t pid;               /* of init; 0: not known yet or reaped */
	bool cancelled;          /* given up while MAKING */
	bool launching;          /* JOB_START is in flight: another runtime's start, or poststart hooks */
	bool reaped;             /* ended meanwhile; `status` is kept */
	int status;
	int start_fd, error_fd, stdin_fd, console_fd; /* console_fd: where the terminal's master arrives */
	int master_fd;           /* a second descriptor of the terminal for input and its size */
	int log_dir;
	struct child_io io;
	struct crilog log;
	struct stream out[2];
	struct waiter waiter;    /* CREATE or START */
	int code, signal;
	bool oom;
	int64_t started_ns, finished_ns;           /* wall clock */
	int64_t asked_ns;                     /* when START was sent, by its sender's word: what both then report */
	int64_t drain_ns, quiet_ns;                /* monotonic deadlines, DRAINING */
	char cgroup[MONITOR_PATH_MAX], state_dir[MONITOR_PATH_MAX], log_path[MONITOR_PATH_MAX],
		bundle[MONITOR_PATH_MAX];
	char runtime[MONITOR_RUNTIME_MAX], runtime_root[MONITOR_RUNTIME_MAX]; /* another OCI runtime; "": box */
};

struct exec {
	enum phase phase;        /* MAKING, STARTING, RUNNING */
	uint32_t gen;
	uint16_t container, client;
	uint32_t container_gen, client_gen;
	unsigned flags;
	pid_t pid;
	bool cancelled, reaped, failed;
	int status;              /* reaped */
	int error_fd, console_fd, master_fd;
	int64_t started_ns;
	struct child_io io;
	struct waiter waiter;
};

struct sink {                    /* one descriptor that gets a copy of an output */
	int fd;                  /* -1: none */
	uint32_t from, to;       /* what it still owes, in monitor.owed */
	int64_t stalled_ns;      /* since when; 0: it does not */
};

struct attach {
	bool used, ended;        /* ended: the container is gone, what is owed is still to be written */
	uint32_t gen;
	uint16_t container, client;
	uint32_t container_gen, client_gen;
	struct sink sink[2];
};

enum job_kind { JOB_NONE, JOB_POD, JOB_CREATE, JOB_EXEC, JOB_RECORD, JOB_START };

struct job {
	enum job_kind kind;
	uint32_t gen;
	uint16_t owner;
	uint32_t owner_gen;
	pid_t pid;               /* 0: reaped */
	int sock;                /* -1: has reported */
};

struct monitor {
	bool started, stopping, done;
	unsigned new_ns;         /* enum monitor_new: which there are */
	pid_t pod_init;
	int64_t lonely_ns;       /* monotonic; when to end for want of a pod */
	int64_t accept_ns;       /* monotonic; when to accept again, 0: we do */
	struct waiter waiter;    /* START_POD, STOP_POD */
	unsigned n_containers, n_execs, n_clients, n_attaches, n_jobs; /* highest used slot + 1 */
	unsigned n_orphans;
	struct { pid_t pid; int status; } orphans[MONITOR_ORPHANS_MAX];
	struct job jobs[MONITOR_JOBS_MAX];
	struct client clients[MONITOR_CLIENTS_MAX];
	struct exec execs[MONITOR_EXECS_MAX];
	struct attach attaches[MONITOR_ATTACHES_MAX];
	struct container containers[MONITOR_CONTAINERS_MAX];
	char pod_cgroup[MONITOR_PATH_MAX];
	uint64_t oom_kills;      /* of containers that have ended */
	struct message in, out;
	char buf[MONITOR_READ_MAX];
	char held[MONITOR_CONTAINERS_MAX][2][CRILOG_PIECE_MAX];
	char owed[MONITOR_ATTACHES_MAX][2][MONITOR_SINK_MAX];
};

/* A request in dispatch: the handler answers through m->out (begun), or keeps `waiter` and sets `later`. */
struct request {
	uint16_t client;
	struct message *in;
	struct waiter waiter;
	bool later;
	int close_fd;                /* closed once the answer is sent, or -1 */
};

/* ---- watch.c: epoll --------------------------------------------------------------------------- */
enum watch { WATCH_LISTEN, WATCH_SIGNAL, WATCH_CLIENT, WATCH_JOB, WATCH_OUT, WATCH_ERR, WATCH_STARTED,
	     WATCH_EXEC_STARTED, WATCH_SINK_OUT, WATCH_SINK_ERR, WATCH_N };
struct err *mon_watch_add(enum watch kind, size_t index, uint32_t gen, int fd, bool output) _must_check_;
void mon_watch_remove(int fd);
/* What is due by now; returns when the next thing is (monotonic). */
int64_t mon_tick(struct monitor *m);
/* Waits for events until *deadline_ns* and handles them. */
void mon_step(struct monitor *m, int64_t deadline_ns);
void mon_close_fd(int *fd);          /* and sets it to -1 */

/* ---- dispatch.c: connections and messages ----------------------------------------------------- */
void mon_client_accept(struct monitor *m);
void mon_client_read(struct monitor *m, unsigned client);
void mon_client_close(struct monitor *m, unsigned client);
bool mon_client_alive(const struct monitor *m, unsigned client, uint32_t gen);
void mon_client_send(struct monitor *m, unsigned client, const struct message *msg);
struct message *mon_reply_begin(struct monitor *m, const struct waiter *w);  /* m->out */
void mon_reply_end(struct monitor *m, struct waiter *w);                     /* sends m->out, clears *w */
void mon_reply_ok(struct monitor *m, struct waiter *w);
void mon_reply_error(struct monitor *m, struct waiter *w, struct err *e);    /* takes *e* */

/* ---- pod.c: namespaces ------------------------------------------------------------------------ */
struct err *mon_pod_start(struct monitor *m, struct request *r) _must_check_;
struct err *mon_pod_stop_request(struct monitor *m, struct request *r) _must_check_;
void mon_pod_make(struct monitor *m, unsigned owner, int sock);              /* in the job */
void mon_pod_made(struct monitor *m, unsigned owner, struct err *e, struct message *result);
void mon_pod_check_stopped(struct monitor *m);
void mon_pod_put_namespaces(const struct monitor *m, struct message *reply);
struct err *mon_pod_forward(struct monitor *m, struct request *r) _must_check_;
struct err *mon_pod_socket(struct monitor *m, struct request *r) _must_check_;
struct err *mon_pod_netlink(struct monitor *m, struct request *r) _must_check_;

/* ---- container.c ------------------------------------------------------------------------------ */
struct err *mon_container_create(struct monitor *m, struct request *r) _must_check_;
struct err *mon_container_start(struct monitor *m, struct request *r) _must_check_;
struct err *mon_container_forget(struct monitor *m, struct request *r) _must_check_;
void mon_container_make(struct monitor *m, unsigned i, int sock);            /* in the job */
void mon_container_made(struct monitor *m, unsigned i, struct err *e, struct message *result);
void mon_container_started(struct monitor *m, unsigned i);                   /* error_fd is readable */
void mon_container_launch(struct monitor *m, unsigned i, int sock);          /* in the job */
void mon_container_launched(struct monitor *m, unsigned i, struct err *e, struct message *result);
struct err *mon_container_run_hooks(const struct container *c, enum box_hook kind, pid_t pid) _must_check_; /* in a job */
struct external;
bool mon_container_external(const struct container *c, struct external *ret); /* false: box's */

/* ---- ending.c: how containers end ------------------------------------------------------------- */
void mon_container_ended(struct monitor *m, unsigned i, int status);         /* init was reaped */
void mon_container_check_drained(struct monitor *m, unsigned i);
void mon_container_record(struct monitor *m, unsigned i, int sock);          /* in the job */
void mon_container_recorded(struct monitor *m, unsigned i, struct err *e, struct message *result);
void mon_container_kill(struct monitor *m, unsigned i);                      /* whatever phase it is in */
void mon_container_release(struct monitor *m, unsigned i);                   /* frees the slot */
void mon_io_init(struct child_io *io);
void mon_io_close(struct child_io *io);
void mon_exit_put(struct message *msg, const struct container *c);
void mon_status_split(int status, int *ret_code, int *ret_signal);

/* ---- query.c: looking up, LIST, SIGNAL, RESIZE … ---------------------------------------------- */
struct err *mon_container_find(struct monitor *m, const struct message *in, struct container **ret) _must_check_;
struct err *mon_container_list(struct monitor *m, struct request *r) _must_check_;
struct err *mon_container_signal(struct monitor *m, struct request *r) _must_check_;
struct err *mon_container_resize(struct monitor *m, struct request *r) _must_check_;
struct err *mon_container_reopen_log(struct monitor *m, struct request *r) _must_check_;

/* ---- exec.c ----------------------------------------------------------------------------------- */
struct err *mon_exec_request(struct monitor *m, struct request *r) _must_check_;
void mon_exec_make(struct monitor *m, unsigned i, int sock);                 /* in the job */
void mon_exec_made(struct monitor *m, unsigned i, struct err *e, struct message *result);
void mon_exec_started(struct monitor *m, unsigned i);                        /* error_fd is readable */
void mon_exec_ended(struct monitor *m, unsigned i, int status);
void mon_exec_client_closed(struct monitor *m, unsigned i);
void mon_exec_kill(struct monitor *m, unsigned i, int signal);

/* ---- output.c: from the container to its log and to who is attached --------------------------- */
void mon_output_init(struct monitor *m, unsigned i);
struct err *mon_output_watch(struct monitor *m, unsigned i) _must_check_;
void mon_output_ready(struct monitor *m, unsigned i, unsigned which);
void mon_output_pause(struct monitor *m, unsigned i, unsigned which);
void mon_output_resume(struct monitor *m, unsigned i, unsigned which);       /* unless another sink still owes */
void mon_output_close(struct monitor *m, unsigned i);
int64_t mon_output_tick(struct monitor *m, unsigned i, int64_t now);

/* ---- attach.c --------------------------------------------------------------------------------- */
struct err *mon_attach_request(struct monitor *m, struct request *r) _must_check_;
bool mon_attach_any(const struct monitor *m, unsigned container);
bool mon_attach_owes(const struct monitor *m, unsigned container, unsigned which);
/* A copy of *p* for every sink of the container's output *which*. */
void mon_attach_feed(struct monitor *m, unsigned container, unsigned which, const char *p, size_t n);
void mon_attach_ready(struct monitor *m, unsigned i, unsigned which);
void mon_attach_release(struct monitor *m, unsigned i);
void mon_attach_container_ended(struct monitor *m, unsigned container, const struct message *exited);
int64_t mon_attach_tick(struct monitor *m, unsigned i, int64_t now);

/* ---- console.c: terminals --------------------------------------------------------------------- */
/* The master that box sent on *sock*. */
struct err *mon_console_receive(int sock, int *ret_master) _must_check_;
struct err *mon_console_resize(int master, uint64_t rows, uint64_t cols) _must_check_;

/* ---- job.c, process.c ------------------------------------------------------------------------- */
struct err *mon_job_start(struct monitor *m, enum job_kind kind, unsigned owner, uint32_t owner_gen) _must_check_;
void mon_job_report(struct monitor *m, int sock, pid_t pid, struct err *e);  /* in the job; takes *e* */
void mon_job_read(struct monitor *m, unsigned i);
void mon_job_kill(struct monitor *m, enum job_kind kind, unsigned owner);
bool mon_job_any(const struct monitor *m);
void mon_reap_children(struct monitor *m);
/* True if the child had ended before its maker reported it; it is reaped then. */
bool mon_orphan_take(struct monitor *m, pid_t pid, int *ret_status);

static inline bool mon_container_is(const struct monitor *m, unsigned i, uint32_t gen)
{
	return m->containers[i].phase != PHASE_FREE && m->containers[i].gen == gen;
}

#endif
