package cases

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var volumeCases = []suite.Case{
	{Name: "mount-options", Run: mountOptions, CrispOnly: "came with CRI 0.37"},
	{Name: "both-ways-in-both-directions", Run: mountBothWays},
	{Name: "propagation-needs-a-shared-mount", Run: mountNotShared},
	{Name: "host-path-errors", Run: mountHostErrors},
	{Name: "image-volume-tells-its-digest", Run: mountImageRef, CrispOnly: "came with CRI 0.36"},
	{Name: "tmpfs-and-its-limit", Run: mountTmpfs},
	{Name: "hugepages", Run: mountHugepages},
	{Name: "read-only-root-with-volumes", Run: mountReadonlyRoot},
	{Name: "layer-that-hides-all-below", Run: layerOpaqueRoot},
	{Name: "directories-that-a-layer-implies", Run: layerImplied},
	{Name: "cve-2022-23648-volumes-of-the-image-with-dots", Run: volumeEscape},
	{Name: "cve-2021-30465-exchanged-mount-target", Run: mountRace, Scale: 2},
	{Name: "cve-2025-31133-masked-path-and-a-false-null", Run: falseNull},
	{Name: "cve-2025-52565-false-terminals", Run: falseTerminal, CrispOnly: "runc's rules are its own"},
	{Name: "cve-2026-47766-dev-is-a-symlink-and-own-users", Run: devIsSymlink, CrispOnly: newer},
}

// wantUntouched says whether the runtime made anything on the node, in a directory that hostile links name.
func wantUntouched(t *suite.T, dir string) {
	for _, f := range node.Files(dir) {
		if f != dir {
			t.Errorf("made on the node: %s", f)
		}
	}
}

// tryRun makes and starts one; either may fail.
func tryRun(p *suite.Pod, options ...suite.ContainerOption) (*suite.Container, error) {
	c, err := p.TryCreate(p.ContainerConfig(options...))
	if err == nil {
		err = c.TryStart()
	}
	return c, err
}

func mountOptions(t *suite.T) {
	dir := t.Dir("volume")
	program, err := os.ReadFile("/proc/self/exe")
	t.Must(err, "own program")
	t.Must(os.WriteFile(dir+"/critests", program, 0o755), "program")
	p := t.RunPod()
	with := func(options ...string) suite.ContainerOption {
		return suite.Mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/mnt", MountOptions: options})
	}
	c := p.Run(with("noexec", "nodev", "nosuid"))
	m, _ := node.At(node.ParseMounts(suite.Decode[payload.Report](t, c.Exec("report")).Mounts), "/mnt")
	for _, option := range []string{"noexec", "nodev", "nosuid", "rw"} {
		suite.Equal(t, "option "+option, m.Has(option), true)
	}
	if r, err := c.TryExec(0, "/mnt/critests", payload.Word, "echo", "x"); err == nil && r.ExitCode == 0 {
		t.Errorf("a program of a noexec volume ran")
	}
	c = p.Run(with())
	r, err := c.TryExec(0, "/mnt/critests", payload.Word, "echo", "x")
	t.Must(err, "exec of the volume's program")
	suite.Equal(t, "without the option", r.ExitCode, 0)
	for _, bad := range []string{"exec", "suid", "remount", "bind", "noexec,suid", ""} {
		if _, err := tryRun(p, with(bad)); err == nil {
			t.Errorf("option %q was taken", bad)
		} else {
			t.WantError(err, codes.InvalidArgument, "option")
		}
	}
}

func mountBothWays(t *suite.T) {
	dir := sharedVolume(t)
	t.Must(os.Mkdir(dir+"/back", 0o755), "directory")
	c := t.RunPod(suite.PrivilegedPod).Run(suite.Privileged,
		propagated(runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL, dir))
	mountOnNode(t, dir)
	suite.Equal(t, "what the node mounts", c.Errors("exists", "/mnt/sub/inside")["/mnt/sub/inside"], "")
	t.Must(unix.Unmount(dir+"/sub", 0), "umount on the node")
	suite.Equal(t, "after the node's umount", c.Errors("exists", "/mnt/sub/inside")["/mnt/sub/inside"], "ENOENT")
	c.Exec("mount-tmpfs", "/mnt/back")
	if _, err := os.Stat(dir + "/back/inside"); err != nil {
		t.Errorf("the node does not see what the container mounted: %v", err)
	}
	c.Stop(0)
	c.Remove()
	if err := unix.Unmount(dir+"/back", 0); err != nil {
		t.Errorf("what the container mounted is gone with it: %v", err)
	}
}

func mountNotShared(t *suite.T) {
	dir := t.Dir("volume")
	t.Must(unix.Mount("critests", dir, "tmpfs", 0, "size=64k"), "mount")
	t.Must(unix.Mount("", dir, "", unix.MS_PRIVATE, ""), "make private")
	t.Cleanup(func(t *suite.T) { t.Must(unix.Unmount(dir, 0), "umount of what the node mounted") })
	p := t.RunPod(suite.PrivilegedPod)
	for _, mode := range []runtimeapi.MountPropagation{runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER,
		runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL} {
		_, err := tryRun(p, suite.Privileged, propagated(mode, dir))
		t.WantError(err, codes.InvalidArgument, "/mnt.*shared.*"+dir)
	}
	p.Run(suite.Privileged, propagated(runtimeapi.MountPropagation_PROPAGATION_PRIVATE, dir))
}

func mountHostErrors(t *suite.T) {
	file := t.File("file", "x")
	dir := t.Dir("links")
	t.Must(os.Symlink(dir+"/loop", dir+"/loop"), "symlink")
	p := t.RunPod()
	for path, words := range map[string]string{file + "/below": "file/below", dir + "/loop": "loop"} {
		_, err := tryRun(p, suite.Mounts(bind(path, "/mnt")))
		t.WantError(err, codes.OK, words)
	}
	if t.Crisp() {
		_, err := tryRun(p, suite.Mounts(bind("relative", "/mnt")))
		t.WantError(err, codes.InvalidArgument, "relative.*absolute")
		_, err = tryRun(p, suite.Mounts(bind(dir, "/")))
		t.WantError(err, codes.InvalidArgument, "root")
	}
}

func mountImageRef(t *suite.T) {
	ref := volumeImage(t)
	r, err := t.Images.ImageStatus(t.Ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	t.Must(err, "ImageStatus")
	c := t.RunPod().Run(imageMount(r.Image.Id, ""))
	for _, m := range c.Status().Mounts {
		if m.ContainerPath == "/image" {
			suite.Equal(t, "image_ref", m.GetImage().GetImageRef(), r.Image.RepoDigests[0])
			suite.Equal(t, "image", m.GetImage().GetImage(), r.Image.Id)
			return
		}
	}
	t.Errorf("the status does not have the mount: %v", c.Status().Mounts)
}

// An emptyDir in memory: the kubelet mounts it, with its size.
func mountTmpfs(t *suite.T) {
	dir := t.Dir("volume")
	t.Must(unix.Mount("critests", dir, "tmpfs", 0, "size=2m"), "mount")
	t.Cleanup(func(t *suite.T) { t.Must(unix.Unmount(dir, 0), "umount of what the node mounted") })
	p := t.RunPod()
	a, b := p.Run(suite.Mounts(bind(dir, "/mnt"))), p.Run(suite.Mounts(bind(dir, "/other")))
	suite.Equal(t, "write", a.Errors("write", "/mnt/x", "of one")["/mnt/x"], "")
	suite.Equal(t, "what the other reads", b.ReadText("/other/x"), "of one")
	r, err := a.TryExec(0, suite.PayloadCommand("fill", "/mnt/big", "4")...)
	t.Must(err, "ExecSync")
	if r.ExitCode == 0 {
		t.Errorf("4 MiB went into 2")
	}
	m, ok := node.At(node.ParseMounts(suite.Decode[payload.Report](t, a.Exec("report")).Mounts), "/mnt")
	suite.Equal(t, "it is a tmpfs", ok && m.Type == "tmpfs", true)
}

// As the kubelet does for medium HugePages: hugetlbfs on the node, bound into the container, with a limit.
func mountHugepages(t *suite.T) {
	const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	before, err := os.ReadFile(pool)
	if err != nil {
		t.Skipf("no huge pages of 2 MiB here")
	}
	if text, _ := node.CgroupFile("/", "cgroup.controllers"); !strings.Contains(text, "hugetlb") {
		t.Skipf("no hugetlb controller: %s", text)
	}
	t.Must(os.WriteFile(pool, []byte("8"), 0), "pool")
	t.Cleanup(func(*suite.T) { os.WriteFile(pool, before, 0) })
	if now, _ := os.ReadFile(pool); strings.TrimSpace(string(now)) != "8" {
		t.Skipf("the node has no 8 huge pages to give: %s", now)
	}
	dir := t.Dir("volume")
	t.Must(unix.Mount("critests", dir, "hugetlbfs", 0, "pagesize=2M"), "mount")
	t.Cleanup(func(t *suite.T) { t.Must(unix.Unmount(dir, 0), "umount of what the node mounted") })
	c := t.RunPod().Run(suite.Mounts(bind(dir, "/hugepages")), suite.Resources(&runtimeapi.LinuxContainerResources{
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}}}))
	suite.Equal(t, "limit", inside(c, "hugetlb.2MB.max")["hugetlb.2MB.max"], fmt.Sprint(4<<20))
	suite.Equal(t, "two pages", strings.TrimSpace(c.Exec("map-file", "/hugepages/two", "4")), "4")
	r, err := c.TryExec(0, suite.PayloadCommand("map-file", "/hugepages/four", "8")...)
	t.Must(err, "ExecSync")
	if r.ExitCode == 0 {
		t.Errorf("four pages with a limit of two: %.100q", r.Stdout)
	}
}

func mountReadonlyRoot(t *suite.T) {
	dir := t.Dir("volume")
	c := t.RunPod(suite.CNI).Run(suite.Mounts(bind(dir, "/mnt/made/here")), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.ReadonlyRootfs = true
	}))
	for path, want := range map[string]string{"/": "EROFS", "/mnt": "EROFS", "/tmp": "EROFS", "/mnt/made/here": "", "/dev/shm": "", "/dev": ""} {
		suite.Equal(t, "a file in "+path, c.Errors("touch-each", path)[path], want)
	}
	for _, path := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/passwd"} {
		suite.Equal(t, "opening for writing "+path, c.Errors("overwrite", path)[path], "EROFS")
	}
}

// `.wh..wh..opq` at the top of a layer: nothing of what is below it is to be seen.
func layerOpaqueRoot(t *suite.T) {
	below := oci.NewLayer(oci.File("etc/below", "below", 0o644), oci.Dir("only-below", 0o755))
	opaque := oci.NewLayer(oci.File(".wh..wh..opq", "", 0o644), oci.Dir("etc", 0o700), oci.File("etc/passwd", "root:x:0:0::/:/\n", 0o644))
	ref := pullImage(t, oci.New(oci.Options{Config: suite.BaseConfig()}, suite.BaseTree(), below, opaque, t.Program))
	c := t.RunPod().Run(suite.Image(ref))
	for path, want := range map[string]string{"/etc/passwd": "", "/etc/below": "ENOENT", "/only-below": "ENOENT", "/data": "ENOENT", "/critests": ""} {
		suite.Equal(t, path, c.Errors("exists", path)[path], want)
	}
	suite.Equal(t, "mode of /etc", suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/etc"))["."].Mode&0o7777, 0o700)
}

// A layer that has /tmp/x and does not list /tmp: /tmp stays what the layers below say.
func layerImplied(t *suite.T) {
	lower := oci.NewLayer(oci.Dir("srv", 0o750).Owned(12, 34), oci.Dir("srv/deep", 0o2771).Owned(56, 78), oci.Dir("srv/gone", 0o711),
		oci.File("srv/gone/x", "x", 0o644))
	upper := oci.NewLayer(oci.File("tmp/added", "added", 0o644), oci.File("srv/deep/added", "added", 0o644),
		oci.File("fresh/added", "added", 0o644), oci.File("srv/gone/.wh..wh..opq", "", 0o644))
	top := oci.NewLayer(oci.File("srv/deep/on-top", "on top", 0o644))
	ref := pullNew(t, suite.BaseConfig(), lower, upper, top)
	own, _ := users(t)
	for _, p := range []*suite.Pod{t.RunPod(), t.RunPod(own)} {
		tree := suite.Decode[map[string]payload.Node](t, p.Run(suite.Image(ref)).Exec("tree", "/"))
		for path, want := range map[string]string{"tmp": "1777 0:0", "srv": "750 12:34", "srv/deep": "2771 56:78", "fresh": "755 0:0",
			"srv/gone": "755 0:0"} {
			suite.Equal(t, path, fmt.Sprintf("%o %s", tree[path].Mode&0o7777, owner(tree[path])), want)
		}
		for _, path := range []string{"tmp/added", "srv/deep/added", "srv/deep/on-top", "fresh/added"} {
			suite.Equal(t, path, tree[path].Size > 0, true)
		}
	}
}

func volumeEscape(t *suite.T) {
	target := t.Dir("target")
	t.Must(os.WriteFile(target+"/secret", []byte("of the node"), 0o600), "file")
	config := suite.BaseConfig()
	dots := "/../../../../../../../../.." + target
	config.Volumes = map[string]struct{}{dots: {}, dots + "/new": {}, "/link/deep": {}, "/up": {}}
	image := pullNew(t, config, oci.NewLayer(oci.Symlink("link", dots), oci.Symlink("up", "../../../../../.."+target)))
	p := t.RunPod()
	for _, readonly := range []bool{false, true} {
		c, err := tryRun(p, suite.Image(image), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.ReadonlyRootfs = readonly }))
		if err != nil {
			t.Logf("as good: %v", err)
			continue
		}
		for path, content := range c.Read(target+"/secret", "/link/secret", "/up/secret", dots+"/secret") {
			if content.Text != "" {
				t.Errorf("%s shows the node's file", path)
			}
		}
	}
	if names := node.Files(target); len(names) != 2 {
		t.Errorf("made on the node: %v", names)
	}
}

// Also CVE-2024-45310: one container exchanges a directory and a link while the runtime mounts below it for another.
func mountRace(t *suite.T) {
	target, volume, inner := t.Dir("target"), t.Dir("volume"), t.Dir("inner")
	t.Must(os.Mkdir(volume+"/a", 0o755), "directory")
	t.Must(os.Symlink("/../../../../../../../.."+target, volume+"/b"), "symlink")
	t.Must(os.WriteFile(inner+"/mark", []byte("inner"), 0o644), "file")
	p := t.RunPod()
	p.Run(suite.Mounts(bind(volume, "/vol")), suite.Payload("exchange", "/vol/a", "/vol/b"))
	made := 0
	for i := 0; i < 12; i++ {
		c, err := tryRun(p, suite.Mounts(bind(volume, "/vol"), bind(inner, "/vol/a/sub/deep")))
		if err != nil {
			t.Logf("refused: %v", err)
			continue
		}
		made++
		c.Stop(0)
	}
	t.Logf("%d of 12 could be made", made)
	wantUntouched(t, target)
	for _, m := range node.Mounts(os.Getpid()) {
		if strings.HasPrefix(m.Point, target) {
			t.Errorf("mounted on the node: %v", m)
		}
	}
}

// The runtime covers masked files with /dev/null: with its own, not with what a volume calls so.
func falseNull(t *suite.T) {
	dev := t.Dir("dev")
	t.Must(os.Symlink("/proc/sysrq-trigger", dev+"/null"), "symlink")
	t.Must(os.WriteFile(dev+"/zero", nil, 0o644), "file")
	p := t.RunPod()
	for _, masked := range []string{"/proc/kcore", "/proc/keys", "/etc/group"} {
		c, err := tryRun(p, suite.Mounts(bind(dev, "/dev")), suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.MaskedPaths = []string{masked}
		}))
		if err != nil {
			t.Logf("as good: %v", err)
			continue
		}
		n := suite.Decode[map[string]payload.Node](t, c.Exec("tree", masked))["."]
		suite.Equal(t, masked+" is the null device", n.Rdev, unix.Mkdev(1, 3))
		suite.Equal(t, "its type", n.Mode&unix.S_IFMT, unix.S_IFCHR)
	}
}

func falseTerminal(t *suite.T) {
	target := t.Dir("target")
	dev := t.Dir("dev")
	t.Must(os.Mkdir(dev+"/pts", 0o755), "directory")
	t.Must(os.WriteFile(dev+"/pts/ptmx", nil, 0o666), "file")
	t.Must(os.Symlink("/../../../../../.."+target+"/console", dev+"/console"), "symlink")
	p := t.RunPod()
	tty := func(c *runtimeapi.ContainerConfig) { c.Tty = true }
	_, err := tryRun(p, tty, suite.Mounts(bind(dev, "/dev")))
	t.WantError(err, codes.OK, "terminal|ptmx")
	image := pullNew(t, suite.BaseConfig(), oci.NewLayer(oci.Symlink("dev/console", target+"/console"), oci.Symlink("dev/pts", target)))
	c := p.Run(suite.Image(image), tty, suite.Payload("report-wait"))
	c.WaitText("}")
	m, ok := node.At(node.ParseMounts(suite.Decode[payload.Report](t, c.Text("")).Mounts), "/dev/console")
	suite.Equal(t, "the terminal is on /dev/console", ok && m.Type == "devpts", true)
	wantUntouched(t, target)
}

// The same without is badimage's.
func devIsSymlink(t *suite.T) {
	target := t.Dir("target")
	image := pullImage(t, oci.New(oci.Options{Config: suite.BaseConfig()}, t.Program,
		oci.NewLayer(oci.Dir("etc", 0o755), oci.Symlink("dev", "/../../../../../.."+target))))
	own, _ := users(t)
	c, err := tryRun(t.RunPod(own), suite.Image(image), func(c *runtimeapi.ContainerConfig) {
		c.Devices = []*runtimeapi.Device{{ContainerPath: "/dev/more/full", HostPath: "/dev/full", Permissions: "rw"},
			{ContainerPath: "/other/full", HostPath: "/dev/full", Permissions: "rw"}}
	})
	if err != nil {
		t.Logf("as good: %v", err)
	} else {
		suite.Equal(t, "/dev/null", c.Errors("open-devices", "/dev/null")["/dev/null"], "r= w=")
	}
	wantUntouched(t, target)
}

// ---- namespaces -----------------------------------------------------------------------------------

var namespaceCases = []suite.Case{
	{Name: "debug-container-whose-target-is-gone", Run: targetGone},
	{Name: "debug-container-of-another-pod", Run: targetElsewhere},
	{Name: "debug-container-outlives-nobody", Run: targetEnds},
	{Name: "pods-own-and-nodes", Run: namespaceModes},
	{Name: "pod-level-resources-and-overhead", Run: podResources, CrispOnly: "others leave a cgroup that is not the kubelet's alone"},
}

// A pod that comes with the client and not with the kubelet has a cgroup of crisp's, and the limits that it asks for.
func podResources(t *suite.T) {
	config := t.PodConfig()
	parent := config.Linux.CgroupParent
	config.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512}
	config.Linux.Overhead = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, CpuPeriod: 100000, CpuQuota: 10000}
	made, err := t.TryPod(config, "")
	t.Must(err, "RunPodSandbox")
	if text, _ := node.CgroupFile(parent, "memory.max"); text != "max" {
		t.Errorf("the kubelet's own cgroup was limited: %s", text)
	}
	made.End()
	config = t.PodConfig()
	config.Linux.Resources, config.Linux.Overhead = made.Config.Linux.Resources, made.Config.Linux.Overhead
	config.Linux.CgroupParent = ""
	r, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	t.Must(err, "RunPodSandbox")
	t.Cleanup(func(t *suite.T) {
		t.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: r.PodSandboxId})
		t.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: r.PodSandboxId})
	})
	found := ""
	for _, c := range node.Cgroups("/") {
		if strings.HasSuffix(c, "/"+r.PodSandboxId) {
			found = c
		}
	}
	for file, want := range map[string]string{"memory.max": fmt.Sprint(80 << 20), "cpu.max": "60000 100000"} {
		got, _ := node.CgroupFile(found, file)
		suite.Equal(t, file+" of "+found, got, want)
	}
}

func target(id string) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		s.NamespaceOptions.TargetId = id
	})
}

func targetGone(t *suite.T) {
	p := t.RunPod()
	c := p.RunToEnd(suite.Payload("exit", "0"))
	_, err := tryRun(p, target(c.ID))
	t.WantError(err, codes.FailedPrecondition, "target.*not running")
	_, err = tryRun(p, target(p.Create().ID))
	t.WantError(err, codes.FailedPrecondition, "target.*not running")
	_, err = tryRun(p, target(""))
	t.WantError(err, codes.OK, "target|container")
}

func targetElsewhere(t *suite.T) {
	p, q := t.RunPod(), t.RunPod()
	_, err := tryRun(q, target(p.Run().ID))
	t.WantError(err, codes.InvalidArgument, "another pod")
}

// The end of the target's init is the end of its PID namespace, and of who is in it.
func targetEnds(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	d := p.Run(target(c.ID), suite.Payload("sleeper"))
	c.Stop(0)
	d.WantExit(137)
}

func namespaceModes(t *suite.T) {
	const node, pod = runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_POD
	for _, m := range []struct{ net, ipc, pid runtimeapi.NamespaceMode }{{node, node, node}, {pod, pod, pod}, {node, pod, pod}, {pod, node, node}} {
		p := t.RunPod(func(c *runtimeapi.PodSandboxConfig) {
			n := c.Linux.SecurityContext.NamespaceOptions
			n.Network, n.Ipc, n.Pid = m.net, m.ipc, m.pid
			if m.net == pod {
				c.Hostname = c.Metadata.Name
			}
		})
		a, b := p.Report(), p.Report()
		for kind, mode := range map[string]runtimeapi.NamespaceMode{"net": m.net, "ipc": m.ipc, "pid": m.pid, "uts": m.net} {
			if (a.Namespaces[kind] == ownNamespace(t, kind)) != (mode == node) {
				t.Errorf("%v: %s namespace is %s", m, kind, a.Namespaces[kind])
			}
			suite.Equal(t, fmt.Sprintf("%v: the other container's %s namespace", m, kind), b.Namespaces[kind], a.Namespaces[kind])
		}
		if m.net == pod {
			suite.Equal(t, "host name", a.Hostname, p.Config.Hostname)
		}
	}
}
