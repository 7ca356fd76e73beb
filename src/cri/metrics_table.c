#include "cri/metrics.h"

const char *const metric_labels[METRIC_LABELS] = {
	[METRIC_LABEL_CONTAINER] = "container", [METRIC_LABEL_ID] = "id",
	[METRIC_LABEL_IMAGE] = "image",		[METRIC_LABEL_NAME] = "name",
	[METRIC_LABEL_NAMESPACE] = "namespace", [METRIC_LABEL_POD] = "pod",
};

#define ROW(kind, m, name, help, ...) [m] = { name, kind, { __VA_ARGS__ }, help }

enum kind { GAUGE, COUNTER };

/* CRI's values are whole numbers: seconds are cut, not rounded. */
const struct metric_row metric_rows[METRICS] = {
	ROW(GAUGE, M_LAST_SEEN, "container_last_seen",
	    "When the runtime last saw the container, in seconds since 1970"),
	ROW(GAUGE, M_START_TIME, "container_start_time_seconds",
	    "When the container was started, in seconds since 1970"),

	ROW(COUNTER, M_CPU_USER, "container_cpu_user_seconds_total", "Processor time spent in programs, in seconds"),
	ROW(COUNTER, M_CPU_SYSTEM, "container_cpu_system_seconds_total",
	    "Processor time spent in the kernel, in seconds"),
	ROW(COUNTER, M_CPU_USAGE, "container_cpu_usage_seconds_total", "Processor time, in seconds", "cpu"),
	ROW(COUNTER, M_CPU_PERIODS, "container_cpu_cfs_periods_total", "Periods in which the quota was in force"),
	ROW(COUNTER, M_CPU_THROTTLED_PERIODS, "container_cpu_cfs_throttled_periods_total",
	    "Periods in which the quota was used up"),
	ROW(COUNTER, M_CPU_THROTTLED, "container_cpu_cfs_throttled_seconds_total",
	    "Time that the container had to wait since its quota was used up, in seconds"),

	ROW(GAUGE, M_FS_INODES_FREE, "container_fs_inodes_free",
	    "Free inodes of the writable layer's file system", "device"),
	ROW(GAUGE, M_FS_INODES, "container_fs_inodes_total", "Inodes of the writable layer's file system", "device"),
	ROW(GAUGE, M_FS_LIMIT, "container_fs_limit_bytes", "Size of the writable layer's file system", "device"),
	ROW(GAUGE, M_FS_USAGE, "container_fs_usage_bytes", "What the writable layer takes, in bytes", "device"),
	ROW(COUNTER, M_FS_READ_BYTES, "container_fs_reads_bytes_total", "Bytes read from the device", "device"),
	ROW(COUNTER, M_FS_READS, "container_fs_reads_total", "Reads from the device", "device"),
	ROW(COUNTER, M_FS_WRITTEN_BYTES, "container_fs_writes_bytes_total", "Bytes written to the device", "device"),
	ROW(COUNTER, M_FS_WRITES, "container_fs_writes_total", "Writes to the device", "device"),
	ROW(COUNTER, M_BLKIO, "container_blkio_device_usage_total",
	    "Bytes moved from or to the device", "device", "major", "minor", "operation"),

	ROW(GAUGE, M_HUGETLB_USAGE, "container_hugetlb_usage_bytes", "Huge pages in use, in bytes", "pagesize"),
	ROW(GAUGE, M_HUGETLB_MAX, "container_hugetlb_max_usage_bytes",
	    "Most huge pages that were in use when they were asked for, in bytes", "pagesize"),

	ROW(GAUGE, M_MEMORY_CACHE, "container_memory_cache", "Page cache, in bytes"),
	ROW(GAUGE, M_MEMORY_RSS, "container_memory_rss", "Anonymous memory, in bytes"),
	ROW(GAUGE, M_MEMORY_KERNEL, "container_memory_kernel_usage",
	    "Memory of the kernel for the container, in bytes"),
	ROW(GAUGE, M_MEMORY_MAPPED, "container_memory_mapped_file", "Files mapped into memory, in bytes"),
	ROW(GAUGE, M_MEMORY_SWAP, "container_memory_swap", "Swap in use, in bytes"),
	ROW(COUNTER, M_MEMORY_FAILCNT, "container_memory_failcnt", "How often usage reached the limit"),
	ROW(GAUGE, M_MEMORY_USAGE, "container_memory_usage_bytes", "Memory in use, all kinds, in bytes"),
	ROW(GAUGE, M_MEMORY_MAX_USAGE, "container_memory_max_usage_bytes", "Most memory that was in use, in bytes"),
	ROW(GAUGE, M_MEMORY_WORKING_SET, "container_memory_working_set_bytes",
	    "Memory in use without the file cache that could go at once, in bytes"),
	ROW(COUNTER, M_MEMORY_FAILURES, "container_memory_failures_total", "Page faults", "failure_type", "scope"),

	ROW(COUNTER, M_NET_RX_BYTES, "container_network_receive_bytes_total", "Bytes received", "interface"),
	ROW(COUNTER, M_NET_RX_PACKETS, "container_network_receive_packets_total", "Packets received", "interface"),
	ROW(COUNTER, M_NET_RX_DROPPED, "container_network_receive_packets_dropped_total",
	    "Packets dropped on receipt", "interface"),
	ROW(COUNTER, M_NET_RX_ERRORS, "container_network_receive_errors_total", "Errors on receipt", "interface"),
	ROW(COUNTER, M_NET_TX_BYTES, "container_network_transmit_bytes_total", "Bytes sent", "interface"),
	ROW(COUNTER, M_NET_TX_PACKETS, "container_network_transmit_packets_total", "Packets sent", "interface"),
	ROW(COUNTER, M_NET_TX_DROPPED, "container_network_transmit_packets_dropped_total",
	    "Packets dropped on sending", "interface"),
	ROW(COUNTER, M_NET_TX_ERRORS, "container_network_transmit_errors_total", "Errors on sending", "interface"),

	ROW(COUNTER, M_OOM, "container_oom_events_total", "Processes that the kernel killed since memory was out"),

	ROW(GAUGE, M_DESCRIPTORS, "container_file_descriptors", "Open file descriptors"),
	ROW(GAUGE, M_PROCESSES, "container_processes", "Processes"),
	ROW(GAUGE, M_SOCKETS, "container_sockets", "Open sockets"),
	ROW(GAUGE, M_THREADS, "container_threads", "Threads"),
	ROW(GAUGE, M_THREADS_MAX, "container_threads_max", "Threads that the container may have; 0: no limit"),
	ROW(GAUGE, M_ULIMITS, "container_ulimits_soft", "Soft limits of the container's first process", "ulimit"),

	ROW(GAUGE, M_SPEC_CPU_PERIOD, "container_spec_cpu_period", "Period of the processor quota, in microseconds"),
	ROW(GAUGE, M_SPEC_CPU_SHARES, "container_spec_cpu_shares", "Share of the processors"),
	ROW(GAUGE, M_SPEC_CPU_QUOTA, "container_spec_cpu_quota", "Processor time a period, in microseconds"),
	ROW(GAUGE, M_SPEC_MEMORY, "container_spec_memory_limit_bytes", "Limit on memory; 0: none"),
	ROW(GAUGE, M_SPEC_RESERVATION, "container_spec_memory_reservation_limit_bytes",
	    "Memory that is never reclaimed"),
	ROW(GAUGE, M_SPEC_SWAP, "container_spec_memory_swap_limit_bytes",
	    "Limit on memory and swap together; 0: none"),

	ROW(COUNTER, M_PSI_CPU_STALLED, "container_pressure_cpu_stalled_seconds_total",
	    "Time in which all tasks waited for a processor, in seconds"),
	ROW(COUNTER, M_PSI_CPU_WAITING, "container_pressure_cpu_waiting_seconds_total",
	    "Time in which some task waited for a processor, in seconds"),
	ROW(COUNTER, M_PSI_MEMORY_STALLED, "container_pressure_memory_stalled_seconds_total",
	    "Time in which all tasks waited for memory, in seconds"),
	ROW(COUNTER, M_PSI_MEMORY_WAITING, "container_pressure_memory_waiting_seconds_total",
	    "Time in which some task waited for memory, in seconds"),
	ROW(COUNTER, M_PSI_IO_STALLED, "container_pressure_io_stalled_seconds_total",
	    "Time in which all tasks waited for devices, in seconds"),
	ROW(COUNTER, M_PSI_IO_WAITING, "container_pressure_io_waiting_seconds_total",
	    "Time in which some task waited for devices, in seconds"),
};
