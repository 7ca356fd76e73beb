package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"crisp.dev/qemu-tests/node"
)

const (
	work      = "/run/bench"
	store     = "/var/lib/bench"
	dropIns   = "/run/crisp/config.d"
	startWait = 2 * time.Minute
	stopWait  = 30 * time.Second
)

// contestant is one runtime: a daemon of its own with a store, a socket and a cgroup of its own.
type contestant struct {
	name     string
	binaries []string
	config   string // text of its file
	args     func(c *contestant) []string

	cmd  *exec.Cmd
	done chan struct{} // closed when the daemon has ended
	cri  *node.CRI
}

func contestants() []*contestant {
	return []*contestant{
		{name: "crisp", binaries: []string{"/usr/bin/crisp"}, config: crispConfig, args: crispArgs},
		containerd("runc", "/usr/sbin/runc"),
		containerd("crun", "/usr/bin/crun"),
	}
}

// versions are two builds of crisp.
func versions() []*contestant {
	before := "/usr/libexec/crisp-tests/crisp-before"
	return []*contestant{
		{name: "crisp", binaries: []string{"/usr/bin/crisp"}, config: crispConfig, args: crispArgs},
		{name: "before", binaries: []string{before}, config: strings.ReplaceAll(crispConfig, "bench.crisp", "bench.before"), args: crispArgs},
	}
}

func containerd(runtime, path string) *contestant {
	c := &contestant{
		name:     "containerd+" + runtime,
		binaries: []string{"/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", path},
		args:     func(c *contestant) []string { return []string{"/usr/bin/containerd", "--config", c.file("config")} },
	}
	c.config = fmt.Sprintf(containerdConfig, c.store(), c.file("state"), c.file("sock"), runtime, runtime, path, c.store())
	return c
}

func crispArgs(c *contestant) []string {
	return []string{c.binaries[0], "serve", "--config", c.file("config"), "--root", c.store(), "--state", c.file("state"),
		"--listen", "unix://" + c.file("sock")}
}

// Its monitors are in the daemon's own cgroup, as containerd's shims are: what it all costs is read there. Stores that the
// system's image brings would make pulls of nothing.
const crispConfig = `
monitor_cgroup = "/bench.crisp"
image_stores = []
`

const containerdConfig = `
version = 2
root = "%s"
state = "%s"
[grpc]
  address = "%s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.test:5000/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/containerd/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/crisp/certs.d"
    [plugins."io.containerd.grpc.v1.cri".registry.configs."registry.test:5000".auth]
      username = "crisp"
      password = "only-a-test"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "%s"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.%s]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.%[5]s.options]
      BinaryName = "%[6]s"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[7]s/opt"
`

func (c *contestant) file(what string) string { return filepath.Join(work, c.name+"."+what) }
func (c *contestant) store() string           { return filepath.Join(store, c.name) }
func (c *contestant) cgroup() string          { return "/sys/fs/cgroup/bench." + c.name }
func (c *contestant) pid() int                { return c.cmd.Process.Pid }

// start returns how long it took until the daemon answered.
func (c *contestant) start(ctx context.Context) (time.Duration, error) {
	if err := c.prepare(); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(c.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	group, err := os.Open(c.cgroup())
	if err != nil {
		return 0, err
	}
	defer group.Close()
	args := c.args(c)
	c.cmd = exec.Command(args[0], args[1:]...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return 0, err
	}
	c.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(c.cmd, c.done)
	if err := c.wait(began); err != nil {
		return 0, err
	}
	c.cri, err = node.ConnectTo(ctx, "unix://"+c.file("sock"), startWait)
	return time.Since(began), err
}

func (c *contestant) prepare() error {
	for _, dir := range []string{work, store, c.cgroup(), dropIns} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// the tests' configuration has one address for serve's own metrics: two serves would fight over it
	if err := os.WriteFile(dropIns+"/zz-bench.toml", []byte("metrics_listen = \"\"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.file("config"), []byte(c.config), 0o600)
}

// wait until somebody listens: a client that finds nobody would sleep before it tries again.
func (c *contestant) wait(began time.Time) error {
	for {
		conn, err := net.Dial("unix", c.file("sock"))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended: %s", c.name, c.lastWords())
		case <-time.After(500 * time.Microsecond):
		}
		if time.Since(began) > startWait {
			return fmt.Errorf("%s does not listen: %s", c.name, c.lastWords())
		}
	}
}

func (c *contestant) lastWords() string {
	text, _ := os.ReadFile(c.file("log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// stop ends the daemon, if it runs; pods stay.
func (c *contestant) stop() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(stopWait):
		c.kill()
	}
	c.cmd = nil
}

func (c *contestant) kill() {
	if err := c.cmd.Process.Kill(); err == nil || errors.Is(err, os.ErrProcessDone) {
		<-c.done
	}
}

// firstAnswers: from exec to the first answer, each daemon after a kill, and what it is in memory once it has settled.
func firstAnswers(ctx context.Context, all []*contestant, p plan) error {
	t := times{group: "daemon", unit: "ms"}
	for round := range p.starts + 1 {
		for _, c := range turns(all, round) {
			if c.cmd != nil {
				c.kill()
			}
			took, err := c.start(ctx)
			if err != nil {
				return err
			}
			if round > 0 { // the first finds its file nowhere in memory
				t.add(c, "start to first answer", "", ms(took))
			}
		}
	}
	t.tell()
	time.Sleep(5 * time.Second)
	for _, c := range all {
		c.tellDaemon("idle")
	}
	return nil
}
