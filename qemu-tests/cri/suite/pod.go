package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
)

// Pod is a sandbox that runs, with what the kubelet would have made around it.
type Pod struct {
	t      *T
	ID     string
	Config *runtimeapi.PodSandboxConfig
	Cgroup string // its parent, from the cgroup root
	LogDir string
}

// PodOption changes what is asked for.
type PodOption func(*runtimeapi.PodSandboxConfig)

// CNI gives the pod a network of its own; without it, it has the node's, which is faster.
func CNI(c *runtimeapi.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_POD
	c.Hostname = c.Metadata.Name // the kubelet sends none for the node's network
}

// SharedPID gives all containers of the pod one PID namespace.
func SharedPID(c *runtimeapi.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
}

// PrivilegedPod allows privileged containers.
func PrivilegedPod(c *runtimeapi.PodSandboxConfig) {
	c.Linux.SecurityContext.Privileged = true
}

// PodConfig is one as the kubelet makes it, with directories and a cgroup that go when the case ends.
func (t *T) PodConfig(options ...PodOption) *runtimeapi.PodSandboxConfig {
	n := t.Next()
	uid := fmt.Sprintf("%08x-0000-4000-8000-%012x", n, os.Getpid())
	c := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: fmt.Sprintf("pod-%d", n), Namespace: "critests", Uid: uid},
		LogDirectory: filepath.Join(t.Work, "logs", uid),
		Labels:       map[string]string{"critests": "yes", "uid": uid},
		Annotations:  map[string]string{"critests.annotation": "kept"},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: t.podCgroup(uid),
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE,
					Pid: runtimeapi.NamespaceMode_CONTAINER, Ipc: runtimeapi.NamespaceMode_POD},
				Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
			},
		},
	}
	for _, o := range options {
		o(c)
	}
	return c
}

func systemctl(args ...string) error {
	text, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %v: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

// MakeCgroup makes a pod's, as the kubelet does: a directory, or a slice where systemd manages them.
func (e *Env) MakeCgroup(path string) error {
	if e.Systemd() && strings.HasSuffix(path, ".slice") {
		return systemctl("start", filepath.Base(path))
	}
	return os.MkdirAll(filepath.Join(node.CgroupRoot, path), 0o755)
}

// around makes what the kubelet makes before it asks for a pod, and takes it away at the end.
func (t *T) around(c *runtimeapi.PodSandboxConfig) {
	t.Must(os.MkdirAll(c.LogDirectory, 0o755), "log directory")
	dir := filepath.Join(node.CgroupRoot, c.Linux.CgroupParent)
	t.Must(t.MakeCgroup(c.Linux.CgroupParent), "pod's cgroup")
	t.Cleanup(func(t *T) {
		os.RemoveAll(c.LogDirectory)
		if t.Systemd() {
			t.Must(systemctl("stop", filepath.Base(c.Linux.CgroupParent)), "pod's slice")
		}
		var err error
		gone := func() bool {
			err = os.Remove(dir)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}
		if !t.Until(10*time.Second, gone) && errors.Is(err, syscall.EBUSY) {
			t.Errorf("the pod's cgroup is still in use: processes %v, below it %v",
				node.CgroupProcs(c.Linux.CgroupParent), node.Cgroups(c.Linux.CgroupParent)[1:])
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the pod's cgroup: %v", err)
		}
	})
}

// RunPod runs one; stopped and removed when the case ends.
func (t *T) RunPod(options ...PodOption) *Pod {
	p, err := t.TryPod(t.PodConfig(options...), "")
	t.Must(err, "RunPodSandbox")
	return p
}

// TryPod is the same, with the error that comes of it.
func (t *T) TryPod(c *runtimeapi.PodSandboxConfig, handler string) (*Pod, error) {
	if handler == "" {
		handler = t.Handler
	}
	t.around(c)
	r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: c, RuntimeHandler: handler})
	if err != nil {
		return nil, err
	}
	p := &Pod{t: t, ID: r.PodSandboxId, Config: c, Cgroup: c.Linux.CgroupParent, LogDir: c.LogDirectory}
	t.Cleanup(func(t *T) {
		p.t = t
		p.End()
	})
	return p, nil
}

// TryStop stops it.
func (p *Pod) TryStop(ctx context.Context) error {
	_, err := p.t.CRI.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.ID})
	return err
}

// TryRemove removes it.
func (p *Pod) TryRemove(ctx context.Context) error {
	_, err := p.t.CRI.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID})
	return err
}

// Stop stops it.
func (p *Pod) Stop() {
	p.t.Must(p.TryStop(p.t.Ctx), "StopPodSandbox")
}

// Remove removes it.
func (p *Pod) Remove() {
	p.t.Must(p.TryRemove(p.t.Ctx), "RemovePodSandbox")
}

// End stops and removes it; it may be gone already.
func (p *Pod) End() {
	p.Stop()
	p.Remove()
}

// Status of the pod.
func (p *Pod) Status() *runtimeapi.PodSandboxStatus {
	r, err := p.t.CRI.PodSandboxStatus(p.t.Ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
	p.t.Must(err, "PodSandboxStatus")
	if r.Status == nil {
		p.t.Fatalf("PodSandboxStatus: no status")
	}
	return r.Status
}

// Pods that a filter finds.
func (t *T) Pods(f *runtimeapi.PodSandboxFilter) []*runtimeapi.PodSandbox {
	r, err := t.CRI.ListPodSandbox(t.Ctx, &runtimeapi.ListPodSandboxRequest{Filter: f})
	t.Must(err, "ListPodSandbox")
	return r.Items
}

// IPs of the pod.
func (p *Pod) IPs() []string {
	n := p.Status().Network
	if n == nil || n.Ip == "" {
		return nil
	}
	all := []string{n.Ip}
	for _, ip := range n.AdditionalIps {
		all = append(all, ip.Ip)
	}
	return all
}
