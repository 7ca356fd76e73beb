/* conn.h: one connection to a monitor, for client.c and start.c. */
#ifndef CRISP_CONN_H
#define CRISP_CONN_H

#include "base/clock.h"
#include "pod/client.h"

/* How long a caller waits. Creating, starting and exec can wait for file systems: the kubelet's own limit is two minutes. */
#define CONN_QUICK_NS (10 * NS_PER_S)
#define CONN_SLOW_NS  (120 * NS_PER_S)
#define CONN_STOP_NS  (30 * NS_PER_S)

/* ERR_NOT_FOUND: no monitor lives in *dir*. HELLO is sent already; its answer is the first to come. */
struct err *conn_open(const char *dir, int *ret_conn) _must_check_;

/* Takes the answer to HELLO. */
struct err *conn_hello(int conn, int64_t deadline_ns, struct message *m) _must_check_;

/* Sends *m* and receives its answer into it; an error the monitor reports is returned. */
struct err *conn_call(int conn, int64_t deadline_ns, struct message *m) _must_check_;

/* All of it on a connection of its own, which *ret_conn* (may be NULL) keeps. */
struct err *conn_request(const char *dir, int64_t timeout_ns, struct message *m, int *ret_conn) _must_check_;

/* The namespaces' paths out of an answer. */
void conn_namespaces(const struct message *m, struct pod_namespaces *ret);

/* "/proc/self/fd/N/monitor.sock": a name short enough for sockaddr_un, whatever *dir* is. */
struct err *conn_address(const char *dir, int *ret_dir_fd, void *ret_sockaddr_un) _must_check_;

#endif
