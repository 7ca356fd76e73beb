package nodetest

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

const (
	created = runtimeapi.ContainerState_CONTAINER_CREATED
	running = runtimeapi.ContainerState_CONTAINER_RUNNING
	exited  = runtimeapi.ContainerState_CONTAINER_EXITED
)

func statfsUsed(path string) (int64, error) {
	var fs unix.Statfs_t
	err := unix.Statfs(path, &fs)
	return int64(fs.Blocks-fs.Bfree) * fs.Bsize, err
}

var containerCases = []Case{
	{Group: "container", Name: "life-and-status", Run: func(t *T) {
		p := t.Pod()
		c := p.Create(p.ContainerConfig("/bin/payload", "signals", "7"))
		s := c.Status()
		t.Check(s.State == created && s.CreatedAt > 0 && s.StartedAt == 0 && s.FinishedAt == 0, "created: %v", s)
		t.Check(s.Image.GetImage() != "" && s.ImageRef != "" && s.ImageId != "", "image of the status: %v", s)
		t.Check(s.LogPath == c.Log, "log path %s", s.LogPath)
		t.OK(t.StartContainer(t, c.ID), "StartContainer")
		s = c.Status()
		t.Check(s.State == running && s.StartedAt >= s.CreatedAt && s.FinishedAt == 0, "running: %v", s)
		c.ready("signals: ready")
		t.OK(t.StopContainer(t, c.ID, 30), "StopContainer")
		s = c.Status()
		t.Check(s.State == exited && s.ExitCode == 7 && s.FinishedAt >= s.StartedAt && s.Reason == "Error", "stopped: %v", s)
		t.OK(t.RemoveContainer(t, c.ID), "RemoveContainer")
		_, err := t.ContainerStatus(t, c.ID, false)
		t.Check(status.Code(err) == codes.NotFound, "removed: %v", err)
	}},
	{Group: "container", Name: "image-identifiers-agree", Run: func(t *T) {
		id := t.Pull(toybox)
		p := t.Pod()
		c := p.Sleeper()
		list, err := t.ListContainers(t, &runtimeapi.ContainerFilter{Id: c.ID})
		t.OK(err, "ListContainers")
		t.Check(len(list) == 1, "%d containers", len(list))
		s := c.Status()
		t.Check(s.ImageId == id && list[0].ImageId == id, "PullImage %s, ContainerStatus %s, Container %s", id, s.ImageId, list[0].ImageId)
	}},
	{Group: "container", Name: "exit-codes", Run: func(t *T) {
		p := t.Pod()
		for _, code := range []int32{0, 1, 3, 255} {
			s := p.Run("/bin/payload", "exit", fmt.Sprint(code)).Status()
			reason := "Error"
			if code == 0 {
				reason = "Completed"
			}
			t.Check(s.ExitCode == code && s.Reason == reason, "want %d: %d %s", code, s.ExitCode, s.Reason)
		}
		s := p.Run("/bin/sh", "-c", "kill -KILL $$").Status()
		t.Check(s.ExitCode == 137 || s.ExitCode == 0, "PID 1 that kills itself: %d", s.ExitCode)
	}},
	{Group: "container", Name: "list-and-filters", Run: func(t *T) {
		p, q := t.Pod(), t.Pod()
		a, b, other := p.Sleeper(), p.Create(p.ContainerConfig("/bin/true")), q.Sleeper()
		find := func(what string, f *runtimeapi.ContainerFilter, want ...*Container) {
			list, err := t.ListContainers(t, f)
			t.OK(err, "ListContainers")
			t.Check(len(list) == len(want), "%s: %d containers, want %d", what, len(list), len(want))
			for _, w := range want {
				found := false
				for _, c := range list {
					found = found || c.Id == w.ID && c.Metadata.Name == w.Config.Metadata.Name
				}
				t.Check(found, "%s: %s is missing", what, w.ID)
			}
		}
		find("by pod", &runtimeapi.ContainerFilter{PodSandboxId: p.ID}, a, b)
		find("by id", &runtimeapi.ContainerFilter{Id: other.ID}, other)
		find("by state", &runtimeapi.ContainerFilter{PodSandboxId: p.ID, State: &runtimeapi.ContainerStateValue{State: created}}, b)
		find("by label", &runtimeapi.ContainerFilter{LabelSelector: a.Config.Labels}, a)
		find("by pod and another's id", &runtimeapi.ContainerFilter{PodSandboxId: p.ID, Id: other.ID})
	}},
	{Group: "container", Name: "stop-by-signal-then-by-force", Run: func(t *T) {
		p := t.Pod()
		polite := p.Start(p.ContainerConfig("/bin/payload", "signals"))
		polite.ready("signals: ready")
		began := time.Now()
		t.OK(t.StopContainer(t, polite.ID, 30), "StopContainer")
		t.Check(time.Since(began) < 20*time.Second && polite.Status().ExitCode == 0, "polite: %v, code %d", time.Since(began), polite.Status().ExitCode)
		stubborn := p.Start(p.ContainerConfig("/bin/payload", "stubborn"))
		stubborn.ready("stubborn: ready")
		began = time.Now()
		t.OK(t.StopContainer(t, stubborn.ID, 2), "StopContainer")
		took := time.Since(began)
		t.Check(took >= 2*time.Second && took < 20*time.Second && stubborn.Status().ExitCode == 137, "stubborn: %v, code %d", took, stubborn.Status().ExitCode)
		t.OK(t.StopContainer(t, stubborn.ID, 0), "StopContainer again")
	}},
	{Group: "container", Name: "stop-signal-of-the-image", Run: func(t *T) {
		t.Pull(configured)
		p := t.Pod()
		config := p.ContainerConfig()
		config.Image.Image = configured
		c := p.Start(config)
		c.ready("signals: ready")
		t.OK(t.StopContainer(t, c.ID, 30), "StopContainer")
		t.Check(strings.Contains(c.Output(""), "signals: 10") && c.Status().ExitCode == 7, "log %q, code %d", c.Output(""), c.Status().ExitCode)
	}},
	{Group: "container", Name: "remove-while-running", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		t.OK(t.RemoveContainer(t, c.ID), "RemoveContainer")
		t.OK(t.RemoveContainer(t, c.ID), "RemoveContainer again")
	}},
	{Group: "container", Name: "start-twice", Run: func(t *T) {
		p := t.Pod()
		c := p.Run("/bin/true")
		t.Check(t.StartContainer(t, c.ID) != nil, "an ended container was started again")
	}},
	{Group: "container", Name: "command-of-the-image", Run: func(t *T) {
		t.Pull(configured)
		p := t.Pod()
		config := p.ContainerConfig()
		config.Image.Image = configured
		config.Args = []string{"lines", "2"}
		c := p.Start(config)
		c.Wait()
		t.Check(strings.Contains(c.Output(""), "line 1"), "entry point with other arguments: %q", c.Output(""))
	}},
	{Group: "container", Name: "environment-directory-and-user-of-the-image", Run: func(t *T) {
		t.Pull(configured)
		p := t.Pod()
		config := p.ContainerConfig("/bin/sh", "-c", "echo $FROM_IMAGE $MINE; pwd; id -u; id -g; cat /data/file")
		config.Image.Image = configured
		config.Envs = []*runtimeapi.KeyValue{{Key: "MINE", Value: []byte("too")}}
		c := p.Start(config)
		t.Check(c.Wait().ExitCode == 0, "code %d, %q", c.Status().ExitCode, c.Output(""))
		t.Check(c.Output("stdout") == "yes too\n/data\n1000\n1000\nfrom the image\n", "%q", c.Output(""))
	}},
	{Group: "container", Name: "environment-overrides", Run: func(t *T) {
		t.Pull(configured)
		p := t.Pod()
		config := p.ContainerConfig("/bin/sh", "-c", "echo $FROM_IMAGE; printf %s \"$BYTES\" | od -An -tx1")
		config.Image.Image = configured
		config.Envs = []*runtimeapi.KeyValue{{Key: "FROM_IMAGE", Value: []byte("mine")}, {Key: "BYTES", Value: []byte("\xff=\xfe")}}
		c := p.Start(config)
		c.Wait()
		t.Check(strings.HasPrefix(c.Output(""), "mine\n") && strings.Contains(c.Output(""), "ff 3d fe"), "%q", c.Output(""))
	}},
	{Group: "container", Name: "working-directory-is-made", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/pwd")
		config.WorkingDir = "/not/there/yet"
		c := p.Start(config)
		c.Wait()
		t.Check(c.Output("") == "/not/there/yet\n", "%q", c.Output(""))
	}},
	{Group: "container", Name: "no-such-command", Run: func(t *T) {
		p := t.Pod()
		id, err := t.CreateContainer(t, p.ID, p.ContainerConfig("/no/such/command"), p.Config)
		if err == nil {
			err = t.StartContainer(t, id)
		}
		t.Check(err != nil && strings.Contains(err.Error(), "/no/such/command"), "want an error that names it: %v", err)
		if id != "" {
			reply, err := t.ContainerStatus(t, id, false)
			t.OK(err, "ContainerStatus")
			t.Check(reply.Status.State != running, "it runs")
			t.OK(t.RemoveContainer(t, id), "RemoveContainer")
		}
	}},
	{Group: "container", Name: "absent-image", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/true")
		config.Image.Image = node.Registry + "/nothing:1"
		_, err := t.CreateContainer(t, p.ID, config, p.Config)
		t.Check(err != nil && strings.Contains(err.Error(), "nothing"), "want an error that names it: %v", err)
	}},
	{Group: "container", Name: "absent-container", Run: func(t *T) {
		id := "fedcba9876543210"
		t.Check(t.StartContainer(t, id) != nil, "StartContainer")
		_, err := t.ContainerStatus(t, id, false)
		t.Check(status.Code(err) == codes.NotFound, "ContainerStatus: %v", err)
		t.OK(t.StopContainer(t, id, 0), "StopContainer")
		t.OK(t.RemoveContainer(t, id), "RemoveContainer")
		_, _, err = t.ExecSync(t, id, []string{"true"}, 0)
		t.Check(err != nil, "ExecSync")
	}},
	{Group: "container", Name: "same-name-while-it-exists", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		first := p.Start(config)
		id, err := t.CreateContainer(t, p.ID, config, p.Config)
		t.Check(err != nil || id == first.ID, "a second container of the same name: %s", id)
		config.Metadata.Attempt = 1
		p.Start(config)
	}},
	{Group: "container", Name: "several-layers-as-they-should-be", Run: func(t *T) {
		t.Pull(debian)
		p := t.Pod()
		config := p.ContainerConfig("/bin/sleep", "100000")
		config.Image.Image = debian
		t.checkDebian(p.Start(config))
	}},
	{Group: "container", Name: "several-zstd-layers-as-they-should-be", Run: func(t *T) {
		t.Pull(debianZstd)
		p := t.Pod()
		config := p.ContainerConfig("/bin/sleep", "100000")
		config.Image.Image = debianZstd
		t.checkDebian(p.Start(config))
	}},
	{Group: "container", Name: "what-is-written-stays-apart", Run: func(t *T) {
		p := t.Pod()
		a, b := p.Sleeper(), p.Sleeper()
		a.Shell("echo mine > /etc/passwd; rm /etc/group; mkdir /new; echo x > /new/file")
		t.Check(strings.HasPrefix(b.Exec("/bin/cat", "/etc/passwd"), "root:"), "the other sees the change")
		t.Check(b.Shell("ls -d /new /etc/group 2>/dev/null; true") == "/etc/group\n", "the other sees the new directory")
	}},
	{Group: "container", Name: "orphans-are-reaped", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		c.Exec("/bin/payload", "orphans", "30")
		t.Until(10*time.Second, "zombies", func() string {
			return c.Shell("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true")
		})
	}},
	{Group: "container", Name: "all-its-processes-end-with-it", Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/sh", "-c", "sleep 54321 & setsid sleep 54321 & exec payload signals"))
		c.ready("signals: ready")
		t.OK(t.StopContainer(t, c.ID, 10), "StopContainer")
		t.Until(10*time.Second, "processes are left", func() string {
			for _, proc := range node.Processes() {
				if strings.Contains(strings.Join(proc.Args, " "), "sleep 54321") {
					return fmt.Sprint(proc.PID)
				}
			}
			return ""
		})
	}},
}

// ready waits until the container's log has text.
func (c *Container) ready(text string) {
	c.t.Until(30*time.Second, "its log lacks "+text, func() string {
		log, _ := os.ReadFile(c.Log)
		if strings.Contains(string(log), text) {
			return ""
		}
		return fmt.Sprintf("%q, state %v", log, c.Status().State)
	})
}

// checkDebian looks for what image/test-images.sh put into the image's layers.
func (t *T) checkDebian(c *Container) {
	for command, want := range map[string]string{
		"cat /opt/gone":                               "a file now\n",
		"cat /opt/replaced/file":                      "inside\n",
		"ls /opt/opaque":                              "upper\n",
		"cat /opt/link-a; ls /opt/link-b 2>&1 || :":   "linked\nls: cannot access '/opt/link-b': No such file or directory\n",
		"stat -c '%a %s' /opt/sparse":                 "644 8388612\n",
		"tail -c 4 /opt/sparse":                       "end\n",
		"stat -c %a /opt/id-setuid":                   "4755\n",
		"stat -c %F /opt/fifo":                        "fifo\n",
		"cat '/opt/n\u00e4me with blanks' /opt/xxxx*": "odd\nlong\n",
		"stat -c '%a %u:%g' /tmp":                     "1777 0:0\n",
		"stat -c %Y /opt/link-a":                      "1767225600\n",
		"readlink /bin":                               "usr/bin\n",
	} {
		got := c.Shell(command)
		t.Check(got == want, "%s: %q, want %q", command, got, want)
	}
	// the file capability works: an unprivileged process may open a raw socket through it
	t.Check(strings.Contains(c.Shell("cat /opt/ping-cap | head -c 4 | od -An -c"), "E"), "ping-cap cannot be read")
}

var limitCases = []Case{
	{Group: "limits", Name: "memory-cpu-and-pids-in-the-cgroup", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuQuota: 50000,
			CpuPeriod: 100000, CpuShares: 512, CpusetCpus: "0", OomScoreAdj: 555}
		c := p.Start(config)
		dir := t.cgroup(c)
		for file, want := range map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "cpuset.cpus": "0"} {
			t.Check(read(dir+file) == want, "%s is %q, want %s", file, read(dir+file), want)
		}
		// 1 + ((512-2)*9999)/262142, or the newer formula of runc
		weight := read(dir + "cpu.weight")
		t.Check(weight == "20" || weight == "59", "cpu.weight is %s", weight)
		t.Check(c.Exec("/bin/cat", "/proc/1/oom_score_adj") == "555\n", "oom_score_adj")
	}},
	{Group: "limits", Name: "unified-keys", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Linux.Resources.Unified = map[string]string{"memory.high": "50331648", "pids.max": "77", "memory.min": "0"}
		dir := t.cgroup(p.Start(config))
		t.Check(read(dir+"memory.high") == "50331648" && read(dir+"pids.max") == "77", "memory.high %s, pids.max %s",
			read(dir+"memory.high"), read(dir+"pids.max"))
	}},
	{Group: "limits", Name: "unified-keys-that-are-paths", Only: "crisp", Run: func(t *T) {
		p := t.Pod()
		for _, key := range []string{"../memory.max", "/memory.max", "cgroup.procs", "cgroup.kill", "a/b", ""} {
			config := p.ContainerConfig("/bin/true")
			config.Linux.Resources.Unified = map[string]string{key: "1"}
			id, err := t.CreateContainer(t, p.ID, config, p.Config)
			if err == nil {
				err = t.StartContainer(t, id)
			}
			t.Check(err != nil, "%q was accepted", key)
		}
	}},
	{Group: "limits", Name: "below-the-pods-cgroup", Run: func(t *T) {
		p := t.Pod()
		dir := t.cgroup(p.Sleeper())
		t.Check(strings.HasPrefix(dir, "/sys/fs/cgroup"+p.Config.Linux.CgroupParent+"/"), "cgroup %s", dir)
	}},
	{Group: "limits", Name: "out-of-memory", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "eat", "256")
		config.Linux.Resources.MemoryLimitInBytes = 24 << 20
		s := p.Start(config).Wait()
		t.Check(s.Reason == "OOMKilled" && s.ExitCode == 137, "%s, code %d", s.Reason, s.ExitCode)
	}},
	{Group: "limits", Name: "killed-but-not-for-memory", Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/payload", "stubborn"))
		c.ready("stubborn: ready")
		t.OK(t.StopContainer(t, c.ID, 0), "StopContainer")
		s := c.Status()
		t.Check(s.Reason == "Error" && s.ExitCode == 137, "%s, code %d", s.Reason, s.ExitCode)
	}},
	{Group: "limits", Name: "update-while-running", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		t.OK(t.UpdateContainerResources(t, c.ID, &runtimeapi.ContainerResources{Linux: &runtimeapi.LinuxContainerResources{
			MemoryLimitInBytes: 48 << 20, CpuQuota: 20000, CpuPeriod: 100000}}), "UpdateContainerResources")
		dir := t.cgroup(c)
		t.Check(read(dir+"memory.max") == "50331648" && read(dir+"cpu.max") == "20000 100000", "memory.max %s, cpu.max %s",
			read(dir+"memory.max"), read(dir+"cpu.max"))
		t.Check(c.Status().Resources.GetLinux().GetMemoryLimitInBytes() == 48<<20, "status: %v", c.Status().Resources)
	}},
}

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// PID of the container's first process, in the node's numbers.
func (t *T) pid(c *Container) int {
	mark := c.Config.Metadata.Name
	// found by its cgroup namespace's view from outside: the runtime need not tell
	for _, proc := range node.Processes() {
		group := read(fmt.Sprintf("/proc/%d/cgroup", proc.PID))
		if strings.Contains(group, c.ID) {
			return proc.PID
		}
	}
	t.Fatalf("no process of %s (%s) by its cgroup", c.ID, mark)
	return 0
}

// cgroup is the container's directory, with a slash at the end.
func (t *T) cgroup(c *Container) string {
	group := read(fmt.Sprintf("/proc/%d/cgroup", t.pid(c)))
	return "/sys/fs/cgroup" + strings.TrimPrefix(group, "0::") + "/"
}
