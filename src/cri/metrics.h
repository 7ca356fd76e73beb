/* metrics.h: the metrics of containers and pods that ListPodSandboxMetrics tells, by the names that cAdvisor gave
 * them: what dashboards and alerts of Kubernetes ask for (cri-tools checks the list).
 */
#ifndef CRISP_METRICS_H
#define CRISP_METRICS_H

#include "cri/rpc.h"

/* Labels of all of them, in this order; a metric's own follow. */
enum { METRIC_LABEL_CONTAINER, METRIC_LABEL_ID, METRIC_LABEL_IMAGE, METRIC_LABEL_NAME, METRIC_LABEL_NAMESPACE,
       METRIC_LABEL_POD, METRIC_LABELS };
#define METRIC_OWN_MAX 4

enum metric {
	M_LAST_SEEN, M_START_TIME,
	M_CPU_USER, M_CPU_SYSTEM, M_CPU_USAGE, M_CPU_PERIODS, M_CPU_THROTTLED_PERIODS, M_CPU_THROTTLED,
	M_FS_INODES_FREE, M_FS_INODES, M_FS_LIMIT, M_FS_USAGE,
	M_FS_READ_BYTES, M_FS_READS, M_FS_WRITTEN_BYTES, M_FS_WRITES, M_BLKIO,
	M_HUGETLB_USAGE, M_HUGETLB_MAX,
	M_MEMORY_CACHE, M_MEMORY_RSS, M_MEMORY_KERNEL, M_MEMORY_MAPPED, M_MEMORY_SWAP, M_MEMORY_FAILCNT,
	M_MEMORY_USAGE, M_MEMORY_MAX_USAGE, M_MEMORY_WORKING_SET, M_MEMORY_FAILURES,
	M_NET_RX_BYTES, M_NET_RX_PACKETS, M_NET_RX_DROPPED, M_NET_RX_ERRORS,
	M_NET_TX_BYTES, M_NET_TX_PACKETS, M_NET_TX_DROPPED, M_NET_TX_ERRORS,
	M_OOM,
	M_DESCRIPTORS, M_PROCESSES, M_SOCKETS, M_THREADS, M_THREADS_MAX, M_ULIMITS,
	M_SPEC_CPU_PERIOD, M_SPEC_CPU_SHARES, M_SPEC_CPU_QUOTA, M_SPEC_MEMORY, M_SPEC_RESERVATION, M_SPEC_SWAP,
	M_PSI_CPU_STALLED, M_PSI_CPU_WAITING, M_PSI_MEMORY_STALLED, M_PSI_MEMORY_WAITING,
	M_PSI_IO_STALLED, M_PSI_IO_WAITING,
	METRICS
};

struct metric_row {
	const char *name;
	bool counter;                       /* else a gauge */
	const char *own[METRIC_OWN_MAX];    /* its own labels */
	const char *help;
};

extern const struct metric_row metric_rows[METRICS];
extern const char *const metric_labels[METRIC_LABELS];

#endif
