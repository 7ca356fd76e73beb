/* cni.h: CNI 1.x: network configurations read, plugins run (containernetworking SPEC.md 1.1).
 *
 * Called by serve. Plugins are executed with the standard environment and JSON on standard input;
 * the result is cached so that CHECK and DEL get it as prevResult, also after a restart. Loopback is set
 * up by the monitor when it makes the namespace, not here.
 */
#ifndef CRISP_CNI_H
#define CRISP_CNI_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#define CNI_CONFIG_MAX (1u << 20)   /* one file */
#define CNI_RESULT_MAX (1u << 20)   /* one plugin's output */
#define CNI_PLUGINS_MAX 32          /* of one list */

struct cni {
	const char *conf_dir;       /* /etc/cni/net.d */
	const char *const *bin_dirs; /* NULL-terminated: /opt/cni/bin … */
	const char *cache_dir;      /* /var/lib/crisp/cni: one record a pod, removed by DEL */
	int64_t timeout_ns;         /* of one plugin */
};

struct cni_port { uint32_t host_port, container_port; const char *protocol /* "tcp" "udp" "sctp" */, *host_ip; };

struct cni_pod {
	const char *id, *name, *namespace, *uid;   /* K8S_POD_* arguments */
	const char *netns;
	const char *cgroup_parent;                 /* capability cgroupPath, or NULL */
	const struct cni_port *ports;
	size_t n_ports;
	uint64_t ingress_rate, egress_rate;        /* bits a second, 0: none; capability bandwidth */
	const char *mac;                           /* capability mac, or NULL */
	/* Told before each plugin is run by cni_add(); NULL: nobody asks. */
	void (*running)(void *context, const char *command, const char *plugin);
	void *context;
	const struct cni_dns { const char *const *servers, *const *searches, *const *options; } *dns;
};

/* ADD of the first network by file name; addresses (without prefix length) of eth0, in the result's order:
 * the first is the pod's IP. On error the DELs of what was added have been run. */
struct err *cni_add(const struct cni *c, const struct cni_pod *p, struct strv *ret_ips) _must_check_;
struct err *cni_check(const struct cni *c, const struct cni_pod *p) _must_check_;
/* DEL in reverse order with the cached configuration and result; idempotent; works when the
 * configuration or the namespace is gone (CNI_NETNS empty then). */
struct err *cni_del(const struct cni *c, const struct cni_pod *p) _must_check_;
/* Ready or why not: there is a configuration, its plugins exist, STATUS (cniVersion ≥ 1.1.0) says ok. An answer is
 * remembered until the directory changes or a few seconds pass; where the plugins take longer than *deadline_ns*
 * (clock_mono_ns) the one before counts, ERR_UNAVAILABLE if there was none, and they are not disturbed. *c* must
 * stay as it is until the process ends. */
struct err *cni_status(const struct cni *c, int64_t deadline_ns) _must_check_;
/* At start-up, after the sweep: plugins of today's network (cniVersion ≥ 1.1.0, not disableGC) free what none of the
 * pods in *known* has: what a node that lost its state left behind. What fails is logged. */
void cni_gc(const struct cni *c, const char *const *known);
/* At start-up: removes temporary files and DELs the networks of pods that are not in *known* (a
 * NULL-terminated list of IDs). What fails is logged and tried again at the next start. True if there were any. */
bool cni_sweep(const struct cni *c, const char *const *known);

#endif
