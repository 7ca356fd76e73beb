package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// expectation is one thing that must be so in the end; check says what is not, "" for nothing.
type expectation struct {
	name, pod string
	check     func(ctx context.Context, cri *node.CRI, pod *corev1.Pod) string
}

var expectations = []expectation{
	{"web is ready (HTTP probe) and has not been restarted (exec probe)", "web", ready},
	{"web has an IPv4 and an IPv6 address and answers on both", "web", answers},
	{"web answers on the node's port 18080", "web", hostPort},
	{"shared: both containers run", "shared", ready},
	{"shared: each sees the other's process", "shared", seesOther},
	{"users: root is nobody on the node, and owns what is its own (hostUsers: false)", "users", ownUsers},
	{"init: the first container ended before the main one runs", "init", initDone},
	{"job ended with code 3, pod Failed", "job", jobFailed},
	{"baked ran from an image that is part of the OS image, without a registry", "baked", bakedDone},
	{"oom was killed for memory (OOMKilled)", "oom", oomKilled},
	{"exec through the kubelet (SPDY): output, exit code", "web", kubeletExec},
	{"the runtime says the same of exit codes and states", "job", sameInCRI},
	{"cAdvisor's metrics have web's labels, image and network (the kubelet's default gates)", "web", labelled},
}

// runs says whether a pod is for this runtime: images of the OS image are crisp's own.
func runs(pod string) bool {
	return pod != "baked" || node.Runtime() == "crisp"
}

func expected() []expectation {
	var all []expectation
	for _, e := range expectations {
		if runs(e.pod) {
			all = append(all, e)
		}
	}
	return all
}

func bakedDone(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	if pod == nil || pod.Status.Phase != corev1.PodSucceeded {
		return phase(pod)
	}
	return ""
}

func phase(pod *corev1.Pod) string {
	if pod == nil {
		return "the kubelet does not have it yet"
	}
	text := "phase " + string(pod.Status.Phase)
	all := append(append([]corev1.ContainerStatus(nil), pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
	for _, c := range all {
		switch {
		case c.State.Waiting != nil:
			text += fmt.Sprintf("; %s waits: %s %s", c.Name, c.State.Waiting.Reason, c.State.Waiting.Message)
		case c.State.Terminated != nil:
			text += fmt.Sprintf("; %s ended: %s, code %d %s", c.Name, c.State.Terminated.Reason,
				c.State.Terminated.ExitCode, c.State.Terminated.Message)
		}
	}
	return text
}

func ready(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	if pod == nil || pod.Status.Phase != corev1.PodRunning || len(pod.Status.ContainerStatuses) == 0 {
		return phase(pod)
	}
	for _, c := range pod.Status.ContainerStatuses {
		if !c.Ready {
			return c.Name + " is not ready; " + phase(pod)
		}
		if c.RestartCount > 0 {
			return fmt.Sprintf("%s was restarted %d times", c.Name, c.RestartCount)
		}
	}
	return ""
}

func answers(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	if pod == nil || len(pod.Status.PodIPs) != 2 {
		return fmt.Sprintf("not two addresses; %s", phase(pod))
	}
	for _, ip := range pod.Status.PodIPs {
		if problem := get("http://"+net.JoinHostPort(ip.IP, "8080")+"/", "web"); problem != "" {
			return problem
		}
	}
	return ""
}

func hostPort(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	if pod == nil || pod.Status.Phase != corev1.PodRunning {
		return phase(pod)
	}
	return get("http://192.168.77.10:18080/", "web")
}

func get(url, want string) string {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer reply.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(reply.Body, 4096))
	if reply.StatusCode != 200 || !strings.Contains(string(body), want) {
		return fmt.Sprintf("%s: %s: %q", url, reply.Status, body)
	}
	return ""
}

// containerID finds the newest container of a pod through the CRI.
func container(ctx context.Context, cri *node.CRI, pod, name string) (*runtimeapi.Container, error) {
	list, err := cri.ListContainers(ctx, &runtimeapi.ContainerFilter{LabelSelector: map[string]string{
		"io.kubernetes.pod.name": pod + "-node", "io.kubernetes.container.name": name}})
	if err != nil {
		return nil, err
	}
	var newest *runtimeapi.Container
	for _, c := range list {
		if newest == nil || c.CreatedAt > newest.CreatedAt {
			newest = c
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("the runtime has no container %s of %s", name, pod)
	}
	return newest, nil
}

func seesOther(ctx context.Context, cri *node.CRI, pod *corev1.Pod) string {
	if problem := ready(ctx, cri, pod); problem != "" {
		return problem
	}
	c, err := container(ctx, cri, "shared", "one")
	if err != nil {
		return err.Error()
	}
	out, stderr, err := cri.ExecSync(ctx, c.Id, []string{"/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"}, time.Minute)
	if err != nil {
		return fmt.Sprintf("exec: %v %s", err, stderr)
	}
	if !strings.Contains(string(out), "payload ticks") || !strings.Contains(string(out), "sleep 1000000") {
		return fmt.Sprintf("one sees only %q", out)
	}
	return ""
}

func ownUsers(ctx context.Context, cri *node.CRI, pod *corev1.Pod) string {
	if problem := ready(ctx, cri, pod); problem != "" {
		return problem
	}
	c, err := container(ctx, cri, "users", "main")
	if err != nil {
		return err.Error()
	}
	out, stderr, err := cri.ExecSync(ctx, c.Id, []string{"/bin/sh", "-c",
		"cat /proc/self/uid_map; cat /sys/fs/cgroup/memory.max; cat /data/file /etc/file; toybox stat -c %u:%g / /etc/file /data /data/file /dev/shm"}, time.Minute)
	if err != nil {
		return fmt.Sprintf("exec: %v %s", err, stderr)
	}
	got := strings.Fields(string(out))
	want := "65536 33554432 mine mine 0:0 0:0 0:0 0:0 0:0"
	if len(got) < 3 || got[0] != "0" || got[1] == "0" || strings.Join(got[2:], " ") != want {
		return fmt.Sprintf("it has %q, wanted 0 SOMEBODY %s", strings.Join(got, " "), want)
	}
	return ""
}

func initDone(ctx context.Context, cri *node.CRI, pod *corev1.Pod) string {
	if problem := ready(ctx, cri, pod); problem != "" {
		return problem
	}
	if len(pod.Status.InitContainerStatuses) != 1 || pod.Status.InitContainerStatuses[0].State.Terminated == nil {
		return phase(pod)
	}
	first := pod.Status.InitContainerStatuses[0].State.Terminated
	main := pod.Status.ContainerStatuses[0].State.Running
	if first.ExitCode != 0 || main == nil || main.StartedAt.Time.Before(first.FinishedAt.Time) {
		return fmt.Sprintf("first ended with %d at %v, main started at %v", first.ExitCode, first.FinishedAt, main)
	}
	c, err := container(ctx, cri, "init", "main")
	if err != nil {
		return err.Error()
	}
	if log := logText(ctx, cri, c.Id); !strings.Contains(log, "from the first") {
		return fmt.Sprintf("main's log is %q", log)
	}
	return ""
}

func terminated(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if pod == nil || pod.Status.Phase != corev1.PodFailed || len(pod.Status.ContainerStatuses) != 1 {
		return nil
	}
	return pod.Status.ContainerStatuses[0].State.Terminated
}

func jobFailed(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	end := terminated(pod)
	if end == nil || end.ExitCode != 3 || end.Reason != "Error" {
		return phase(pod)
	}
	return ""
}

func oomKilled(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	end := terminated(pod)
	if end == nil || end.Reason != "OOMKilled" || end.ExitCode != 137 {
		return phase(pod)
	}
	return ""
}

func sameInCRI(ctx context.Context, cri *node.CRI, _ *corev1.Pod) string {
	for name, want := range map[string]int32{"job": 3, "oom": 137} {
		c, err := container(ctx, cri, name, "main")
		if err != nil {
			return err.Error()
		}
		reply, err := cri.ContainerStatus(ctx, c.Id, false)
		if err != nil {
			return err.Error()
		}
		s := reply.Status
		if s.State != runtimeapi.ContainerState_CONTAINER_EXITED || s.ExitCode != want || s.FinishedAt < s.StartedAt {
			return fmt.Sprintf("%s: state %v, code %d, started %d, ended %d", name, s.State, s.ExitCode, s.StartedAt, s.FinishedAt)
		}
	}
	return ""
}
