/* protocol.h: what a monitor and its callers say (message.h carries it).
 *
 * One monitor a pod listens on PODDIR/monitor.sock (0700 directory, root only). Each connection
 * starts with HELLO. Requests are answered with the same type and id, an error in MESSAGE_TAG_ERR_*.
 * A connection on which EXEC or FORWARD succeeded serves that one session from then on (RESIZE, EXITED,
 * SOCKET), so that it can be handed to the unprivileged stream process: the descriptor is the right.
 * Types and tags are append-only: a monitor outlives upgrades and rollbacks of serve.
 */
#ifndef CRISP_PROTOCOL_H
#define CRISP_PROTOCOL_H

#include "wire/message.h"

#define MONITOR_PROTOCOL 1   /* HELLO carries it; 1 is understood for ever */

/* Fixed tables: nothing is allocated after start. */
#define MONITOR_CONTAINERS_MAX 128
#define MONITOR_EXECS_MAX      256
#define MONITOR_CLIENTS_MAX    512
#define MONITOR_ATTACHES_MAX   64
#define MONITOR_ID_MAX         64    /* bytes of an ID */
#define MONITOR_PATH_MAX       512   /* of each path, its NUL included */
#define MONITOR_RUNTIME_MAX    256   /* of the paths of another OCI runtime */
#define MONITOR_SPEC_MAX       (8u << 20)   /* spec, process: as box bounds them */
#define MONITOR_MAPS_MAX       340   /* lines of an ID map: the kernel's limit, user_namespaces(7) */

enum monitor_type {
	MONITOR_HELLO = 1,   /* PROTOCOL, VERSION → PROTOCOL, VERSION, PID */
	MONITOR_START_POD,   /* NEW, HOSTNAME, POD_CGROUP, SYSCTL_KEY and _VALUE …, UID_MAP, GID_MAP → NS_* */
	MONITOR_CREATE,      /* ID, BUNDLE, LOG_PATH, STATE_DIR, CGROUP, flags; fd0: spec, then the log directory if
	                      * there is a LOG_PATH, then with FLAG_MOUNTS the mount namespace BUNDLE is in, then with
	                      * FLAG_BARE the one that containers' are copied from (box/bare.h) → PID */
	MONITOR_START,       /* ID → after exec succeeded or failed */
	MONITOR_SIGNAL,      /* ID (or the session's exec), SIGNAL */
	MONITOR_EXEC,        /* ID, flags, fd0: process JSON, then stdio fds (flags say which) → PID; later EXITED */
	MONITOR_EXITED,      /* event: ID (containers) or none (exec), EXIT_CODE, SIGNAL, OOM, TIME */
	MONITOR_RESIZE,      /* ID or session: ROWS, COLS */
	MONITOR_REOPEN_LOG,  /* ID */
	MONITOR_ATTACH,      /* ID, flags (which of STDIN, STDOUT, STDERR); fds: stdout and stderr to write to →
	                      * fd0 with FLAG_STDIN: stdin, or the terminal's master. EXITED follows at its end. */
	MONITOR_FORWARD,     /* → ok; the connection is then for SOCKET only */
	MONITOR_SOCKET,      /* FAMILY → fd0: TCP socket made in the pod's network namespace, not connected */
	MONITOR_LIST,        /* → one message a container: ID, STATE, PID, EXIT_CODE …, then one without ID */
	MONITOR_FORGET,      /* ID: an ended container's slot is given back */
	MONITOR_SUBSCRIBE,   /* → EXITED events of containers from now on, on this connection */
	MONITOR_STOP_POD,    /* kills what is left, drops the namespaces, answers, ends */
	MONITOR_NETLINK,     /* → fd0: NETLINK_ROUTE socket made in the pod's network namespace, for its counters */
};

enum monitor_tag {
	MONITOR_TAG_PROTOCOL = MESSAGE_TAG_FIRST,
	MONITOR_TAG_VERSION,
	MONITOR_TAG_PID,
	MONITOR_TAG_ID,
	MONITOR_TAG_BUNDLE,
	MONITOR_TAG_LOG_PATH,     /* below the log directory descriptor */
	MONITOR_TAG_STATE_DIR,    /* where the exit record goes: DIR/exit */
	MONITOR_TAG_CGROUP,
	MONITOR_TAG_FLAGS,        /* enum monitor_flags */
	MONITOR_TAG_SIGNAL,
	MONITOR_TAG_EXIT_CODE,
	MONITOR_TAG_OOM,
	MONITOR_TAG_TIME,         /* wall clock, ns */
	MONITOR_TAG_ROWS,
	MONITOR_TAG_COLS,
	MONITOR_TAG_FAMILY,
	MONITOR_TAG_STATE,        /* enum monitor_state */
	MONITOR_TAG_STARTED,      /* wall clock, ns; 0: never */
	MONITOR_TAG_NS_USER,      /* paths as box and CNI take them: /proc/PID/fd/N; absent: the node's */
	MONITOR_TAG_NS_NET,
	MONITOR_TAG_NS_IPC,
	MONITOR_TAG_NS_UTS,
	MONITOR_TAG_NS_PID,
	MONITOR_TAG_NEW,          /* enum monitor_new */
	MONITOR_TAG_HOSTNAME,
	MONITOR_TAG_POD_CGROUP,   /* where the init of a shared PID namespace goes */
	MONITOR_TAG_SYSCTL_KEY,   /* repeated; the n-th _VALUE belongs to the n-th _KEY */
	MONITOR_TAG_SYSCTL_VALUE,
	MONITOR_TAG_UID_MAP,      /* repeated: inside, outside, count as uint32_t */
	MONITOR_TAG_GID_MAP,
	MONITOR_TAG_LOST,         /* LIST: bytes of log that could not be written */
	MONITOR_TAG_RUNTIME,      /* CREATE: path of another OCI runtime; absent: the built-in executor */
	MONITOR_TAG_RUNTIME_ROOT, /* its --root */
};

enum monitor_flags {
	MONITOR_FLAG_TERMINAL = 1 << 0,
	MONITOR_FLAG_STDIN = 1 << 1,
	MONITOR_FLAG_STDIN_ONCE = 1 << 2,
	MONITOR_FLAG_STDOUT = 1 << 3,          /* exec: a stdout descriptor is among the fds */
	MONITOR_FLAG_STDERR = 1 << 4,
	MONITOR_FLAG_KILL_ON_CLOSE = 1 << 5,   /* exec: ends with the connection (ExecSync's deadline) */
	MONITOR_FLAG_SYSTEMD_CGROUP = 1 << 6,
	MONITOR_FLAG_ALL = 1 << 7,             /* signal: every process of the container's cgroup */
	MONITOR_FLAG_MOUNTS = 1 << 8,          /* create: a mount namespace is among the fds */
	MONITOR_FLAG_HOOKS = 1 << 9,           /* create: BUNDLE/config.json may have poststart and poststop hooks */
	MONITOR_FLAG_BARE = 1 << 10,           /* create: and a bare one */
};

/* Namespaces of the pod's own; the others are the node's. */
enum monitor_new {
	MONITOR_NEW_USER = 1 << 0,
	MONITOR_NEW_NET = 1 << 1,
	MONITOR_NEW_IPC = 1 << 2,
	MONITOR_NEW_UTS = 1 << 3,
	MONITOR_NEW_PID = 1 << 4,              /* shared by the pod's containers, with an init of ours */
};
#define MONITOR_NEW_N 5

enum monitor_state { MONITOR_CREATED = 1, MONITOR_RUNNING, MONITOR_EXITED_STATE };

#define MONITOR_SOCKET_NAME "monitor.sock"

/* DIR/exit: "v1 EXIT_CODE SIGNAL OOM STARTED_NS FINISHED_NS\n", written with temporary name, fsync, rename
 * before EXITED is sent: a Job that was done stays done. */
#define MONITOR_EXIT_FILE "exit"

#endif
