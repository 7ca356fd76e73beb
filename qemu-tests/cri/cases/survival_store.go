package cases

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/suite"
)

const (
	program    = "/usr/bin/crisp"
	otherBuild = "/usr/libexec/crisp-tests/crisp-other" // another version of it
)

// layerSums are of the files of all layers in the store: the same layer always is the same file.
func layerSums(t *suite.T) string {
	var all []string
	for _, path := range node.Files(filepath.Join(t.Root, "layers")) {
		if text, err := os.ReadFile(path); err == nil {
			all = append(all, filepath.Base(path)+" "+oci.Digest(text))
		}
	}
	return strings.Join(sorted(all), "\n")
}

// What calls say when serve dies meanwhile is no matter; what is left afterwards is.
func surviveLoad(t *suite.T) {
	seed := uint64(time.Now().UnixNano()) % 1_000_000
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ref, _ := serve(t, t.Padding(2<<20), t.Padding(2<<20), t.Padding(2<<20))
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	want := layerSums(t)
	configs := podConfigs(t, 3, suite.CNI)
	before := t.Snapshot()
	stayer := t.RunPod()
	ticks := stayer.Run(suite.Payload("ticks", "20"))
	done := stayer.RunToEnd(suite.Payload("exit"))
	process, finished := marked(stayer, "ticks"), done.Status().FinishedAt

	stop := make(chan struct{})
	work := makers(t, configs, stop)
	var puller sync.WaitGroup
	puller.Add(1)
	go func() {
		defer puller.Done()
		for {
			select {
			case <-stop:
				return
			default:
				t.Images.RemoveImage(t.Ctx, &runtimeapi.RemoveImageRequest{Image: spec(ref)})
				pull(t, ref)
			}
		}
	}()
	for range 20 {
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
		kill(t, syscall.SIGKILL)
	}
	close(stop)
	work.Wait()
	puller.Wait()
	suite.Equal(t, "process", marked(stayer, "ticks"), process)
	suite.Equal(t, "end of an ended container", done.Status().FinishedAt, finished)
	removeAll(t, configs)
	ticks.Stop(0)
	ticksWithout(t, ticks.Lines())
	stayer.End()
	_, err = pull(t, ref)
	t.Must(err, "PullImage afterwards")
	suite.Equal(t, "layers", layerSums(t), want)
	left := t.Settled(before)
	for i := 0; i < len(left); i++ { // the stayer's own goes when the case ends
		if strings.HasPrefix(left[i], "cgroup "+stayer.Cgroup) {
			left = append(left[:i], left[i+1:]...)
			i--
		}
	}
	if len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "; "))
	}
}

// replace makes serve's program another file, as an update of the OS image would, and waits until that answers.
func replace(t *suite.T, change func() error, version string) {
	t.Must(change(), "replace the program")
	kill(t, syscall.SIGTERM)
	suite.Equal(t, "version that serves", versionOf(t), version)
}

func versionOf(t *suite.T) string {
	r, err := t.CRI.Version(t.Ctx, &runtimeapi.VersionRequest{})
	t.Must(err, "Version")
	return r.RuntimeVersion
}

// An update of the node, and back: no pod, no log that is followed and no exec session notices.
func surviveOtherBuild(t *suite.T) {
	out, err := exec.Command(otherBuild, "--version").Output()
	if err != nil {
		t.Skipf("there is no other build: %v", err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	other, own := strings.TrimPrefix(first, "crisp "), versionOf(t)
	if other == own {
		t.Fatalf("both builds are version %s", own)
	}
	var pods []*suite.Pod
	var all []*suite.Container
	for i := range 20 {
		var options []suite.PodOption
		if i%4 == 0 {
			options = append(options, suite.CNI)
		}
		p := t.RunPod(options...)
		pods, all = append(pods, p), append(all, p.Run(suite.Payload("ticks", "100")))
	}
	identities := func() string {
		var text []string
		for _, p := range pods {
			text = append(text, marked(p, "ticks"))
		}
		for pid, p := range crispProcesses() {
			if strings.Contains(p.Cmdline, "monitor") {
				text = append(text, fmt.Sprint("monitor ", pid, "/", p.Start))
			}
		}
		return strings.Join(sorted(text), "\n")
	}
	was := identities()
	followed := t.File("followed", "")
	file, err := os.OpenFile(followed, os.O_WRONLY|os.O_APPEND, 0)
	t.Must(err, "file")
	defer file.Close()
	logs := exec.CommandContext(t.Ctx, program, "--runtime-endpoint", t.Endpoint, "logs", "-f", all[0].ID)
	logs.Stdout = file
	t.Must(logs.Start(), "crisp logs -f")
	defer logs.Wait()
	defer logs.Process.Kill()
	session := talk(t, false, func(s suite.Streams) string { return all[1].ExecURL(s, suite.PayloadCommand("copy-both")...) })
	ask := func(word string) {
		session.say(word + "\n")
		session.wait("out " + word + "\n")
	}
	ask("before")
	replace(t, func() error { return unix.Mount(otherBuild, program, "", unix.MS_BIND, "") }, other)
	t.Cleanup(func(*suite.T) { unix.Unmount(program, unix.MNT_DETACH) })
	ask("with the other build")
	suite.Equal(t, "processes and monitors", identities(), was)
	suite.Equal(t, "an exec through the other build", all[2].Exec("echo", "through"), "through\n")
	made := t.RunPod().RunToEnd(suite.Payload("exit", "3"))
	replace(t, func() error { return unix.Unmount(program, unix.MNT_DETACH) }, own)
	ask("and back")
	suite.Equal(t, "what the other build made", made.Status().ExitCode, 3)
	now := identities()
	for _, line := range strings.Split(was, "\n") {
		if !strings.Contains(now, line) {
			t.Errorf("gone after the way back: %s", line)
		}
	}
	session.in.Close()
	t.Must(session.end(), "end of the exec session")
	for _, c := range all {
		c.Stop(0)
		ticksWithout(t, c.Lines())
	}
	count := len(all[0].Lines())
	read := func() string { text, _ := os.ReadFile(followed); return string(text) }
	if !t.Until(30*time.Second, func() bool { return strings.Count(read(), "\n") >= count }) {
		t.Errorf("crisp logs -f has %d of %d lines", strings.Count(read(), "\n"), count)
	}
	for i, line := range strings.Split(strings.TrimSuffix(read(), "\n"), "\n") {
		if line != fmt.Sprintf("tick %d", i) {
			t.Fatalf("line %d of crisp logs -f is %q", i, line)
		}
	}
}

// fillDisk leaves so much of the store's file system, of what root may use too.
func fillDisk(t *suite.T, file string, leave int64) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	t.Must(err, "ballast")
	defer f.Close()
	for step := freeOf(t) - leave; step > 64<<10; {
		size, err := f.Seek(0, io.SeekEnd)
		t.Must(err, "seek")
		if err := unix.Fallocate(int(f.Fd()), 0, size, step); err != nil {
			step /= 2
		}
		step = min(step, freeOf(t)-leave)
	}
	t.Must(f.Sync(), "sync")
}

func freeOf(t *suite.T) int64 {
	var s unix.Statfs_t
	t.Must(unix.Statfs(t.Root, &s), "statfs")
	return int64(s.Bfree) * s.Bsize
}

// A full disk is told in words, leaves nothing behind, and is forgotten when there is room again.
func surviveDiskFull(t *suite.T) {
	const words = "no space left|room"
	ref, _ := serve(t, t.Padding(8<<20))
	configs := podConfigs(t, 3)
	before, free := t.Snapshot(), freeOf(t)
	ballast := filepath.Join(t.Root, "ballast")
	t.Cleanup(func(*suite.T) { os.Remove(ballast) })
	fillDisk(t, ballast, 2<<20)
	_, err := pull(t, ref)
	t.WantError(err, codes.OK, words)
	for _, c := range configs {
		if err := upAndDown(t, c); err != nil {
			t.WantError(err, codes.OK, words)
		}
	}
	t.Must(os.Remove(ballast), "give back")
	removeAll(t, configs)
	if left := t.Settled(before); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	if !t.Until(30*time.Second, func() bool { return freeOf(t) >= free-1<<20 }) {
		t.Errorf("%d bytes free, before %d", freeOf(t), free)
	}
	_, err = pull(t, ref)
	t.Must(err, "PullImage when there is room")
	t.RunPod().RunToEnd(suite.Image(ref), suite.Payload("exit")).WantExit(0)
}
