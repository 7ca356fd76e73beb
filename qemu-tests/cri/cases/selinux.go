package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/suite"
)

const ownPolicy = "containerd's SELinux support is off by default"

var selinuxCases = []suite.Case{
	{Name: "label-of-a-container", Run: withSELinux(selinuxLabel), KillServe: true, CrispOnly: ownPolicy},
	{Name: "levels-keep-pods-apart", Run: withSELinux(selinuxLevels), KillServe: true, CrispOnly: ownPolicy},
	{Name: "level-survives-a-restart", Run: withSELinux(selinuxRestart), KillServe: true, CrispOnly: ownPolicy},
	{Name: "labels-of-mounts", Run: withSELinux(selinuxMounts), KillServe: true, CrispOnly: ownPolicy},
	{Name: "volumes-are-relabelled", Run: withSELinux(selinuxRelabel), KillServe: true, CrispOnly: ownPolicy},
	{Name: "cve-2021-43816-the-nodes-directories", Run: withSELinux(selinuxNodeDirs), KillServe: true, CrispOnly: ownPolicy},
	{Name: "unknown-contexts", Run: withSELinux(selinuxUnknown), KillServe: true, CrispOnly: ownPolicy},
	{Name: "ignored-where-there-is-none", Run: selinuxOff},
}

const (
	selinuxFS     = "/sys/fs/selinux"
	policyFile    = "/usr/libexec/crisp-tests/selinux.policy" // selinux.sh
	selinuxXattr  = "security.selinux"
	processPrefix = "system_u:system_r:container_t:"
	filePrefix    = "system_u:object_r:container_file_t:"
)

func withSELinux(run func(*suite.T)) func(*suite.T) {
	return func(t *suite.T) {
		if !hasModule("selinux") {
			t.Skipf("the machine runs without SELinux (run.sh --append 'lsm=landlock,yama,selinux,bpf enforcing=1')")
		}
		loadPolicy(t)
		run(t)
	}
}

// loadPolicy once, as the node's init would have done before serve was started.
func loadPolicy(t *suite.T) {
	now, err := os.ReadFile("/proc/self/attr/current")
	t.Must(err, "own label")
	if strings.TrimRight(string(now), "\x00\n") != "kernel" {
		return
	}
	t.Must(unix.Mount("selinuxfs", selinuxFS, "selinuxfs", 0, ""), "selinuxfs")
	defer unix.Unmount(selinuxFS, unix.MNT_DETACH)
	policy, err := os.ReadFile(policyFile)
	t.Must(err, "the policy")
	t.Must(os.WriteFile(selinuxFS+"/load", policy, 0), "load the policy")
	kill(t, syscall.SIGKILL)
}

func selinux(o *runtimeapi.SELinuxOption) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.SelinuxOptions = o })
}

func selinuxPod(o *runtimeapi.SELinuxOption) suite.PodOption {
	return func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.SelinuxOptions = o }
}

// levelOf the container's first process: what follows the type; an exec's must be the same.
func levelOf(t *suite.T, c *suite.Container) string {
	first := label(c, "/proc/1/attr/current")
	suite.Equal(t, "label of an exec", label(c, "/proc/self/attr/current"), first)
	level, ok := strings.CutPrefix(first, processPrefix)
	if !ok {
		t.Errorf("label %q does not begin with %q", first, processPrefix)
	}
	return level
}

func selinuxLabel(t *suite.T) {
	p := t.RunPod(suite.PrivilegedPod)
	own := levelOf(t, p.Run())
	var a, b int
	if n, _ := fmt.Sscanf(own, "s0:c%d,c%d", &a, &b); n != 2 || a >= b || b > 1023 {
		t.Errorf("level %q is not s0 with two categories", own)
	}
	for _, c := range []struct {
		name    string
		options []suite.ContainerOption
		want    string
	}{
		{"empty options", []suite.ContainerOption{selinux(&runtimeapi.SELinuxOption{})}, processPrefix + own},
		{"a level", []suite.ContainerOption{selinux(&runtimeapi.SELinuxOption{Level: "s0:c1,c2"})}, processPrefix + "s0:c1,c2"},
		{"a type", []suite.ContainerOption{selinux(&runtimeapi.SELinuxOption{Type: "other_t"})}, "system_u:system_r:other_t:" + own},
		{"no_new_privs", []suite.ContainerOption{runAs(1000, -1), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.NoNewPrivs = true
		})}, processPrefix + own},
		{"privileged", []suite.ContainerOption{suite.Privileged}, "system_u:system_r:spc_t:s0"},
	} {
		made := p.Run(c.options...)
		suite.Equal(t, c.name, label(made, "/proc/1/attr/current"), c.want)
		suite.Equal(t, c.name+": of an exec", label(made, "/proc/self/attr/current"), c.want)
	}
}

func selinuxLevels(t *suite.T) {
	seen := map[string]bool{}
	for i := 0; i < 5; i++ {
		p := t.RunPod()
		a, b := levelOf(t, p.Run()), levelOf(t, p.Run())
		suite.Equal(t, "level of two containers of a pod", a, b)
		if seen[a] {
			t.Errorf("two pods have level %s", a)
		}
		seen[a] = true
	}
	p := t.RunPod(selinuxPod(&runtimeapi.SELinuxOption{Level: "s0:c5,c6"}))
	suite.Equal(t, "the pod's own level", levelOf(t, p.Run()), "s0:c5,c6")
}

func selinuxRestart(t *suite.T) {
	p := t.RunPod()
	before := levelOf(t, p.Run())
	kill(t, syscall.SIGKILL)
	suite.Equal(t, "level of a container made after serve's restart", levelOf(t, p.Run()), before)
}

func labels(t *suite.T, c *suite.Container, paths ...string) map[string]string {
	return c.Errors(append([]string{"labels"}, paths...)...)
}

func selinuxMounts(t *suite.T) {
	p := t.RunPod(suite.CNI)
	volume := &runtimeapi.Mount{ContainerPath: "/image", Image: &runtimeapi.ImageSpec{Image: t.Base}}
	c := p.Run(suite.Mounts(volume))
	want := filePrefix + levelOf(t, c)
	for path, got := range labels(t, c, "/", "/etc/passwd", "/data/file", "/dev", "/dev/null", "/dev/shm", "/dev/mqueue", "/dev/pts",
		"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/image", "/image/data/file") {
		suite.Equal(t, path, got, want)
	}
	for dir, err := range c.Errors("touch-each", "/", "/dev/shm", "/tmp") {
		suite.Equal(t, "a file in "+dir, err, "")
	}
	suite.Equal(t, "a file of the image volume", c.Read("/image/data/file")["/image/data/file"].Text, "from the image\n")
	suite.Equal(t, "the terminal's device", c.Errors("open-devices", "/dev/ptmx")["/dev/ptmx"], "r= w=")
}

func nodeLabel(t *suite.T, path string) string {
	value := make([]byte, 512)
	n, err := unix.Lgetxattr(path, selinuxXattr, value)
	t.Must(err, "label of %s", path)
	return strings.TrimRight(string(value[:n]), "\x00")
}

func selinuxRelabel(t *suite.T) {
	volume := t.Dir("volume")
	t.Must(os.MkdirAll(volume+"/sub/dir", 0o777), "directory")
	t.Must(os.WriteFile(volume+"/sub/dir/file", []byte("x"), 0o666), "file")
	t.Must(os.Symlink("/etc/passwd", volume+"/link"), "link")
	passwd := nodeLabel(t, "/etc/passwd")
	mount := func(relabel bool) suite.ContainerOption {
		return suite.Mounts(&runtimeapi.Mount{HostPath: volume, ContainerPath: "/volume", SelinuxRelabel: relabel})
	}
	p := t.RunPod()
	plain := p.Run(mount(false))
	suite.Equal(t, "without a label of its own, writing", plain.Errors("touch-each", "/volume")["/volume"], "EACCES")
	plain.Stop(0)
	c := p.Run(mount(true))
	want := filePrefix + levelOf(t, c)
	for _, path := range []string{"", "/sub", "/sub/dir", "/sub/dir/file", "/link"} {
		suite.Equal(t, "label of the volume's "+path, nodeLabel(t, volume+path), want)
	}
	suite.Equal(t, "label of what the link names", nodeLabel(t, "/etc/passwd"), passwd)
	suite.Equal(t, "writing", c.Errors("touch-each", "/volume/sub/dir")["/volume/sub/dir"], "")
	suite.Equal(t, "another container of the pod", p.Run(mount(true)).Errors("touch-each", "/volume")["/volume"], "")
	// enforcement: another pod's categories do not reach it, and its relabelling takes it away from the first
	other := t.RunPod()
	suite.Equal(t, "another pod, writing", other.Run(mount(false)).Errors("touch-each", "/volume")["/volume"], "EACCES")
	suite.Equal(t, "another pod, reading", other.Run(mount(false)).Read("/volume/sub/dir/file")["/volume/sub/dir/file"].Error, "EACCES")
	taken := other.Run(mount(true))
	suite.Equal(t, "the volume given to another pod", taken.Errors("touch-each", "/volume")["/volume"], "")
	suite.Equal(t, "its former pod", c.Errors("touch-each", "/volume")["/volume"], "EACCES")
}

func selinuxNodeDirs(t *suite.T) {
	p := t.RunPod()
	link := filepath.Join(t.Dir("links"), "to-etc")
	t.Must(os.Symlink("/etc", link), "link")
	for _, path := range []string{"/", "/etc", "/etc/hosts", "/usr", "/var", "/var/lib", "/run", "/home", link} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		before := nodeLabel(t, path)
		_, err := p.TryCreate(p.ContainerConfig(suite.Mounts(&runtimeapi.Mount{HostPath: path, ContainerPath: "/etc/hosts-of-the-node",
			SelinuxRelabel: true})))
		t.WantError(err, codes.InvalidArgument, "relabel")
		suite.Equal(t, "label of "+path, nodeLabel(t, path), before)
	}
}

func selinuxUnknown(t *suite.T) {
	p := t.RunPod()
	for _, o := range []*runtimeapi.SELinuxOption{{Type: "no_such_t"}, {User: "no_such_u"}, {Level: "s7:c1"}} {
		_, err := p.TryCreate(p.ContainerConfig(selinux(o)))
		t.WantError(err, codes.OK, "SELinux|context|label|selinux")
	}
	_, err := p.TryCreate(p.ContainerConfig(selinux(&runtimeapi.SELinuxOption{Type: "a b"})))
	t.WantError(err, codes.InvalidArgument, "type")
}

// The kubelet sends the pod's options whatever the node has.
func selinuxOff(t *suite.T) {
	if hasModule("selinux") {
		t.Skipf("the machine runs with SELinux")
	}
	volume := t.Dir("volume")
	p := t.RunPod(selinuxPod(&runtimeapi.SELinuxOption{Level: "s0:c1,c2"}))
	c := p.Run(selinux(&runtimeapi.SELinuxOption{Type: "some_t", Level: "s0:c1,c2"}),
		suite.Mounts(&runtimeapi.Mount{HostPath: volume, ContainerPath: "/volume", SelinuxRelabel: true}))
	suite.Equal(t, "writing", c.Errors("touch-each", "/volume")["/volume"], "")
}
