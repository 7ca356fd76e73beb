package cases

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

// The systemd cgroup driver: run.sh --systemd.
var systemdCases = []suite.Case{
	{Name: "a-container-is-a-scope", Run: onSystemd(systemdScope), CrispOnly: "names of crisp's units"},
	{Name: "limits-survive-daemon-reload", Run: onSystemd(systemdReload), CrispOnly: "names of crisp's units"},
	{Name: "a-shared-pid-namespace", Run: onSystemd(systemdSharedPID), CrispOnly: "names of crisp's units"},
	{Name: "a-pod-without-a-parent", Run: onSystemd(systemdOwnSlice), CrispOnly: "names of crisp's units"},
	{Name: "the-other-drivers-parent", Run: onSystemd(systemdWrongParent), CrispOnly: "crisp's words"},
	{Name: "oom-killed-ten-times", Run: onSystemd(systemdOOM), Scale: 2},
	{Name: "service-restart", Run: onSystemd(systemdRestart), CrispOnly: "crisp's unit", KillServe: true, Scale: 3},
}

func onSystemd(run func(*suite.T)) func(*suite.T) {
	return func(t *suite.T) {
		if !t.Systemd() {
			t.Skipf("the pods' cgroups are not systemd's")
		}
		run(t)
	}
}

func systemctl(t *suite.T, words ...string) string {
	text, err := exec.Command("systemctl", words...).CombinedOutput()
	if err != nil {
		t.Logf("systemctl %s: %v: %s", strings.Join(words, " "), err, text)
	}
	return strings.TrimSpace(string(text))
}

func property(t *suite.T, unit, name string) string {
	return systemctl(t, "show", "--value", "--property", name, unit)
}

// gone waits until systemd has forgotten the unit: neither left nor failed. To ask for a unit by its name would load it, and
// a slice needs no file: that of any name is then "loaded".
func gone(t *suite.T, unit string) {
	if !t.Until(10*time.Second, func() bool { return systemctl(t, "list-units", "--all", "--plain", "--no-legend", unit) == "" }) {
		t.Errorf("%s is left: %s", unit, property(t, unit, "ActiveState"))
	}
}

func scopeOf(c *suite.Container) string { return "crisp-" + c.ID + ".scope" }

func systemdScope(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuPeriod: 100000,
		CpuQuota: 12345, CpuShares: 1024, CpusetCpus: "0"}))
	unit, slice := scopeOf(c), p.Cgroup[strings.LastIndex(p.Cgroup, "/")+1:]
	for name, want := range map[string]string{"ActiveState": "active", "Slice": slice, "Delegate": "yes",
		"ControlGroup": p.Cgroup + "/" + unit, "MemoryMax": fmt.Sprint(64 << 20), "CPUWeight": "100",
		"CPUQuotaPerSecUSec": "130ms", "AllowedCPUs": "0", "TasksMax": "infinity"} {
		suite.Equal(t, name, property(t, unit, name), want)
	}
	if procs := node.CgroupProcs(p.Cgroup + "/" + unit); len(procs) != 1 {
		t.Errorf("processes %v in the scope: the container's alone was to be there", procs)
	}
	quota, err := node.CgroupFile(p.Cgroup+"/"+unit, "cpu.max")
	t.Must(err, "cpu.max")
	suite.Equal(t, "the exact quota", strings.TrimSpace(quota), "12345 100000")
	monitor := "crisp-monitor-" + p.ID + ".scope"
	suite.Equal(t, "the monitor's slice", property(t, monitor, "Slice"), "system.slice")
	if procs := node.CgroupProcs("/system.slice/" + monitor); len(procs) != 1 {
		t.Errorf("processes %v in the monitor's scope", procs)
	}
	c.Stop(0)
	c.Remove()
	gone(t, unit)
	p.End()
	gone(t, monitor)
}

// What was only written to the cgroup's files a daemon-reload may take back.
func systemdReload(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuShares: 1024}))
	_, err := t.CRI.UpdateContainerResources(t.Ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: c.ID,
		Linux: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 96 << 20, CpuShares: 2048,
			Unified: map[string]string{"memory.high": "83886080"}}})
	t.Must(err, "UpdateContainerResources")
	systemctl(t, "daemon-reload")
	// a change of one property writes the unit's others again
	systemctl(t, "set-property", "--runtime", scopeOf(c), "TasksMax=500")
	got := inside(c, "memory.max", "memory.high", "pids.max")
	suite.Equal(t, "memory.max", got["memory.max"], fmt.Sprint(96<<20))
	suite.Equal(t, "memory.high", got["memory.high"], "83886080")
	suite.Equal(t, "pids.max", got["pids.max"], "500")
}

func systemdSharedPID(t *suite.T) {
	p := t.RunPod(suite.SharedPID)
	unit := "crisp-" + p.ID + ".scope"
	if procs := node.CgroupProcs(p.Cgroup + "/" + unit); len(procs) != 1 {
		t.Errorf("processes %v in the scope of the pod's init", procs)
	}
	p.Run()
	p.End()
	gone(t, unit)
}

func systemdOwnSlice(t *suite.T) {
	config := t.PodConfig()
	config.Linux.CgroupParent = ""
	r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	t.Must(err, "RunPodSandbox")
	slice := "crisp-pod" + r.PodSandboxId + ".slice"
	suite.Equal(t, "its slice", property(t, slice, "ActiveState"), "active")
	_, err = t.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: r.PodSandboxId})
	t.Must(err, "StopPodSandbox")
	_, err = t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: r.PodSandboxId})
	t.Must(err, "RemovePodSandbox")
	gone(t, slice)
	if dirs, _ := filepath.Glob(node.CgroupRoot + "/crisp.slice/" + slice); len(dirs) > 0 {
		t.Errorf("%s is left", dirs)
	}
}

func systemdWrongParent(t *suite.T) {
	config := t.PodConfig()
	config.Linux.CgroupParent = "/kubepods/burstable/pod1"
	_, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	t.WantError(err, codes.InvalidArgument, "not a systemd slice")
}

// systemd takes an empty scope away at once: the reason must not be lost with it.
func systemdOOM(t *suite.T) {
	p := t.RunPod()
	for i := 0; i < 10; i++ {
		c := p.RunToEnd(suite.Payload("eat", "256"), suite.Resources(&runtimeapi.LinuxContainerResources{
			MemoryLimitInBytes: 32 << 20, MemorySwapLimitInBytes: 32 << 20}))
		suite.Equal(t, "reason", c.Status().Reason, "OOMKilled")
	}
	c := p.RunToEnd(suite.Payload("exit", "137"))
	suite.Equal(t, "reason of who only says so", c.Status().Reason, "Error")
}

// Whatever KillMode= says, monitors and containers are in units of their own.
func systemdRestart(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	before := node.CgroupProcs(p.Cgroup)
	old := t.Serve()
	systemctl(t, "restart", "crisp")
	if !t.Until(60*time.Second, func() bool { pid := t.Serve(); return pid != 0 && pid != old }) {
		t.Fatalf("no other serve")
	}
	suite.Equal(t, "state of crisp.service", property(t, "crisp", "ActiveState"), "active")
	suite.Equal(t, "the pod's processes", fmt.Sprint(node.CgroupProcs(p.Cgroup)), fmt.Sprint(before))
	suite.Equal(t, "state", c.Status().State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	suite.Equal(t, "exec", strings.TrimSpace(c.Exec("echo", "still here")), "still here")
}
