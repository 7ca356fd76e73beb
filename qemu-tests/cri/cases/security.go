package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var securityCases = []suite.Case{
	{Name: "default-capabilities", Run: capsDefault},
	{Name: "capabilities-add-and-drop", Run: capsChange},
	{Name: "capabilities-of-a-user", Run: capsOfUser},
	{Name: "ambient-capabilities", Run: capsAmbient},
	{Name: "no-new-privs", Run: noNewPrivs},
	{Name: "privileged", Run: privileged},
	{Name: "privileged-needs-privileged-pod", Run: privilegedInPlainPod, CrispOnly: "containerd takes it too"},
	{Name: "read-only-root", Run: readonlyRoot},
	{Name: "masked-and-read-only-paths", Run: maskedPaths},
	{Name: "own-masked-paths", Run: ownMasked},
	{Name: "unmasked-proc", Run: unmasked},
	{Name: "sys-and-cgroup-are-read-only", Run: sysReadonly},
	{Name: "seccomp-default", Run: seccompDefault},
	{Name: "seccomp-default-with-capabilities", Run: seccompCaps},
	{Name: "seccomp-unconfined", Run: seccompUnconfined},
	{Name: "seccomp-localhost", Run: seccompLocalhost},
	{Name: "seccomp-localhost-of-docker", Run: seccompDocker, CrispOnly: "containerd passes over the conditions, CRI-O does not"},
	{Name: "seccomp-bad-profiles", Run: seccompBad},
	{Name: "devices-default", Run: devicesDefault},
	{Name: "devices-by-request", Run: devicesRequested},
	{Name: "devices-others-refused", Run: devicesRefused},
	{Name: "own-binary-out-of-reach", Run: ownBinary, CrispOnly: "containerd's pause is of an image"},
	{Name: "no-way-to-the-node", Run: noWayOut},
}

func status64(t *suite.T, r payload.Report, key string) uint64 {
	n, err := strconv.ParseUint(r.Status[key], 16, 64)
	if err != nil {
		t.Fatalf("%s is %q", key, r.Status[key])
	}
	return n
}

// The set that every runtime has given since docker: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
// NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP.
const defaultCaps = 0xa80425fb

const (
	capChown, capSysTime, capNetAdmin, capSysAdmin = 1 << 0, 1 << 25, 1 << 12, 1 << 21
	capNetBind, capNetRaw                          = 1 << 10, 1 << 13
)

func lastCap() uint64 {
	text, _ := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return 1<<(n+1) - 1
}

func wantCaps(t *suite.T, what string, r payload.Report, effective, bounding uint64) {
	for _, s := range []struct {
		key  string
		want uint64
	}{{"CapEff", effective}, {"CapPrm", effective}, {"CapBnd", bounding}, {"CapInh", 0}, {"CapAmb", 0}} {
		if got := status64(t, r, s.key); got != s.want {
			t.Errorf("%s: %s is %#x, wanted %#x", what, s.key, got, s.want)
		}
	}
}

func caps(add, drop []string) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.Capabilities = &runtimeapi.Capability{AddCapabilities: add, DropCapabilities: drop}
	})
}

// CVE-2022-24769 and its kin: nothing inheritable.
func capsDefault(t *suite.T) {
	wantCaps(t, "by default", t.RunPod().Report(), defaultCaps, defaultCaps)
}

func capsChange(t *suite.T) {
	p := t.RunPod()
	for _, c := range []struct {
		name      string
		add, drop []string
		want      uint64
	}{
		{"add SYS_TIME", []string{"SYS_TIME"}, nil, defaultCaps | capSysTime},
		{"add with its prefix", []string{"CAP_SYS_TIME"}, nil, defaultCaps | capSysTime},
		{"drop CHOWN", nil, []string{"CHOWN"}, defaultCaps &^ capChown},
		{"drop ALL", nil, []string{"ALL"}, 0},
		{"drop ALL, add NET_ADMIN", []string{"NET_ADMIN"}, []string{"ALL"}, capNetAdmin},
		{"add ALL", []string{"ALL"}, nil, lastCap()},
		{"add ALL, drop SYS_ADMIN", []string{"ALL"}, []string{"SYS_ADMIN"}, lastCap() &^ capSysAdmin},
	} {
		wantCaps(t, c.name, p.Report(caps(c.add, c.drop)), c.want, c.want)
	}
}

func capsOfUser(t *suite.T) {
	p := t.RunPod()
	wantCaps(t, "a user", p.Report(runAs(1000, -1)), 0, defaultCaps)
	wantCaps(t, "a user with NET_ADMIN", p.Report(runAs(1000, -1), caps([]string{"NET_ADMIN"}, []string{"ALL"})),
		0, capNetAdmin)
}

func capsAmbient(t *suite.T) {
	if !t.Crisp() {
		t.Skipf("a feature of its own in containerd")
	}
	p := t.RunPod()
	r := p.Report(runAs(1000, -1), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.Capabilities = &runtimeapi.Capability{AddAmbientCapabilities: []string{"NET_BIND_SERVICE"},
			DropCapabilities: []string{"ALL"}}
	}))
	for _, key := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"} {
		if got := status64(t, r, key); got != capNetBind {
			t.Errorf("%s is %#x, wanted %#x", key, got, capNetBind)
		}
	}
}

func noNewPrivs(t *suite.T) {
	p := t.RunPod()
	suite.Equal(t, "by default", p.Report().Status["NoNewPrivs"], "0")
	c := p.Run(suite.Payload("report-wait"), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NoNewPrivs = true
	}))
	c.WaitText("\n")
	suite.Equal(t, "no_new_privs", suite.Decode[payload.Report](t, c.Stdout()).Status["NoNewPrivs"], "1")
	suite.Equal(t, "of an exec", suite.Decode[payload.Report](t, c.Exec("report")).Status["NoNewPrivs"], "1")
}

func privileged(t *suite.T) {
	p := t.RunPod(suite.PrivilegedPod)
	c := p.Run(suite.Privileged, suite.Payload("report-wait"))
	c.WaitText("\n")
	r := suite.Decode[payload.Report](t, c.Stdout())
	wantCaps(t, "privileged", r, lastCap(), lastCap())
	suite.Equal(t, "seccomp", r.Status["Seccomp"], "0")
	mounts := node.ParseMounts(r.Mounts)
	for _, path := range defaultHidden {
		if _, ok := node.At(mounts, path); ok {
			t.Errorf("%s is masked", path)
		}
	}
	for _, path := range []string{"/sys", "/sys/fs/cgroup"} {
		if m, ok := node.At(mounts, path); !ok || m.Has("ro") {
			t.Errorf("%s is %v, wanted writable", path, m)
		}
	}
	devices, _ := filepath.Glob("/dev/*")
	missing := 0
	for _, path := range devices {
		var st os.FileInfo
		st, err := os.Lstat(path)
		if err == nil && st.Mode()&os.ModeDevice != 0 && !strings.HasPrefix(path, "/dev/pts") {
			if e := c.Errors("exists", path)[path]; e != "" {
				missing++
			}
		}
		if missing > 3 {
			break
		}
	}
	if missing > 3 {
		t.Errorf("devices of the node are missing")
	}
	suite.Equal(t, "mount", c.Errors("syscalls", "mount")["mount"], "")
}

var defaultHidden = []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}

func privilegedInPlainPod(t *suite.T) {
	p := t.RunPod()
	_, err := p.TryCreate(p.ContainerConfig(suite.Privileged))
	t.WantError(err, codes.InvalidArgument, "privileged")
}

func readonlyRoot(t *suite.T) {
	p := t.RunPod()
	volume := t.Dir("volume")
	c := p.Run(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.ReadonlyRootfs = true }),
		suite.Mounts(&runtimeapi.Mount{HostPath: volume, ContainerPath: "/made/for/it"}))
	got := c.Errors("touch-each", "/", "/tmp", "/etc", "/dev/shm", "/made/for/it", "/made")
	for dir, want := range map[string]string{"/": "EROFS", "/tmp": "EROFS", "/etc": "EROFS", "/made": "EROFS",
		"/dev/shm": "", "/made/for/it": ""} {
		suite.Equal(t, "a file in "+dir, got[dir], want)
	}
	suite.Equal(t, "a file in / of another", p.Run().Errors("touch-each", "/")["/"], "")
}

func maskedPaths(t *suite.T) {
	c := t.RunPod().Run(caps([]string{"ALL"}, nil))
	for path, content := range c.Read("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats") {
		if _, err := os.Stat(path); err != nil {
			continue // this kernel has no such file
		}
		if content.Text != "" {
			t.Errorf("%s can be read: %.60q", path, content.Text)
		}
	}
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/sys/firmware"))
	if len(tree) > 1 {
		t.Errorf("/sys/firmware has %d members", len(tree))
	}
	for path, err := range c.Errors("overwrite", "/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/proc/sys/vm/swappiness") {
		if err != "EROFS" && err != "EACCES" {
			t.Errorf("opening %s for writing: %q, wanted EROFS", path, err)
		}
	}
	var mounts = node.ParseMounts(suite.Decode[payload.Report](t, c.Exec("report")).Mounts)
	for _, path := range []string{"/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"} {
		if m, ok := node.At(mounts, path); !ok || !m.Has("ro") {
			t.Errorf("%s is not mounted read-only: %v", path, m)
		}
	}
}

func ownMasked(t *suite.T) {
	c := t.RunPod().Run(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.MaskedPaths = []string{"/data", "/etc/group", "/not/there"}
		s.ReadonlyPaths = []string{"/tmp", "/not/there/either"}
	}))
	got := c.Read("/data/file", "/etc/group", "/etc/passwd")
	suite.Equal(t, "a file of a masked directory", got["/data/file"].Error, "ENOENT")
	suite.Equal(t, "a masked file", got["/etc/group"].Text, "")
	suite.Equal(t, "another file", got["/etc/passwd"].Text != "", true)
	suite.Equal(t, "a file in a read-only path", c.Errors("touch-each", "/tmp")["/tmp"], "EROFS")
	suite.Equal(t, "a file in a masked directory", c.Errors("touch-each", "/data")["/data"], "EROFS")
}

// procMount: Unmasked is empty lists.
func unmasked(t *suite.T) {
	r := t.RunPod().Report(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.MaskedPaths, s.ReadonlyPaths = nil, nil
	}))
	for _, m := range node.ParseMounts(r.Mounts) {
		if strings.HasPrefix(m.Point, "/proc/") || m.Point == "/sys/firmware" {
			t.Errorf("%s is covered", m.Point)
		}
	}
}

func sysReadonly(t *suite.T) {
	r := t.RunPod().Report()
	mounts := node.ParseMounts(r.Mounts)
	for path, kind := range map[string]string{"/sys": "sysfs", "/sys/fs/cgroup": "cgroup2"} {
		m, ok := node.At(mounts, path)
		if !ok || m.Type != kind || !m.Has("ro") || !m.Has("nosuid") || !m.Has("nodev") || !m.Has("noexec") {
			t.Errorf("%s is %v", path, m)
		}
	}
	if m, ok := node.At(mounts, "/proc"); !ok || m.Type != "proc" || !m.Has("nosuid") || !m.Has("nodev") || !m.Has("noexec") {
		t.Errorf("/proc is %v", m)
	}
	if r.Namespaces["cgroup"] == ownNamespace(t, "cgroup") {
		t.Errorf("it has the node's cgroup namespace")
	}
	for _, m := range mounts {
		if strings.Contains(m.Optional, "shared:") {
			t.Errorf("%s propagates to somebody: %s", m.Point, m.Optional)
		}
	}
}

func seccomp(kind runtimeapi.SecurityProfile_ProfileType, ref string) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.Seccomp = &runtimeapi.SecurityProfile{ProfileType: kind, LocalhostRef: ref}
	})
}

func seccompDefault(t *suite.T) {
	p := t.RunPod()
	suite.Equal(t, "mode", p.Report().Status["Seccomp"], "2")
	// with every capability root would be allowed all that seccomp lets through: CAP_SYS_ADMIN and its like open the
	// profile, so only those without
	c := p.Run()
	for call, got := range c.Errors("syscalls", "keyctl", "add_key", "unshare-user", "unshare-uts", "mount", "bpf",
		"userfaultfd", "perf_event_open", "init_module", "reboot", "swapon", "kexec_load", "settimeofday") {
		if got != "EPERM" && got != "ENOSYS" {
			t.Errorf("%s gives %q, wanted EPERM", call, got)
		}
	}
	if t.Crisp() { // containerd 1.7's profile is older
		if got := c.Errors("syscalls", "io_uring_setup")["io_uring_setup"]; got != "EPERM" && got != "ENOSYS" {
			t.Errorf("io_uring_setup gives %q", got)
		}
	}
	// glibc falls back to clone where clone3 is not there at all; EPERM would end threads
	suite.Equal(t, "clone3", c.Errors("syscalls", "clone3-user")["clone3-user"], "ENOSYS")
	for _, call := range []string{"getcwd", "mkdir"} {
		suite.Equal(t, call, c.Errors("syscalls", call)[call], "")
	}
}

func seccompCaps(t *suite.T) {
	c := t.RunPod().Run(caps([]string{"SYS_ADMIN", "BPF"}, nil), noAppArmor)
	for _, call := range []string{"mount", "unshare-uts"} {
		suite.Equal(t, call+" with SYS_ADMIN", c.Errors("syscalls", call)[call], "")
	}
	if got := c.Errors("syscalls", "reboot")["reboot"]; got != "EPERM" {
		t.Errorf("reboot with SYS_ADMIN gives %q", got)
	}
}

func seccompUnconfined(t *suite.T) {
	p := t.RunPod()
	unconfined := seccomp(runtimeapi.SecurityProfile_Unconfined, "")
	suite.Equal(t, "mode", p.Report(unconfined).Status["Seccomp"], "0")
	got := p.Run(unconfined).Errors("syscalls", "add_key", "clone3-user", "unshare-user")
	suite.Equal(t, "add_key", got["add_key"], "")
	suite.Equal(t, "clone3 with a wrong size", got["clone3-user"], "EINVAL")
}

const localProfile = `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
{"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]}]}`

func seccompLocalhost(t *suite.T) {
	path := t.File("profile.json", localProfile)
	p := t.RunPod()
	c := p.Run(seccomp(runtimeapi.SecurityProfile_Localhost, path))
	suite.Equal(t, "mkdir", c.Errors("syscalls", "mkdir")["mkdir"], unix.ErrnoName(unix.EOPNOTSUPP))
	suite.Equal(t, "mode of an exec", suite.Decode[payload.Report](t, c.Exec("report")).Status["Seccomp"], "2")
}

// Docker's form: conditions on capabilities and architecture.
func seccompDocker(t *suite.T) {
	path := t.File("docker.json", `{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86_64",
"subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}], "syscalls": [
{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "excludes": {"caps": ["CAP_SYS_TIME"]}},
{"name": "getcwd", "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "includes": {"caps": ["CAP_SYS_TIME"]}}]}`)
	p := t.RunPod()
	profile := seccomp(runtimeapi.SecurityProfile_Localhost, path)
	got := p.Run(profile).Errors("syscalls", "mkdir", "getcwd")
	suite.Equal(t, "mkdir", got["mkdir"], "EACCES")
	suite.Equal(t, "getcwd", got["getcwd"], "")
	got = p.Run(profile, caps([]string{"SYS_TIME"}, nil)).Errors("syscalls", "mkdir", "getcwd")
	suite.Equal(t, "mkdir with SYS_TIME", got["mkdir"], "")
	suite.Equal(t, "getcwd with SYS_TIME", got["getcwd"], "EACCES")
}

// CVE-2023-2431: an empty name must not mean unconfined.
func seccompBad(t *suite.T) {
	p := t.RunPod()
	for _, c := range []struct{ name, ref, words string }{
		{"empty", "", "localhost|profile|seccomp"},
		{"not there", "/no/such/profile.json", "profile.json"},
		{"no JSON", t.File("broken.json", "{ \"defaultAction\": "), "json|profile|seccomp"},
		{"an unknown action", t.File("action.json", `{"defaultAction": "SCMP_ACT_DANCE"}`), "SCMP_ACT_DANCE|action"},
		{"a FIFO-like device", "/dev/zero", "profile|seccomp|regular|large|limit"},
	} {
		if c.ref == "/dev/zero" && !t.Crisp() {
			continue // it would read until there is no memory
		}
		made, err := p.TryCreate(p.ContainerConfig(seccomp(runtimeapi.SecurityProfile_Localhost, c.ref)))
		if err == nil {
			err = made.TryStart()
		}
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		t.WantError(err, codes.OK, c.words)
	}
}

func devicesDefault(t *suite.T) {
	c := t.RunPod().Run()
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/dev"))
	for name, dev := range map[string]string{"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9",
		"tty": "5:0"} {
		n := tree[name]
		got := fmt.Sprintf("%d:%d", n.Rdev>>8&0xfff, n.Rdev&0xff)
		if got != dev || n.Mode&0o170777 != 0o020666 {
			t.Errorf("/dev/%s is %s, mode %#o", name, got, n.Mode)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		suite.Equal(t, "/dev/"+name, tree[name].Target, target)
	}
	const allowed = " . core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
	for name := range tree {
		if !strings.Contains(allowed, " "+name+" ") {
			t.Errorf("/dev/%s is there", name)
		}
	}
	got := c.Errors("open-devices", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx")
	for path, e := range got {
		suite.Equal(t, path, e, "r= w=")
	}
}

func devicesRequested(t *suite.T) {
	device := func(path, host, access string) *runtimeapi.Device {
		return &runtimeapi.Device{ContainerPath: path, HostPath: host, Permissions: access}
	}
	p := t.RunPod()
	c := p.Run(func(c *runtimeapi.ContainerConfig) {
		c.Devices = []*runtimeapi.Device{device("/dev/sub/read", "/dev/mapper/control", "r"), device("/dev/loop-control", "/dev/loop-control", "rwm")}
	})
	got := c.Errors("open-devices", "/dev/sub/read", "/dev/loop-control")
	suite.Equal(t, "a device to read", got["/dev/sub/read"], "r= w=EPERM")
	suite.Equal(t, "a device to read and write", got["/dev/loop-control"], "r= w=")
	_, err := p.TryCreate(p.ContainerConfig(func(c *runtimeapi.ContainerConfig) {
		c.Devices = []*runtimeapi.Device{device("/dev/x", "/dev/no-such-device", "r")}
	}))
	t.WantError(err, codes.OK, "no-such-device")
}

// The nodes can be made (MKNOD is a default capability) but not opened.
func devicesRefused(t *suite.T) {
	c := t.RunPod().Run()
	for _, d := range []struct {
		name         string
		kind         string
		major, minor int
	}{{"/tmp/kmsg", "c", 1, 11}, {"/tmp/mem", "c", 1, 1}, {"/tmp/disk", "b", 254, 0}, {"/tmp/loop", "c", 10, 237}} {
		r, err := c.TryExec(0, suite.PayloadCommand("mknod", d.name, d.kind, fmt.Sprint(d.major), fmt.Sprint(d.minor))...)
		t.Must(err, "ExecSync")
		if r.ExitCode != 0 {
			continue // not even that
		}
		suite.Equal(t, d.name, c.Errors("open-devices", d.name)[d.name], "r=EPERM w=EPERM")
	}
}

// CVE-2019-5736: who is in the pod's PID namespace, or executes /proc/self/exe, must not reach the runtime's file.
func ownBinary(t *suite.T) {
	serve := fmt.Sprintf("/proc/%d/exe", t.Serve())
	before, err := os.ReadFile(serve)
	t.Must(err, "the runtime's binary")
	p := t.RunPod(suite.SharedPID)
	c := p.Run(caps([]string{"ALL"}, nil), seccomp(runtimeapi.SecurityProfile_Unconfined, ""))
	for path, e := range c.Errors("overwrite", "/proc/1/exe") {
		if e == "" {
			t.Errorf("%s could be opened for writing", path)
		}
		t.Logf("%s: %s", path, e)
	}
	made, err := p.TryCreate(p.ContainerConfig(command("/proc/self/exe", "--version")))
	if err == nil {
		if err = made.TryStart(); err == nil {
			made.WaitExit()
			t.Logf("/proc/self/exe as the command: exit code %d, %.200q", made.Status().ExitCode, made.Text(""))
		}
	}
	after, err := os.ReadFile(serve)
	t.Must(err, "the runtime's binary")
	if string(before) != string(after) {
		t.Errorf("the runtime's binary has changed")
	}
}

// CVE-2024-21626 and others: nothing in the container leads to the node's root.
func noWayOut(t *suite.T) {
	marker := t.File("marker", "of the node")
	c := t.RunPod().Run()
	var paths []string
	for fd := 0; fd < 40; fd++ {
		paths = append(paths, fmt.Sprintf("/proc/self/fd/%d/../../../..%s", fd, marker),
			fmt.Sprintf("/proc/1/fd/%d/../../../..%s", fd, marker))
	}
	paths = append(paths, "/proc/1/root"+marker, "/proc/self/cwd/../../../.."+marker, marker)
	for path, e := range c.Errors(append([]string{"exists"}, paths...)...) {
		if e == "" {
			t.Errorf("%s is there", path)
		}
	}
	for path := range c.Read("/proc/1/root" + filepath.Dir(marker)) {
		t.Logf("%s looked at", path)
	}
}
