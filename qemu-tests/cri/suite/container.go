package suite

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/payload"
)

// Container of a pod.
type Container struct {
	t      *T
	Pod    *Pod
	ID     string
	Config *runtimeapi.ContainerConfig
	Log    string // path
}

// ContainerOption changes what is asked for.
type ContainerOption func(*runtimeapi.ContainerConfig)

// Payload runs a word of the payload.
func Payload(words ...string) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Command, c.Args = PayloadCommand(words...), nil
	}
}

// PayloadCommand is the same as a command.
func PayloadCommand(words ...string) []string {
	return append([]string{"/critests", payload.Word}, words...)
}

// Image takes another than the base image.
func Image(ref string) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Image = &runtimeapi.ImageSpec{Image: ref}
	}
}

// Security changes the security context.
func Security(f func(*runtimeapi.LinuxContainerSecurityContext)) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		f(c.Linux.SecurityContext)
	}
}

// Resources limits it.
func Resources(r *runtimeapi.LinuxContainerResources) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = r
	}
}

// Mounts adds some.
func Mounts(m ...*runtimeapi.Mount) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Mounts = append(c.Mounts, m...)
	}
}

// Privileged makes it so.
func Privileged(c *runtimeapi.ContainerConfig) {
	c.Linux.SecurityContext.Privileged = true
}

// ContainerConfig is one as the kubelet makes it.
func (p *Pod) ContainerConfig(options ...ContainerOption) *runtimeapi.ContainerConfig {
	name := fmt.Sprintf("c%d", p.t.Next())
	n := p.Config.Linux.SecurityContext.NamespaceOptions
	c := &runtimeapi.ContainerConfig{
		Metadata:    &runtimeapi.ContainerMetadata{Name: name},
		Image:       &runtimeapi.ImageSpec{Image: p.t.Base},
		Command:     PayloadCommand("pause"),
		LogPath:     name + "/0.log",
		Labels:      map[string]string{"critests": "yes", "name": name},
		Annotations: map[string]string{"critests.container": "kept"},
		Linux: &runtimeapi.LinuxContainerConfig{
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Network: n.Network, Pid: n.Pid, Ipc: n.Ipc,
					UsernsOptions: n.UsernsOptions},
				MaskedPaths:   defaultMasked(),
				ReadonlyPaths: defaultReadonly(),
				Seccomp:       &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
			},
		},
	}
	for _, o := range options {
		o(c)
	}
	return c
}

// As the kubelet sends them (pkg/securitycontext).
func defaultMasked() []string {
	return []string{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap"}
}

func defaultReadonly() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// TryCreate creates one, with the error that comes of it.
func (p *Pod) TryCreate(config *runtimeapi.ContainerConfig) (*Container, error) {
	mkdirFor(p.t, filepath.Join(p.LogDir, config.LogPath))
	r, err := p.t.CRI.CreateContainer(p.t.Ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: p.ID, Config: config,
		SandboxConfig: p.Config})
	if err != nil {
		return nil, err
	}
	c := &Container{t: p.t, Pod: p, ID: r.ContainerId, Config: config, Log: filepath.Join(p.LogDir, config.LogPath)}
	if c.ID == "" {
		p.t.Fatalf("CreateContainer: no ID")
	}
	p.t.Cleanup(func(t *T) { c.t = t }) // the pod's end removes it
	return c, nil
}

// Create creates one.
func (p *Pod) Create(options ...ContainerOption) *Container {
	c, err := p.TryCreate(p.ContainerConfig(options...))
	p.t.Must(err, "CreateContainer")
	return c
}

// Run creates and starts one.
func (p *Pod) Run(options ...ContainerOption) *Container {
	c := p.Create(options...)
	c.Start()
	return c
}

// RunToEnd runs one and waits until it has ended.
func (p *Pod) RunToEnd(options ...ContainerOption) *Container {
	c := p.Run(options...)
	c.WaitExit()
	return c
}

// Report of a new container: what its process says of itself.
func (p *Pod) Report(options ...ContainerOption) payload.Report {
	c := p.RunToEnd(append([]ContainerOption{Payload("report")}, options...)...)
	c.WantExit(0)
	return Decode[payload.Report](p.t, c.Stdout())
}

// TryStart starts it.
func (c *Container) TryStart() error {
	_, err := c.t.CRI.StartContainer(c.t.Ctx, &runtimeapi.StartContainerRequest{ContainerId: c.ID})
	return err
}

// Start starts it.
func (c *Container) Start() {
	c.t.Must(c.TryStart(), "StartContainer")
}

// TryStop stops it.
func (c *Container) TryStop(ctx context.Context, grace time.Duration) error {
	_, err := c.t.CRI.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: c.ID,
		Timeout: int64(grace / time.Second)})
	return err
}

// Stop stops it.
func (c *Container) Stop(grace time.Duration) {
	c.t.Must(c.TryStop(c.t.Ctx, grace), "StopContainer")
}

// Remove removes it.
func (c *Container) Remove() {
	_, err := c.t.CRI.RemoveContainer(c.t.Ctx, &runtimeapi.RemoveContainerRequest{ContainerId: c.ID})
	c.t.Must(err, "RemoveContainer")
}

// FullStatus with the verbose part.
func (c *Container) FullStatus() *runtimeapi.ContainerStatusResponse {
	r, err := c.t.CRI.ContainerStatus(c.t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
	c.t.Must(err, "ContainerStatus")
	if r.Status == nil {
		c.t.Fatalf("ContainerStatus: no status")
	}
	return r
}

// Status of the container.
func (c *Container) Status() *runtimeapi.ContainerStatus {
	return c.FullStatus().Status
}

// WaitExit until it has ended.
func (c *Container) WaitExit() *runtimeapi.ContainerStatus {
	var s *runtimeapi.ContainerStatus
	if !c.t.Until(c.t.Timeout, func() bool {
		r, err := c.t.CRI.ContainerStatus(c.t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
		if err != nil && c.t.Ctx.Err() != nil {
			return false
		}
		c.t.Must(err, "ContainerStatus")
		s = r.Status
		return s.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED
	}) {
		c.t.Fatalf("container %s does not end: %s; log %.500q%s%s", c.Config.Metadata.Name, s.GetState(), c.Text(""),
			node.Stuck(c.Pod.Cgroup), c.Pod.keepers())
	}
	return s
}

// keepers are the processes that look after the pod, with their children: a zombie among those was not reaped.
func (p *Pod) keepers() string {
	text := ""
	for pid, proc := range node.Procs() {
		if !strings.Contains(proc.Cmdline, p.ID) {
			continue
		}
		text += fmt.Sprintf("\n    %s, state %s", proc, node.State(pid))
		for _, child := range node.Children(pid) {
			text += fmt.Sprintf("\n      %s, state %s", child, node.State(child.Pid))
		}
	}
	return text
}

// WantExit: it ends with this code.
func (c *Container) WantExit(code int32) {
	s := c.WaitExit()
	if s.ExitCode != code {
		c.t.Fatalf("exit code %d, wanted %d; reason %q %q; log %.800q", s.ExitCode, code, s.Reason, s.Message, c.Text(""))
	}
}

// TryExec runs a command in it, waiting for at most timeout (0: for ever).
func (c *Container) TryExec(timeout time.Duration, command ...string) (*runtimeapi.ExecSyncResponse, error) {
	return c.t.CRI.ExecSync(c.t.Ctx, &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: command,
		Timeout: int64(timeout / time.Second)})
}

// Exec runs a word of the payload in it; what it said on stdout.
func (c *Container) Exec(words ...string) string {
	r, err := c.TryExec(0, PayloadCommand(words...)...)
	c.t.Must(err, "ExecSync %v", words)
	if r.ExitCode != 0 {
		c.t.Fatalf("ExecSync %v: exit code %d: %.500q %.500q", words, r.ExitCode, r.Stdout, r.Stderr)
	}
	return string(r.Stdout)
}

// Read files in it.
func (c *Container) Read(paths ...string) map[string]payload.Content {
	return Decode[map[string]payload.Content](c.t, c.Exec(append([]string{"read"}, paths...)...))
}

// ReadText of one file that must be there.
func (c *Container) ReadText(path string) string {
	content := c.Read(path)[path]
	if content.Error != "" {
		c.t.Fatalf("%s in the container: %s", path, content.Error)
	}
	return content.Text
}

// Errors of a word that answers with a map of them.
func (c *Container) Errors(words ...string) map[string]string {
	return Decode[map[string]string](c.t, c.Exec(words...))
}
