/* stats.h: counters of cgroups and networks as CRI's messages, in a call's arena. */
#ifndef CRISP_STATS_H
#define CRISP_STATS_H

#include "box/cgroup.h"
#include "cri/serve.h"
#include "sys/netlink.h"

Runtime__V1__UInt64Value *stats_value(struct rpc *r, uint64_t v);

/* *o* is whose usage it is: the rate since its last sample is reckoned and kept there. *since_ns* (wall clock): when it
 * began, for the first sample. */
Runtime__V1__CpuUsage *stats_cpu(struct rpc *r, struct object *o, int64_t since_ns, const struct cgroup_stats *g,
				 int64_t now);
Runtime__V1__MemoryUsage *stats_memory(struct rpc *r, const struct cgroup_stats *g, int64_t now);
Runtime__V1__IoUsage *stats_io(struct rpc *r, const struct cgroup_stats *g, int64_t now);   /* NULL: unknown */

/* Usage without the file cache that could go at once: what the kubelet and cAdvisor call working set. */
uint64_t stats_working_set(const struct cgroup_stats *g);

Runtime__V1__ContainerStats *stats_of_container(struct rpc *r, struct container *c);

/* The interfaces of a pod with a network of its own, loopback left out; 0 where there are none or they cannot be
 * read. *links* has room for NETLINK_LINKS_MAX. */
size_t stats_links(const struct pod *p, struct netlink_link *links);
/* The interface that CNI made, which carries the pod's addresses. */
const struct netlink_link *stats_default_link(const struct netlink_link *links, size_t n);

/* Counted pods, put back when the call ends: ready ones that *filter* (NULL: all) takes. */
size_t stats_pods(struct rpc *r, const Runtime__V1__PodSandboxStatsFilter *filter, struct pod ***ret);
/* The same for the running containers of *p* (NULL: of all pods). */
size_t stats_containers(struct rpc *r, const struct pod *p, const Runtime__V1__ContainerStatsFilter *filter,
			struct container ***ret);

#endif
