/* netlink.h: the counters of the interfaces of a network namespace.
 *
 * The socket decides which: it belongs to the namespace it was made in, whoever asks through it (netlink(7)).
 */
#ifndef CRISP_NETLINK_H
#define CRISP_NETLINK_H

#include "base/err.h"

#define NETLINK_LINKS_MAX 64     /* interfaces of one namespace that are told of */
#define NETLINK_NAME_MAX  16     /* IFNAMSIZ */

struct netlink_link {
	char name[NETLINK_NAME_MAX];
	bool loopback;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/* A NETLINK_ROUTE socket in the calling thread's network namespace. */
struct err *netlink_open(int *ret_fd) _must_check_;

/* All interfaces of the socket's namespace, at most *max* (further ones are left out). */
struct err *netlink_read_links(int fd, struct netlink_link *ret, size_t max, size_t *ret_n) _must_check_;

/* One datagram of the answer: appends to *ret*; *ret_done at its end. Apart for tests and fuzzing. */
struct err *netlink_parse_links(const void *p, size_t len, struct netlink_link *ret, size_t max, size_t *n,
				bool *ret_done) _must_check_;

#endif
