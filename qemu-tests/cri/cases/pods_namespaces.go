package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

func ownNamespace(t *suite.T, kind string) string {
	link, err := os.Readlink("/proc/self/ns/" + kind)
	t.Must(err, "namespace")
	return link
}

func podSharedPID(t *suite.T) {
	p := t.RunPod(suite.SharedPID)
	p.Run(suite.Payload("sleeper"))
	r := p.Report()
	if r.Pid == 1 {
		t.Errorf("a container of a pod with one PID namespace is PID 1 itself")
	}
	found := false
	for _, line := range r.Procs {
		found = found || strings.Contains(line, "sleeper")
	}
	if !found {
		t.Errorf("the other container's process is not to be seen: %v", r.Procs)
	}
	if first, ok := r.Procs[1]; !ok || strings.Contains(first, "sleeper") {
		t.Errorf("PID 1 is %q, wanted an init of the pod", first)
	}
	// orphans are reaped by that init
	p.RunToEnd(suite.Payload("orphans", "5", "100"))
	if !t.Until(5*time.Second, func() bool { return zombies(p.Cgroup) == 0 }) {
		t.Errorf("%d zombies", zombies(p.Cgroup))
	}
}

func zombies(cgroup string) int {
	n := 0
	for _, pid := range node.CgroupProcs(cgroup) {
		if node.State(pid) == "Z" {
			n++
		}
	}
	return n
}

func podOwnPID(t *suite.T) {
	p := t.RunPod()
	p.Run(suite.Payload("sleeper"))
	r := p.Report()
	suite.Equal(t, "its own PID", r.Pid, 1)
	suite.Equal(t, "processes it sees", len(r.Procs), 1)
}

func podHostPID(t *suite.T) {
	p := t.RunPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
	})
	r := p.Report()
	suite.Equal(t, "PID namespace", r.Namespaces["pid"], ownNamespace(t, "pid"))
	c := p.Run(suite.Payload("children", "3"))
	c.WaitText("ready")
	pids := node.CgroupProcs(p.Cgroup)
	c.Stop(0)
	for _, pid := range pids {
		if cmd, _ := node.ReadProc(pid); node.Alive(pid) && strings.Contains(cmd.Cmdline, "sleeper") {
			t.Errorf("a child of the container outlived its stop: %s", cmd)
		}
	}
}

// What `kubectl debug --target` asks for.
func podTargetPID(t *suite.T) {
	p := t.RunPod()
	target := p.Run(suite.Payload("sleeper"))
	r := p.Report(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		s.NamespaceOptions.TargetId = target.ID
	}))
	if !strings.Contains(r.Procs[1], "sleeper") {
		t.Errorf("PID 1 of the target's namespace is %q", r.Procs[1])
	}
	config := p.ContainerConfig(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		s.NamespaceOptions.TargetId = "no-such-container"
	}))
	c, err := p.TryCreate(config)
	if err == nil {
		err = c.TryStart()
	}
	t.WantError(err, codes.OK, "target|no-such-container")
}

func podSharedIPC(t *suite.T) {
	p, q := t.RunPod(), t.RunPod()
	a, b, other := p.Run(), p.Run(), q.Run()
	suite.Equal(t, "write to /dev/shm", a.Errors("write", "/dev/shm/note", "shared")["/dev/shm/note"], "")
	suite.Equal(t, "what the other container reads", b.ReadText("/dev/shm/note"), "shared")
	suite.Equal(t, "what another pod reads", other.Read("/dev/shm/note")["/dev/shm/note"].Error, "ENOENT")
	ra, rb := p.Report(), q.Report()
	if ra.Namespaces["ipc"] == rb.Namespaces["ipc"] || ra.Namespaces["ipc"] == ownNamespace(t, "ipc") {
		t.Errorf("two pods share an IPC namespace")
	}
	m, ok := node.At(node.ParseMounts(ra.Mounts), "/dev/shm")
	if !ok || m.Type != "tmpfs" || !m.Has("nosuid") || !m.Has("nodev") || !m.Has("noexec") {
		t.Errorf("/dev/shm is %v", m)
	}
	_, err := os.Stat("/dev/shm/note")
	suite.Equal(t, "the node has the file", err == nil, false)
}

func podHostIPC(t *suite.T) {
	p := t.RunPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Ipc = runtimeapi.NamespaceMode_NODE
	})
	suite.Equal(t, "IPC namespace", p.Report().Namespaces["ipc"], ownNamespace(t, "ipc"))
}

func podSysctls(t *suite.T) {
	values := map[string]string{"kernel.shm_rmid_forced": "1", "kernel.msgmax": "16384",
		"net.ipv4.ip_local_port_range": "20000 30000", "net/ipv4/tcp_syncookies": "0"}
	p := t.RunPod(suite.CNI, func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{}
		for k, v := range values {
			c.Linux.Sysctls[strings.ReplaceAll(k, "/", ".")] = v
		}
	})
	c := p.Run()
	for key, want := range values {
		got := strings.Join(strings.Fields(c.ReadText("/proc/sys/"+strings.ReplaceAll(key, ".", "/"))), " ")
		suite.Equal(t, key, got, want)
	}
	own, _ := os.ReadFile("/proc/sys/kernel/msgmax")
	if strings.TrimSpace(string(own)) == "16384" {
		t.Errorf("the node's own msgmax was set")
	}
}

func podBadSysctls(t *suite.T) {
	before, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	for key, value := range map[string]string{
		"kernel.core_pattern":                     "|/bin/evil",          // not of a namespace
		"kernel.shm_rmid_forced":                  "1+kernel.msgmax=1",   // CVE-2022-0811: one key, one value
		"net/../kernel/core_pattern":              "x",                   // a path
		"net.ipv4.no_such_sysctl_abc":             "1",                   // not there
		"vm.swappiness":                           "1",                   // the node's
		"kernel.msgmax":                           "8192\nkernel.sem=1 ", // two lines
		"net.ipv4.ip_forward+kernel.core_pattern": "0",                   // two keys
	} {
		config := t.PodConfig(suite.CNI)
		config.Linux.Sysctls = map[string]string{key: value}
		p, err := t.TryPod(config, "")
		if err == nil {
			p.Remove()
			t.Errorf("%s=%q was taken", key, value)
			continue
		}
		t.WantError(err, codes.OK, "sysctl")
	}
	after, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	suite.Equal(t, "core_pattern", string(after), string(before))
	// of the node's network nothing may be set
	config := t.PodConfig()
	config.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "0"}
	if p, err := t.TryPod(config, ""); err == nil {
		p.Remove()
		t.Errorf("a pod of the node's network set a net sysctl")
	}
	forward, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	suite.Equal(t, "ip_forward", strings.TrimSpace(string(forward)), "1")
}

// As containerd and CRI-O do by default: who is not root may listen on port 80 and ping.
func podUnprivilegedPorts(t *suite.T) {
	if !t.Crisp() {
		t.Skipf("a matter of configuration in containerd 1.7")
	}
	c := t.RunPod(suite.CNI).Run()
	start := c.ReadText("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	suite.Equal(t, "ip_unprivileged_port_start", strings.TrimSpace(start), "0")
}

func podCgroupParent(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	found := node.Cgroups(p.Cgroup)
	if len(found) < 2 {
		t.Fatalf("no cgroup below %s", p.Cgroup)
	}
	pids := node.CgroupProcs(p.Cgroup)
	own := 0
	for _, pid := range pids {
		if proc, _ := node.ReadProc(pid); strings.Contains(proc.Cmdline, "/critests payload pause") {
			own++
		}
	}
	suite.Equal(t, "payloads in the pod's cgroup", own, 1)
	c.Stop(0)
	c.Remove()
	if _, err := os.Stat(filepath.Join(node.CgroupRoot, p.Cgroup)); err != nil {
		t.Errorf("the pod's cgroup, which is the kubelet's, is gone: %v", err)
	}
}

func podLogDirectory(t *suite.T) {
	p := t.RunPod()
	c := p.RunToEnd(suite.Payload("echo", "where am I"))
	if _, err := os.Stat(filepath.Join(p.LogDir, c.Config.LogPath)); err != nil {
		t.Errorf("%v", err)
	}
	suite.Equal(t, "log", c.Stdout(), "where am I\n")
	suite.Equal(t, "log path of the status", c.Status().LogPath, c.Log)
}

func podTwenty(t *suite.T) {
	const count = 20
	configs := make([]*runtimeapi.PodSandboxConfig, count)
	for i := range configs {
		configs[i] = t.PodConfig()
		t.Must(os.MkdirAll(configs[i].LogDirectory, 0o755), "log directory")
		t.Must(t.MakeCgroup(configs[i].Linux.CgroupParent), "cgroup")
	}
	t.Cleanup(func(t *suite.T) {
		for _, c := range configs {
			os.RemoveAll(c.LogDirectory)
			if err := os.Remove(node.CgroupRoot + c.Linux.CgroupParent); err != nil {
				t.Errorf("the pod's cgroup: %v", err)
			}
		}
	})
	var wg sync.WaitGroup
	errs := make(chan error, count)
	start := time.Now()
	for _, c := range configs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs <- upAndDown(t, c)
		}()
	}
	wg.Wait()
	for range configs {
		if err := <-errs; err != nil {
			t.Errorf("%v", err)
		}
	}
	t.Logf("%d pods up and down in %s", count, time.Since(start))
}

// upAndDown is a pod's whole life, for many at once.
func upAndDown(t *suite.T, config *runtimeapi.PodSandboxConfig) error {
	r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	if err != nil {
		return fmt.Errorf("RunPodSandbox: %v", err)
	}
	c, err := t.CRI.CreateContainer(t.Ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: r.PodSandboxId,
		SandboxConfig: config, Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: "c"}, Image: &runtimeapi.ImageSpec{Image: t.Base},
			Command: suite.PayloadCommand("pause"), LogPath: "c.log",
			Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: config.Linux.SecurityContext.NamespaceOptions}}}})
	if err == nil {
		_, err = t.CRI.StartContainer(t.Ctx, &runtimeapi.StartContainerRequest{ContainerId: c.ContainerId})
	}
	if err != nil {
		err = fmt.Errorf("container: %v", err)
	}
	if _, e := t.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: r.PodSandboxId}); e != nil {
		return fmt.Errorf("StopPodSandbox: %v (%v)", e, err)
	}
	if _, e := t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: r.PodSandboxId}); e != nil {
		return fmt.Errorf("RemovePodSandbox: %v (%v)", e, err)
	}
	return err
}
