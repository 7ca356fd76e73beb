package cases

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

var containerCases = []suite.Case{
	{Name: "lifecycle", Run: containerLifecycle},
	{Name: "status-keeps-what-was-sent", Run: containerStatusKeeps},
	{Name: "list-filters", Run: containerFilters},
	{Name: "exit-codes", Run: containerExitCodes},
	{Name: "killed-by-signal", Run: containerKilled},
	{Name: "no-such-program", Run: containerNoProgram},
	{Name: "not-executable", Run: containerNotExecutable},
	{Name: "wrong-order", Run: containerWrongOrder},
	{Name: "stop-and-remove-twice", Run: containerTwice},
	{Name: "unknown-ids", Run: containerUnknown},
	{Name: "remove-running", Run: containerRemoveRunning},
	{Name: "remove-created", Run: containerRemoveCreated},
	{Name: "next-attempt", Run: containerAttempts},
	{Name: "same-name-twice", Run: containerSameName},
	{Name: "bad-input", Run: containerBadInput, CrispOnly: "containerd takes some of it, and its codes are others"},
	{Name: "image-not-there", Run: containerNoImage},
	{Name: "image-by-id", Run: containerImageByID},
	{Name: "stop-signal-term", Run: stopTerm},
	{Name: "stop-signal-of-the-image", Run: stopOfImage},
	{Name: "stop-signal-of-the-pod-spec", Run: stopOfSpec, CrispOnly: "came with CRI 0.33"},
	{Name: "stop-grace-then-kill", Run: stopGrace},
	{Name: "stop-without-grace", Run: stopNoGrace},
	{Name: "stop-shorter-grace-while-stopping", Run: stopShorter},
	{Name: "stop-reaches-stopped-process", Run: stopStopped},
	{Name: "init-ends-others-die", Run: initEnds},
	{Name: "many-in-one-pod", Run: containerMany},
	{Name: "what-is-written-stays-apart", Run: containerWrites},
}

func containerLifecycle(t *suite.T) {
	p := t.RunPod()
	before := time.Now().Add(-time.Millisecond)
	c := p.Create(suite.Payload("sleep", "1500", "7"))
	s := c.Status()
	suite.Equal(t, "state", s.State, runtimeapi.ContainerState_CONTAINER_CREATED)
	if s.CreatedAt < before.UnixNano() || s.StartedAt != 0 || s.FinishedAt != 0 {
		t.Errorf("times of a created one: %d %d %d", s.CreatedAt, s.StartedAt, s.FinishedAt)
	}
	c.Start()
	s = c.Status()
	suite.Equal(t, "state", s.State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	if s.StartedAt < s.CreatedAt || s.FinishedAt != 0 {
		t.Errorf("times of a running one: %d %d %d", s.CreatedAt, s.StartedAt, s.FinishedAt)
	}
	s = c.WaitExit()
	suite.Equal(t, "exit code", s.ExitCode, 7)
	suite.Equal(t, "reason", s.Reason, "Error")
	if ran := time.Duration(s.FinishedAt - s.StartedAt); ran < time.Second || ran > time.Minute {
		t.Errorf("it ran for %s, wanted some 1.5 s", ran)
	}
	ok := p.RunToEnd(suite.Payload("exit", "0")).Status()
	suite.Equal(t, "reason of an end without error", ok.Reason, "Completed")
	c.Remove()
	_, err := t.CRI.ContainerStatus(t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
	t.WantError(err, codes.NotFound, "container")
}

func containerStatusKeeps(t *suite.T) {
	p := t.RunPod()
	dir := t.Dir("volume")
	c := p.Run(func(c *runtimeapi.ContainerConfig) {
		c.Metadata.Attempt = 4
		c.Labels["odd/label.with-chars"] = "ünïcode value"
		c.Annotations["large"] = strings.Repeat("annotation ", 4000)
		c.Image.UserSpecifiedImage = "what-the-user/wrote:1"
		c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/mnt", HostPath: dir, Readonly: true}}
	})
	full := c.FullStatus()
	s := full.Status
	suite.Equal(t, "ID", s.Id, c.ID)
	suite.Equal(t, "metadata", s.Metadata.String(), c.Config.Metadata.String())
	suite.Equal(t, "labels", fmt.Sprint(s.Labels), fmt.Sprint(c.Config.Labels))
	suite.Equal(t, "annotations", fmt.Sprint(s.Annotations), fmt.Sprint(c.Config.Annotations))
	if s.Image.GetImage() == "" || s.ImageRef == "" {
		t.Errorf("image %q, reference %q: the kubelet refuses that", s.Image.GetImage(), s.ImageRef)
	}
	found := false
	for _, m := range s.Mounts {
		found = found || m.ContainerPath == "/mnt" && m.HostPath == dir && m.Readonly
	}
	if !found {
		t.Errorf("mounts of the status: %v", s.Mounts)
	}
	list, err := t.CRI.ListContainers(t.Ctx, &runtimeapi.ListContainersRequest{
		Filter: &runtimeapi.ContainerFilter{Id: c.ID}})
	t.Must(err, "ListContainers")
	if len(list.Containers) != 1 {
		t.Fatalf("listed %d times", len(list.Containers))
	}
	l := list.Containers[0]
	suite.Equal(t, "listed pod", l.PodSandboxId, p.ID)
	suite.Equal(t, "listed metadata", l.Metadata.String(), c.Config.Metadata.String())
	suite.Equal(t, "listed image", l.Image.GetImage() != "" && l.ImageRef != "", true)
	suite.Equal(t, "listed labels", fmt.Sprint(l.Labels), fmt.Sprint(c.Config.Labels))
	if t.Crisp() {
		suite.Equal(t, "image as the user wrote it", s.Image.UserSpecifiedImage, "what-the-user/wrote:1")
		if len(full.Info) == 0 || !strings.Contains(fmt.Sprint(full.Info), "pid") {
			t.Errorf("no process ID in the verbose status: %.200v", full.Info)
		}
	}
}

func containerFilters(t *suite.T) {
	p, q := t.RunPod(), t.RunPod()
	label := func(v string) suite.ContainerOption {
		return func(c *runtimeapi.ContainerConfig) { c.Labels["which"] = v }
	}
	all := map[string]*suite.Container{
		"created": p.Create(label("x")), "running": p.Run(label("y")),
		"exited": p.RunToEnd(label("x"), suite.Payload("exit")), "other": q.Run(label("x")),
	}
	state := func(s runtimeapi.ContainerState) *runtimeapi.ContainerStateValue {
		return &runtimeapi.ContainerStateValue{State: s}
	}
	for _, c := range []struct {
		name   string
		filter *runtimeapi.ContainerFilter
		want   string
	}{
		{"nothing", nil, "created exited other running"},
		{"the pod", &runtimeapi.ContainerFilter{PodSandboxId: p.ID}, "created exited running"},
		{"a prefix of the pod", &runtimeapi.ContainerFilter{PodSandboxId: p.ID[:12]}, "created exited running"},
		{"an ID", &runtimeapi.ContainerFilter{Id: all["other"].ID}, "other"},
		{"a prefix of an ID", &runtimeapi.ContainerFilter{Id: all["exited"].ID[:16]}, "exited"},
		{"an ID of another pod", &runtimeapi.ContainerFilter{Id: all["other"].ID, PodSandboxId: p.ID}, ""},
		{"created", &runtimeapi.ContainerFilter{State: state(runtimeapi.ContainerState_CONTAINER_CREATED)}, "created"},
		{"running", &runtimeapi.ContainerFilter{State: state(runtimeapi.ContainerState_CONTAINER_RUNNING)}, "other running"},
		{"exited", &runtimeapi.ContainerFilter{State: state(runtimeapi.ContainerState_CONTAINER_EXITED)}, "exited"},
		{"a label", &runtimeapi.ContainerFilter{LabelSelector: map[string]string{"which": "x"}}, "created exited other"},
		{"a label in the pod", &runtimeapi.ContainerFilter{LabelSelector: map[string]string{"which": "x"},
			PodSandboxId: p.ID}, "created exited"},
	} {
		r, err := t.CRI.ListContainers(t.Ctx, &runtimeapi.ListContainersRequest{Filter: c.filter})
		t.Must(err, "ListContainers")
		var got []string
		for _, name := range []string{"created", "exited", "other", "running"} {
			for _, l := range r.Containers {
				if l.Id == all[name].ID {
					got = append(got, name)
				}
			}
		}
		suite.Equal(t, "filter by "+c.name, strings.Join(got, " "), c.want)
	}
}

func containerExitCodes(t *suite.T) {
	p := t.RunPod()
	for _, code := range []int32{0, 1, 3, 127, 255} {
		p.RunToEnd(suite.Payload("exit", fmt.Sprint(code))).WantExit(code)
	}
}

func containerKilled(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	pids := payloads(p, "pause")
	if t.Handler != "" { // `runc start` returns before its init has become the program
		t.Until(20*time.Second, func() bool { pids = payloads(p, "pause"); return len(pids) > 0 })
	}
	if len(pids) != 1 {
		t.Fatalf("payload processes %v", pids)
	}
	// from outside, and this one: PID 1 of a namespace is safe from all others that it does not handle
	t.Must(syscall.Kill(pids[0], syscall.SIGKILL), "kill")
	c.WantExit(128 + int32(syscall.SIGKILL))
	suite.Equal(t, "reason", c.Status().Reason, "Error")
}

// payloads are the processes of a pod that run a word.
func payloads(p *suite.Pod, word string) []int {
	var found []int
	for _, pid := range node.CgroupProcs(p.Cgroup) {
		if proc, err := node.ReadProc(pid); err == nil && strings.Contains(proc.Cmdline, "critests payload "+word) {
			found = append(found, pid)
		}
	}
	return found
}

func wantStartError(t *suite.T, p *suite.Pod, words string, options ...suite.ContainerOption) {
	c, err := p.TryCreate(p.ContainerConfig(options...))
	if err == nil {
		err = c.TryStart()
		if err != nil {
			s := c.Status()
			suite.Equal(t, "state after it could not start", s.State, runtimeapi.ContainerState_CONTAINER_EXITED)
			if s.ExitCode == 0 {
				t.Errorf("exit code 0 though it never ran")
			}
		}
	}
	t.WantError(err, codes.OK, words)
}

func command(words ...string) suite.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) { c.Command, c.Args = words, nil }
}

func containerNoProgram(t *suite.T) {
	p := t.RunPod()
	wantStartError(t, p, "no-such-program.*(no such file|not found)", command("/no-such-program"))
	wantStartError(t, p, "no-such-program.*(no such file|not found|PATH)", command("no-such-program"))
}

func containerNotExecutable(t *suite.T) {
	p := t.RunPod()
	wantStartError(t, p, "permission|not executable", command("/etc/passwd"))
	wantStartError(t, p, "directory|permission", command("/etc"))
}

func containerWrongOrder(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	t.WantError(c.TryStart(), codes.OK, "running|started|state")
	_, err := c.TryExec(0, suite.PayloadCommand("exit")...)
	t.Must(err, "exec in a running one")
	c.Stop(0)
	t.WantError(c.TryStart(), codes.OK, "ended|exited|stopped|state|start")
	_, err = c.TryExec(0, suite.PayloadCommand("exit")...)
	t.WantError(err, codes.OK, "running|ended|exited|state")
	created := p.Create()
	_, err = created.TryExec(0, suite.PayloadCommand("exit")...)
	t.WantError(err, codes.OK, "running|started|created|state")
	created.Stop(0)
}

func containerTwice(t *suite.T) {
	c := t.RunPod().Run()
	for i := 0; i < 3; i++ {
		c.Stop(0)
	}
	for i := 0; i < 3; i++ {
		c.Remove()
	}
}

func containerUnknown(t *suite.T) {
	const id = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	_, err := t.CRI.StopContainer(t.Ctx, &runtimeapi.StopContainerRequest{ContainerId: id})
	t.Must(err, "stop of a container that is not there")
	_, err = t.CRI.RemoveContainer(t.Ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id})
	t.Must(err, "remove of a container that is not there")
	_, err = t.CRI.ContainerStatus(t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	t.WantError(err, codes.NotFound, "container")
	_, err = t.CRI.StartContainer(t.Ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
	t.WantError(err, codes.NotFound, "container")
	_, err = t.CRI.ExecSync(t.Ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: suite.PayloadCommand("exit")})
	t.WantError(err, codes.NotFound, "container")
}

func containerRemoveRunning(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	pids := payloads(p, "pause")
	c.Remove()
	for _, pid := range pids {
		if node.Alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
}

func containerRemoveCreated(t *suite.T) {
	p := t.RunPod()
	p.Create().Remove()
	if found := node.Cgroups(p.Cgroup); t.Crisp() && len(found) > 1 {
		t.Errorf("cgroups are left: %v", found[1:])
	}
}

func containerAttempts(t *suite.T) {
	p := t.RunPod()
	var ids []string
	for attempt := uint32(0); attempt < 3; attempt++ {
		c := p.RunToEnd(suite.Payload("say", fmt.Sprintf("attempt %d", attempt), ""),
			func(c *runtimeapi.ContainerConfig) {
				c.Metadata = &runtimeapi.ContainerMetadata{Name: "again", Attempt: attempt}
				c.LogPath = fmt.Sprintf("again/%d.log", attempt)
			})
		ids = append(ids, c.ID)
		s := c.Status()
		suite.Equal(t, "attempt", s.Metadata.Attempt, attempt)
	}
	r, err := t.CRI.ListContainers(t.Ctx, &runtimeapi.ListContainersRequest{
		Filter: &runtimeapi.ContainerFilter{PodSandboxId: p.ID}})
	t.Must(err, "ListContainers")
	suite.Equal(t, "containers", len(r.Containers), 3)
	if ids[0] == ids[1] || ids[1] == ids[2] {
		t.Errorf("attempts share IDs: %v", ids)
	}
}

// The same name and attempt while the first is there: the kubelet's retry, or an error; never two.
func containerSameName(t *suite.T) {
	p := t.RunPod()
	c := p.Create()
	again, err := p.TryCreate(c.Config)
	if err == nil && again.ID != c.ID {
		t.Errorf("two containers of one name: %s %s", c.ID, again.ID)
	}
	c.Remove()
	_, err = p.TryCreate(c.Config)
	t.Must(err, "the name after its container is gone")
}

func containerBadInput(t *suite.T) {
	p := t.RunPod()
	for _, c := range []struct {
		name   string
		change suite.ContainerOption
		words  string
	}{
		{"no metadata", func(c *runtimeapi.ContainerConfig) { c.Metadata = nil }, "metadata"},
		{"no name", func(c *runtimeapi.ContainerConfig) { c.Metadata.Name = "" }, "name"},
		{"no image", func(c *runtimeapi.ContainerConfig) { c.Image = nil }, "image"},
		{"a log path with ..", func(c *runtimeapi.ContainerConfig) { c.LogPath = "../../escaped.log" }, "log"},
		{"an absolute log path", func(c *runtimeapi.ContainerConfig) { c.LogPath = "/tmp/escaped.log" }, "log"},
		{"NUL in the environment", func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte("a\x00b")}}
		}, "env|NUL|A"},
		{"an environment name with =", func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "A=B", Value: []byte("c")}}
		}, "env|A=B"},
		{"an empty environment name", func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "", Value: []byte("c")}}
		}, "env"},
		{"an unknown capability", suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"NO_SUCH_CAP"}}
		}), "NO_SUCH_CAP"},
		{"a group without a user", suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.RunAsGroup = &runtimeapi.Int64Value{Value: 5}
		}), "group"},
		{"a user below zero", suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.RunAsUser = &runtimeapi.Int64Value{Value: -1}
		}), "user|range"},
		{"a user past 32 bits", suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.RunAsUser = &runtimeapi.Int64Value{Value: 1 << 32}
		}), "user|range"},
		{"a mount without a destination", suite.Mounts(&runtimeapi.Mount{HostPath: "/tmp"}), "mount|path"},
		{"a mount of a relative path", suite.Mounts(&runtimeapi.Mount{HostPath: "rel", ContainerPath: "/mnt"}), "mount|path|rel"},
		{"an unknown resource", suite.Resources(&runtimeapi.LinuxContainerResources{
			Unified: map[string]string{"../../../x": "1"}}), "unified|x"},
	} {
		made, err := p.TryCreate(p.ContainerConfig(c.change))
		if err == nil {
			t.Errorf("%s: no error", c.name)
			made.Remove()
			continue
		}
		t.WantError(err, codes.InvalidArgument, c.words)
	}
	if found := node.Cgroups(p.Cgroup); len(found) > 1 {
		t.Errorf("cgroups are left: %v", found[1:])
	}
}

func containerNoImage(t *suite.T) {
	p := t.RunPod()
	_, err := p.TryCreate(p.ContainerConfig(suite.Image("registry.test:5000/no/such:image")))
	t.WantError(err, codes.NotFound, "registry.test:5000/no/such:image")
}

func containerImageByID(t *suite.T) {
	p := t.RunPod()
	s, err := t.Images.ImageStatus(t.Ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: t.Base}})
	t.Must(err, "ImageStatus")
	p.RunToEnd(suite.Image(s.Image.Id), suite.Payload("exit")).WantExit(0)
	p.RunToEnd(suite.Image(s.Image.RepoDigests[0]), suite.Payload("exit")).WantExit(0)
}

func initEnds(t *suite.T) {
	p := t.RunPod(suite.SharedPID)
	c := p.Run(suite.Payload("children", "4"))
	c.WaitText("ready")
	children := payloads(p, "sleeper")
	suite.Equal(t, "children", len(children), 4)
	c.Stop(20 * time.Second)
	for _, pid := range children {
		if node.Alive(pid) {
			t.Errorf("child %d outlived its container", pid)
		}
	}
}

func containerMany(t *suite.T) {
	p := t.RunPod()
	var all []*suite.Container
	for i := 0; i < 12; i++ {
		all = append(all, p.Run(suite.Payload("say", fmt.Sprintf("number %d", i), "")))
	}
	for i, c := range all {
		c.WantExit(0)
		suite.Equal(t, "output", c.Text(""), fmt.Sprintf("number %d", i))
	}
}

// Of one image each container has a root of its own.
func containerWrites(t *suite.T) {
	p := t.RunPod()
	a, b := p.Run(), p.Run()
	suite.Equal(t, "a file of the image, written", a.Errors("write", "/etc/passwd", "mine")["/etc/passwd"], "")
	suite.Equal(t, "a file of the image, removed", a.Errors("remove", "/etc/group")["/etc/group"], "")
	suite.Equal(t, "a new file", a.Errors("write", "/new", "x")["/new"], "")
	for name, c := range map[string]*suite.Container{"the other": b, "a later one": p.Run()} {
		if text := c.ReadText("/etc/passwd"); !strings.HasPrefix(text, "root:") {
			t.Errorf("%s reads %q", name, text)
		}
		got := c.Errors("exists", "/etc/group", "/new")
		suite.Equal(t, "for "+name+" the removed file", got["/etc/group"], "")
		suite.Equal(t, "for "+name+" the new file", got["/new"], "ENOENT")
	}
}
