package nodetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// Images of the test registry (image/test-images.sh makes them).
const (
	toybox     = node.Registry + "/toybox:1"
	toyboxZstd = node.Registry + "/toybox:zstd"
	debian     = node.Registry + "/debian:1"
	debianZstd = node.Registry + "/debian:zstd"
	multi      = node.Registry + "/multi:1"
	otherArch  = node.Registry + "/multi:other-only"
	configured = node.Registry + "/config:1"
)

var serial atomic.Int64

func auth() *runtimeapi.AuthConfig {
	return &runtimeapi.AuthConfig{Username: node.User, Password: node.Password}
}

// prepare pulls what nearly every case needs.
func prepare(cri *node.CRI) error {
	t := &T{Context: background, CRI: cri}
	for _, image := range []string{toybox} {
		if _, err := cri.Images.PullImage(t, &runtimeapi.ImageSpec{Image: image}, auth(), nil); err != nil {
			return fmt.Errorf("pull %s: %w\n%s", image, err, node.Log(node.Runtime(), 40))
		}
	}
	return nil
}

// Pull makes sure that an image is there; it is left for other cases.
func (t *T) Pull(image string) string {
	id, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: image}, auth(), nil)
	t.OK(err, "pull %s", image)
	return id
}

// Pod is one that a case made.
type Pod struct {
	t      *T
	ID     string
	Config *runtimeapi.PodSandboxConfig
}

// PodConfig is what the kubelet would send for a pod with its own network; change it before MakePod.
func (t *T) PodConfig() *runtimeapi.PodSandboxConfig {
	n := serial.Add(1)
	name := fmt.Sprintf("%s-%d", strings.ReplaceAll(t.name, "/", "-"), n)
	return &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "tests", Uid: "uid-" + name},
		Hostname:     "host-" + fmt.Sprint(n),
		LogDirectory: "/var/log/pods/tests_" + name,
		Labels:       map[string]string{"case": name},
		Annotations:  map[string]string{"note": "of " + name},
		DnsConfig:    &runtimeapi.DNSConfig{Servers: []string{"192.0.2.53"}, Searches: []string{"tests.example"}, Options: []string{"ndots:3"}},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: "/tests/" + name,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
}

// OnHost makes it a pod on the host's network, which is quicker to make.
func onHost(config *runtimeapi.PodSandboxConfig) *runtimeapi.PodSandboxConfig {
	config.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	config.Hostname = ""
	return config
}

// MakePod runs a sandbox that goes away with the case.
func (t *T) MakePod(config *runtimeapi.PodSandboxConfig) *Pod {
	t.OK(os.MkdirAll(config.LogDirectory, 0o755), "log directory")
	// the kubelet makes the pod's cgroup before it asks for the pod
	cgroup := "/sys/fs/cgroup" + config.Linux.CgroupParent
	t.OK(os.MkdirAll(cgroup, 0o755), "cgroup")
	delegate("/sys/fs/cgroup/tests")
	delegate(cgroup)
	id, err := t.RunPodSandbox(t, config, "")
	t.OK(err, "RunPodSandbox")
	t.Cleanup(func() {
		if err := t.StopPodSandbox(t, id); err != nil {
			fmt.Printf("     (%s: stop of the pod: %v)\n", t.name, err)
		}
		if err := t.RemovePodSandbox(t, id); err != nil {
			fmt.Printf("     (%s: removal of the pod: %v)\n", t.name, err)
		}
		os.RemoveAll(config.LogDirectory)
		removeCgroups(cgroup)
	})
	return &Pod{t, id, config}
}

// Pod is the usual one: host network, own PID namespace for each container.
func (t *T) Pod() *Pod { return t.MakePod(onHost(t.PodConfig())) }

func delegate(dir string) {
	text, _ := os.ReadFile(dir + "/cgroup.controllers")
	for _, name := range strings.Fields(string(text)) {
		_ = os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+name), 0)
	}
}

func removeCgroups(dir string) {
	// children first; files go with their directory
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeCgroups(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}

// Container is one that a case made in a pod.
type Container struct {
	t      *T
	ID     string
	Config *runtimeapi.ContainerConfig
	Log    string
}

// ContainerConfig runs command from the toybox image; change it before Make.
func (p *Pod) ContainerConfig(command ...string) *runtimeapi.ContainerConfig {
	name := fmt.Sprintf("c%d", serial.Add(1))
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: toybox},
		Command:  command,
		LogPath:  name + ".log",
		Labels:   map[string]string{"name": name},
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources: &runtimeapi.LinuxContainerResources{},
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: p.Config.Linux.SecurityContext.NamespaceOptions,
				MaskedPaths:      []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
				ReadonlyPaths:    []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
				Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
			},
		},
	}
}

// Create makes the container; it goes with the pod.
func (p *Pod) Create(config *runtimeapi.ContainerConfig) *Container {
	id, err := p.t.CreateContainer(p.t, p.ID, config, p.Config)
	p.t.OK(err, "CreateContainer")
	return &Container{p.t, id, config, filepath.Join(p.Config.LogDirectory, config.LogPath)}
}

// Start makes and starts a container.
func (p *Pod) Start(config *runtimeapi.ContainerConfig) *Container {
	c := p.Create(config)
	p.t.OK(p.t.StartContainer(p.t, c.ID), "StartContainer")
	return c
}

// Run starts a command and waits for its end; it returns the container.
func (p *Pod) Run(command ...string) *Container {
	c := p.Start(p.ContainerConfig(command...))
	c.Wait()
	return c
}

// Sleeper is a container that does nothing until it is stopped.
func (p *Pod) Sleeper() *Container { return p.Start(p.ContainerConfig("/bin/payload", "pause")) }

// Status of the container.
func (c *Container) Status() *runtimeapi.ContainerStatus {
	reply, err := c.t.ContainerStatus(c.t, c.ID, false)
	c.t.OK(err, "ContainerStatus")
	return reply.Status
}

// Wait for the end; the final status.
func (c *Container) Wait() *runtimeapi.ContainerStatus {
	var status *runtimeapi.ContainerStatus
	c.t.Until(time.Minute, "the container did not end", func() string {
		status = c.Status()
		if status.State == runtimeapi.ContainerState_CONTAINER_EXITED {
			return ""
		}
		return status.State.String()
	})
	return status
}

// Exec runs a command in it; stdout.
func (c *Container) Exec(command ...string) string {
	stdout, stderr, err := c.t.ExecSync(c.t, c.ID, command, time.Minute)
	c.t.OK(err, "ExecSync %q (%s)", command, stderr)
	return string(stdout)
}

// Shell runs a shell command in it; stdout.
func (c *Container) Shell(command string) string { return c.Exec("/bin/sh", "-c", command) }

// Line is one of a container's log, in CRI's format.
type Line struct {
	Time    time.Time
	Stream  string
	Partial bool
	Text    string
}

// Lines reads a log and fails if any line has not CRI's format.
func (t *T) Lines(path string) []Line {
	text, err := os.ReadFile(path)
	t.OK(err, "read the log")
	var lines []Line
	for _, raw := range strings.SplitAfter(string(text), "\n") {
		if raw == "" {
			continue
		}
		words := strings.SplitN(strings.TrimSuffix(raw, "\n"), " ", 4)
		t.Check(strings.HasSuffix(raw, "\n") && len(words) == 4, "log line %.100q is not TIME STREAM TAG TEXT", raw)
		at, err := time.Parse(time.RFC3339Nano, words[0])
		t.OK(err, "log line %.100q", raw)
		t.Check(words[1] == "stdout" || words[1] == "stderr", "log line %.100q: stream", raw)
		t.Check(words[2] == "F" || words[2] == "P", "log line %.100q: tag", raw)
		lines = append(lines, Line{at, words[1], words[2] == "P", words[3]})
	}
	return lines
}

// Output is what a container's log has of a stream, "" for both; partial lines joined.
func (c *Container) Output(stream string) string {
	var text strings.Builder
	for _, line := range c.t.Lines(c.Log) {
		if stream != "" && line.Stream != stream {
			continue
		}
		text.WriteString(line.Text)
		if !line.Partial {
			text.WriteByte('\n')
		}
	}
	return text.String()
}
