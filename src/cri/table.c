/* The RPC table: every method of CRI v1 (k8s.io/cri-api 0.37) once. */
#include "cri/rpc.h"

#define CHECKPOINT "checkpoint and restore are not offered: an archive would decide mounts and processes of this node"

const struct rpc_row rpc_runtime_rows[] = {
	{ "Version", rpc_version, RPC_QUIET, NULL },
	{ "RunPodSandbox", rpc_run_pod, RPC_STEPS, NULL },
	{ "StopPodSandbox", rpc_stop_pod, RPC_STEPS, NULL },
	{ "RemovePodSandbox", rpc_remove_pod, 0, NULL },
	{ "PodSandboxStatus", rpc_pod_status, RPC_QUIET, NULL },
	{ "ListPodSandbox", rpc_list_pods, RPC_QUIET, NULL },
	{ "StreamPodSandboxes", rpc_stream_pods, RPC_QUIET | RPC_STREAM, NULL },
	{ "CreateContainer", rpc_create_container, RPC_STEPS, NULL },
	{ "StartContainer", rpc_start_container, RPC_STEPS, NULL },
	{ "StopContainer", rpc_stop_container, RPC_STEPS, NULL },
	{ "RemoveContainer", rpc_remove_container, 0, NULL },
	{ "ListContainers", rpc_list_containers, RPC_QUIET, NULL },
	{ "StreamContainers", rpc_stream_containers, RPC_QUIET | RPC_STREAM, NULL },
	{ "ContainerStatus", rpc_container_status, RPC_QUIET, NULL },
	{ "UpdateContainerResources", rpc_update_container, RPC_STEPS, NULL },
	{ "ReopenContainerLog", rpc_reopen_log, 0, NULL },
	{ "ExecSync", rpc_exec_sync, RPC_QUIET, NULL },
	{ "Exec", rpc_exec, 0, NULL },
	{ "Attach", rpc_attach, 0, NULL },
	{ "PortForward", rpc_port_forward, 0, NULL },
	{ "ContainerStats", rpc_container_stats, RPC_QUIET, NULL },
	{ "ListContainerStats", rpc_list_container_stats, RPC_QUIET, NULL },
	{ "StreamContainerStats", rpc_stream_container_stats, RPC_QUIET | RPC_STREAM, NULL },
	{ "PodSandboxStats", rpc_pod_stats, RPC_QUIET, NULL },
	{ "ListPodSandboxStats", rpc_list_pod_stats, RPC_QUIET, NULL },
	{ "StreamPodSandboxStats", rpc_stream_pod_stats, RPC_QUIET | RPC_STREAM, NULL },
	{ "UpdateRuntimeConfig", rpc_update_runtime_config, 0, NULL },
	{ "Status", rpc_status, RPC_QUIET, NULL },
	{ "CheckpointContainer", NULL, 0, CHECKPOINT },
	{ "CheckpointPod", NULL, 0, CHECKPOINT },
	{ "RestorePod", NULL, 0, CHECKPOINT },
	{ "GetContainerEvents", rpc_events, RPC_STREAM, NULL },
	{ "ListMetricDescriptors", rpc_list_metric_descriptors, RPC_QUIET, NULL },
	{ "ListPodSandboxMetrics", rpc_list_pod_metrics, RPC_QUIET | RPC_STREAM, NULL },
	{ "StreamPodSandboxMetrics", rpc_stream_pod_metrics, RPC_QUIET | RPC_STREAM, NULL },
	{ "RuntimeConfig", rpc_runtime_config, RPC_QUIET, NULL },
	{ "UpdatePodSandboxResources", rpc_update_pod, 0, NULL },
};
const size_t rpc_runtime_n = ARRAY_LEN(rpc_runtime_rows);

const struct rpc_row rpc_image_rows[] = {
	{ "ListImages", rpc_list_images, RPC_QUIET, NULL },
	{ "StreamImages", rpc_stream_images, RPC_QUIET | RPC_STREAM, NULL },
	{ "ImageStatus", rpc_image_status, RPC_QUIET, NULL },
	{ "PullImage", rpc_pull_image, 0, NULL },
	{ "RemoveImage", rpc_remove_image, 0, NULL },
	{ "ImageFsInfo", rpc_image_fs_info, RPC_QUIET, NULL },
};
const size_t rpc_image_n = ARRAY_LEN(rpc_image_rows);

_Static_assert(ARRAY_LEN(rpc_runtime_rows) + ARRAY_LEN(rpc_image_rows) == 43, "CRI v1 at 0.37 has 43 RPCs");
