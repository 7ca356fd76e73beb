package kubeadm

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// checks are made in this order.
var checks = []check{
	{name: "a Deployment of three replicas", run: deployment},
	{name: "its Service, through kube-proxy and DNS, reaches all three", run: service},
	{name: "a rolling update: the Service answers throughout, then only new pods", run: rollingUpdate},
	{name: "a Job of three completions, two at once", run: job},
	{name: "a DaemonSet", run: daemonSet},
	{name: "a StatefulSet: its volume and its name outlive its pod", run: statefulSet},
	{name: "ConfigMap and Secret: volumes with modes, variables", run: configuration},
	{name: "probes: startup, readiness there and back, liveness restarts", run: probes},
	{name: "in-place resize: more memory and processor, no restart", run: resize},
	{name: "a pod with users of its own (hostUsers: false)", run: ownUsers},
	{name: "kubectl logs -f: follows, and ends with the container", run: logsFollow},
	{name: "kubectl exec -it: a terminal of the right size, exit code", run: execTerminal},
	{name: "kubectl attach -i", run: attach},
	{name: "kubectl port-forward", run: portForward},
	{name: "kubectl cp, there and back", run: copyFiles},
	{name: "kubectl debug: an ephemeral container sees its target's processes", run: debug},
	{name: "a CSI driver: volumes with a file system and as a device outlive their pod", run: csiVolumes},
	{name: "metrics-server: kubectl top pod and node show what is used", run: top},
	{name: "a CronJob", run: cronJob},
	{name: "all images came from the baked store: nothing was pulled", run: nothingPulled},
	// the last: it pulls, and has the kubelet started anew
	{name: "a full disk: DiskPressure, unused images collected, the pod evicted, all well again", run: eviction},
}

// prepare makes what several checks use: the namespace, a pod to ask from.
func prepare(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "namespace.yaml"); err != nil {
		return err
	}
	// the controllers give the namespace its account; without it no pod can be made
	if _, err := until(ctx, c.api, collection("v1", namespace, "serviceaccounts"), named("default"),
		func(all objects[corev1.ServiceAccount]) string {
			if len(all) == 0 {
				return "it has no service account yet"
			}
			return ""
		}); err != nil {
		return err
	}
	return c.applied(ctx, "client.yaml", clientPod)
}

// podReady says what is missing until a pod runs and is ready.
func podReady(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
			return ""
		}
	}
	return "not ready: " + podState(pod)
}

func podState(pod *corev1.Pod) string {
	text := "phase " + string(pod.Status.Phase)
	for _, c := range append(append([]corev1.ContainerStatus(nil), pod.Status.InitContainerStatuses...),
		pod.Status.ContainerStatuses...) {
		switch {
		case c.State.Waiting != nil:
			text += fmt.Sprintf("; %s waits: %s %s", c.Name, c.State.Waiting.Reason, c.State.Waiting.Message)
		case c.State.Terminated != nil:
			text += fmt.Sprintf("; %s ended: %s, code %d %s", c.Name, c.State.Terminated.Reason,
				c.State.Terminated.ExitCode, c.State.Terminated.Message)
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status != corev1.ConditionTrue {
			text += "; " + condition.Message
		}
	}
	return text
}

// podsReady waits until there are count pods of a query, and all are ready.
func (c *cluster) podsReady(ctx context.Context, query string, count int) error {
	_, err := until(ctx, c.api, collection("v1", namespace, "pods"), query, func(pods objects[corev1.Pod]) string {
		for name, pod := range pods {
			if problem := podReady(pod); problem != "" {
				return name + " " + problem
			}
		}
		if len(pods) != count {
			return fmt.Sprintf("there are %d pods, not %d", len(pods), count)
		}
		return ""
	})
	return err
}

// pod waits until missing says that nothing is.
func (c *cluster) pod(ctx context.Context, name string, missing func(pod *corev1.Pod) string) (*corev1.Pod, error) {
	pods, err := until(ctx, c.api, collection("v1", namespace, "pods"), named(name), func(pods objects[corev1.Pod]) string {
		if pods[name] == nil {
			return "it is gone"
		}
		return missing(pods[name])
	})
	return pods[name], err
}
