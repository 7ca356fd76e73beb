package cases

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

const (
	k3sData    = "/var/lib/rancher/k3s"
	k3sRun     = "/run/k3s"
	k3sRelease = "0c4d3b2a"      // of data/: a digest in truth
	k3sDropIn  = "metrics.toml"  // of the machine's, which names a socket that is taken
	k3sCgroup  = "/k3s-monitors" // of serve's
)

// k3sNode is serve where k3s has its files, beside what the suite tests.
type k3sNode struct {
	socket string
	serve  *exec.Cmd
}

// The settings that make crisp the runtime of a k3s agent.
const k3sConfig = `root = "/var/lib/rancher/k3s/agent/crisp"
state = "/run/k3s/crisp"
listen = "unix:///run/k3s/crisp/crisp.sock"
certs_dir = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
cni_conf_dir = "/var/lib/rancher/k3s/agent/etc/cni/net.d"
cni_bin_dirs = ["/var/lib/rancher/k3s/data/cni", "/var/lib/rancher/k3s/data/current/bin"]
monitor_cgroup = "` + k3sCgroup + `"
`

// k3sPrepare lays the files out, and takes all of it away at the end.
func k3sPrepare(t *suite.T) *k3sNode {
	n := &k3sNode{socket: k3sRun + "/crisp/crisp.sock"}
	for _, dir := range []string{"agent/etc/cni/net.d", "agent/images"} {
		t.Must(os.MkdirAll(n.path(dir), 0o700), "directory")
	}
	t.Cleanup(n.remove)
	n.write(t, "agent/etc/crisp.toml", k3sConfig, 0o600)
	// one program under many names, in a directory that a link named current leads to
	n.write(t, "data/"+k3sRelease+"/bin/cni", "#!/bin/sh\nexec /opt/cni/bin/\"${0##*/}\"\n", 0o755)
	t.Must(os.Symlink(k3sRelease, n.path("data/current")), "current")
	for _, name := range []string{"bridge", "host-local", "loopback", "portmap", "bandwidth"} {
		t.Must(os.Symlink("cni", n.path("data/current/bin/"+name)), "plugin")
	}
	return n
}

func (n *k3sNode) start(t *suite.T, name string, command ...string) *exec.Cmd {
	log, err := os.Create(filepath.Join(k3sRun, name+".log"))
	t.Must(err, "log")
	defer log.Close()
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = log, log
	t.Must(c.Start(), "%s", name)
	return c
}

// log is the end of it.
func (n *k3sNode) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(k3sRun, name+".log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

func (n *k3sNode) startServe(t *suite.T) {
	t.Must(os.MkdirAll(k3sRun, 0o711), "directory")
	dropIn := filepath.Join(t.State, "config.d", k3sDropIn)
	t.Must(os.MkdirAll(filepath.Dir(dropIn), 0o755), "drop-ins")
	t.Must(os.WriteFile(dropIn, nil, 0o644), "drop-in")
	n.serve = n.start(t, "serve", "/usr/bin/crisp", "serve", "--config", n.path("agent/etc/crisp.toml"))
	if !t.Until(30*time.Second, func() bool { return agentAsks(n.socket) == nil }) {
		t.Fatalf("serve does not answer:\n%s", n.log("serve"))
	}
	os.Remove(dropIn)
	os.Remove(filepath.Dir(dropIn))
}

func end(c *exec.Cmd) {
	if c != nil {
		c.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
		c.Wait()
		timer.Stop()
	}
}

// remove ends all of it: what is left after this is a leak.
func (n *k3sNode) remove(t *suite.T) {
	end(n.serve)
	for _, m := range node.Mounts(os.Getpid()) {
		if strings.HasPrefix(m.Point, k3sRun) {
			unix.Unmount(m.Point, unix.MNT_DETACH)
		}
	}
	for _, dir := range []string{"/var/lib/rancher", k3sRun} {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("%v", err)
		}
	}
	os.Remove(node.CgroupRoot + k3sCgroup)
}
