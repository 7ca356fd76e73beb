package cases

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

// makers run pods' lives until they are told to stop; what they meet when serve dies is no failure.
func makers(t *suite.T, configs []*runtimeapi.PodSandboxConfig, stop chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, c := range configs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
					upAndDown(t, c)
				}
			}
		}()
	}
	return &wg
}

func podConfigs(t *suite.T, count int, options ...suite.PodOption) []*runtimeapi.PodSandboxConfig {
	var all []*runtimeapi.PodSandboxConfig
	for i := 0; i < count; i++ {
		var o []suite.PodOption
		if i%3 == 2 {
			o = options
		}
		c := t.PodConfig(o...)
		t.Must(os.MkdirAll(c.LogDirectory, 0o755), "log directory")
		t.Must(t.MakeCgroup(c.Linux.CgroupParent), "cgroup")
		all = append(all, c)
	}
	t.Cleanup(func(t *suite.T) {
		for _, c := range all {
			os.RemoveAll(c.LogDirectory)
			gone := func() bool { return os.Remove(node.CgroupRoot+c.Linux.CgroupParent) == nil }
			if !t.Until(10*time.Second, gone) {
				t.Errorf("the cgroup of %s is in use: %v", c.Metadata.Name, node.Cgroups(c.Linux.CgroupParent))
			}
		}
	})
	return all
}

// removeAll is what the kubelet does with pods that nobody wants.
func removeAll(t *suite.T, configs []*runtimeapi.PodSandboxConfig) {
	uids := map[string]bool{}
	for _, c := range configs {
		uids[c.Metadata.Uid] = true
	}
	for _, p := range t.Pods(nil) {
		if !uids[p.Metadata.Uid] {
			continue
		}
		_, err := t.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.Id})
		t.Must(err, "StopPodSandbox %s", p.Metadata.Name)
		_, err = t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.Id})
		t.Must(err, "RemovePodSandbox %s", p.Metadata.Name)
	}
}

func surviveMaking(t *suite.T) {
	configs := podConfigs(t, 6, suite.CNI)
	stop := make(chan struct{})
	wg := makers(t, configs, stop)
	for i := 0; i < 6; i++ {
		time.Sleep(time.Duration(700+i*431) * time.Millisecond)
		kill(t, syscall.SIGKILL)
	}
	close(stop)
	wg.Wait()
	removeAll(t, configs)
	for _, c := range configs { // and each of them can be made again
		t.Must(upAndDown(t, c), "pod %s afterwards", c.Metadata.Name)
	}
}

func surviveRemoving(t *suite.T) {
	configs := podConfigs(t, 9, suite.CNI)
	var ids []string
	for _, c := range configs {
		r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: c})
		t.Must(err, "RunPodSandbox")
		ids = append(ids, r.PodSandboxId)
	}
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
		}()
	}
	time.Sleep(150 * time.Millisecond)
	kill(t, syscall.SIGKILL)
	wg.Wait()
	removeAll(t, configs)
}

func survivePulling(t *suite.T) {
	s, ref, release := slowRegistry(t)
	done := make(chan error, 1)
	go func() {
		_, err := pull(t, ref)
		done <- err
	}()
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	kill(t, syscall.SIGKILL)
	if err := <-done; err == nil {
		t.Errorf("the pull of a daemon that died succeeded")
	}
	if imageStatus(t, ref) != nil {
		t.Errorf("the image is there")
	}
	if t.Crisp() && !t.Until(30*time.Second, func() bool { return s.Open() == 0 }) {
		t.Errorf("%d connections of the former pull are open", s.Open())
	}
	release()
	_, err := pull(t, ref)
	t.Must(err, "the pull again")
}

// Killed at several moments between the first byte of a layer and the image's record: what a pull finds of another that
// came to no end must not become part of an image.
func surviveUnpacking(t *suite.T) {
	const size, count = 3 << 20, 3
	layers := []oci.Layer{t.Program, suite.BaseTree()}
	for i := range count {
		layers = append(layers, oci.NewLayer(oci.File(fmt.Sprintf("in/%d", i), noise(size+i), 0o644), oci.File(fmt.Sprintf("in/small-%d", i), "x", 0o644)))
	}
	s := startRegistry(t)
	ref := s.Put("critests/midway", "1", oci.New(oci.Options{Config: suite.BaseConfig()}, layers...))
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	for _, delay := range []time.Duration{50, 300, 700, 1200, 2000} {
		removeImage(t, ref)
		blobs := s.Seen("blob")
		done := make(chan error, 1)
		go func() {
			_, err := pull(t, ref)
			done <- err
		}()
		if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > blobs }) {
			t.Errorf("nobody asks for a blob")
		}
		time.Sleep(delay * time.Millisecond)
		kill(t, syscall.SIGKILL)
		t.Logf("killed %d ms after the first request: %v", delay, <-done)
	}
	_, err := pull(t, ref)
	t.Must(err, "PullImage in the end")
	got := suite.Decode[map[string]payload.Node](t, t.RunPod().Run(suite.Image(ref)).Exec("tree", "/in"))
	suite.Equal(t, "files", len(got), 2*count+1)
	for i := range count {
		name := fmt.Sprint(i)
		suite.Equal(t, "sum of file "+name, got[name].Sum, oci.Digest([]byte(noise(size + i)))[7:])
	}
}

// The caller of a call in flight is told that it failed; what it started in the container is the container's.
func surviveDuringExec(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	answer := make(chan error, 1)
	go func() {
		_, err := c.TryExec(0, suite.PayloadCommand("sleep", "60000")...)
		answer <- err
	}()
	if !t.Until(30*time.Second, func() bool { return len(payloads(p, "sleep")) > 0 }) {
		t.Errorf("it does not run")
	}
	kill(t, syscall.SIGKILL)
	select {
	case err := <-answer:
		if err == nil {
			t.Errorf("an exec whose server was killed was fine")
		}
	case <-time.After(90 * time.Second):
		t.Fatalf("the call hangs")
	}
	suite.Equal(t, "another one", c.Exec("echo", "again"), "again\n")
}
