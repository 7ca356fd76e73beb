package nodetest

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

func mountTmpfs(dir string) error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m") }
func unmount(dir string)          { _ = unix.Unmount(dir, unix.MNT_DETACH) }

var logCases = []Case{
	{Group: "log", Name: "both-streams-in-order", Run: func(t *T) {
		c := t.Pod().Run("/bin/payload", "lines", "100")
		lines := t.Lines(c.Log)
		t.Check(len(lines) == 100, "%d lines", len(lines))
		next := map[string]int{"stdout": 0, "stderr": 1}
		var last time.Time
		for _, line := range lines {
			t.Check(line.Text == fmt.Sprintf("line %d", next[line.Stream]), "%s: %q, want %d", line.Stream, line.Text, next[line.Stream])
			next[line.Stream] += 2
			t.Check(!line.Time.Before(last), "time goes back at %q", line.Text)
			last = line.Time
		}
	}},
	{Group: "log", Name: "long-lines-are-partial", Run: func(t *T) {
		c := t.Pod().Run("/bin/sh", "-c", "payload bytes 100000; echo; echo end")
		lines := t.Lines(c.Log)
		total, partial := 0, 0
		for _, line := range lines[:len(lines)-1] {
			total += len(line.Text)
			if line.Partial {
				partial++
			}
			t.Check(len(line.Text) <= 64<<10, "a line of %d bytes", len(line.Text))
		}
		t.Check(total == 100000 && partial >= 1, "%d bytes, %d partial lines of %d", total, partial, len(lines))
		t.Check(lines[len(lines)-1].Text == "end" && !lines[len(lines)-1].Partial, "the last is %v", lines[len(lines)-1])
	}},
	{Group: "log", Name: "no-line-end-at-the-end", Run: func(t *T) {
		c := t.Pod().Run("/bin/sh", "-c", "printf 'no end'")
		lines := t.Lines(c.Log)
		t.Check(len(lines) == 1 && lines[0].Text == "no end", "%v", lines)
	}},
	{Group: "log", Name: "nothing-is-lost", Run: func(t *T) {
		c := t.Pod().Run("/bin/sh", "-c", "payload lines 20000 6 2>&1")
		t.Check(strings.Count(c.Output(""), "\n") == 20000, "%d lines of 20000", strings.Count(c.Output(""), "\n"))
	}},
	{Group: "log", Name: "rotation", Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/payload", "ticks"))
		c.ready("tick 3")
		t.OK(os.Rename(c.Log, c.Log+".1"), "rename")
		t.OK(t.ReopenContainerLog(t, c.ID), "ReopenContainerLog")
		t.Until(10*time.Second, "no new log", func() string {
			if text, _ := os.ReadFile(c.Log); len(text) > 0 {
				return ""
			}
			return "empty"
		})
		t.OK(t.StopContainer(t, c.ID, 0), "StopContainer")
		ticksInOrder(t, append(t.Lines(c.Log+".1"), t.Lines(c.Log)...))
		t.Check(t.ReopenContainerLog(t, c.ID) != nil, "the log of an ended container was opened again")
	}},
	{Group: "log", Name: "paths-stay-in-the-directory", Only: "crisp", Run: func(t *T) {
		p := t.Pod()
		for _, bad := range []string{"../../../../run/escaped.log", "/run/escaped.log", "a/../../b.log"} {
			config := p.ContainerConfig("/bin/true")
			config.LogPath = bad
			id, err := t.CreateContainer(t, p.ID, config, p.Config)
			if err == nil {
				_ = t.StartContainer(t, id)
			}
			_, stat := os.Stat("/run/escaped.log")
			t.Check(os.IsNotExist(stat), "%s was written", bad)
		}
	}},
	{Group: "log", Name: "a-link-in-its-place-is-not-followed", Only: "crisp", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "lines", "3")
		t.OK(os.Symlink("/run/stolen", p.Config.LogDirectory+"/"+config.LogPath), "link")
		id, err := t.CreateContainer(t, p.ID, config, p.Config)
		if err == nil && t.StartContainer(t, id) == nil {
			(&Container{t, id, config, ""}).Wait()
		}
		_, err = os.Stat("/run/stolen")
		t.Check(os.IsNotExist(err), "the target of the link was made")
	}},
}

func ticksInOrder(t *T, lines []Line) {
	for i, line := range lines {
		t.Check(line.Text == fmt.Sprintf("tick %d", i), "line %d is %q", i, line.Text)
	}
}

var execCases = []Case{
	{Group: "exec", Name: "output-and-code", Run: func(t *T) {
		c := t.Pod().Sleeper()
		stdout, stderr, err := t.ExecSync(t, c.ID, []string{"/bin/sh", "-c", "echo out; echo err >&2; exit 9"}, time.Minute)
		t.Check(string(stdout) == "out\n" && string(stderr) == "err\n", "stdout %q, stderr %q", stdout, stderr)
		code, ok := err.(interface{ ExitStatus() int })
		t.Check(ok && code.ExitStatus() == 9, "code: %v", err)
	}},
	{Group: "exec", Name: "timeout-kills", Run: func(t *T) {
		c := t.Pod().Sleeper()
		began := time.Now()
		_, _, err := t.ExecSync(t, c.ID, []string{"/bin/sh", "-c", "sleep 43210 & sleep 43210"}, 2*time.Second)
		t.Check(err != nil && strings.Contains(err.Error(), "timed out"), "%v", err)
		t.Check(time.Since(began) < 30*time.Second, "took %v", time.Since(began))
		t.Until(10*time.Second, "still runs", func() string {
			for _, p := range node.Processes() {
				if strings.Contains(strings.Join(p.Args, " "), "sh -c sleep 43210") {
					return fmt.Sprint(p.PID)
				}
			}
			return ""
		})
	}},
	{Group: "exec", Name: "no-such-command", Run: func(t *T) {
		c := t.Pod().Sleeper()
		_, stderr, err := t.ExecSync(t, c.ID, []string{"/no/such/command"}, time.Minute)
		t.Check(err != nil && strings.Contains(err.Error()+string(stderr), "/no/such/command"), "%v %s", err, stderr)
	}},
	{Group: "exec", Name: "in-an-ended-container", Run: func(t *T) {
		c := t.Pod().Run("/bin/true")
		_, _, err := t.ExecSync(t, c.ID, []string{"/bin/true"}, time.Minute)
		t.Check(err != nil, "it worked")
	}},
	{Group: "exec", Name: "much-output-is-bounded", Run: func(t *T) {
		c := t.Pod().Sleeper()
		stdout, _, err := t.ExecSync(t, c.ID, []string{"/bin/payload", "bytes", "3000000"}, time.Minute)
		t.OK(err, "3 MB")
		t.Check(len(stdout) == 3000000, "%d bytes", len(stdout))
		// CVE-2022-1708: what is beyond 16 MB must not come, nor end up in the runtime's memory
		before, _ := node.Memory(node.ServicePID(node.Runtime()))
		stdout, _, err = t.ExecSync(t, c.ID, []string{"/bin/payload", "bytes", "60000000"}, 2*time.Minute)
		t.Check(err != nil || len(stdout) <= 16<<20, "%d bytes", len(stdout))
		if node.Runtime() == "crisp" {
			after, _ := node.Memory(node.ServicePID("crisp"))
			t.Check(after-before < 48<<10, "serve grew from %d to %d KiB", before, after)
		}
	}},
	{Group: "exec", Name: "same-user-environment-and-cgroup", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Envs = []*runtimeapi.KeyValue{{Key: "MINE", Value: []byte("too")}}
		config.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
		c := p.Start(config)
		t.Check(c.Shell("id -u; echo $MINE") == "1000\ntoo\n", "%q", c.Shell("id -u; echo $MINE"))
		one, self := c.Exec("/bin/cat", "/proc/1/status"), c.Exec("/bin/cat", "/proc/self/status")
		for _, key := range []string{"CapEff", "CapBnd", "Seccomp", "Groups"} {
			t.Check(statusLine(one, key) == statusLine(self, key), "%s: %q and %q", key, statusLine(one, key), statusLine(self, key))
		}
		t.Check(c.Exec("/bin/cat", "/proc/self/cgroup") == "0::/\n", "cgroup seen: %q", c.Exec("/bin/cat", "/proc/self/cgroup"))
	}},
	{Group: "exec", Name: "many-at-once", Run: func(t *T) {
		c := t.Pod().Sleeper()
		errs := make(chan error, 20)
		for i := range 20 {
			go func() {
				out, _, err := t.ExecSync(t, c.ID, []string{"/bin/toybox", "echo", fmt.Sprint(i)}, time.Minute)
				if err == nil && string(out) != fmt.Sprintf("%d\n", i) {
					err = fmt.Errorf("exec %d said %q", i, out)
				}
				errs <- err
			}()
		}
		for range 20 {
			t.OK(<-errs, "exec")
		}
	}},
	{Group: "exec", Name: "one-that-leaves-a-child-behind", Run: func(t *T) {
		c := t.Pod().Sleeper()
		began := time.Now()
		out, _, err := t.ExecSync(t, c.ID, []string{"/bin/sh", "-c", "sleep 3 >/dev/null 2>&1 & echo done"}, 30*time.Second)
		t.OK(err, "ExecSync")
		t.Check(string(out) == "done\n" && time.Since(began) < 25*time.Second, "%q after %v", out, time.Since(began))
	}},
}

var statsCases = []Case{
	{Group: "stats", Name: "of-one-container", Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/sh", "-c", "dd if=/dev/zero of=/file bs=64k count=64 2>/dev/null; while :; do :; done"))
		var s *runtimeapi.ContainerStats
		t.Until(90*time.Second, "no stats", func() string {
			var err error
			s, err = t.ContainerStats(t, c.ID)
			if err != nil {
				return err.Error()
			}
			if s.Cpu.GetUsageCoreNanoSeconds().GetValue() == 0 || s.Memory.GetWorkingSetBytes().GetValue() == 0 ||
				s.WritableLayer.GetUsedBytes().GetValue() < 4<<20 {
				return s.String()
			}
			return ""
		})
		t.Check(s.Attributes.Id == c.ID && s.Attributes.Metadata.Name == c.Config.Metadata.Name &&
			s.Attributes.Labels["name"] == c.Config.Labels["name"], "attributes: %v", s.Attributes)
		t.Check(s.Cpu.Timestamp > 0 && s.WritableLayer.FsId.GetMountpoint() != "", "stats: %v", s)
		again, err := t.ContainerStats(t, c.ID)
		t.OK(err, "ContainerStats")
		t.Check(again.Cpu.UsageCoreNanoSeconds.Value >= s.Cpu.UsageCoreNanoSeconds.Value, "CPU time goes back")
	}},
	{Group: "stats", Name: "list-and-filter", Run: func(t *T) {
		p, q := t.Pod(), t.Pod()
		a, b, other := p.Sleeper(), p.Sleeper(), q.Sleeper()
		list, err := t.ListContainerStats(t, &runtimeapi.ContainerStatsFilter{PodSandboxId: p.ID})
		t.OK(err, "ListContainerStats")
		seen := map[string]bool{}
		for _, s := range list {
			seen[s.Attributes.Id] = true
		}
		t.Check(len(list) == 2 && seen[a.ID] && seen[b.ID], "by pod: %d", len(list))
		list, err = t.ListContainerStats(t, &runtimeapi.ContainerStatsFilter{Id: other.ID})
		t.OK(err, "ListContainerStats")
		t.Check(len(list) == 1 && list[0].Attributes.Id == other.ID, "by id: %d", len(list))
		t.OK(t.StopContainer(t, b.ID, 0), "StopContainer")
		_, err = t.ListContainerStats(t, nil)
		t.OK(err, "ListContainerStats with an ended container")
	}},
}
