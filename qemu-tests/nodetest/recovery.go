package nodetest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// kill ends the runtime's daemon as a crash would; init starts it again.
func (t *T) kill() {
	pid := node.ServicePID(node.Runtime())
	t.Check(pid != 0, "the runtime does not run")
	t.OK(syscall.Kill(pid, syscall.SIGKILL), "kill")
	t.OK(node.WaitService(node.Runtime(), pid, true, 60*time.Second), "start again")
}

// answers waits until the restarted runtime does.
func (t *T) answers() {
	t.Until(2*time.Minute, "the runtime does not answer after its restart", func() string {
		ctx, cancel := context.WithTimeout(t, 5*time.Second)
		defer cancel()
		if _, err := t.Version(ctx, "v1"); err != nil {
			return err.Error()
		}
		return ""
	})
}

// down ends the runtime and keeps init from starting it again.
func (t *T) down() {
	pid := node.ServicePID(node.Runtime())
	t.OK(node.Control("stop", node.Runtime()), "control")
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.OK(node.WaitService(node.Runtime(), 0, false, 30*time.Second), "stop")
}

func (t *T) up() {
	t.OK(node.Control("start", node.Runtime()), "control")
	t.answers()
}

var recoveryCases = []Case{
	{Group: "recovery", Name: "kill-with-pods-running", Limit: 6 * time.Minute, Run: func(t *T) {
		cni := t.MakePod(t.PodConfig())
		web := cni.Start(cni.ContainerConfig("/bin/payload", "web", "8080"))
		p := t.Pod()
		ticks := p.Start(p.ContainerConfig("/bin/payload", "ticks"))
		done := p.Run("/bin/payload", "exit", "5")
		never := p.Create(p.ContainerConfig("/bin/payload", "pause"))
		ticks.ready("tick 3")
		webPID, ticksPID := t.pid(web), t.pid(ticks)
		before := map[string]*runtimeapi.ContainerStatus{}
		for _, c := range []*Container{web, ticks, done, never} {
			before[c.ID] = c.Status()
		}
		addresses := cni.addresses()
		t.kill()
		t.answers()
		for _, c := range []*Container{web, ticks, done, never} {
			was, is := before[c.ID], c.Status()
			t.Check(was.State == is.State && was.CreatedAt == is.CreatedAt && was.StartedAt == is.StartedAt &&
				was.FinishedAt == is.FinishedAt && was.ExitCode == is.ExitCode && was.LogPath == is.LogPath &&
				was.Metadata.Name == is.Metadata.Name && was.ImageId == is.ImageId, "was %v\nis  %v", was, is)
		}
		t.Check(t.pid(web) == webPID && t.pid(ticks) == ticksPID, "containers were restarted")
		t.Check(fmt.Sprint(cni.addresses()) == fmt.Sprint(addresses), "addresses were %v, are %v", addresses, cni.addresses())
		body, err := httpGet(addresses[0], 8080)
		t.Check(err == nil && body == cni.Config.Hostname, "the web server: %q %v", body, err)
		// everything works on what was found again
		t.Check(ticks.Shell("echo exec") == "exec\n", "exec")
		t.OK(t.StartContainer(t, never.ID), "start what had been created only")
		t.OK(t.StopContainer(t, never.ID, 5), "stop it")
		t.OK(t.StopContainer(t, ticks.ID, 0), "stop")
		t.Check(ticks.Status().ExitCode == 137, "code %d", ticks.Status().ExitCode)
		ticksInOrder(t, t.Lines(ticks.Log))
		t.Check(len(t.Lines(ticks.Log)) > 5, "%d lines", len(t.Lines(ticks.Log)))
	}},
	{Group: "recovery", Name: "ends-while-the-runtime-is-down", Limit: 6 * time.Minute, Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/sh", "-c", "echo started; until test -e /tmp/go; do sleep 0.2; done; payload lines 50; exit 11")
		dir := t.dir()
		config.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/tmp"}}
		c := p.Start(config)
		oom := p.ContainerConfig("/bin/sh", "-c", "until test -e /tmp/go; do sleep 0.2; done; exec payload eat 256")
		oom.Mounts = config.Mounts
		oom.Linux.Resources.MemoryLimitInBytes = 24 << 20
		o := p.Start(oom)
		c.ready("started")
		t.down()
		t.OK(os.WriteFile(dir+"/go", nil, 0o644), "go")
		time.Sleep(8 * time.Second)
		t.up()
		s := c.Wait()
		t.Check(s.ExitCode == 11 && s.FinishedAt > s.StartedAt && time.Since(time.Unix(0, s.FinishedAt)) > 3*time.Second, "%v", s)
		t.Check(len(t.Lines(c.Log)) == 51, "%d lines in the log", len(t.Lines(c.Log)))
		s = o.Wait()
		t.Check(s.Reason == "OOMKilled" && s.ExitCode == 137, "%s, %d", s.Reason, s.ExitCode)
	}},
	{Group: "recovery", Name: "kill-again-and-again", Limit: 8 * time.Minute, Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/payload", "ticks"))
		pid := t.pid(c)
		for range 5 {
			t.kill()
			t.answers()
			t.Check(c.Status().State == running && t.pid(c) == pid, "restarted")
		}
		t.OK(t.StopContainer(t, c.ID, 0), "StopContainer")
		ticksInOrder(t, t.Lines(c.Log))
	}},
	{Group: "recovery", Name: "kill-while-a-pod-is-made", Limit: 10 * time.Minute, Run: func(t *T) {
		for round := range 4 {
			config := t.PodConfig()
			t.OK(os.MkdirAll(config.LogDirectory, 0o755), "log directory")
			answer := make(chan error, 1)
			go func() {
				_, err := t.RunPodSandbox(t, config, "")
				answer <- err
			}()
			time.Sleep(time.Duration(5+40*round) * time.Millisecond)
			t.kill()
			<-answer
			t.answers()
			list, err := t.ListPodSandbox(t, &runtimeapi.PodSandboxFilter{LabelSelector: config.Labels})
			t.OK(err, "ListPodSandbox")
			for _, pod := range list {
				t.OK(t.StopPodSandbox(t, pod.Id), "stop what is there of it")
				t.OK(t.RemovePodSandbox(t, pod.Id), "remove what is there of it")
			}
			// the kubelet's retry
			p := t.MakePod(config)
			t.Check(p.Run("/bin/payload", "exit", "4").Status().ExitCode == 4, "after the retry")
		}
	}},
	{Group: "recovery", Name: "kill-while-a-container-is-made", Limit: 10 * time.Minute, Run: func(t *T) {
		for round := range 4 {
			p := t.Pod()
			config := p.ContainerConfig("/bin/payload", "pause")
			answer := make(chan error, 1)
			go func() {
				id, err := t.CreateContainer(t, p.ID, config, p.Config)
				if err == nil {
					err = t.StartContainer(t, id)
				}
				answer <- err
			}()
			time.Sleep(time.Duration(2+15*round) * time.Millisecond)
			t.kill()
			<-answer
			t.answers()
			list, err := t.ListContainers(t, &runtimeapi.ContainerFilter{LabelSelector: config.Labels})
			t.OK(err, "ListContainers")
			for _, c := range list {
				t.OK(t.RemoveContainer(t, c.Id), "remove what is there of it")
			}
			config.Metadata.Attempt++
			p.Start(config)
		}
	}},
	{Group: "recovery", Name: "kill-while-an-image-is-pulled", Limit: 8 * time.Minute, Run: func(t *T) {
		for round := range 3 {
			_ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: debian})
			answer := make(chan error, 1)
			go func() {
				_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: debian}, auth(), nil)
				answer <- err
			}()
			time.Sleep(time.Duration(200+700*round) * time.Millisecond)
			t.kill()
			<-answer
			t.answers()
			reply, err := t.Images.ImageStatus(t, &runtimeapi.ImageSpec{Image: debian}, false)
			t.OK(err, "ImageStatus")
			if reply.Image != nil {
				t.Note("round %d: the image was there already", round)
			}
		}
		t.Pull(debian)
		p := t.Pod()
		config := p.ContainerConfig("/bin/sleep", "100000")
		config.Image.Image = debian
		t.checkDebian(p.Start(config))
		for _, proc := range node.Processes() {
			t.Check(len(proc.Args) < 2 || !strings.HasPrefix(proc.Comm, "crisp") || proc.Args[1] != "unpack" && proc.Args[1] != "fetch",
				"a process of a pull is left: %v", proc)
		}
	}},
	{Group: "recovery", Name: "exec-survives-or-ends-with-an-error", Limit: 4 * time.Minute, Run: func(t *T) {
		c := t.Pod().Sleeper()
		answer := make(chan error, 1)
		go func() {
			_, _, err := t.ExecSync(t, c.ID, []string{"/bin/sleep", "3"}, time.Minute)
			answer <- err
		}()
		time.Sleep(500 * time.Millisecond)
		t.kill()
		select {
		case err := <-answer:
			t.Check(err != nil, "an exec whose server was killed was fine")
		case <-time.After(90 * time.Second):
			t.Fatalf("the call hangs")
		}
		t.answers()
		t.Check(c.Shell("echo again") == "again\n", "exec afterwards")
	}},
	{Group: "recovery", Name: "terminate-leaves-pods-alone", Limit: 4 * time.Minute, Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/payload", "ticks"))
		pid := t.pid(c)
		daemon := node.ServicePID(node.Runtime())
		t.OK(syscall.Kill(daemon, syscall.SIGTERM), "SIGTERM")
		t.OK(node.WaitService(node.Runtime(), daemon, true, 60*time.Second), "start again")
		t.answers()
		t.Check(c.Status().State == running && t.pid(c) == pid, "restarted")
		t.OK(t.StopContainer(t, c.ID, 0), "StopContainer")
		ticksInOrder(t, t.Lines(c.Log))
	}},
}
