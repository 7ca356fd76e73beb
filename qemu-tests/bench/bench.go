// Package bench measures the calls of the CRI, one after another, as a kubelet would make them.
package bench

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// Steps are the calls measured, in the order of a pod's life.
var Steps = []string{"RunPodSandbox", "CreateContainer", "StartContainer", "ExecSync", "StopContainer",
	"RemoveContainer", "StopPodSandbox", "RemovePodSandbox"}

// Times are all durations of each step.
type Times map[string][]time.Duration

// Median of a step.
func (t Times) Median(step string) time.Duration {
	all := append([]time.Duration(nil), t[step]...)
	if len(all) == 0 {
		return 0
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all[len(all)/2]
}

// Pods makes and removes count pods of one container each, and times every call.
func Pods(ctx context.Context, cri *node.CRI, image string, count int, hostNetwork bool) (Times, error) {
	times := Times{}
	for i := 0; i < count; i++ {
		if err := pod(ctx, cri, image, i, hostNetwork, times); err != nil {
			return nil, fmt.Errorf("pod %d: %w", i, err)
		}
	}
	return times, nil
}

// cgroupParent is a pod's as the kubelet names it for either driver.
func cgroupParent(name string) string {
	if node.Systemd() {
		return "/bench.slice/bench-" + strings.ReplaceAll(name, "-", "_") + ".slice"
	}
	return "/bench/" + name
}

// Sandbox is the smallest configuration that a kubelet would send.
func Sandbox(name string, hostNetwork bool) *runtimeapi.PodSandboxConfig {
	mode := runtimeapi.NamespaceMode_POD
	if hostNetwork {
		mode = runtimeapi.NamespaceMode_NODE
	}
	return &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "bench", Uid: "bench-" + name},
		LogDirectory: "/var/log/pods/bench_" + name,
		Labels:       map[string]string{"bench": "yes"},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: cgroupParent(name),
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Network: mode, Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
}

// Container is the smallest that stays.
func Container(image string, sandbox *runtimeapi.PodSandboxConfig) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
		Image:    &runtimeapi.ImageSpec{Image: image},
		Command:  []string{"/bin/payload", "pause"},
		LogPath:  "main.log",
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: sandbox.Linux.SecurityContext.NamespaceOptions}},
	}
}

func pod(ctx context.Context, cri *node.CRI, image string, i int, hostNetwork bool, times Times) (err error) {
	var id, container string
	sandbox := Sandbox(fmt.Sprintf("p%d-%d", time.Now().UnixNano()%100000, i), hostNetwork)
	config := Container(image, sandbox)
	if err := os.MkdirAll(sandbox.LogDirectory, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(sandbox.LogDirectory)
	step := func(name string, call func() error) {
		if err != nil {
			return
		}
		began := time.Now()
		if err = call(); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			return
		}
		times[name] = append(times[name], time.Since(began))
	}
	step("RunPodSandbox", func() (err error) { id, err = cri.RunPodSandbox(ctx, sandbox, ""); return })
	step("CreateContainer", func() (err error) { container, err = cri.CreateContainer(ctx, id, config, sandbox); return })
	step("StartContainer", func() error { return cri.StartContainer(ctx, container) })
	step("ExecSync", func() error {
		_, _, err := cri.ExecSync(ctx, container, []string{"/bin/payload", "exit", "0"}, time.Minute)
		return err
	})
	step("StopContainer", func() error { return cri.StopContainer(ctx, container, 0) })
	step("RemoveContainer", func() error { return cri.RemoveContainer(ctx, container) })
	step("StopPodSandbox", func() error { return cri.StopPodSandbox(ctx, id) })
	step("RemovePodSandbox", func() error { return cri.RemovePodSandbox(ctx, id) })
	if err != nil && id != "" {
		_ = cri.StopPodSandbox(ctx, id)
		_ = cri.RemovePodSandbox(ctx, id)
	}
	return err
}

// Print writes the medians of the two kinds of pods beside each other.
func Print(host, cni Times) {
	fmt.Printf("%-18s %12s %12s   median of %d, ms\n", "", "host network", "CNI", len(host["RunPodSandbox"]))
	for _, step := range Steps {
		fmt.Printf("%-18s %12.1f %12.1f\n", step, ms(host.Median(step)), ms(cni.Median(step)))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
