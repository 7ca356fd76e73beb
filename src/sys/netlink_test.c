#include "sys/netlink.h"

#include "base/test.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

TEST(this_namespace_has_a_loopback)
{
	struct netlink_link links[NETLINK_LINKS_MAX];
	_close_ int fd = -1;
	bool found = false;
	size_t n = 0;

	CHECK_OK(netlink_open(&fd));
	CHECK_OK(netlink_read_links(fd, links, NETLINK_LINKS_MAX, &n));
	for (size_t i = 0; i < n; i++)
		found |= links[i].loopback && !strcmp(links[i].name, "lo");
	CHECK(found);
	/* The same socket may be asked again. */
	CHECK_OK(netlink_read_links(fd, links, 1, &n));
	CHECK_INT(n, 1);
}

TEST(what_is_cut_short_is_not_read)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg info;
		struct rtattr a;
		char name[4];
	} m = { .h = { .nlmsg_len = sizeof(m), .nlmsg_type = RTM_NEWLINK },
		.a = { .rta_len = RTA_LENGTH(64), .rta_type = IFLA_IFNAME },
		.name = "eth" };
	struct netlink_link links[2];
	bool done = true;
	size_t n = 0;

	/* The attribute says that it is longer than its message. */
	CHECK_OK(netlink_parse_links(&m, sizeof(m), links, 2, &n, &done));
	CHECK(n == 1 && !links[0].name[0] && !done);
	m.a.rta_len = RTA_LENGTH(4);
	CHECK_OK(netlink_parse_links(&m, sizeof(m), links, 2, &n, &done));
	CHECK(n == 2 && !strcmp(links[1].name, "eth"));
	/* No room for a third. */
	CHECK_OK(netlink_parse_links(&m, sizeof(m), links, 2, &n, &done));
	CHECK_INT(n, 2);
	n = 0;
	for (size_t len = 0; len < sizeof(m); len++)
		CHECK_OK(netlink_parse_links(&m, len, links, 2, &n, &done));
	CHECK_INT(n, 0);
}

TEST_MAIN
