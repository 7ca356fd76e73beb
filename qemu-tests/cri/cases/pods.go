package cases

import (
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

var podCases = []suite.Case{
	{Name: "lifecycle", Run: podLifecycle},
	{Name: "status-keeps-what-was-sent", Run: podStatusKeeps},
	{Name: "list-filters", Run: podFilters},
	{Name: "stop-and-remove-twice", Run: podTwice},
	{Name: "remove-running", Run: podRemoveRunning},
	{Name: "unknown-ids", Run: podUnknown},
	{Name: "retry-joins", Run: podRetryJoins, CrispOnly: "containerd: the name is reserved"},
	{Name: "parallel-retries-are-one-pod", Run: podParallelRetries, CrispOnly: "containerd: the name is reserved"},
	{Name: "next-attempt-is-another", Run: podAttempts},
	{Name: "caller-goes-away", Run: podCallerGone},
	{Name: "stop-ends-containers", Run: podStopEndsContainers},
	{Name: "no-pause-process", Run: podNoPause, CrispOnly: "others have one"},
	{Name: "bad-handler", Run: podBadHandler},
	{Name: "named-handler", Run: podNamedHandler, CrispOnly: "the handler's name is crisp's"},
	{Name: "bad-input", Run: podBadInput, CrispOnly: "containerd takes some of it, and its codes are others"},
	{Name: "shared-pid", Run: podSharedPID},
	{Name: "own-pid", Run: podOwnPID},
	{Name: "host-pid", Run: podHostPID},
	{Name: "target-pid", Run: podTargetPID},
	{Name: "shared-ipc", Run: podSharedIPC},
	{Name: "host-ipc", Run: podHostIPC},
	{Name: "sysctls", Run: podSysctls},
	{Name: "bad-sysctls", Run: podBadSysctls, CrispOnly: "runc checks less"},
	{Name: "unprivileged-ports", Run: podUnprivilegedPorts},
	{Name: "cgroup-parent", Run: podCgroupParent},
	{Name: "log-directory", Run: podLogDirectory},
	{Name: "twenty-at-once", Run: podTwenty, Scale: 2},
}

func podLifecycle(t *suite.T) {
	before := time.Now()
	p := t.RunPod()
	s := p.Status()
	suite.Equal(t, "state", s.State, runtimeapi.PodSandboxState_SANDBOX_READY)
	if made := time.Unix(0, s.CreatedAt); made.Before(before.Add(-time.Second)) || made.After(time.Now()) {
		t.Errorf("made at %s, asked for at %s", made, before)
	}
	p.Stop()
	suite.Equal(t, "state after the stop", p.Status().State, runtimeapi.PodSandboxState_SANDBOX_NOTREADY)
	p.Remove()
	_, err := t.CRI.PodSandboxStatus(t.Ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
	t.WantError(err, codes.NotFound, "pod|sandbox")
}

func podStatusKeeps(t *suite.T) {
	config := t.PodConfig()
	config.Metadata.Attempt = 3
	config.Labels["odd/label.with-chars"] = "ünïcode value"
	config.Annotations["large"] = strings.Repeat("annotation ", 4000)
	p, err := t.TryPod(config, "")
	t.Must(err, "RunPodSandbox")
	s := p.Status()
	suite.Equal(t, "ID", s.Id, p.ID)
	suite.Equal(t, "metadata", s.Metadata.String(), config.Metadata.String())
	suite.Equal(t, "labels", fmt.Sprint(s.Labels), fmt.Sprint(config.Labels))
	suite.Equal(t, "annotations", fmt.Sprint(s.Annotations), fmt.Sprint(config.Annotations))
	n := s.GetLinux().GetNamespaces().GetOptions()
	suite.Equal(t, "namespaces", n.String(), config.Linux.SecurityContext.NamespaceOptions.String())
	items := t.Pods(&runtimeapi.PodSandboxFilter{Id: p.ID})
	if len(items) != 1 {
		t.Fatalf("listed %d times", len(items))
	}
	suite.Equal(t, "listed metadata", items[0].Metadata.String(), config.Metadata.String())
	suite.Equal(t, "listed annotations", fmt.Sprint(items[0].Annotations), fmt.Sprint(config.Annotations))
	suite.Equal(t, "listed time", items[0].CreatedAt, s.CreatedAt)
}

func podFilters(t *suite.T) {
	a := t.RunPod(func(c *runtimeapi.PodSandboxConfig) { c.Labels["which"] = "a" })
	b := t.RunPod(func(c *runtimeapi.PodSandboxConfig) { c.Labels["which"] = "b" })
	b.Stop()
	state := func(s runtimeapi.PodSandboxState) *runtimeapi.PodSandboxStateValue {
		return &runtimeapi.PodSandboxStateValue{State: s}
	}
	ready, notReady := state(runtimeapi.PodSandboxState_SANDBOX_READY), state(runtimeapi.PodSandboxState_SANDBOX_NOTREADY)
	labels := func(v string) map[string]string { return map[string]string{"critests": "yes", "which": v} }
	for _, c := range []struct {
		name   string
		filter *runtimeapi.PodSandboxFilter
		want   string
	}{
		{"nothing", nil, "ab"},
		{"an ID", &runtimeapi.PodSandboxFilter{Id: a.ID}, "a"},
		{"a prefix of an ID", &runtimeapi.PodSandboxFilter{Id: b.ID[:12]}, "b"},
		{"an unknown ID", &runtimeapi.PodSandboxFilter{Id: "0123456789abcdef"}, ""},
		{"ready", &runtimeapi.PodSandboxFilter{State: ready}, "a"},
		{"not ready", &runtimeapi.PodSandboxFilter{State: notReady}, "b"},
		{"labels of a", &runtimeapi.PodSandboxFilter{LabelSelector: labels("a")}, "a"},
		{"a label nobody has", &runtimeapi.PodSandboxFilter{LabelSelector: labels("c")}, ""},
		{"labels of a, not ready", &runtimeapi.PodSandboxFilter{LabelSelector: labels("a"), State: notReady}, ""},
		{"all of b", &runtimeapi.PodSandboxFilter{LabelSelector: labels("b"), State: notReady, Id: b.ID}, "b"},
	} {
		got := ""
		for _, item := range t.Pods(c.filter) {
			if item.Id == a.ID {
				got = "a" + got
			} else if item.Id == b.ID {
				got += "b"
			}
		}
		suite.Equal(t, "filter by "+c.name, got, c.want)
	}
}

func podTwice(t *suite.T) {
	p := t.RunPod()
	p.Run()
	for i := 0; i < 3; i++ {
		p.Stop()
	}
	for i := 0; i < 3; i++ {
		p.Remove()
	}
}

func podRemoveRunning(t *suite.T) {
	p := t.RunPod(suite.CNI)
	c := p.Run()
	p.Remove()
	if n := len(t.Pods(&runtimeapi.PodSandboxFilter{Id: p.ID})); n != 0 {
		t.Errorf("the pod is still listed")
	}
	_, err := t.CRI.ContainerStatus(t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
	t.WantError(err, codes.NotFound, "container")
}

func podUnknown(t *suite.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	_, err := t.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	t.Must(err, "stop of a pod that is not there")
	_, err = t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
	t.Must(err, "remove of a pod that is not there")
	_, err = t.CRI.PodSandboxStatus(t.Ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	t.WantError(err, codes.NotFound, "pod|sandbox")
	_, err = t.CRI.CreateContainer(t.Ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: id,
		Config: &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
			Image: &runtimeapi.ImageSpec{Image: t.Base}}, SandboxConfig: t.PodConfig()})
	t.WantError(err, codes.NotFound, "pod|sandbox")
}

// What the kubelet does after its deadline: the same request again.
func podRetryJoins(t *suite.T) {
	p := t.RunPod()
	r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: p.Config})
	t.Must(err, "RunPodSandbox again")
	suite.Equal(t, "ID", r.PodSandboxId, p.ID)
	c := p.Create()
	again, err := p.TryCreate(c.Config)
	t.Must(err, "CreateContainer again")
	suite.Equal(t, "container's ID", again.ID, c.ID)
}

func podParallelRetries(t *suite.T) {
	config := t.PodConfig(suite.CNI)
	p, err := t.TryPod(config, "") // directories, cleanup
	t.Must(err, "RunPodSandbox")
	p.Remove()
	const callers = 8
	ids, errs := make(chan string, callers), make(chan error, callers)
	for i := 0; i < callers; i++ {
		go func() {
			r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
			errs <- err
			ids <- r.GetPodSandboxId()
		}()
	}
	seen := map[string]bool{}
	for i := 0; i < callers; i++ {
		if err := <-errs; err != nil {
			t.Errorf("one of the callers: %v", err)
		}
		seen[<-ids] = true
	}
	for id := range seen {
		t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
	}
	suite.Equal(t, "pods", len(seen), 1)
}

func podAttempts(t *suite.T) {
	p := t.RunPod()
	p.Stop()
	config := t.PodConfig()
	config.Metadata.Name, config.Metadata.Uid, config.Metadata.Attempt = p.Config.Metadata.Name, p.Config.Metadata.Uid, 1
	q, err := t.TryPod(config, "")
	t.Must(err, "the next attempt")
	if q.ID == p.ID {
		t.Errorf("two attempts, one ID")
	}
	suite.Equal(t, "attempt of the status", q.Status().Metadata.Attempt, 1)
}

// Mutations finish though their caller is gone; the pod must be found, or nothing be left.
func podCallerGone(t *suite.T) {
	config := t.PodConfig(suite.CNI)
	t.Must(os.MkdirAll(config.LogDirectory, 0o755), "log directory")
	t.Cleanup(func(t *suite.T) {
		os.RemoveAll(config.LogDirectory)
		os.Remove(node.CgroupRoot + config.Linux.CgroupParent)
	})
	ctx, cancel := t.Deadline(100 * time.Millisecond)
	_, err := t.CRI.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	cancel()
	t.Logf("RunPodSandbox of a caller that did not wait: %v", err)
	filter := &runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"uid": config.Metadata.Uid}}
	settled := func() bool {
		for _, p := range t.Pods(filter) {
			if p.State != runtimeapi.PodSandboxState_SANDBOX_READY {
				return false
			}
		}
		return true
	}
	if t.Crisp() { // the kubelet's next try joins what is in flight: its end is the end of both
		_, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
		t.Must(err, "the next try")
	} else {
		time.Sleep(3 * time.Second)
	}
	if !t.Until(30*time.Second, settled) {
		t.Errorf("the pod is neither ready nor gone")
	}
	for _, p := range t.Pods(filter) {
		_, err := t.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.Id})
		t.Must(err, "StopPodSandbox")
		_, err = t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.Id})
		t.Must(err, "RemovePodSandbox")
	}
}

func podStopEndsContainers(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	created := p.Create()
	pids := node.CgroupProcs(p.Cgroup)
	if len(pids) == 0 {
		t.Errorf("no process in the pod's cgroup")
	}
	p.Stop()
	s := c.Status()
	suite.Equal(t, "state", s.State, runtimeapi.ContainerState_CONTAINER_EXITED)
	if s.FinishedAt == 0 {
		t.Errorf("no time of its end")
	}
	for _, pid := range pids {
		if node.Alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	if err := created.TryStart(); err == nil {
		t.Errorf("a container could be started in a stopped pod")
	}
	if _, err := p.TryCreate(p.ContainerConfig()); err == nil {
		t.Errorf("a container could be made in a stopped pod")
	}
}

func podNoPause(t *suite.T) {
	p := t.RunPod()
	if pids := node.CgroupProcs(p.Cgroup); len(pids) != 0 {
		t.Errorf("an empty pod has processes %v", pids)
	}
}

func podBadHandler(t *suite.T) {
	_, err := t.TryPod(t.PodConfig(), "no-such-handler")
	t.WantError(err, codes.OK, "handler.*no-such-handler|no-such-handler.*handler")
}

func podNamedHandler(t *suite.T) {
	p, err := t.TryPod(t.PodConfig(), "crisp")
	t.Must(err, "RunPodSandbox")
	r, err := t.CRI.PodSandboxStatus(t.Ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
	t.Must(err, "PodSandboxStatus")
	suite.Equal(t, "handler", r.Status.RuntimeHandler, "crisp")
}

func podBadInput(t *suite.T) {
	for _, c := range []struct {
		name   string
		change suite.PodOption
		words  string
	}{
		{"no metadata", func(c *runtimeapi.PodSandboxConfig) { c.Metadata = nil }, "metadata"},
		{"no name", func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Name = "" }, "name"},
		{"no namespace", func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Namespace = "" }, "namespace"},
		{"no uid", func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Uid = "" }, "uid"},
		{"a relative log directory", func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = "logs/here" }, "log"},
		{"a log directory with ..", func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = "/var/log/pods/../../tmp/x" }, "log"},
		{"a cgroup parent with ..", func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "/critests/../../x" }, "cgroup"},
		{"a host name with a slash", func(c *runtimeapi.PodSandboxConfig) { suite.CNI(c); c.Hostname = "a/b" }, "host"},
		{"a host name too long", func(c *runtimeapi.PodSandboxConfig) { suite.CNI(c); c.Hostname = strings.Repeat("h", 65) }, "host"},
		{"a line end in the DNS configuration", func(c *runtimeapi.PodSandboxConfig) {
			suite.CNI(c)
			c.DnsConfig = &runtimeapi.DNSConfig{Searches: []string{"a\nnameserver 6.6.6.6"}}
		}, "dns|resolv|search"},
	} {
		config := t.PodConfig()
		keep := config.LogDirectory
		c.change(config)
		r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
		if err == nil {
			t.Errorf("%s: no error", c.name)
			_, err := t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: r.PodSandboxId})
			if err != nil {
				t.Errorf("RemovePodSandbox: %v", err)
			}
			os.RemoveAll(keep)
			os.Remove(node.CgroupRoot + config.Linux.CgroupParent)
			continue
		}
		os.RemoveAll(keep)
		t.WantError(err, codes.InvalidArgument, c.words)
	}
}
