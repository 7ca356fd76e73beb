#include "sys/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The kernel fills datagrams up to 32 KiB for who gives it so much (net/netlink/af_netlink.c). */
#define DATAGRAM_MAX KIB(32)
#define TURNS_MAX    1024
/* The kernel answers at once; this is for what should not be. */
#define WAIT_S       5

struct err *netlink_open(int *ret_fd)
{
	*ret_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return *ret_fd < 0 ? err_errno(errno, "netlink socket") : NULL;
}

static void take_counters(const struct rtattr *a, struct netlink_link *l)
{
	struct rtnl_link_stats64 s = { 0 };

	memcpy(&s, RTA_DATA(a), MIN(sizeof(s), (size_t)RTA_PAYLOAD(a)));
	l->rx_bytes = s.rx_bytes;
	l->rx_packets = s.rx_packets;
	l->rx_errors = s.rx_errors;
	l->rx_dropped = s.rx_dropped;
	l->tx_bytes = s.tx_bytes;
	l->tx_packets = s.tx_packets;
	l->tx_errors = s.tx_errors;
	l->tx_dropped = s.tx_dropped;
}

static void take_link(const struct nlmsghdr *h, struct netlink_link *l)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*info)));

	*l = (struct netlink_link){ .loopback = info->ifi_flags & IFF_LOOPBACK };
	for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_STATS64)
			take_counters(a, l);
		if (a->rta_type == IFLA_IFNAME)
			memcpy(l->name, RTA_DATA(a), MIN(sizeof(l->name) - 1, (size_t)RTA_PAYLOAD(a)));
	}
}

struct err *netlink_parse_links(const void *p, size_t len, struct netlink_link *ret, size_t max, size_t *n,
				bool *ret_done)
{
	const struct nlmsghdr *h = p;
	unsigned left = (unsigned)len;

	*ret_done = false;
	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		if (h->nlmsg_type == NLMSG_DONE) {
			*ret_done = true;
			return NULL;
		}
		if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			return err_errno(-((const struct nlmsgerr *)NLMSG_DATA(h))->error, "netlink");
		if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)) || *n >= max)
			continue;
		take_link(h, &ret[(*n)++]);
	}
	return NULL;
}

static struct err *ask(int fd)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg info;
	} q = { .h = { .nlmsg_len = sizeof(q), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.info.ifi_family = AF_UNSPEC };
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct timeval limit = { .tv_sec = WAIT_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (sendto(fd, &q, sizeof(q), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return err_errno(errno, "netlink: ask for the interfaces");
	return NULL;
}

struct err *netlink_read_links(int fd, struct netlink_link *ret, size_t max, size_t *ret_n)
{
	_free_ char *datagram = base_alloc(DATAGRAM_MAX);
	bool done = false;

	*ret_n = 0;
	TRY(ask(fd));
	for (int i = 0; !done && i < TURNS_MAX; i++) {
		ssize_t n = recv(fd, datagram, DATAGRAM_MAX, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(errno, "netlink: interfaces");
		TRY(netlink_parse_links(datagram, (size_t)n, ret, max, ret_n, &done));
	}
	return NULL;
}
