package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var resourceCases = []suite.Case{
	{Name: "memory", Run: resMemory},
	{Name: "cpu", Run: resCPU},
	{Name: "cpu-quota-holds", Run: resQuotaHolds},
	{Name: "cpuset", Run: resCpuset},
	{Name: "pids-holds", Run: resPids},
	{Name: "unified", Run: resUnified},
	{Name: "unified-bad", Run: resUnifiedBad},
	{Name: "hugepages", Run: resHugepages},
	{Name: "oom-score", Run: resOOMScore},
	{Name: "none", Run: resNone},
	{Name: "oom-killed", Run: resOOMKilled},
	{Name: "oom-of-a-child", Run: resOOMChild},
	{Name: "oom-of-an-exec", Run: resOOMExec},
	{Name: "oom-spares-the-monitor", Run: resOOMMonitor, CrispOnly: "of crisp's monitor"},
	{Name: "update", Run: resUpdate},
	{Name: "update-unified", Run: resUpdateUnified},
	{Name: "update-created", Run: resUpdateCreated},
	{Name: "update-refused", Run: resUpdateBad},
	{Name: "status-tells-them", Run: resStatus},
	{Name: "own-cgroup", Run: resOwnCgroup},
}

// inside reads files of the container's own cgroup, from inside; "-" for what is not there.
func inside(c *suite.Container, files ...string) map[string]string {
	words := []string{}
	for _, f := range files {
		words = append(words, "/sys/fs/cgroup/"+f)
	}
	found := map[string]string{}
	for path, content := range c.Read(words...) {
		text := strings.TrimSpace(content.Text)
		if content.Error != "" {
			text = "-" + content.Error
		}
		found[filepath.Base(path)] = text
	}
	return found
}

func resMemory(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20,
		MemorySwapLimitInBytes: 128 << 20}))
	got := inside(c, "memory.max", "memory.swap.max")
	suite.Equal(t, "memory.max", got["memory.max"], fmt.Sprint(128<<20))
	if swap := got["memory.swap.max"]; swap != "0" && !strings.HasPrefix(swap, "-") {
		t.Errorf("memory.swap.max is %s: limit and limit with swap are the same", swap)
	}
}

func resCPU(t *suite.T) {
	p := t.RunPod()
	var weights []int
	for _, shares := range []int64{2, 102, 1024, 262144} {
		c := p.Run(suite.Resources(&runtimeapi.LinuxContainerResources{CpuPeriod: 50000, CpuQuota: 25000, CpuShares: shares}))
		got := inside(c, "cpu.max", "cpu.weight")
		suite.Equal(t, "cpu.max", got["cpu.max"], "25000 50000")
		w, err := strconv.Atoi(got["cpu.weight"])
		t.Must(err, "cpu.weight")
		weights = append(weights, w)
	}
	// the two formulas in use agree at the ends and differ between them (opencontainers/cgroups ConvertCPUSharesToCgroupV2Value)
	suite.Equal(t, "least weight", weights[0], 1)
	suite.Equal(t, "largest weight", weights[3], 10000)
	if weights[1] <= weights[0] || weights[2] <= weights[1] || weights[2] > 110 {
		t.Errorf("weights %v", weights)
	}
	c := p.Run(suite.Resources(&runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: -1}))
	suite.Equal(t, "cpu.max of no quota", inside(c, "cpu.max")["cpu.max"], "max 100000")
}

// The kernel's own count of periods that ended early: processor time as an emulated machine counts it says little.
func resQuotaHolds(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 20000}))
	c.Exec("burn", "2000", "2")
	stat := inside(c, "cpu.stat")["cpu.stat"]
	var throttled int
	for _, line := range strings.Split(stat, "\n") {
		fmt.Sscanf(line, "nr_throttled %d", &throttled)
	}
	if throttled < 5 {
		t.Errorf("two busy threads in 2 s and a fifth of a processor: throttled %d times: %s", throttled, stat)
	}
}

func resCpuset(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("report-wait"), suite.Resources(&runtimeapi.LinuxContainerResources{CpusetCpus: "0", CpusetMems: "0"}))
	c.WaitText("\n")
	got := inside(c, "cpuset.cpus", "cpuset.mems", "cpuset.cpus.effective")
	if strings.HasPrefix(got["cpuset.cpus"], "-") {
		t.Skipf("no cpuset controller: %s", got["cpuset.cpus"])
	}
	suite.Equal(t, "cpuset.cpus", got["cpuset.cpus"], "0")
	suite.Equal(t, "cpuset.mems", got["cpuset.mems"], "0")
	suite.Equal(t, "processors it may use", suite.Decode[payload.Report](t, c.Stdout()).Affinity, 1)
	_, err := p.TryCreate(p.ContainerConfig(suite.Resources(&runtimeapi.LinuxContainerResources{CpusetCpus: "4000-5000"})))
	if err == nil {
		t.Logf("a processor that is not there is noticed later")
	}
}

func resPids(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("threads", "200"),
		suite.Resources(&runtimeapi.LinuxContainerResources{Unified: map[string]string{"pids.max": "64"}}))
	got := suite.Decode[map[string]any](t, c.Stdout())
	if made, _ := got["made"].(float64); made >= 64 || made < 2 {
		t.Errorf("%v children could be made under pids.max 64: %v", got["made"], got["why"])
	}
}

func resUnified(t *suite.T) {
	values := map[string]string{"memory.high": "104857600", "memory.min": "1048576", "memory.low": "2097152",
		"memory.oom.group": "1", "pids.max": "99", "cpu.weight": "77"}
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{Unified: values, MemoryLimitInBytes: 128 << 20}))
	got := inside(c, "memory.high", "memory.min", "memory.low", "memory.oom.group", "pids.max", "cpu.weight", "memory.max")
	for key, want := range values {
		suite.Equal(t, key, got[key], want)
	}
	suite.Equal(t, "memory.max beside them", got["memory.max"], fmt.Sprint(128<<20))
	// MemoryQoS sends zeros to everybody, and "max" when it is turned off
	c = t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{
		Unified: map[string]string{"memory.min": "0", "memory.low": "0", "memory.high": "max"}}))
	suite.Equal(t, "memory.high", inside(c, "memory.high")["memory.high"], "max")
}

func resUnifiedBad(t *suite.T) {
	type wrong struct{ key, value, words string }
	all := []wrong{
		{"memory.no_such_file", "1", "memory.no_such_file"},
		{"memory.high", "not a number", "memory.high"},
		{"../critests/memory.max", "1", "unified|memory.max"},
		{"nonsense", "1", "nonsense"},
	}
	if t.Crisp() { // others leave these to the kernel
		all = append(all, []wrong{{"cgroup.procs", "1", "cgroup.procs"}, {"cgroup.kill", "1", "cgroup.kill"},
			{"/memory.max", "1", "unified|memory.max"}, {"a/b", "1", "unified|a/b"}, {"", "1", "unified|empty|key"}}...)
	}
	p := t.RunPod()
	for _, c := range all {
		made, err := p.TryCreate(p.ContainerConfig(suite.Resources(&runtimeapi.LinuxContainerResources{
			Unified: map[string]string{c.key: c.value}})))
		if err == nil {
			err = made.TryStart()
		}
		if err == nil {
			t.Errorf("%s=%q was taken", c.key, c.value)
			continue
		}
		t.WantError(err, codes.OK, c.words)
	}
}

func resHugepages(t *suite.T) {
	if _, err := os.Stat("/sys/kernel/mm/hugepages/hugepages-2048kB"); err != nil {
		t.Skipf("no huge pages of 2 MiB here")
	}
	if text, _ := node.CgroupFile("/", "cgroup.controllers"); !strings.Contains(text, "hugetlb") {
		t.Skipf("no hugetlb controller: %s", text)
	}
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 8 << 20}}}))
	suite.Equal(t, "hugetlb.2MB.max", inside(c, "hugetlb.2MB.max")["hugetlb.2MB.max"], fmt.Sprint(8<<20))
}

func resOOMScore(t *suite.T) {
	p := t.RunPod()
	for _, adj := range []int64{1000, -997, 3} {
		r := p.Report(suite.Resources(&runtimeapi.LinuxContainerResources{OomScoreAdj: adj}))
		suite.Equal(t, "oom_score_adj", r.OOMAdj, fmt.Sprint(adj))
	}
}

func resNone(t *suite.T) {
	got := inside(t.RunPod().Run(), "memory.max", "pids.max", "cpu.max", "memory.high")
	suite.Equal(t, "memory.max", got["memory.max"], "max")
	suite.Equal(t, "cpu.max", got["cpu.max"], "max 100000")
	suite.Equal(t, "memory.high", got["memory.high"], "max")
}

func memory(mib int64) suite.ContainerOption {
	return suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: mib << 20,
		MemorySwapLimitInBytes: mib << 20})
}

func resOOMKilled(t *suite.T) {
	s := t.RunPod().RunToEnd(suite.Payload("eat", "256"), memory(64)).Status()
	suite.Equal(t, "reason", s.Reason, "OOMKilled")
	suite.Equal(t, "exit code", s.ExitCode, 137)
	// a kill without want of memory is none
	c := t.RunPod().Run(memory(64))
	c.Stop(0)
	suite.Equal(t, "reason of an ordinary kill", c.Status().Reason, "Error")
}

// memory.oom.group, which the kubelet sends: all of the container dies, and the reason is still known.
func resOOMChild(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20,
		MemorySwapLimitInBytes: 64 << 20, Unified: map[string]string{"memory.oom.group": "1"}}))
	c.TryExec(0, suite.PayloadCommand("eat", "256")...)
	s := c.WaitExit()
	suite.Equal(t, "reason", s.Reason, "OOMKilled")
	suite.Equal(t, "exit code", s.ExitCode, 137)
}

// Without it only the greedy process dies.
func resOOMExec(t *suite.T) {
	c := t.RunPod().Run(memory(64))
	r, err := c.TryExec(0, suite.PayloadCommand("eat", "256")...)
	t.Must(err, "ExecSync")
	suite.Equal(t, "exit code of the exec", r.ExitCode, 137)
	suite.Equal(t, "state", c.Status().State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	c.Exec("echo", "still here")
}

// cri-o#1975: a small limit of the pod must not reach the runtime's own processes.
func resOOMMonitor(t *suite.T) {
	p := t.RunPod()
	if t.Systemd() {
		// it would take back what it has not written itself
		systemctl(t, "set-property", "--runtime", filepath.Base(p.Cgroup), "MemoryMax=48M", "MemorySwapMax=0")
	} else {
		t.Must(os.WriteFile(filepath.Join(node.CgroupRoot, p.Cgroup, "memory.max"), []byte("50331648"), 0), "pod's limit")
		t.Must(os.WriteFile(filepath.Join(node.CgroupRoot, p.Cgroup, "memory.swap.max"), []byte("0"), 0), "pod's limit")
	}
	for i := 0; i < 3; i++ {
		c := p.RunToEnd(suite.Payload("eat", "200"))
		suite.Equal(t, "exit code", c.Status().ExitCode, 137)
		suite.Equal(t, "reason", c.Status().Reason, "OOMKilled")
	}
	suite.Equal(t, "pod", p.Status().State, runtimeapi.PodSandboxState_SANDBOX_READY)
	for _, pid := range node.CgroupProcs(p.Cgroup) {
		proc, _ := node.ReadProc(pid)
		t.Errorf("a process of the runtime is in the pod's cgroup: %s", proc)
	}
}

func update(t *suite.T, c *suite.Container, r *runtimeapi.LinuxContainerResources) error {
	_, err := t.CRI.UpdateContainerResources(t.Ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: r})
	return err
}

func resUpdate(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20, CpuPeriod: 100000,
		CpuQuota: 50000, CpuShares: 512, CpusetCpus: "0"}))
	before := inside(c, "memory.max", "cpu.max", "cpu.weight", "cpuset.cpus")
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 256 << 20}), "more memory")
	got := inside(c, "memory.max", "cpu.max", "cpu.weight", "cpuset.cpus")
	suite.Equal(t, "memory.max", got["memory.max"], fmt.Sprint(256<<20))
	suite.Equal(t, "cpu.max, which was not named", got["cpu.max"], before["cpu.max"])
	suite.Equal(t, "cpu.weight, which was not named", got["cpu.weight"], before["cpu.weight"])
	suite.Equal(t, "cpuset.cpus, which was not named", got["cpuset.cpus"], before["cpuset.cpus"])
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 96 << 20, CpuPeriod: 100000, CpuQuota: 70000,
		CpuShares: 1024}), "less memory, more processor")
	got = inside(c, "memory.max", "cpu.max", "cpu.weight")
	suite.Equal(t, "memory.max", got["memory.max"], fmt.Sprint(96<<20))
	suite.Equal(t, "cpu.max", got["cpu.max"], "70000 100000")
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: -1}), "no quota")
	suite.Equal(t, "cpu.max", inside(c, "cpu.max")["cpu.max"], "max 100000")
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{}), "nothing")
}

func resUpdateUnified(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20,
		Unified: map[string]string{"memory.high": "104857600"}}))
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 192 << 20,
		Unified: map[string]string{"memory.high": "157286400", "memory.min": "1048576"}}), "UpdateContainerResources")
	got := inside(c, "memory.max", "memory.high", "memory.min")
	suite.Equal(t, "memory.max", got["memory.max"], fmt.Sprint(192<<20))
	suite.Equal(t, "memory.high", got["memory.high"], "157286400")
	suite.Equal(t, "memory.min", got["memory.min"], "1048576")
}

func resUpdateCreated(t *suite.T) {
	c := t.RunPod().Create(memory(64))
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 96 << 20, MemorySwapLimitInBytes: 96 << 20}),
		"UpdateContainerResources of a created one")
	c.Start()
	suite.Equal(t, "memory.max", inside(c, "memory.max")["memory.max"], fmt.Sprint(96<<20))
}

func resUpdateBad(t *suite.T) {
	c := t.RunPod().Run(memory(64))
	t.WantError(update(t, c, &runtimeapi.LinuxContainerResources{Unified: map[string]string{"memory.high": "nonsense"}}),
		codes.OK, "memory.high")
	suite.Equal(t, "memory.high", inside(c, "memory.high")["memory.high"], "max")
	_, err := t.CRI.UpdateContainerResources(t.Ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: "no-such",
		Linux: &runtimeapi.LinuxContainerResources{CpuShares: 2}})
	t.WantError(err, codes.NotFound, "no-such|container")
}

func resStatus(t *suite.T) {
	c := t.RunPod().Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20, CpuPeriod: 100000,
		CpuQuota: 50000, CpuShares: 512}))
	r := c.Status().GetResources().GetLinux()
	if r == nil {
		t.Fatalf("the status has no resources: in-place resize needs them")
	}
	suite.Equal(t, "memory", r.MemoryLimitInBytes, 128<<20)
	suite.Equal(t, "quota", r.CpuQuota, 50000)
	suite.Equal(t, "shares", r.CpuShares, 512)
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 160 << 20, CpuPeriod: 100000, CpuQuota: 60000,
		CpuShares: 600}), "UpdateContainerResources")
	r = c.Status().GetResources().GetLinux()
	suite.Equal(t, "memory after the update", r.GetMemoryLimitInBytes(), 160<<20)
	suite.Equal(t, "quota after the update", r.GetCpuQuota(), 60000)
}

// One cgroup a container below the pod's, empty and gone with it; its processes can't leave it.
func resOwnCgroup(t *suite.T) {
	p := t.RunPod()
	c, d := p.Run(), p.Run()
	of := func(c *suite.Container) string {
		marker := fmt.Sprintf("sleeper-%d", t.Next())
		go c.TryExec(3*time.Second, suite.PayloadCommand("sleep", "2000", "0", marker)...)
		var found string
		t.Until(20*time.Second, func() bool {
			for pid, proc := range node.Procs() {
				if strings.Contains(proc.Cmdline, marker) && strings.HasPrefix(proc.Cmdline, "/critests") && pid != os.Getpid() {
					found, _ = node.CgroupOf(pid)
					return found != ""
				}
			}
			return false
		})
		return found
	}
	a, b := of(c), of(d)
	if a == b || !strings.HasPrefix(a, p.Cgroup+"/") || !strings.HasPrefix(b, p.Cgroup+"/") {
		t.Errorf("cgroups of execs in two containers: %q %q", a, b)
	}
	c.Stop(0)
	c.Remove()
	if a != "" {
		if _, err := os.Stat(node.CgroupRoot + a); err == nil {
			t.Errorf("%s is left", a)
		}
	}
}
