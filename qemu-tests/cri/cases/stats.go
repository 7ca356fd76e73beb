package cases

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

var statsCases = []suite.Case{
	{Name: "probe-of-the-kubelet", Run: statsProbe},
	{Name: "pod", Run: statsPod},
	{Name: "pod-network", Run: statsNetwork},
	{Name: "pod-on-the-nodes-network", Run: statsNodeNetwork},
	{Name: "pods-filtered", Run: statsFiltered},
	{Name: "container", Run: statsContainer},
	{Name: "container-working-set", Run: statsWorkingSet},
	{Name: "container-writable-layer", Run: statsWritable},
	{Name: "cpu-rate", Run: statsRate},
	{Name: "streams-equal-lists", Run: statsStreams, CrispOnly: "containerd has no list streams yet"},
	{Name: "stream-cancelled", Run: statsStreamCancelled, CrispOnly: "containerd has no list streams yet"},
	{Name: "metric-descriptors", Run: statsDescriptors},
	{Name: "metrics", Run: statsMetrics},
	{Name: "metrics-network", Run: statsMetricsNetwork},
	{Name: "pod-resources", Run: statsPodResources, CrispOnly: "where they are shown is ours"},
	{Name: "resources-told-whole", Run: statsResourcesWhole},
	{Name: "of-serve-itself", Run: statsOfServe, CrispOnly: "of crisp"},
	{Name: "a-monitor-stays-small", Run: statsMonitor, CrispOnly: "crisp's monitor"},
}

func podStats(t *suite.T, p *suite.Pod) *runtimeapi.LinuxPodSandboxStats {
	r, err := t.CRI.PodSandboxStats(t.Ctx, &runtimeapi.PodSandboxStatsRequest{PodSandboxId: p.ID})
	t.Must(err, "PodSandboxStats")
	suite.Equal(t, "attributes.id", r.GetStats().GetAttributes().GetId(), p.ID)
	suite.Equal(t, "attributes.metadata.name", r.Stats.Attributes.GetMetadata().GetName(), p.Config.Metadata.Name)
	if r.Stats.Linux == nil {
		t.Fatalf("no linux stats")
	}
	return r.Stats.Linux
}

func statsOf(t *suite.T, c *suite.Container) *runtimeapi.ContainerStats {
	r, err := t.CRI.ContainerStats(t.Ctx, &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
	t.Must(err, "ContainerStats")
	return r.Stats
}

// The kubelet asks for the pod "" at its start; Unimplemented makes it go back to cAdvisor for good.
func statsProbe(t *suite.T) {
	_, err := t.CRI.PodSandboxStats(t.Ctx, &runtimeapi.PodSandboxStatsRequest{})
	if code := status.Code(err); code == codes.OK || code == codes.Unimplemented {
		t.Errorf("PodSandboxStats of no pod: %v", err)
	}
}

func statsPod(t *suite.T) {
	p := t.RunPod(suite.CNI)
	a, b := p.Run(), p.Run()
	s := podStats(t, p)
	if s.GetCpu().GetTimestamp() <= 0 || s.Cpu.GetUsageCoreNanoSeconds().GetValue() == 0 {
		t.Errorf("cpu: %v", s.Cpu)
	}
	m := s.GetMemory()
	if m.GetUsageBytes().GetValue() == 0 || m.GetWorkingSetBytes().GetValue() > m.GetUsageBytes().GetValue() {
		t.Errorf("memory: %v", m)
	}
	if n := s.GetProcess().GetProcessCount().GetValue(); n < 2 || n > 20 {
		t.Errorf("%d processes in a pod of two containers", n)
	}
	ids := map[string]bool{}
	for _, c := range s.Containers {
		ids[c.GetAttributes().GetId()] = true
	}
	if len(s.Containers) != 2 || !ids[a.ID] || !ids[b.ID] {
		t.Errorf("containers %v", ids)
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil && t.Crisp() {
		if s.Cpu.Psi == nil || m.Psi == nil || s.GetIo().GetPsi() == nil {
			t.Errorf("pressure is missing: cpu %v memory %v io %v", s.Cpu.Psi, m.Psi, s.Io)
		}
	}
}

func statsNetwork(t *suite.T) {
	p := t.RunPod(suite.CNI)
	p.Run()
	before := podStats(t, p).GetNetwork()
	if before == nil {
		t.Fatalf("no network stats")
	}
	suite.Equal(t, "default interface", before.GetDefaultInterface().GetName(), "eth0")
	for _, i := range before.Interfaces {
		if i.Name == "lo" || i.Name == "eth0" {
			t.Errorf("interface %s among those besides the default", i.Name)
		}
	}
	// what goes there must be counted there
	conn, err := netDial(p.IPs()[0], 9, 300*time.Millisecond)
	if err == nil {
		conn.Close()
	}
	after := podStats(t, p).GetNetwork()
	if after.DefaultInterface.RxBytes.GetValue() <= before.DefaultInterface.RxBytes.GetValue() ||
		after.DefaultInterface.TxBytes.GetValue() <= before.DefaultInterface.TxBytes.GetValue() {
		t.Errorf("a connection was tried; before %v, after %v", before.DefaultInterface, after.DefaultInterface)
	}
}

// The node's interfaces are nobody's share.
func statsNodeNetwork(t *suite.T) {
	p := t.RunPod()
	p.Run()
	if n := podStats(t, p).GetNetwork(); n.GetDefaultInterface() != nil {
		t.Errorf("network of a pod without one: %v", n)
	}
}

func statsFiltered(t *suite.T) {
	one := t.RunPod(func(c *runtimeapi.PodSandboxConfig) { c.Labels["which"] = "one" })
	two := t.RunPod(func(c *runtimeapi.PodSandboxConfig) { c.Labels["which"] = "two" })
	list := func(f *runtimeapi.PodSandboxStatsFilter) (ids string) {
		r, err := t.CRI.ListPodSandboxStats(t.Ctx, &runtimeapi.ListPodSandboxStatsRequest{Filter: f})
		t.Must(err, "ListPodSandboxStats")
		for _, s := range r.Stats {
			if id := s.GetAttributes().GetId(); id == one.ID || id == two.ID {
				ids += s.Attributes.Labels["which"] + " "
			}
		}
		return ids
	}
	all := list(nil)
	if !strings.Contains(all, "one ") || !strings.Contains(all, "two ") {
		t.Errorf("all: %s", all)
	}
	suite.Equal(t, "by id", list(&runtimeapi.PodSandboxStatsFilter{Id: one.ID}), "one ")
	suite.Equal(t, "by label", list(&runtimeapi.PodSandboxStatsFilter{LabelSelector: map[string]string{"which": "two"}}), "two ")
	suite.Equal(t, "by both", list(&runtimeapi.PodSandboxStatsFilter{Id: one.ID,
		LabelSelector: map[string]string{"which": "two"}}), "")
}

func statsContainer(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20,
		MemorySwapLimitInBytes: 128 << 20}))
	s := statsOf(t, c)
	suite.Equal(t, "attributes.id", s.GetAttributes().GetId(), c.ID)
	m := s.GetMemory()
	if m.GetAvailableBytes().GetValue()+m.GetWorkingSetBytes().GetValue() != 128<<20 {
		t.Errorf("available %v and working set %v are not the limit", m.AvailableBytes, m.WorkingSetBytes)
	}
	if m.GetRssBytes().GetValue() == 0 || m.GetPageFaults().GetValue() == 0 {
		t.Errorf("memory: %v", m)
	}
	if s.GetSwap() == nil || s.Swap.GetSwapUsageBytes() == nil {
		t.Errorf("no swap stats")
	}
	if t.Crisp() && (s.Cpu.GetPsi().GetSome() == nil || s.Memory.GetPsi().GetFull() == nil || s.GetIo().GetPsi() == nil) {
		if _, err := os.Stat("/proc/pressure/cpu"); err == nil {
			t.Errorf("pressure is missing: %v", s)
		}
	}
}

// Working set is usage without inactive file cache.
func statsWorkingSet(t *suite.T) {
	c := t.RunPod().Run(memory(256))
	c.Exec("fill", "/cache", "32")
	got := inside(c, "memory.current", "memory.stat")
	m := statsOf(t, c).Memory
	var inactive, current uint64
	for _, line := range strings.Split(got["memory.stat"], "\n") {
		fmt.Sscanf(line, "inactive_file %d", &inactive)
	}
	fmt.Sscan(got["memory.current"], &current)
	if inactive < 8<<20 {
		t.Skipf("only %d bytes of file cache are inactive", inactive)
	}
	if want := current - inactive; m.WorkingSetBytes.GetValue() > want+8<<20 || m.UsageBytes.GetValue() < want {
		t.Errorf("usage %d, working set %d; the cgroup says %d, of which %d is inactive cache", m.UsageBytes.GetValue(),
			m.WorkingSetBytes.GetValue(), current, inactive)
	}
}

func statsWritable(t *suite.T) {
	c := t.RunPod().Run()
	c.Exec("fill", "/tmp/filled", "5")
	s := statsOf(t, c).GetWritableLayer()
	if s.GetUsedBytes().GetValue() < 5<<20 || s.GetUsedBytes().GetValue() > 6<<20 {
		t.Errorf("5 MiB were written, %d bytes are told", s.GetUsedBytes().GetValue())
	}
	if n := s.GetInodesUsed().GetValue(); n < 2 || n > 20 {
		t.Errorf("%d inodes for a file and its directory", n)
	}
	if _, err := os.Stat(s.GetFsId().GetMountpoint()); err != nil {
		t.Errorf("fs_id: %v", err)
	}
	r, err := t.Images.ImageFsInfo(t.Ctx, &runtimeapi.ImageFsInfoRequest{})
	t.Must(err, "ImageFsInfo")
	found := false
	for _, f := range append(r.ContainerFilesystems, r.ImageFilesystems...) {
		found = found || f.GetFsId().GetMountpoint() == s.GetFsId().GetMountpoint()
	}
	if !found && t.Crisp() {
		t.Errorf("ImageFsInfo knows no file system %s", s.GetFsId().GetMountpoint())
	}
}

func statsRate(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("burn", "20000", "1"), suite.Resources(&runtimeapi.LinuxContainerResources{CpuPeriod: 100000,
		CpuQuota: 30000}))
	statsOf(t, c)
	podStats(t, p)
	a := statsOf(t, c).Cpu
	time.Sleep(3 * time.Second)
	b := statsOf(t, c).Cpu
	want := float64(b.UsageCoreNanoSeconds.GetValue()-a.UsageCoreNanoSeconds.GetValue()) * 1e9 / float64(b.Timestamp-a.Timestamp)
	got := float64(b.GetUsageNanoCores().GetValue())
	if got < want/2 || got > want*2 || got == 0 {
		t.Errorf("usage_nano_cores %.0f; by the counters it is %.0f", got, want)
	}
	if n := podStats(t, p).Cpu.GetUsageNanoCores().GetValue(); n == 0 || n > 600e6 {
		t.Errorf("the pod's usage_nano_cores is %d, its quota a third of a processor", n)
	}
}

// drain reads a stream to its end.
func drain[V any](t *suite.T, what string, recv func() (V, error), each func(V)) {
	for {
		v, err := recv()
		if errors.Is(err, io.EOF) {
			return
		}
		t.Must(err, "%s", what)
		each(v)
	}
}

func statsStreams(t *suite.T) {
	p := t.RunPod(suite.CNI)
	for range 3 {
		p.Run()
	}
	t.RunPod()
	count := map[string]int{}
	pods, err := t.CRI.StreamPodSandboxes(t.Ctx, &runtimeapi.StreamPodSandboxesRequest{})
	t.Must(err, "StreamPodSandboxes")
	drain(t, "StreamPodSandboxes", pods.Recv, func(r *runtimeapi.StreamPodSandboxesResponse) { count["pods"] += len(r.PodSandboxes) })
	suite.Equal(t, "pods", count["pods"], len(t.Pods(nil)))

	one, err := t.CRI.StreamPodSandboxes(t.Ctx, &runtimeapi.StreamPodSandboxesRequest{Filter: &runtimeapi.PodSandboxFilter{Id: p.ID}})
	t.Must(err, "StreamPodSandboxes")
	drain(t, "StreamPodSandboxes", one.Recv, func(r *runtimeapi.StreamPodSandboxesResponse) {
		count["one"] += len(r.PodSandboxes)
		suite.Equal(t, "the pod asked for", r.PodSandboxes[0].Id, p.ID)
	})
	suite.Equal(t, "pods with that id", count["one"], 1)

	containers, err := t.CRI.StreamContainers(t.Ctx, &runtimeapi.StreamContainersRequest{Filter: &runtimeapi.ContainerFilter{PodSandboxId: p.ID}})
	t.Must(err, "StreamContainers")
	drain(t, "StreamContainers", containers.Recv, func(r *runtimeapi.StreamContainersResponse) { count["containers"] += len(r.Containers) })
	suite.Equal(t, "containers of the pod", count["containers"], 3)

	stats, err := t.CRI.StreamContainerStats(t.Ctx, &runtimeapi.StreamContainerStatsRequest{Filter: &runtimeapi.ContainerStatsFilter{PodSandboxId: p.ID}})
	t.Must(err, "StreamContainerStats")
	drain(t, "StreamContainerStats", stats.Recv, func(r *runtimeapi.StreamContainerStatsResponse) { count["stats"] += len(r.ContainerStats) })
	suite.Equal(t, "stats of the pod's containers", count["stats"], 3)

	podsStats, err := t.CRI.StreamPodSandboxStats(t.Ctx, &runtimeapi.StreamPodSandboxStatsRequest{Filter: &runtimeapi.PodSandboxStatsFilter{Id: p.ID}})
	t.Must(err, "StreamPodSandboxStats")
	drain(t, "StreamPodSandboxStats", podsStats.Recv, func(r *runtimeapi.StreamPodSandboxStatsResponse) { count["podstats"] += len(r.PodSandboxStats) })
	suite.Equal(t, "stats of the pod", count["podstats"], 1)

	metrics, err := t.CRI.StreamPodSandboxMetrics(t.Ctx, &runtimeapi.StreamPodSandboxMetricsRequest{})
	t.Must(err, "StreamPodSandboxMetrics")
	drain(t, "StreamPodSandboxMetrics", metrics.Recv, func(r *runtimeapi.StreamPodSandboxMetricsResponse) {
		for _, m := range r.PodSandboxMetrics {
			if m.PodSandboxId == p.ID {
				count["metrics"] += len(m.ContainerMetrics)
			}
		}
	})
	suite.Equal(t, "containers with metrics", count["metrics"], 3)

	images, err := t.Images.StreamImages(t.Ctx, &runtimeapi.StreamImagesRequest{})
	t.Must(err, "StreamImages")
	drain(t, "StreamImages", images.Recv, func(r *runtimeapi.StreamImagesResponse) { count["images"] += len(r.Images) })
	all, err := t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{})
	t.Must(err, "ListImages")
	suite.Equal(t, "images", count["images"], len(all.Images))
}

// A caller that goes away takes nothing with it and leaves nothing: the group's leak check looks at serve.
func statsStreamCancelled(t *suite.T) {
	t.RunPod(suite.CNI).Run()
	for range 50 {
		ctx, cancel := t.Deadline(5 * time.Second)
		s, err := t.CRI.StreamPodSandboxMetrics(ctx, &runtimeapi.StreamPodSandboxMetricsRequest{})
		t.Must(err, "StreamPodSandboxMetrics")
		cancel()
		if _, err := s.Recv(); err != nil && status.Code(err) != codes.Canceled {
			t.Errorf("after cancelling: %v", err)
		}
	}
	_, err := t.CRI.Version(t.Ctx, &runtimeapi.VersionRequest{})
	t.Must(err, "Version")
}

// What cri-tools expects of a runtime of Kubernetes 1.37 (pkg/validate/pod.go).
var metricNames = strings.Fields(`container_blkio_device_usage_total container_cpu_cfs_periods_total
	container_cpu_cfs_throttled_periods_total container_cpu_cfs_throttled_seconds_total container_cpu_system_seconds_total
	container_cpu_usage_seconds_total container_cpu_user_seconds_total container_file_descriptors container_fs_inodes_free
	container_fs_inodes_total container_fs_limit_bytes container_fs_reads_bytes_total container_fs_reads_total
	container_fs_usage_bytes container_fs_writes_bytes_total container_fs_writes_total container_hugetlb_max_usage_bytes
	container_hugetlb_usage_bytes container_last_seen container_memory_cache container_memory_failcnt
	container_memory_failures_total container_memory_kernel_usage container_memory_mapped_file
	container_memory_max_usage_bytes container_memory_rss container_memory_swap container_memory_usage_bytes
	container_memory_working_set_bytes container_network_receive_bytes_total container_network_receive_errors_total
	container_network_receive_packets_dropped_total container_network_receive_packets_total
	container_network_transmit_bytes_total container_network_transmit_errors_total
	container_network_transmit_packets_dropped_total container_network_transmit_packets_total container_oom_events_total
	container_pressure_cpu_stalled_seconds_total container_pressure_cpu_waiting_seconds_total
	container_pressure_io_stalled_seconds_total container_pressure_io_waiting_seconds_total
	container_pressure_memory_stalled_seconds_total container_pressure_memory_waiting_seconds_total container_processes
	container_sockets container_spec_cpu_period container_spec_cpu_quota container_spec_cpu_shares
	container_spec_memory_limit_bytes container_spec_memory_reservation_limit_bytes container_spec_memory_swap_limit_bytes
	container_start_time_seconds container_threads container_threads_max container_ulimits_soft`)

func descriptors(t *suite.T) map[string][]string {
	r, err := t.CRI.ListMetricDescriptors(t.Ctx, &runtimeapi.ListMetricDescriptorsRequest{})
	t.Must(err, "ListMetricDescriptors")
	keys := map[string][]string{}
	for _, d := range r.Descriptors {
		if d.Help == "" || len(d.LabelKeys) == 0 || keys[d.Name] != nil {
			t.Errorf("descriptor %v", d)
		}
		keys[d.Name] = d.LabelKeys
	}
	return keys
}

func statsDescriptors(t *suite.T) {
	keys := descriptors(t)
	for _, name := range metricNames {
		if keys[name] == nil && (t.Crisp() || !strings.Contains(name, "pressure")) {
			t.Errorf("no descriptor of %s", name)
		}
	}
}

func podMetrics(t *suite.T, p *suite.Pod) *runtimeapi.PodSandboxMetrics {
	r, err := t.CRI.ListPodSandboxMetrics(t.Ctx, &runtimeapi.ListPodSandboxMetricsRequest{})
	t.Must(err, "ListPodSandboxMetrics")
	for _, m := range r.PodMetrics {
		if m.PodSandboxId == p.ID {
			return m
		}
	}
	t.Fatalf("no metrics of the pod")
	return nil
}

// labelled gives a metric's labels by key.
func labelled(keys map[string][]string, m *runtimeapi.Metric) map[string]string {
	all := map[string]string{}
	for i, k := range keys[m.Name] {
		if i < len(m.LabelValues) {
			all[k] = m.LabelValues[i]
		}
	}
	return all
}

func statsMetrics(t *suite.T) {
	keys := descriptors(t)
	p := t.RunPod(suite.CNI)
	c := p.Run(suite.Resources(&runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 60000, CpuShares: 1024,
		MemoryLimitInBytes: 96 << 20, MemorySwapLimitInBytes: 96 << 20}))
	c.Exec("fill", "/tmp/filled", "2")
	m := podMetrics(t, p)
	seen := map[string]*runtimeapi.Metric{}
	all := m.Metrics
	for _, cm := range m.ContainerMetrics {
		suite.Equal(t, "container_id", cm.ContainerId, c.ID)
		all = append(all, cm.Metrics...)
	}
	for _, metric := range all {
		seen[metric.Name] = metric
		if len(metric.LabelValues) != len(keys[metric.Name]) {
			t.Errorf("%s has %d labels, its descriptor %d", metric.Name, len(metric.LabelValues), len(keys[metric.Name]))
		}
	}
	for _, name := range metricNames {
		optional := strings.Contains(name, "blkio") || strings.Contains(name, "fs_reads") || strings.Contains(name, "fs_writes") ||
			strings.Contains(name, "hugetlb") || strings.Contains(name, "pressure") || !t.Crisp()
		if seen[name] == nil && !optional {
			t.Errorf("no value of %s", name)
		}
	}
	for name, want := range map[string]uint64{"container_spec_memory_limit_bytes": 96 << 20, "container_spec_cpu_quota": 60000,
		"container_spec_cpu_shares": 1024, "container_spec_cpu_period": 100000} {
		suite.Equal(t, name, seen[name].GetValue().GetValue(), want)
	}
	if v := seen["container_fs_usage_bytes"].GetValue().GetValue(); v < 2<<20 {
		t.Errorf("container_fs_usage_bytes is %d after 2 MiB", v)
	}
	if v := seen["container_memory_working_set_bytes"].GetValue().GetValue(); v == 0 || v > 96<<20 {
		t.Errorf("container_memory_working_set_bytes is %d", v)
	}
	if !t.Crisp() {
		return
	}
	labels := labelled(keys, seen["container_cpu_usage_seconds_total"])
	for key, want := range map[string]string{"container": c.Config.Metadata.Name, "pod": p.Config.Metadata.Name,
		"namespace": p.Config.Metadata.Namespace, "name": c.ID, "image": c.Config.Image.Image, "cpu": "total"} {
		suite.Equal(t, "label "+key, labels[key], want)
	}
	if !strings.HasPrefix(labels["id"], p.Cgroup+"/") {
		t.Errorf("label id is %s, the pod's cgroup %s", labels["id"], p.Cgroup)
	}
}

func statsMetricsNetwork(t *suite.T) {
	keys := descriptors(t)
	p := t.RunPod(suite.CNI)
	p.Run()
	found := 0
	for _, metric := range podMetrics(t, p).Metrics {
		if !strings.HasPrefix(metric.Name, "container_network_") {
			continue
		}
		l := labelled(keys, metric)
		if l["interface"] == "eth0" && l["pod"] == p.Config.Metadata.Name && l["namespace"] == p.Config.Metadata.Namespace {
			found++
		}
	}
	suite.Equal(t, "network metrics of eth0", found, 8)
}

func statsPodResources(t *suite.T) {
	p := t.RunPod()
	_, err := t.CRI.UpdatePodSandboxResources(t.Ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: p.ID,
		Overhead:  &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 12345678},
		Resources: &runtimeapi.LinuxContainerResources{CpuShares: 777, MemoryLimitInBytes: 98765432}})
	t.Must(err, "UpdatePodSandboxResources")
	r, err := t.CRI.PodSandboxStatus(t.Ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID, Verbose: true})
	t.Must(err, "PodSandboxStatus")
	for _, want := range []string{"777", "98765432", "12345678"} {
		if !strings.Contains(r.Info["info"], want) {
			t.Errorf("%s is not in the pod's info: %.300s", want, r.Info["info"])
		}
	}
	// the pod's cgroup is the kubelet's: it changes it after this call
	content, err := os.ReadFile("/sys/fs/cgroup" + p.Cgroup + "/memory.max")
	t.Must(err, "memory.max")
	suite.Equal(t, "memory.max of the pod's cgroup", strings.TrimSpace(string(content)), "max")
	_, err = t.CRI.UpdatePodSandboxResources(t.Ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: p.ID,
		Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: -5}})
	t.WantError(err, codes.InvalidArgument, "limit")
	_, err = t.CRI.UpdatePodSandboxResources(t.Ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: "no-such"})
	t.WantError(err, codes.NotFound, "no-such")
	p.Stop()
	_, err = t.CRI.UpdatePodSandboxResources(t.Ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: p.ID,
		Resources: &runtimeapi.LinuxContainerResources{CpuShares: 2}})
	t.WantError(err, codes.FailedPrecondition, "running")
}

// The status has what the update set, unified and huge pages included.
func statsResourcesWhole(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20,
		Unified: map[string]string{"memory.high": "104857600"}}))
	suite.Equal(t, "unified as created", c.Status().GetResources().GetLinux().GetUnified()["memory.high"], "104857600")
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{CpusetCpus: "0",
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}},
		Unified:        map[string]string{"memory.high": "115343360", "memory.low": "1048576"}}), "UpdateContainerResources")
	r := c.Status().GetResources().GetLinux()
	suite.Equal(t, "memory.high", r.GetUnified()["memory.high"], "115343360")
	suite.Equal(t, "memory.low", r.GetUnified()["memory.low"], "1048576")
	suite.Equal(t, "memory", r.GetMemoryLimitInBytes(), 128<<20)
	suite.Equal(t, "cpuset", r.GetCpusetCpus(), "0")
	if h := r.GetHugepageLimits(); len(h) != 1 || h[0].PageSize != "2MB" || h[0].Limit != 4<<20 {
		t.Errorf("huge pages: %v", h)
	}
	got := inside(c, "memory.high", "memory.low", "cpuset.cpus", "hugetlb.2MB.max")
	suite.Equal(t, "memory.high inside", got["memory.high"], "115343360")
	suite.Equal(t, "memory.low inside", got["memory.low"], "1048576")
	suite.Equal(t, "cpuset.cpus inside", got["cpuset.cpus"], "0")
	suite.Equal(t, "hugetlb.2MB.max inside", got["hugetlb.2MB.max"], fmt.Sprint(4<<20))
}

// netDial tries a TCP connection: refused is fine.
func netDial(ip string, port int, limit time.Duration) (io.Closer, error) {
	return net.DialTimeout("tcp", net.JoinHostPort(ip, fmt.Sprint(port)), limit)
}

const ownMetrics = "/run/crisp/metrics.sock"

// scrape sends bytes as they are and gives the whole answer.
func scrape(t *suite.T, request string) string {
	conn, err := net.Dial("unix", ownMetrics)
	t.Must(err, "metrics socket")
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(conn, request)
	t.Must(err, "request")
	answer, err := io.ReadAll(conn)
	if len(answer) == 0 {
		t.Must(err, "answer")
	}
	return string(answer)
}

// serve's own metrics count calls, and bad requests are refused in words of HTTP.
func statsOfServe(t *suite.T) {
	if _, err := os.Stat(ownMetrics); err != nil {
		t.Skipf("metrics_listen is not configured: %v", err)
	}
	const get = "GET /metrics HTTP/1.1\r\nHost: crisp\r\n\r\n"
	value := func(text, name string) (v float64) {
		for _, line := range strings.Split(text, "\n") {
			if rest, ok := strings.CutPrefix(line, name+" "); ok {
				fmt.Sscan(rest, &v)
			}
		}
		return v
	}
	const calls = `crisp_rpc_total{method="PodSandboxStats",code="NotFound"}`
	before := value(scrape(t, get), calls)
	p := t.RunPod()
	t.CRI.PodSandboxStats(t.Ctx, &runtimeapi.PodSandboxStatsRequest{PodSandboxId: "no-such"})
	text := scrape(t, get)
	if !strings.HasPrefix(text, "HTTP/1.1 200 ") || !strings.Contains(text, "\r\nContent-Type: text/plain; version=0.0.4") {
		t.Errorf("the answer begins %.200q", text)
	}
	suite.Equal(t, calls, value(text, calls), before+1)
	run := value(text, `crisp_rpc_duration_seconds_count{method="RunPodSandbox"}`)
	if inf := value(text, `crisp_rpc_duration_seconds_bucket{method="RunPodSandbox",le="+Inf"}`); run == 0 || inf != run {
		t.Errorf("RunPodSandbox: count %v, +Inf %v", run, inf)
	}
	if n := value(text, `crisp_pods{state="ready"}`); int(n) != len(t.Pods(&runtimeapi.PodSandboxFilter{
		State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}})) {
		t.Errorf("%v ready pods; one is %s", n, p.ID)
	}
	if rss := value(text, "process_resident_memory_bytes"); rss < 100<<10 || rss > 64<<20 {
		t.Errorf("memory of serve: %v", rss)
	}
	for request, want := range map[string]string{"POST /metrics HTTP/1.1\r\n\r\n": " 405 ", "GET / HTTP/1.1\r\n\r\n": " 404 ",
		"GET /metrics\r\n\r\n": " 40", "GET " + strings.Repeat("a", 9000): " 431 "} {
		if got := scrape(t, request); !strings.HasPrefix(got, "HTTP/1.1"+want) {
			t.Errorf("%.30q is answered %.60q", request, got)
		}
	}
}

// One kilobyte of a table must not cost two megabytes where the node's transparent_hugepage is "always": at the first
// touch or by khugepaged later, it depends on where the table happens to lie.
func statsMonitor(t *suite.T) {
	const policy = "/sys/kernel/mm/transparent_hugepage/enabled"
	if before, err := os.ReadFile(policy); err == nil {
		if _, rest, ok := strings.Cut(string(before), "["); ok {
			old, _, _ := strings.Cut(rest, "]")
			t.Must(os.WriteFile(policy, []byte("always"), 0), "huge pages")
			t.Cleanup(func(t *suite.T) { t.Must(os.WriteFile(policy, []byte(old), 0), "huge pages") })
		}
	}
	for range 4 {
		p := t.RunPod()
		c := p.Run(suite.Payload("lines", "200"))
		c.WaitExit()
		pid := monitorOf(t, p)
		suite.Equal(t, "KiB of huge pages of the monitor", node.KiB(pid, "AnonHugePages"), 0)
		if pss := node.KiB(pid, "Pss"); pss > 900 {
			t.Errorf("a monitor has %d KiB PSS", pss)
		}
		noHugePages(t, pid)
	}
}

// noHugePages: mappings that are large enough for one must be exempt (VmFlags "nh").
func noHugePages(t *suite.T, pid int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	t.Must(err, "smaps")
	size, large := 0, 0
	for _, line := range strings.Split(string(text), "\n") {
		fmt.Sscanf(line, "Size: %d kB", &size)
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && size >= 2048 {
			large++
			if !strings.Contains(flags+" ", " nh ") {
				t.Errorf("a mapping of %d KiB may become a huge page: %s", size, flags)
			}
		}
	}
	if large == 0 {
		t.Errorf("the tables are not to be found in smaps")
	}
}

func monitorOf(t *suite.T, p *suite.Pod) int {
	for pid, proc := range node.Procs() {
		if strings.Contains(proc.Cmdline, "monitor "+p.ID) {
			return pid
		}
	}
	t.Fatalf("the pod has no monitor")
	return 0
}
