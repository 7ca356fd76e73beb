package cases

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var mountCases = []suite.Case{
	{Name: "read-write", Run: mountReadWrite},
	{Name: "read-only", Run: mountReadOnly},
	{Name: "recursively-read-only", Run: mountRecursive, CrispOnly: "came with containerd 2"},
	{Name: "recursively-read-only-wrongly-asked", Run: mountRecursiveBad, CrispOnly: "came with containerd 2"},
	{Name: "file", Run: mountFile},
	{Name: "host-path-made", Run: mountMade},
	{Name: "host-path-is-a-symlink", Run: mountSymlink},
	{Name: "destination-through-a-symlink", Run: mountThroughSymlink},
	{Name: "nested-in-any-order", Run: mountNested},
	{Name: "private", Run: mountPrivate},
	{Name: "host-to-container", Run: mountSlave},
	{Name: "bidirectional", Run: mountShared},
	{Name: "over-the-pod-files", Run: mountOverPodFiles},
	{Name: "image-volume", Run: mountImage, CrispOnly: "came with containerd 2.1"},
	{Name: "image-volume-sub-path", Run: mountImageSubPath, CrispOnly: "came with containerd 2.1"},
	{Name: "image-volume-errors", Run: mountImageErrors, CrispOnly: "came with containerd 2.1"},
	{Name: "volume-of-the-image", Run: mountVolume},
	{Name: "many", Run: mountMany},
	{Name: "volume-under-proc-or-sys", Run: mountProc, CrispOnly: "runc's rules are its own"},
}

func bind(host, container string) *runtimeapi.Mount {
	return &runtimeapi.Mount{HostPath: host, ContainerPath: container}
}

func mountReadWrite(t *suite.T) {
	dir := t.Dir("volume")
	c := t.RunPod().Run(suite.Mounts(bind(dir, "/mnt")))
	suite.Equal(t, "write", c.Errors("write", "/mnt/new", "from inside")["/mnt/new"], "")
	got, err := os.ReadFile(dir + "/new")
	if err != nil || string(got) != "from inside" {
		t.Errorf("on the node: %q, %v", got, err)
	}
	t.Must(os.WriteFile(dir+"/back", []byte("from outside"), 0o644), "file")
	suite.Equal(t, "what the container reads", c.ReadText("/mnt/back"), "from outside")
}

func mountReadOnly(t *suite.T) {
	dir := t.Dir("volume")
	t.Must(os.WriteFile(dir+"/file", []byte("there"), 0o666), "file")
	c := t.RunPod().Run(suite.Mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/mnt", Readonly: true}))
	suite.Equal(t, "a new file", c.Errors("touch-each", "/mnt")["/mnt"], "EROFS")
	suite.Equal(t, "an old file", c.Errors("overwrite", "/mnt/file")["/mnt/file"], "EROFS")
	suite.Equal(t, "reading", c.ReadText("/mnt/file"), "there")
}

// withSubmount is a directory with a tmpfs mounted on its member `sub`.
func withSubmount(t *suite.T) string {
	dir := t.Dir("volume")
	t.Must(os.Mkdir(dir+"/sub", 0o755), "directory")
	t.Must(unix.Mount("critests", dir+"/sub", "tmpfs", 0, "size=64k"), "mount")
	t.Cleanup(func(t *suite.T) { t.Must(unix.Unmount(dir+"/sub", 0), "umount of what the node mounted") })
	return dir
}

func mountRecursive(t *suite.T) {
	dir := withSubmount(t)
	p := t.RunPod()
	plain := p.Run(suite.Mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/mnt", Readonly: true}))
	got := plain.Errors("touch-each", "/mnt", "/mnt/sub")
	suite.Equal(t, "read-only: the volume", got["/mnt"], "EROFS")
	suite.Equal(t, "read-only: what is mounted in it", got["/mnt/sub"], "")
	recursive := p.Run(suite.Mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/mnt", Readonly: true,
		RecursiveReadOnly: true}))
	got = recursive.Errors("touch-each", "/mnt", "/mnt/sub")
	suite.Equal(t, "recursively: the volume", got["/mnt"], "EROFS")
	suite.Equal(t, "recursively: what is mounted in it", got["/mnt/sub"], "EROFS")
	found := false
	for _, m := range recursive.Status().Mounts {
		found = found || m.ContainerPath == "/mnt" && m.RecursiveReadOnly
	}
	suite.Equal(t, "the status says so", found, true)
}

// api.proto: the runtime must reject these.
func mountRecursiveBad(t *suite.T) {
	p := t.RunPod(suite.PrivilegedPod)
	for name, m := range map[string]*runtimeapi.Mount{
		"without readonly":           {HostPath: "/tmp", ContainerPath: "/mnt", RecursiveReadOnly: true},
		"with propagation":           {HostPath: "/tmp", ContainerPath: "/mnt", RecursiveReadOnly: true, Readonly: true, Propagation: runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
		"with propagation both ways": {HostPath: "/tmp", ContainerPath: "/mnt", RecursiveReadOnly: true, Readonly: true, Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL},
	} {
		_, err := p.TryCreate(p.ContainerConfig(suite.Privileged, suite.Mounts(m)))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		t.WantError(err, codes.InvalidArgument, "read.?only|recursive|propagation")
	}
}

func mountFile(t *suite.T) {
	file := t.File("hosts", "127.0.0.1 of-the-kubelet\n")
	c := t.RunPod().Run(suite.Mounts(bind(file, "/etc/hosts"), bind(file, "/made/where/nothing/is")))
	suite.Equal(t, "/etc/hosts", c.ReadText("/etc/hosts"), "127.0.0.1 of-the-kubelet\n")
	suite.Equal(t, "a new place", c.ReadText("/made/where/nothing/is"), "127.0.0.1 of-the-kubelet\n")
}

func mountMade(t *suite.T) {
	dir := t.Dir("volume")
	c := t.RunPod().Run(suite.Mounts(bind(dir+"/not/there/yet", "/mnt")))
	suite.Equal(t, "write", c.Errors("touch-each", "/mnt")["/mnt"], "")
	st, err := os.Stat(dir + "/not/there/yet")
	if err != nil || !st.IsDir() {
		t.Errorf("the host path: %v, %v", st, err)
	}
}

func mountSymlink(t *suite.T) {
	dir := t.Dir("volume")
	t.Must(os.Mkdir(dir+"/real", 0o755), "directory")
	t.Must(os.WriteFile(dir+"/real/file", []byte("real"), 0o644), "file")
	t.Must(os.Symlink("real", dir+"/link"), "symlink")
	c := t.RunPod().Run(suite.Mounts(bind(dir+"/link", "/mnt")))
	suite.Equal(t, "through the link", c.ReadText("/mnt/file"), "real")
}

// R1: symbolic links of the image are followed inside the root, and only there.
func mountThroughSymlink(t *suite.T) {
	image := pullNew(t, suite.BaseConfig(), oci.NewLayer(oci.Symlink("abs", "/tmp"), oci.Symlink("up", "../../../../../tmp"),
		oci.Symlink("data/rel", "../tmp"), oci.Symlink("nowhere", "/not/there/yet")))
	dir := t.Dir("volume")
	t.Must(os.WriteFile(dir+"/file", []byte("volume"), 0o644), "file")
	before := len(node.Files("/tmp"))
	c := t.RunPod().Run(suite.Image(image), suite.Mounts(bind(dir, "/abs/a"), bind(dir, "/up/b"), bind(dir, "/data/rel/c"),
		bind(dir, "/nowhere/d")))
	for _, path := range []string{"/tmp/a/file", "/tmp/b/file", "/tmp/c/file", "/not/there/yet/d/file"} {
		suite.Equal(t, path, c.ReadText(path), "volume")
	}
	suite.Equal(t, "files in the node's /tmp", len(node.Files("/tmp")), before)
}

func mountNested(t *suite.T) {
	outer, inner := t.Dir("outer"), t.Dir("inner")
	t.Must(os.WriteFile(outer+"/file", []byte("outer"), 0o644), "file")
	t.Must(os.WriteFile(inner+"/file", []byte("inner"), 0o644), "file")
	p := t.RunPod()
	for _, mounts := range [][]*runtimeapi.Mount{{bind(outer, "/mnt"), bind(inner, "/mnt/in")},
		{bind(inner, "/mnt/in"), bind(outer, "/mnt")}} {
		c := p.Run(suite.Mounts(mounts...))
		suite.Equal(t, "outer", c.ReadText("/mnt/file"), "outer")
		suite.Equal(t, "inner", c.ReadText("/mnt/in/file"), "inner")
	}
}

// A volume that is a mount of its own, shared as the kubelet's are.
func sharedVolume(t *suite.T) string {
	dir := t.Dir("volume")
	t.Must(unix.Mount("critests", dir, "tmpfs", 0, "size=1m"), "mount")
	t.Must(unix.Mount("", dir, "", unix.MS_SHARED, ""), "make shared")
	t.Cleanup(func(t *suite.T) {
		unix.Unmount(dir+"/sub", 0)
		t.Must(unix.Unmount(dir, 0), "umount of what the node mounted")
	})
	t.Must(os.Mkdir(dir+"/sub", 0o755), "directory")
	return dir
}

func mountOnNode(t *suite.T, dir string) {
	t.Must(unix.Mount("critests", dir+"/sub", "tmpfs", 0, "size=64k"), "mount on the node")
	t.Must(os.WriteFile(dir+"/sub/inside", []byte("mounted on the node"), 0o644), "file")
}

func propagated(mode runtimeapi.MountPropagation, dir string) suite.ContainerOption {
	return suite.Mounts(&runtimeapi.Mount{HostPath: dir, ContainerPath: "/mnt", Propagation: mode})
}

func mountPrivate(t *suite.T) {
	dir := sharedVolume(t)
	c := t.RunPod().Run(propagated(runtimeapi.MountPropagation_PROPAGATION_PRIVATE, dir))
	mountOnNode(t, dir)
	suite.Equal(t, "what the node mounts", c.Errors("exists", "/mnt/sub/inside")["/mnt/sub/inside"], "ENOENT")
}

func mountSlave(t *suite.T) {
	dir := sharedVolume(t)
	c := t.RunPod(suite.PrivilegedPod).Run(suite.Privileged,
		propagated(runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, dir))
	mountOnNode(t, dir)
	suite.Equal(t, "what the node mounts", c.Errors("exists", "/mnt/sub/inside")["/mnt/sub/inside"], "")
	t.Must(os.Mkdir(dir+"/back", 0o755), "directory")
	c.Exec("mount-tmpfs", "/mnt/back")
	if _, err := os.Stat(dir + "/back/inside"); err == nil {
		t.Errorf("the node sees what the container mounts")
	}
}

func mountShared(t *suite.T) {
	dir := sharedVolume(t)
	c := t.RunPod(suite.PrivilegedPod).Run(suite.Privileged,
		propagated(runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL, dir))
	c.Exec("mount-tmpfs", "/mnt/sub")
	if _, err := os.Stat(dir + "/sub/inside"); err != nil {
		t.Errorf("the node does not see what the container mounted: %v", err)
	}
}

func mountOverPodFiles(t *suite.T) {
	file, dir := t.File("resolv.conf", "nameserver 192.0.2.1\n"), t.Dir("shm")
	c := t.RunPod(suite.CNI).Run(suite.Mounts(bind(file, "/etc/resolv.conf"), bind(dir, "/dev/shm"), bind(file, "/dev/termination-log")))
	suite.Equal(t, "resolv.conf", c.ReadText("/etc/resolv.conf"), "nameserver 192.0.2.1\n")
	suite.Equal(t, "write", c.Errors("write", "/dev/shm/x", "1", "/dev/termination-log", "bye")["/dev/shm/x"], "")
	if _, err := os.Stat(dir + "/x"); err != nil {
		t.Errorf("/dev/shm is not the volume: %v", err)
	}
	got, _ := os.ReadFile(file)
	if !strings.HasPrefix(string(got), "bye") {
		t.Errorf("the termination log holds %q", got)
	}
}

// volumeImage is one without a program: data for others.
func volumeImage(t *suite.T) string {
	return pullImage(t, oci.New(oci.Options{}, oci.NewLayer(oci.Dir("sub", 0o755), oci.File("sub/file", "of the image", 0o644),
		oci.File("top", "on top", 0o644), oci.Symlink("out", "/etc"), oci.Symlink("up", "../../../../etc"),
		oci.Symlink("in", "sub"))))
}

func imageMount(ref, sub string) suite.ContainerOption {
	return suite.Mounts(&runtimeapi.Mount{ContainerPath: "/image", Image: &runtimeapi.ImageSpec{Image: ref},
		ImageSubPath: sub, Readonly: true})
}

func mountImage(t *suite.T) {
	ref := volumeImage(t)
	c := t.RunPod().Run(imageMount(ref, ""))
	suite.Equal(t, "a file", c.ReadText("/image/sub/file"), "of the image")
	suite.Equal(t, "write", c.Errors("touch-each", "/image")["/image"], "EROFS")
	m, ok := node.At(node.ParseMounts(suite.Decode[payload.Report](t, c.Exec("report")).Mounts), "/image")
	if !ok || !m.Has("ro") {
		t.Errorf("it is mounted as %v", m)
	}
	// the image stays while a container uses it
	_, err := t.Images.RemoveImage(t.Ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	t.Logf("RemoveImage while it is mounted: %v", err)
	suite.Equal(t, "the file afterwards", c.ReadText("/image/sub/file"), "of the image")
}

func mountImageSubPath(t *suite.T) {
	ref := volumeImage(t)
	p := t.RunPod()
	for _, sub := range []string{"sub", "/sub", "sub/", "in"} {
		c := p.Run(imageMount(ref, sub))
		suite.Equal(t, "sub path "+sub, c.ReadText("/image/file"), "of the image")
	}
}

func mountImageErrors(t *suite.T) {
	ref := volumeImage(t)
	p := t.RunPod()
	for _, c := range []struct{ ref, sub, words string }{
		{ref, "not-there", "not-there"}, {ref, "../..", "sub.?path|\\.\\."}, {ref, "sub/../../..", "sub.?path|\\.\\."},
		{ref, "up/passwd", "up|etc"}, {ref, "out/shadow", "out|etc"},
		{"registry.test:5000/not/pulled:1", "", "not/pulled"}, {"", "", "image"},
	} {
		made, err := p.TryCreate(p.ContainerConfig(imageMount(c.ref, c.sub)))
		if err == nil {
			err = made.TryStart()
		}
		if err == nil {
			t.Errorf("image %q, sub path %q: no error", c.ref, c.sub)
			continue
		}
		t.WantError(err, codes.OK, c.words)
	}
}

func mountVolume(t *suite.T) {
	config := suite.BaseConfig()
	config.Volumes = map[string]struct{}{"/data": {}, "/fresh/one": {}}
	image := pullNew(t, config)
	p := t.RunPod()
	c := p.Run(suite.Image(image))
	suite.Equal(t, "what the image had there", c.ReadText("/data/file"), "from the image\n")
	got := c.Errors("touch-each", "/data", "/fresh/one")
	suite.Equal(t, "write", got["/data"], "")
	suite.Equal(t, "write to a new one", got["/fresh/one"], "")
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/data"))
	suite.Equal(t, "owner", tree["file"].UID, 1000)
	c.Exec("say", "", "")
	suite.Equal(t, "change", c.Errors("write", "/data/file", "changed")["/data/file"], "")
	other := p.Run(suite.Image(image))
	suite.Equal(t, "what another container sees", other.ReadText("/data/file"), "from the image\n")
	// a mount of the pod takes its place
	dir := t.Dir("volume")
	over := p.Run(suite.Image(image), suite.Mounts(bind(dir, "/data")))
	suite.Equal(t, "under a mount", over.Errors("exists", "/data/file")["/data/file"], "ENOENT")
}

func mountMany(t *suite.T) {
	dir := t.Dir("volume")
	var all []*runtimeapi.Mount
	for i := 0; i < 120; i++ {
		sub := filepath.Join(dir, "v", strings.Repeat("x", i%7+1), string(rune('a'+i%26)))
		all = append(all, bind(sub, filepath.Join("/mnt", strings.Repeat("d", i+1))))
	}
	c := t.RunPod().Run(suite.Mounts(all...))
	suite.Equal(t, "the last", c.Errors("touch-each", all[119].ContainerPath)[all[119].ContainerPath], "")
}

// CVE-2019-16884, CVE-2023-27561: what is mounted over /proc must not be taken for it.
func mountProc(t *suite.T) {
	dir := t.Dir("volume")
	t.Must(os.MkdirAll(dir+"/self/attr", 0o755), "directory")
	t.Must(os.WriteFile(dir+"/self/attr/exec", nil, 0o666), "file")
	p := t.RunPod()
	for _, at := range []string{"/proc", "/proc/self", "/proc/self/attr"} {
		made, err := p.TryCreate(p.ContainerConfig(suite.Mounts(bind(dir, at))))
		if err == nil {
			err = made.TryStart()
		}
		if err == nil {
			t.Logf("a volume at %s is taken", at)
			made.Stop(0)
			continue
		}
		t.WantError(err, codes.OK, "/proc")
	}
	got, _ := os.ReadFile(dir + "/self/attr/exec")
	suite.Equal(t, "what the runtime wrote into the volume", string(got), "")
}
