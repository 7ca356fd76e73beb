package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

const newer = "user namespaces came with containerd 2"

var usernsCases = []suite.Case{
	{Name: "handlers-and-features", Run: usernsFeatures, CrispOnly: newer},
	{Name: "ids-inside-and-outside", Run: usernsIDs, CrispOnly: newer},
	{Name: "owns-the-pods-namespaces", Run: usernsOwner, CrispOnly: newer},
	{Name: "owners-of-the-image", Run: usernsRoot, CrispOnly: newer},
	{Name: "two-pods-one-image", Run: usernsTwo, CrispOnly: newer},
	{Name: "volumes", Run: usernsVolumes, CrispOnly: newer},
	{Name: "volume-that-cannot-be-mapped", Run: usernsUnmappable, CrispOnly: newer},
	{Name: "image-volume", Run: usernsImageVolume, CrispOnly: newer},
	{Name: "volumes-of-the-image", Run: usernsImageVOLUME, CrispOnly: newer},
	{Name: "pod-files-and-shm", Run: usernsPodFiles, CrispOnly: newer},
	{Name: "mounts-of-its-own", Run: usernsMounts, CrispOnly: newer},
	{Name: "devices", Run: usernsDevices, CrispOnly: newer},
	{Name: "devices-of-privileged", Run: usernsPrivileged, CrispOnly: newer},
	{Name: "stdout-can-be-opened-anew", Run: usernsStdout, CrispOnly: newer},
	{Name: "exec-attach-port-forward", Run: usernsStreams, CrispOnly: newer},
	{Name: "capabilities-are-of-the-namespace", Run: usernsCaps, CrispOnly: newer},
	{Name: "cve-2025-47291-limits-hold", Run: usernsLimits, CrispOnly: newer},
	{Name: "sysctls", Run: usernsSysctls, CrispOnly: newer},
	{Name: "shared-pid-namespace", Run: usernsSharedPID, CrispOnly: newer},
	{Name: "debug-container", Run: usernsTarget, CrispOnly: newer},
	{Name: "host-network", Run: usernsHostNetwork, CrispOnly: newer},
	{Name: "mode-node", Run: usernsNode, CrispOnly: newer},
	{Name: "bad-requests", Run: usernsBad, CrispOnly: newer},
}

const usersLength = 65536

// users gives the pod users of its own, as the kubelet chooses them: 65536 that no other pod has.
func users(t *suite.T) (suite.PodOption, int) {
	base := 1<<20 + int(t.Next())*usersLength
	maps := []*runtimeapi.IDMapping{{HostId: uint32(base), ContainerId: 0, Length: usersLength}}
	return func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{
			Mode: runtimeapi.NamespaceMode_POD, Uids: maps, Gids: maps}
	}, base
}

// mapped gives every mount the pod's mappings, as the kubelet does.
func mapped(m ...*runtimeapi.Mount) suite.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		u := c.Linux.SecurityContext.NamespaceOptions.UsernsOptions
		for _, one := range m {
			one.UidMappings, one.GidMappings = u.Uids, u.Gids
			c.Mounts = append(c.Mounts, one)
		}
	}
}

// processOf is the number, on the node, of a container's process with this word on its command line.
func processOf(t *suite.T, p *suite.Pod, word string) int {
	for _, pid := range node.CgroupProcs(p.Cgroup) {
		if proc, err := node.ReadProc(pid); err == nil && strings.Contains(proc.Cmdline, word) {
			return pid
		}
	}
	t.Fatalf("no process %q in %s", word, p.Cgroup)
	return 0
}

func usernsFeatures(t *suite.T) {
	r, err := t.CRI.Status(t.Ctx, &runtimeapi.StatusRequest{})
	t.Must(err, "Status")
	for _, h := range r.RuntimeHandlers {
		if h.Name == "" || h.Name == "crisp" {
			suite.Equal(t, "user_namespaces of handler "+h.Name, h.GetFeatures().GetUserNamespaces(), true)
		}
	}
	suite.Equal(t, "user_namespaces_host_network", r.GetFeatures().GetUserNamespacesHostNetwork(), true)
	suite.Equal(t, "mount_options", r.GetFeatures().GetMountOptions(), true)
}

func usernsIDs(t *suite.T) {
	own, base := users(t)
	p := t.RunPod(own)
	c := p.Run(suite.Payload("report-wait"))
	c.WaitText("\n")
	r := suite.Decode[payload.Report](t, c.Stdout())
	suite.Equal(t, "user inside", r.UID, 0)
	suite.Equal(t, "group inside", r.GID, 0)
	if r.Namespaces["user"] == ownNamespace(t, "user") {
		t.Errorf("it has the node's user namespace")
	}
	want := fmt.Sprintf("0 %d %d", base, usersLength)
	for _, file := range []string{"uid_map", "gid_map"} {
		suite.Equal(t, file, strings.Join(strings.Fields(c.ReadText("/proc/self/"+file)), " "), want)
	}
	pid := processOf(t, p, "report-wait")
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, key := range []string{"Uid", "Gid"} {
		if !strings.Contains(string(status), fmt.Sprintf("%s:\t%d\t%d", key, base, base)) {
			t.Errorf("%s outside is not %d: %.600q", key, base, status)
		}
	}
	suite.Equal(t, "another container's namespace", p.Report().Namespaces["user"], r.Namespaces["user"])
	u := p.Report(runAs(1000, 1000))
	suite.Equal(t, "runAsUser", u.UID, 1000)
	suite.Equal(t, "runAsGroup", u.GID, 1000)
	o := p.Status().GetLinux().GetNamespaces().GetOptions().GetUsernsOptions()
	if o.GetMode() != runtimeapi.NamespaceMode_POD || len(o.GetUids()) != 1 || o.Uids[0].HostId != uint32(base) {
		t.Errorf("the pod's status says %v", o)
	}
}

// ownerOf is the user namespace that owns another (ioctl_ns(2), NS_GET_USERNS).
func ownerOf(t *suite.T, path string) uint64 {
	f, err := os.Open(path)
	t.Must(err, "namespace")
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	t.Must(err, "owner of %s", path)
	defer unix.Close(fd)
	var st unix.Stat_t
	t.Must(unix.Fstat(fd, &st), "stat")
	return st.Ino
}

func usernsOwner(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.CNI)
	p.Run(suite.Payload("sleeper"))
	dir := fmt.Sprintf("/proc/%d/ns/", processOf(t, p, "sleeper"))
	var st unix.Stat_t
	t.Must(unix.Stat(dir+"user", &st), "user namespace")
	for _, kind := range []string{"net", "ipc", "uts", "pid", "mnt", "cgroup"} {
		suite.Equal(t, "owner of the namespace "+kind, ownerOf(t, dir+kind), st.Ino)
	}
	if len(p.IPs()) == 0 {
		t.Errorf("the pod has no address")
	}
}

func owner(n payload.Node) string {
	return fmt.Sprintf("%d:%d", n.UID, n.GID)
}

func usernsRoot(t *suite.T) {
	own, base := users(t)
	p := t.RunPod(own)
	c := p.Run()
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/"))
	for path, want := range map[string]string{".": "0:0", "etc": "0:0", "etc/passwd": "0:0", "data/file": "1000:1000",
		"tmp": "0:0", "critests": "0:0"} {
		suite.Equal(t, "owner of /"+path, owner(tree[path]), want)
	}
	for path, e := range c.Errors("touch-each", "/", "/etc", "/tmp", "/data") {
		suite.Equal(t, "a file in "+path, e, "")
	}
	suite.Equal(t, "change of the image's file", c.Errors("write", "/data/file", "changed")["/data/file"], "")
	suite.Equal(t, "a new file", c.Errors("write", "/etc/new", "new")["/etc/new"], "")
	suite.Equal(t, "chown of a new file", c.Exec("chown", "/etc/new", "12", "34"), "")
	tree = suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/etc"))
	suite.Equal(t, "its owner", owner(tree["new"]), "12:34")
	suite.Equal(t, "owner of what was changed", owner(suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/data"))["file"]), "1000:1000")
	// outside they belong to the pod's users
	for name, want := range map[string]int{"etc/new": base + 12, "data/file": base + 1000, "etc": base} {
		var st unix.Stat_t
		t.Must(unix.Stat(filepath.Join(t.Root, "containers", c.ID, "upper", name), &st), "on the node")
		suite.Equal(t, "owner on the node of "+name, int(st.Uid), want)
	}
	// a user is only what the image lets it be
	u := p.Run(runAs(1000, 1000))
	suite.Equal(t, "a user's write to /etc", u.Errors("touch-each", "/etc")["/etc"], "EACCES")
	suite.Equal(t, "a user's write to its file", u.Errors("overwrite", "/data/file")["/data/file"], "")
}

func usernsTwo(t *suite.T) {
	a, _ := users(t)
	b, _ := users(t)
	pods := []*suite.Pod{t.RunPod(a), t.RunPod(b), t.RunPod()}
	for i, p := range pods {
		c := p.Run()
		tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/data"))
		suite.Equal(t, fmt.Sprintf("pod %d: owner of /data/file", i), owner(tree["file"]), "1000:1000")
		suite.Equal(t, "write", c.Errors("write", "/data/file", "mine")["/data/file"], "")
	}
	seen := map[string]bool{}
	for _, p := range pods {
		seen[p.Report().Namespaces["user"]] = true
	}
	suite.Equal(t, "user namespaces", len(seen), 3)
}

func usernsVolumes(t *suite.T) {
	own, base := users(t)
	dir, plain := t.Dir("volume"), t.Dir("plain")
	t.Must(os.WriteFile(dir+"/root", []byte("root's"), 0o600), "file")
	t.Must(os.WriteFile(dir+"/user", []byte("a user's"), 0o600), "file")
	t.Must(os.Chown(dir+"/user", 1000, 1001), "chown")
	t.Must(os.WriteFile(plain+"/file", []byte("the node's"), 0o644), "file")
	p := t.RunPod(own)
	c := p.Run(mapped(bind(dir, "/mnt"), &runtimeapi.Mount{HostPath: dir, ContainerPath: "/ro", Readonly: true}),
		suite.Mounts(bind(plain, "/plain")))
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/mnt"))
	suite.Equal(t, "owner of the volume", owner(tree["."]), "0:0")
	suite.Equal(t, "owner of root's file", owner(tree["root"]), "0:0")
	suite.Equal(t, "owner of a user's file", owner(tree["user"]), "1000:1001")
	suite.Equal(t, "reading", c.ReadText("/mnt/root"), "root's")
	suite.Equal(t, "write", c.Errors("write", "/mnt/new", "new")["/mnt/new"], "")
	c.Exec("chown", "/mnt/new", "7", "8")
	var st unix.Stat_t
	t.Must(unix.Stat(dir+"/new", &st), "on the node")
	suite.Equal(t, "owner on the node", fmt.Sprintf("%d:%d", st.Uid, st.Gid), "7:8")
	suite.Equal(t, "read-only", c.Errors("touch-each", "/ro")["/ro"], "EROFS")
	// one that the kubelet does not want mapped belongs to nobody
	suite.Equal(t, "owner of a volume without mappings", owner(suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/plain"))["file"]), "65534:65534")
	suite.Equal(t, "write to it", c.Errors("touch-each", "/plain")["/plain"], "EACCES")
	// other mappings than the pod's are obeyed too
	other := []*runtimeapi.IDMapping{{HostId: uint32(base + 5), ContainerId: 0, Length: 10}}
	d := p.Run(suite.Mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/mnt", UidMappings: other, GidMappings: other}))
	suite.Equal(t, "owner by other mappings", owner(suite.Decode[map[string]payload.Node](t, d.Exec("tree", "/mnt"))["root"]), "5:5")
	u := p.Run(runAs(1000, 1001), mapped(bind(dir, "/mnt")))
	suite.Equal(t, "a user reads its own", u.ReadText("/mnt/user"), "a user's")
	suite.Equal(t, "a user reads root's", u.Read("/mnt/root")["/mnt/root"].Error, "EACCES")
}

func usernsUnmappable(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own)
	_, err := p.TryCreate(p.ContainerConfig(mapped(&runtimeapi.Mount{HostPath: "/sys/fs/cgroup", ContainerPath: "/the/volume", Readonly: true})))
	t.WantError(err, codes.InvalidArgument, "/sys/fs/cgroup.*/the/volume.*cannot be mapped.*cgroup2")
	p.Run() // the pod is as good as before
}

func usernsImageVolume(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own)
	one := oci.NewLayer(oci.Dir("sub", 0o750).Owned(1000, 1000), oci.File("sub/file", "of the image", 0o640).Owned(1000, 1001))
	two := oci.NewLayer(oci.File("top", "on top", 0o600))
	for i, image := range []*oci.Image{oci.New(oci.Options{}, one), oci.New(oci.Options{}, one, two)} {
		ref := pullImage(t, image)
		m := &runtimeapi.Mount{ContainerPath: "/image", Image: &runtimeapi.ImageSpec{Image: ref}, Readonly: true}
		c := p.Run(mapped(m))
		tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/image"))
		suite.Equal(t, fmt.Sprintf("image %d: owner of its file", i), owner(tree["sub/file"]), "1000:1001")
		suite.Equal(t, "reading", c.ReadText("/image/sub/file"), "of the image")
		suite.Equal(t, "write", c.Errors("touch-each", "/image")["/image"], "EROFS")
		m = &runtimeapi.Mount{ContainerPath: "/image", Image: &runtimeapi.ImageSpec{Image: ref}, ImageSubPath: "sub", Readonly: true}
		c = p.Run(mapped(m))
		suite.Equal(t, "by its sub path", owner(suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/image"))["file"]), "1000:1001")
	}
}

func usernsImageVOLUME(t *suite.T) {
	config := suite.BaseConfig()
	config.Volumes = map[string]struct{}{"/data": {}, "/fresh/one": {}}
	config.WorkingDir = "/made/for/it"
	image := pullNew(t, config)
	own, _ := users(t)
	p := t.RunPod(own)
	for _, readonly := range []bool{false, true} {
		c := p.Run(suite.Image(image), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.ReadonlyRootfs = readonly }))
		for path, e := range c.Errors("touch-each", "/data", "/fresh/one") {
			suite.Equal(t, "write to "+path, e, "")
		}
		for _, path := range []string{"/fresh", "/fresh/one", "/made", "/made/for/it"} {
			suite.Equal(t, "owner of "+path, owner(suite.Decode[map[string]payload.Node](t, c.Exec("tree", path))["."]), "0:0")
		}
		if readonly {
			suite.Equal(t, "write to /etc", c.Errors("touch-each", "/etc")["/etc"], "EROFS")
		}
	}
}

func usernsPodFiles(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.CNI, func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"192.0.2.7"}}
	})
	a, b := p.Run(), p.Run(runAs(1000, 1000))
	suite.Equal(t, "write to /dev/shm", a.Errors("write", "/dev/shm/note", "shared")["/dev/shm/note"], "")
	suite.Equal(t, "what the other container reads", b.ReadText("/dev/shm/note"), "shared")
	suite.Equal(t, "a user's write to /dev/shm", b.Errors("touch-each", "/dev/shm")["/dev/shm"], "")
	suite.Equal(t, "owner of /dev/shm", owner(suite.Decode[map[string]payload.Node](t, a.Exec("tree", "/dev/shm"))["."]), "0:0")
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} {
		suite.Equal(t, "owner of "+file, owner(suite.Decode[map[string]payload.Node](t, a.Exec("tree", file))["."]), "0:0")
		suite.Equal(t, "root opens "+file+" for writing", a.Errors("overwrite", file)[file], "")
		suite.Equal(t, "a user opens it for writing", b.Errors("overwrite", file)[file], "EACCES")
	}
	suite.Equal(t, "resolv.conf", a.ReadText("/etc/resolv.conf"), "nameserver 192.0.2.7\n")
	if !strings.Contains(a.ReadText("/etc/hosts"), p.IPs()[0]) {
		t.Errorf("/etc/hosts lacks the pod's address: %q", a.ReadText("/etc/hosts"))
	}
}

func usernsMounts(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.CNI)
	r := p.Report()
	mounts := node.ParseMounts(r.Mounts)
	for path, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/sys/fs/cgroup": "cgroup2", "/dev": "tmpfs",
		"/dev/pts": "devpts", "/dev/mqueue": "mqueue", "/dev/shm": "tmpfs", "/": "overlay"} {
		m, ok := node.At(mounts, path)
		if !ok || m.Type != kind {
			t.Errorf("%s is %v, wanted %s", path, m, kind)
		}
		if strings.HasPrefix(path, "/sys") && !m.Has("ro") {
			t.Errorf("%s is not read-only: %v", path, m)
		}
	}
	suite.Equal(t, "its cgroup", r.Cgroup, "0::/")
	c := p.Run()
	suite.Equal(t, "write to /proc/sys", c.Errors("overwrite", "/proc/sys/kernel/msgmax")["/proc/sys/kernel/msgmax"], "EROFS")
	suite.Equal(t, "/proc/kcore is masked", c.Read("/proc/kcore")["/proc/kcore"].Text, "")
	suite.Equal(t, "it sees its own processes only", len(suite.Decode[payload.Report](t, c.Exec("report")).Procs), 2)
}

// blockDevice is some disk of the node, which nobody but root may open there.
func blockDevice(t *suite.T) string {
	for _, name := range []string{"vda", "vdb", "sda", "nvme0n1", "loop0"} {
		if _, err := os.Stat("/dev/" + name); err == nil {
			return "/dev/" + name
		}
	}
	t.Skipf("no disk here")
	return ""
}

func usernsDevices(t *suite.T) {
	disk := blockDevice(t)
	own, _ := users(t)
	p := t.RunPod(own)
	c := p.Run(func(c *runtimeapi.ContainerConfig) {
		c.Devices = []*runtimeapi.Device{{ContainerPath: "/dev/sub/disk", HostPath: disk, Permissions: "r"},
			{ContainerPath: "/dev/loop-control", HostPath: "/dev/loop-control", Permissions: "rwm"},
			{ContainerPath: "/else/where/null", HostPath: "/dev/null", Permissions: "rwm"}}
	})
	for path, e := range c.Errors("open-devices", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx",
		"/dev/loop-control", "/else/where/null") {
		suite.Equal(t, path, e, "r= w=")
	}
	suite.Equal(t, "a device to read", c.Errors("open-devices", "/dev/sub/disk")["/dev/sub/disk"], "r= w=EPERM")
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/dev"))
	for _, name := range []string{".", "null", "tty", "loop-control", "sub"} {
		suite.Equal(t, "owner of /dev/"+name, tree[name].UID, 0)
	}
	suite.Equal(t, "owner of /else/where", owner(suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/else/where"))["."]), "0:0")
	r, err := c.TryExec(0, suite.PayloadCommand("mknod", "/tmp/null", "c", "1", "3")...)
	t.Must(err, "ExecSync")
	if r.ExitCode == 0 {
		t.Errorf("a device node could be made")
	}
	dir := t.Dir("volume")
	_, err = p.TryCreate(p.ContainerConfig(mapped(bind(dir, "/mnt")), func(c *runtimeapi.ContainerConfig) {
		c.Devices = []*runtimeapi.Device{{ContainerPath: "/mnt/null", HostPath: "/dev/null", Permissions: "rw"}}
	}))
	t.WantError(err, codes.InvalidArgument, "/mnt/null.*mount")
}

// Who is privileged there is nobody on the node: the disks stay out of reach.
func usernsPrivileged(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.PrivilegedPod)
	c := p.Run(suite.Privileged, suite.Payload("report-wait"))
	c.WaitText("\n")
	r := suite.Decode[payload.Report](t, c.Stdout())
	wantCaps(t, "privileged", r, lastCap(), lastCap())
	for name, n := range suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/dev")) {
		kind := n.Mode & unix.S_IFMT
		if kind == unix.S_IFBLK && n.Mode&0o666 != 0 {
			t.Errorf("/dev/%s is there, mode %#o, owner %s", name, n.Mode, owner(n))
		}
	}
	for _, path := range []string{blockDevice(t), "/dev/mem", "/dev/kmsg"} {
		if got := c.Errors("open-devices", path)[path]; strings.HasSuffix(got, "w=") {
			t.Errorf("%s: %s", path, got)
		}
	}
	suite.Equal(t, "/dev/null", c.Errors("open-devices", "/dev/null")["/dev/null"], "r= w=")
	c.Exec("mount-tmpfs", "/tmp")
	forward, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	if e := c.Errors("write", "/proc/sys/kernel/core_pattern", "|/bin/evil")["/proc/sys/kernel/core_pattern"]; e == "" {
		t.Errorf("it could set the node's core_pattern")
		os.WriteFile("/proc/sys/kernel/core_pattern", forward, 0)
	}
}

// What many images do with their logs: /dev/stdout opened by its name.
func usernsStdout(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own)
	for name, as := range map[string]suite.ContainerOption{"root": runAs(0, 0), "a user": runAs(1000, 1000)} {
		c := p.RunToEnd(as, suite.Payload("overwrite", "/dev/stdout", "/dev/stderr"))
		for path, e := range suite.Decode[map[string]string](t, c.Stdout()) {
			suite.Equal(t, name+" opens "+path, e, "")
		}
		c = p.Run(as)
		for path, e := range c.Errors("overwrite", "/dev/stdout", "/dev/stderr") {
			suite.Equal(t, name+" opens in an exec "+path, e, "")
		}
	}
}

func usernsStreams(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.CNI)
	c := answer(p, "8080")
	groups := fmt.Sprint(p.Report().Groups)
	r := suite.Decode[payload.Report](t, c.Exec("report"))
	in := suite.Decode[payload.Report](t, c.ExecStream("report"))
	for name, one := range map[string]payload.Report{"ExecSync": r, "exec": in} {
		suite.Equal(t, name+": user", one.UID, 0)
		suite.Equal(t, name+": groups", fmt.Sprint(one.Groups), groups)
		if one.Namespaces["user"] == ownNamespace(t, "user") {
			t.Errorf("%s: in the node's user namespace", name)
		}
		wantCaps(t, name, one, defaultCaps, defaultCaps)
		suite.Equal(t, name+": cgroup", one.Cgroup, "0::/")
	}
	u := p.Run(runAs(1000, 1000))
	e := suite.Decode[payload.Report](t, u.Exec("report"))
	suite.Equal(t, "user of an exec in a user's container", e.UID, 1000)
	wantCaps(t, "a user's exec", e, 0, defaultCaps)
	con := terminal(t, c, "terminal")
	con.wait("terminal [true true true] /dev/pts/0 leader=true foreground=true")
	con.say("exit 5\n")
	wantCode(t, con.end(), 5)
	tty := p.Run(suite.Payload("terminal"), stdin(false), func(c *runtimeapi.ContainerConfig) { c.Tty = true })
	tty.WaitText("terminal [true true true]")
	con = attach(t, tty)
	con.say("hello\n")
	con.wait("got hello\r\n")
	con.say("exit 6\n")
	tty.WantExit(6)
	con.end()
	got, problem := talkTo(t, p, 8080, "host")
	suite.Equal(t, "port-forward's answer", got, p.Config.Hostname)
	suite.Equal(t, "port-forward's error", problem, "")
}

func usernsCaps(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.CNI)
	r := p.Report(caps([]string{"ALL"}, nil))
	wantCaps(t, "all", r, lastCap(), lastCap())
	wantCaps(t, "by default", p.Report(), defaultCaps, defaultCaps)
	wantCaps(t, "a user's", p.Report(runAs(1000, 1000)), 0, defaultCaps)
	c := p.Run(caps([]string{"SYS_ADMIN", "SYS_TIME", "SYS_BOOT", "SYS_MODULE"}, nil), seccomp(runtimeapi.SecurityProfile_Unconfined, ""),
		apparmor(runtimeapi.SecurityProfile_Unconfined, ""))
	got := c.Errors("syscalls", "mount", "unshare-uts", "settimeofday", "init_module")
	suite.Equal(t, "mount", got["mount"], "")
	suite.Equal(t, "unshare", got["unshare-uts"], "")
	for _, call := range []string{"settimeofday", "init_module"} {
		if got[call] != "EPERM" {
			t.Errorf("%s gives %q: that is the node's", call, got[call])
		}
	}
	nnp := p.Report(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.NoNewPrivs = true }))
	suite.Equal(t, "NoNewPrivs", nnp.Status["NoNewPrivs"], "1")
	suite.Equal(t, "seccomp", nnp.Status["Seccomp"], "2")
	adj := p.Report(suite.Resources(&runtimeapi.LinuxContainerResources{OomScoreAdj: -997}))
	suite.Equal(t, "oom_score_adj", adj.OOMAdj, "-997")
}

// CVE-2025-47291: containerd left the cgroups of such pods without limits.
func usernsLimits(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own)
	c := p.Run(suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20,
		CpuPeriod: 50000, CpuQuota: 25000, CpuShares: 512, Unified: map[string]string{"pids.max": "77", "memory.high": "62914560"}}))
	want := map[string]string{"memory.max": fmt.Sprint(64 << 20), "cpu.max": "25000 50000", "pids.max": "77", "memory.high": "62914560"}
	got := inside(c, "memory.max", "cpu.max", "pids.max", "memory.high")
	for file, value := range want {
		suite.Equal(t, file+" from inside", got[file], value)
		outside, _ := node.CgroupFile(filepath.Join(p.Cgroup, c.ID), file)
		suite.Equal(t, file+" on the node", outside, value)
	}
	suite.Equal(t, "they can be raised from inside", c.Errors("overwrite", "/sys/fs/cgroup/memory.max")["/sys/fs/cgroup/memory.max"] == "", false)
	s := p.RunToEnd(suite.Payload("eat", "256"), memory(64)).Status()
	suite.Equal(t, "reason", s.Reason, "OOMKilled")
	n := suite.Decode[map[string]any](t, p.RunToEnd(suite.Payload("threads", "200"),
		suite.Resources(&runtimeapi.LinuxContainerResources{Unified: map[string]string{"pids.max": "64"}})).Stdout())
	if made, _ := n["made"].(float64); made >= 64 {
		t.Errorf("%v children could be made under pids.max 64", n["made"])
	}
	suite.Equal(t, "exec's cgroup", suite.Decode[payload.Report](t, c.Exec("report")).Cgroup, "0::/")
}

func usernsSysctls(t *suite.T) {
	own, _ := users(t)
	values := map[string]string{"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "20000 30000"}
	p := t.RunPod(own, suite.CNI, func(c *runtimeapi.PodSandboxConfig) { c.Linux.Sysctls = values })
	c := p.Run(runAs(1000, 1000))
	for key, want := range map[string]string{"net.ipv4.ping_group_range": "0 65535", "net.ipv4.ip_unprivileged_port_start": "0",
		"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "20000 30000"} {
		got := strings.Join(strings.Fields(c.ReadText("/proc/sys/"+strings.ReplaceAll(key, ".", "/"))), " ")
		suite.Equal(t, key, got, want)
	}
}

func usernsSharedPID(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own, suite.SharedPID)
	p.Run(suite.Payload("sleeper"))
	r := p.Report()
	found := false
	for _, line := range r.Procs {
		found = found || strings.Contains(line, "sleeper")
	}
	if !found || r.Pid == 1 {
		t.Errorf("as process %d it sees %v", r.Pid, r.Procs)
	}
	p.RunToEnd(suite.Payload("orphans", "5", "100"))
	if !t.Until(5*time.Second, func() bool { return zombies(p.Cgroup) == 0 }) {
		t.Errorf("%d zombies", zombies(p.Cgroup))
	}
}

func usernsTarget(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own)
	target := p.Run(suite.Payload("sleeper"))
	r := p.Report(suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		s.NamespaceOptions.TargetId = target.ID
	}))
	if !strings.Contains(r.Procs[1], "sleeper") {
		t.Errorf("PID 1 of the target's namespace is %q", r.Procs[1])
	}
}

func usernsHostNetwork(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own) // the node's network is the suite's default
	r := p.Report()
	suite.Equal(t, "network namespace", r.Namespaces["net"], ownNamespace(t, "net"))
	if r.Namespaces["user"] == ownNamespace(t, "user") {
		t.Errorf("it has the node's user namespace")
	}
	m, ok := node.At(node.ParseMounts(r.Mounts), "/sys")
	if !ok || m.Type != "sysfs" || !m.Has("ro") {
		t.Errorf("/sys is %v", m)
	}
	c := p.Run(caps([]string{"NET_ADMIN", "SYS_ADMIN"}, nil), seccomp(runtimeapi.SecurityProfile_Unconfined, ""))
	suite.Equal(t, "a sysctl of the node's network", c.Errors("write", "/proc/sys/net/ipv4/ip_forward", "0")["/proc/sys/net/ipv4/ip_forward"] == "", false)
}

func usernsNode(t *suite.T) {
	p := t.RunPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_NODE}
	})
	suite.Equal(t, "user namespace", p.Report().Namespaces["user"], ownNamespace(t, "user"))
}

func usernsBad(t *suite.T) {
	all := []*runtimeapi.IDMapping{{HostId: 1 << 21, ContainerId: 0, Length: usersLength}}
	far := []*runtimeapi.IDMapping{{HostId: 1<<32 - 10, ContainerId: 0, Length: usersLength}}
	twice := []*runtimeapi.IDMapping{{HostId: 1 << 21, ContainerId: 0, Length: 100}, {HostId: 1 << 22, ContainerId: 50, Length: 100}}
	rootless := []*runtimeapi.IDMapping{{HostId: 1 << 21, ContainerId: 1, Length: 100}}
	empty := []*runtimeapi.IDMapping{{HostId: 1 << 21, ContainerId: 0, Length: 0}}
	for _, c := range []struct {
		name   string
		mode   runtimeapi.NamespaceMode
		u, g   []*runtimeapi.IDMapping
		change func(*runtimeapi.NamespaceOption)
		words  string
	}{
		{"no mappings", runtimeapi.NamespaceMode_POD, nil, nil, nil, "mapping"},
		{"no groups", runtimeapi.NamespaceMode_POD, all, nil, nil, "groups"},
		{"mode NODE with mappings", runtimeapi.NamespaceMode_NODE, all, all, nil, "NODE"},
		{"mode CONTAINER", runtimeapi.NamespaceMode_CONTAINER, all, all, nil, "mode"},
		{"past the last ID", runtimeapi.NamespaceMode_POD, far, all, nil, "last ID"},
		{"overlapping", runtimeapi.NamespaceMode_POD, twice, all, nil, "overlap"},
		{"no root", runtimeapi.NamespaceMode_POD, rootless, all, nil, "root"},
		{"empty", runtimeapi.NamespaceMode_POD, empty, all, nil, "empty"},
		{"the node's processes", runtimeapi.NamespaceMode_POD, all, all,
			func(n *runtimeapi.NamespaceOption) { n.Pid = runtimeapi.NamespaceMode_NODE }, "PID"},
		{"the node's IPC", runtimeapi.NamespaceMode_POD, all, all,
			func(n *runtimeapi.NamespaceOption) { n.Ipc = runtimeapi.NamespaceMode_NODE }, "IPC"},
	} {
		config := t.PodConfig()
		n := config.Linux.SecurityContext.NamespaceOptions
		n.UsernsOptions = &runtimeapi.UserNamespace{Mode: c.mode, Uids: c.u, Gids: c.g}
		if c.change != nil {
			c.change(n)
		}
		p, err := t.TryPod(config, "")
		if err == nil {
			p.End()
			t.Errorf("%s: no error", c.name)
			continue
		}
		t.WantError(err, codes.InvalidArgument, c.words)
	}
	own, _ := users(t)
	p := t.RunPod(own)
	_, err := p.TryCreate(p.ContainerConfig(runAs(70000, 0)))
	t.WantError(err, codes.InvalidArgument, "70000.*not mapped")
}

func usernsSurvives(t *suite.T) {
	own, _ := users(t)
	p := t.RunPod(own)
	c := p.Run()
	before := suite.Decode[payload.Report](t, c.Exec("report")).Namespaces["user"]
	kill(t, syscall.SIGKILL)
	suite.Equal(t, "exec afterwards", suite.Decode[payload.Report](t, c.Exec("report")).Namespaces["user"], before)
	r := p.Report()
	suite.Equal(t, "a new container's namespace", r.Namespaces["user"], before)
	suite.Equal(t, "its user", r.UID, 0)
}
