package cases

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

var survivalCases = []suite.Case{
	{Name: "pods-run-on", Run: surviveRunning, KillServe: true, Scale: 3},
	{Name: "exits-meanwhile", Run: surviveExits, KillServe: true, Scale: 2},
	{Name: "exits-while-nobody-serves", Run: surviveDown, KillServe: true, Scale: 2},
	{Name: "oom-meanwhile", Run: surviveOOM, KillServe: true, Scale: 2},
	{Name: "exec-and-attach-afterwards", Run: surviveExec, KillServe: true, Scale: 2},
	{Name: "users-of-its-own-afterwards", Run: usernsSurvives, CrispOnly: newer, KillServe: true, Scale: 2},
	{Name: "stop-afterwards", Run: surviveStop, KillServe: true, Scale: 2},
	{Name: "log-reopened-afterwards", Run: surviveReopen, KillServe: true, Scale: 2},
	{Name: "states-are-kept", Run: surviveStates, KillServe: true, Scale: 2},
	{Name: "killed-while-making-pods", Run: surviveMaking, KillServe: true, Scale: 4},
	{Name: "killed-while-removing-pods", Run: surviveRemoving, KillServe: true, Scale: 4},
	{Name: "killed-while-pulling", Run: survivePulling, KillServe: true, Scale: 2},
	{Name: "killed-while-unpacking", Run: surviveUnpacking, KillServe: true, Scale: 4},
	{Name: "killed-during-an-exec", Run: surviveDuringExec, KillServe: true, Scale: 2},
	{Name: "images-are-kept", Run: surviveImages, KillServe: true, Scale: 2},
	{Name: "terminated", Run: surviveTerm, KillServe: true, Scale: 2},
	{Name: "killed-ten-times", Run: surviveTen, KillServe: true, Scale: 4},
	{Name: "killed-twenty-times-under-load", Run: surviveLoad, CrispOnly: "its store", KillServe: true, Scale: 6},
	{Name: "another-build-and-back", Run: surviveOtherBuild, CrispOnly: "its program", KillServe: true, Scale: 5},
	{Name: "disk-full", Run: surviveDiskFull, CrispOnly: "words, and its store", Scale: 3},
	{Name: "200-pods", Run: twoHundred, Scale: 10},
}

// kill ends serve and waits until another answers. The containerd of the machine is started again in the same way.
func kill(t *suite.T, signal syscall.Signal) {
	old := t.Serve()
	if old == 0 {
		t.Fatalf("nobody listens on %s", t.Socket())
	}
	t.Must(syscall.Kill(old, signal), "kill")
	start := time.Now()
	if !t.Until(90*time.Second, func() bool {
		if pid := t.Serve(); pid == 0 || pid == old {
			return false
		}
		ctx, cancel := t.Deadline(5 * time.Second)
		defer cancel()
		_, err := t.CRI.Version(ctx, &runtimeapi.VersionRequest{})
		return err == nil
	}) {
		t.Fatalf("serve (%d) was not started again", old)
	}
	t.Logf("serve %d → %d, answering after %s", old, t.Serve(), time.Since(start))
}

// marked is the process of a container, by a word on its command line.
func marked(p *suite.Pod, word string) string {
	var found []string
	for _, pid := range node.CgroupProcs(p.Cgroup) {
		if proc, err := node.ReadProc(pid); err == nil && strings.Contains(proc.Cmdline, word) {
			found = append(found, fmt.Sprint(proc.Pid, "/", proc.Start))
		}
	}
	return strings.Join(found, " ")
}

func surviveRunning(t *suite.T) {
	type running struct {
		pod    *suite.Pod
		c      *suite.Container
		before string
	}
	var all []running
	for i := 0; i < 4; i++ {
		var options []suite.PodOption
		if i == 0 {
			options = append(options, suite.CNI)
		}
		if i == 1 {
			options = append(options, suite.SharedPID)
		}
		p := t.RunPod(options...)
		c := p.Run(suite.Payload("ticks", "5"))
		all = append(all, running{p, c, ""})
	}
	for i := range all {
		all[i].c.WaitText("tick 20")
		all[i].before = marked(all[i].pod, "ticks")
	}
	for i := 0; i < 3; i++ {
		kill(t, syscall.SIGKILL)
		time.Sleep(time.Second)
	}
	for i, r := range all {
		suite.Equal(t, fmt.Sprintf("process of pod %d", i), marked(r.pod, "ticks"), r.before)
		s := r.c.Status()
		suite.Equal(t, "state", s.State, runtimeapi.ContainerState_CONTAINER_RUNNING)
		suite.Equal(t, "pod", r.pod.Status().State, runtimeapi.PodSandboxState_SANDBOX_READY)
		n := len(r.c.Lines())
		if !t.Until(20*time.Second, func() bool { return len(r.c.Lines()) > n+20 }) {
			t.Errorf("the log of pod %d has stopped at line %d", i, n)
		}
		r.c.Stop(0)
		if k := ticksWithout(t, r.c.Lines()); k < n {
			t.Errorf("the log of pod %d has a gap at line %d of %d", i, k, n)
		}
		r.c.WantExit(137)
	}
	if ips := all[0].pod.IPs(); len(ips) == 0 {
		t.Errorf("the pod has lost its addresses")
	}
}

// ended while nobody was there to see it.
func surviveExits(t *suite.T) {
	p := t.RunPod()
	var all []*suite.Container
	for i := 0; i < 8; i++ {
		all = append(all, p.Run(suite.Payload("ticks", "20", fmt.Sprint(30+20*i), fmt.Sprint(i*3))))
	}
	all[0].WaitText("tick 3")
	old := t.Serve()
	// held, so that no answer comes while the containers end
	t.Must(syscall.Kill(old, syscall.SIGSTOP), "stop")
	time.Sleep(6 * time.Second)
	kill(t, syscall.SIGKILL)
	for i, c := range all {
		c.WantExit(int32(i * 3))
		s := c.Status()
		suite.Equal(t, "lines of the log", ticksWithout(t, c.Lines()), 30+20*i)
		if s.FinishedAt < s.StartedAt {
			t.Errorf("container %d: started %d, finished %d", i, s.StartedAt, s.FinishedAt)
		}
		if last := c.Lines()[len(c.Lines())-1].Time; time.Unix(0, s.FinishedAt).Sub(last).Abs() > 3*time.Second {
			t.Errorf("container %d: its last line is of %s, its end of %s", i, last, time.Unix(0, s.FinishedAt))
		}
	}
}

// The monitor alone sees them end, and writes it down for the one who serves next.
func surviveDown(t *suite.T) {
	p := t.RunPod()
	dir := t.Dir("go")
	volume := suite.Mounts(bind(dir, "/go"))
	c := p.Run(suite.Payload("wait-file-then", "/go/now", "lines", "50", "11"), volume)
	hungry := p.Run(memory(64), suite.Payload("wait-file-then", "/go/now", "eat", "256"), volume)
	t.Must(t.Down(), "end of the service")
	t.Must(os.WriteFile(dir+"/now", nil, 0o644), "file")
	ended := t.Until(60*time.Second, func() bool { return len(payloads(p, "")) == 0 })
	time.Sleep(2 * time.Second) // the records are written after the processes are gone
	back := time.Now()
	t.Must(t.Up(), "start of the service")
	if !ended {
		t.Errorf("they run on: %v", payloads(p, ""))
	}
	c.WantExit(11)
	suite.Equal(t, "lines of the log", len(c.Lines()), 50)
	if s := c.Status(); s.FinishedAt < s.StartedAt || s.FinishedAt > back.UnixNano() {
		t.Errorf("started %d, finished %d; nobody was there until %d", s.StartedAt, s.FinishedAt, back.UnixNano())
	}
	s := hungry.WaitExit()
	suite.Equal(t, "reason", s.Reason, "OOMKilled")
	suite.Equal(t, "exit code", s.ExitCode, 137)
}

func surviveOOM(t *suite.T) {
	p := t.RunPod()
	go_ := t.Dir("go")
	c := p.Run(memory(64), suite.Payload("wait-file-then", "/go/now", "eat", "256"), suite.Mounts(bind(go_, "/go")))
	t.Must(syscall.Kill(t.Serve(), syscall.SIGSTOP), "stop")
	t.Must(os.WriteFile(go_+"/now", nil, 0o644), "file")
	time.Sleep(5 * time.Second)
	kill(t, syscall.SIGKILL)
	s := c.WaitExit()
	suite.Equal(t, "reason", s.Reason, "OOMKilled")
	suite.Equal(t, "exit code", s.ExitCode, 137)
}

func surviveExec(t *suite.T) {
	p := t.RunPod(suite.CNI)
	c := p.Run(suite.Payload("copy-both"), stdin(false))
	answer(p, "8080")
	kill(t, syscall.SIGKILL)
	suite.Equal(t, "ExecSync", c.Exec("echo", "sync"), "sync\n")
	suite.Equal(t, "Exec", c.ExecStream("echo", "streamed"), "streamed\n")
	con := attach(t, c)
	con.say("hello\n")
	con.wait("out hello\n")
	got, problem := talkTo(t, p, 8080, "host")
	suite.Equal(t, "PortForward", got+problem, p.Config.Hostname)
	t.Must(update(t, c, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 200 << 20}), "UpdateContainerResources")
	p.Run(suite.Payload("exit")).WantExit(0)
}

func surviveStop(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("signals", "5"))
	c.WaitText("ready")
	kill(t, syscall.SIGKILL)
	c.Stop(30 * time.Second)
	c.WantExit(5)
	p.End()
	if _, err := os.Stat(node.CgroupRoot + p.Cgroup); err == nil && len(node.Cgroups(p.Cgroup)) > 1 {
		t.Errorf("cgroups are left: %v", node.Cgroups(p.Cgroup))
	}
}

func surviveReopen(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("ticks", "10"))
	c.WaitText("tick 5")
	kill(t, syscall.SIGKILL)
	old := c.Log + ".rotated"
	t.Must(os.Rename(c.Log, old), "rename")
	t.Must(reopen(t, c), "ReopenContainerLog")
	c.WaitText("tick")
	c.Stop(0)
	lines := append(t.LogLines(old), c.Lines()...)
	suite.Equal(t, "lines without a gap", ticksWithout(t, lines), len(lines))
}

// Everything that CRI says of pods and containers is the same before and after.
func surviveStates(t *suite.T) {
	p, q := t.RunPod(suite.CNI), t.RunPod()
	created := p.Create()
	ended := p.RunToEnd(suite.Payload("exit", "3"))
	runs := p.Run(runAs(1000, 1000), memory(64), func(c *runtimeapi.ContainerConfig) {
		c.Metadata.Attempt = 2
		c.Annotations["many"] = strings.Repeat("annotation ", 1000)
	})
	q.Stop()
	read := func() string {
		text := p.Status().String() + q.Status().String()
		for _, c := range []*suite.Container{created, ended, runs} {
			text += "\n" + c.Status().String()
		}
		return text
	}
	before := read()
	kill(t, syscall.SIGKILL)
	if after := read(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	// what was created only can be started, or says that it can't
	if err := created.TryStart(); err != nil {
		t.Errorf("StartContainer of one that was created before: %v", err)
	}
}

func surviveImages(t *suite.T) {
	ref, image := serve(t)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	list := func() string {
		r, err := t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{})
		t.Must(err, "ListImages")
		var all []string
		for _, i := range r.Images {
			all = append(all, fmt.Sprint(i.Id, i.RepoTags, i.RepoDigests, i.Size))
		}
		return strings.Join(sorted(all), "\n")
	}
	before := list()
	kill(t, syscall.SIGKILL)
	suite.Equal(t, "images", list(), before)
	t.RunPod().RunToEnd(suite.Image(image.ID()), suite.Payload("exit")).WantExit(0)
}

// SIGTERM: it goes away without touching a pod.
func surviveTerm(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("ticks", "10"))
	c.WaitText("tick 5")
	before := marked(p, "ticks")
	kill(t, syscall.SIGTERM)
	suite.Equal(t, "process", marked(p, "ticks"), before)
	n := len(c.Lines())
	if !t.Until(20*time.Second, func() bool { return len(c.Lines()) > n+10 }) {
		t.Errorf("the log has stopped")
	}
	c.Stop(0)
	ticksWithout(t, c.Lines())
}

// Recovery leaves nothing behind either, however often.
func surviveTen(t *suite.T) {
	p := t.RunPod()
	p.Run()
	kill(t, syscall.SIGKILL)
	mounts := len(node.Mounts(t.Serve()))
	fds, _ := node.Fds(t.Serve())
	for i := 0; i < 10; i++ {
		kill(t, syscall.SIGKILL)
	}
	if now := len(node.Mounts(t.Serve())); t.Crisp() && now > mounts {
		t.Errorf("%d mounts, before %d", now, mounts)
	}
	if now, _ := node.Fds(t.Serve()); t.Crisp() && now > fds+2 {
		t.Errorf("%d descriptors, before %d", now, fds)
	}
}

// The number: two hundred pods, some with a network of their own, and nothing left.
func twoHundred(t *suite.T) {
	count := 200
	if text := os.Getenv("CRITESTS_PODS"); text != "" {
		count, _ = strconv.Atoi(text)
	}
	before := t.Snapshot()
	configs := podConfigs(t, 10, suite.CNI)
	work := make(chan *runtimeapi.PodSandboxConfig)
	errs := make(chan error, count)
	const workers = 4
	var wg sync.WaitGroup
	for i := 0; i < workers; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for c := range work {
				errs <- upAndDown(t, c)
			}
		}()
	}
	start := time.Now()
	for i := 0; i < count; i++ {
		c := proto.Clone(configs[i%len(configs)]).(*runtimeapi.PodSandboxConfig)
		// another pod each time, in the same directories
		c.Metadata = &runtimeapi.PodSandboxMetadata{Name: fmt.Sprintf("many-%d", i), Namespace: "critests",
			Uid: fmt.Sprintf("%s-%d", c.Metadata.Uid, i)}
		work <- c
	}
	close(work)
	wg.Wait()
	for i := 0; i < count; i++ {
		if err := <-errs; err != nil {
			t.Errorf("%v", err)
		}
	}
	t.Logf("%d pods up and down in %s; %s", count, time.Since(start), t.Describe())
	if left := t.Settled(before); len(left) > 0 {
		var real []string
		for _, thing := range left {
			if !strings.Contains(thing, "cgroup "+t.CgroupParent+"/pod") || strings.Count(thing, "/") > 3 {
				real = append(real, thing)
			}
		}
		if len(real) > 0 {
			t.Errorf("left behind: %s", strings.Join(real, "; "))
		}
	}
}

func sorted(all []string) []string {
	sort.Strings(all)
	return all
}
