package cases

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/suite"
)

const ownStore = "baked stores and imports are crisp's own"

// Images that the OS image brings (image/root.sh).
var bakedCases = []suite.Case{
	{Name: "pod-without-a-registry", Run: bakedPod, CrispOnly: ownStore},
	{Name: "cannot-be-removed", Run: bakedStays, CrispOnly: ownStore},
	{Name: "made-from-a-registry", Run: bakedFromRegistry, CrispOnly: ownStore},
}

// Images from files.
var importCases = []suite.Case{
	{Name: "each-form-of-archive", Run: importForms, CrispOnly: ownStore, Scale: 2},
	{Name: "pod-from-an-archive", Run: importPod, CrispOnly: ownStore},
	{Name: "bad-archives-are-named-and-left-alone", Run: importBad, CrispOnly: ownStore, KillServe: true, Scale: 2},
	{Name: "a-file-that-is-being-written", Run: importPartial, CrispOnly: ownStore},
	{Name: "list-of-names", Run: importList, CrispOnly: ownStore},
	{Name: "nothing-to-do-after-a-restart", Run: importRestart, CrispOnly: ownStore, KillServe: true, Scale: 2},
	{Name: "by-the-client", Run: importClient, CrispOnly: ownStore},
}

const bakedImage = "baked.test/toybox:1"

func bakedPod(t *suite.T) {
	i := imageStatus(t, bakedImage)
	if i == nil {
		t.Skipf("this root has no baked store")
	}
	if !i.Pinned {
		t.Errorf("it is not pinned")
	}
	before := map[string]bool{}
	for _, f := range node.Files(t.Root) {
		before[f] = true
	}
	c := t.RunPod().RunToEnd(suite.Image(bakedImage), func(c *runtimeapi.ContainerConfig) {
		c.Command, c.Args = []string{"/bin/cat", "/etc/baked"}, nil
	})
	c.WantExit(0)
	suite.Equal(t, "what it says", strings.TrimSpace(c.Stdout()), "from the OS image")
	for _, f := range node.Files(t.Root) {
		for _, part := range []string{"/layers/", "/images/", "/names/"} {
			if !before[f] && strings.HasPrefix(f, t.Root+part) {
				t.Errorf("%s was written", f)
			}
		}
	}
}

func bakedStays(t *suite.T) {
	if imageStatus(t, bakedImage) == nil {
		t.Skipf("this root has no baked store")
	}
	_, err := t.Images.RemoveImage(t.Ctx, &runtimeapi.RemoveImageRequest{Image: spec(bakedImage)})
	t.WantError(err, codes.FailedPrecondition, "part of the OS image")
}

// What bake makes of a registry's image is, layer for layer, what a pull makes of it.
func bakedFromRegistry(t *suite.T) {
	ref, image := serve(t, t.Padding(300<<10))
	store := t.Dir("baked")
	bake := func(output, ref string) (string, int) {
		cmd := exec.CommandContext(t.Ctx, "/usr/bin/crisp", "bake", "--hosts-dir", t.CertsDir, "--output", filepath.Join(store, output), ref)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatalf("crisp bake: %v", err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := bake("a", ref)
	suite.Equal(t, "exit code", code, 0)
	if !strings.Contains(out, image.ID()) {
		t.Errorf("it does not tell of image %s: %s", image.ID(), out)
	}
	_, code = bake("b", ref)
	suite.Equal(t, "exit code, once more", code, 0)
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	baked := fileSums(filepath.Join(store, "a"))
	suite.Equal(t, "the same again", fileSums(filepath.Join(store, "b")), baked)
	layers, err := os.ReadDir(filepath.Join(store, "a", "layers"))
	t.Must(err, "baked layers")
	suite.Equal(t, "number of layers", len(layers), len(image.Layers))
	for _, l := range layers {
		suite.Equal(t, "layer "+l.Name(), fileSums(filepath.Join(store, "a", "layers", l.Name())), fileSums(filepath.Join(t.Root, "layers", l.Name())))
	}
	out, code = bake("c", cutTag(ref)+":no-such-tag")
	if code == 0 || !strings.Contains(out, "no-such-tag") {
		t.Errorf("an image that is not there: exit code %d: %s", code, out)
	}
}

// fileSums are of all files below a directory, or of one file.
func fileSums(dir string) string {
	var all []string
	for _, path := range node.Files(dir) {
		if text, err := os.ReadFile(path); err == nil {
			all = append(all, strings.TrimPrefix(path, dir)+" "+oci.Digest(text))
		}
	}
	return strings.Join(sorted(all), "\n")
}

// ---- imports

func importDir(t *suite.T) string {
	return filepath.Join(t.Root, "import")
}

// archived makes an image that no registry has, under a name of its own; it goes when the case ends.
func archived(t *suite.T, layers ...oci.Layer) oci.Named {
	i := oci.Named{Name: fmt.Sprintf("archive.test/critests/image-%d:1", t.Next()),
		Image: oci.New(oci.Options{Config: suite.BaseConfig()}, append(layers, t.Padding(5000))...)}
	t.Cleanup(func(t *suite.T) { removeImage(t, i.Name) })
	return i
}

// drop puts a file there at once, whole; it goes when the case ends.
func drop(t *suite.T, name string, content []byte) string {
	path := filepath.Join(importDir(t), name)
	tmp := filepath.Join(importDir(t), ".tmp-"+name)
	t.Must(os.WriteFile(tmp, content, 0o600), "archive")
	t.Must(os.Rename(tmp, path), "archive")
	t.Cleanup(func(t *suite.T) { takeAway(t, path) })
	return path
}

// takeAway removes it and waits until serve has seen that.
func takeAway(t *suite.T, path string) {
	os.RemoveAll(path)
	if !t.Until(30*time.Second, func() bool { return importState(t, path) == "" }) {
		t.Errorf("%s is gone, and still listed as %s", path, importState(t, path))
	}
}

type importStatus struct {
	File, State, Error string
	Images             []string
}

func importOf(t *suite.T, path string) importStatus {
	r, err := t.CRI.Status(t.Ctx, &runtimeapi.StatusRequest{Verbose: true})
	t.Must(err, "Status")
	for _, i := range suite.Decode[[]importStatus](t, r.Info["imports"]) {
		if i.File == path {
			return i
		}
	}
	return importStatus{}
}

func importState(t *suite.T, path string) string {
	return importOf(t, path).State
}

func waitImport(t *suite.T, path, state string) importStatus {
	if !t.Until(90*time.Second, func() bool { return importState(t, path) == state }) {
		t.Fatalf("%s is not %s: %+v", path, state, importOf(t, path))
	}
	return importOf(t, path)
}

func wantPinned(t *suite.T, ref string, want bool) {
	i := imageStatus(t, ref)
	if i == nil || i.Pinned != want {
		t.Errorf("%s: pinned is not %v: %v", ref, want, i)
	}
}

func importForms(t *suite.T) {
	forms := map[string]func(i oci.Named) []byte{
		"layout.tar":     func(i oci.Named) []byte { return oci.TarFiles(oci.Layout(i)) },
		"layout.tar.gz":  func(i oci.Named) []byte { return oci.Gzip(oci.TarFiles(oci.Layout(i))) },
		"layout.tar.zst": func(i oci.Named) []byte { return oci.Zstd(oci.TarFiles(oci.Layout(i))) },
		"docker.tar": func(i oci.Named) []byte {
			files, err := oci.DockerSave(i)
			t.Must(err, "docker archive")
			return oci.TarFiles(files)
		},
		"docker.tgz": func(i oci.Named) []byte {
			files, err := oci.DockerSave(i)
			t.Must(err, "docker archive")
			return oci.Gzip(oci.TarFiles(files))
		},
	}
	for name, make := range forms {
		i := archived(t, suite.BaseTree())
		path := drop(t, name, make(i))
		s := waitImport(t, path, "imported")
		suite.Equal(t, name, strings.Join(s.Images, " "), i.Image.ID())
		wantPinned(t, i.Name, true)
		takeAway(t, path)
		wantPinned(t, i.Name, false)
	}
	// a directory, filled where it is: index.json last
	i := archived(t, suite.BaseTree())
	dir := filepath.Join(importDir(t), "layout")
	t.Cleanup(func(t *suite.T) { takeAway(t, dir) })
	t.Must(oci.WriteFiles(dir, oci.Layout(i)), "layout")
	suite.Equal(t, "directory", strings.Join(waitImport(t, dir, "imported").Images, " "), i.Image.ID())
	wantPinned(t, i.Name, true)
	takeAway(t, dir)
	wantPinned(t, i.Name, false)
}

func importPod(t *suite.T) {
	one, two := archived(t, t.Program, suite.BaseTree()), archived(t, t.Program, suite.BaseTree())
	path := drop(t, "two.tar", oci.TarFiles(oci.Layout(one, two)))
	suite.Equal(t, "images", len(waitImport(t, path, "imported").Images), 2)
	t.RunPod().RunToEnd(suite.Image(two.Name), suite.Payload("exit", "7")).WantExit(7)
}

func importBad(t *suite.T) {
	good := archived(t, suite.BaseTree())
	whole := oci.TarFiles(oci.Layout(good))
	files := oci.Layout(good)
	for name, content := range files {
		if strings.HasPrefix(name, "blobs/") && len(content) > 4000 {
			changed := append([]byte{}, content...)
			changed[len(changed)/2] ^= 1
			files[name] = changed
		}
	}
	bad := map[string][]byte{
		"noise.tar":        []byte(strings.Repeat("this is no archive. ", 200)),
		"cut.tar":          whole[:len(whole)/2],
		"cut.tar.gz":       oci.Gzip(whole)[:3000],
		"empty.tar":        oci.TarFiles(map[string][]byte{"a": []byte("b")}),
		"forged.tar":       oci.TarFiles(files),
		"squeezed.tar.bz2": []byte("BZh91AY&SY"),
	}
	var paths []string
	for name, content := range bad {
		path := drop(t, name, content)
		paths = append(paths, path)
		if s := waitImport(t, path, "failed"); s.Error == "" {
			t.Errorf("%s: it is not said why", name)
		}
	}
	kill(t, syscall.SIGKILL)
	before, _ := os.ReadFile(serveLog)
	time.Sleep(2 * time.Second)
	after, _ := os.ReadFile(serveLog)
	for _, path := range paths {
		s := importOf(t, path)
		if s.State != "failed" || s.Error == "" {
			t.Errorf("%s after a restart: %+v", path, s)
		}
		suite.Equal(t, "times that "+path+" was named", strings.Count(string(after), "import "+path+":"), 1)
	}
	if since := string(after[len(before):]); strings.Contains(since, "import ") {
		t.Errorf("they were tried again: %s", since)
	}
	// one of them gets better
	drop(t, "cut.tar", whole)
	waitImport(t, filepath.Join(importDir(t), "cut.tar"), "imported")
	wantPinned(t, good.Name, true)
}

func importPartial(t *suite.T) {
	i := archived(t, suite.BaseTree())
	whole := oci.TarFiles(oci.Layout(i))
	path := filepath.Join(importDir(t), "slow.tar")
	t.Cleanup(func(t *suite.T) { takeAway(t, path) })
	f, err := os.Create(path)
	t.Must(err, "archive")
	defer f.Close()
	_, err = f.Write(whole[:len(whole)/2])
	t.Must(err, "archive")
	// somebody else's file makes serve look
	other := archived(t, suite.BaseTree())
	waitImport(t, drop(t, "other.tar", oci.TarFiles(oci.Layout(other))), "imported")
	suite.Equal(t, "half of it", importState(t, path), "being written")
	_, err = f.Write(whole[len(whole)/2:])
	t.Must(err, "archive")
	t.Must(f.Close(), "archive")
	waitImport(t, path, "imported")
	text, _ := os.ReadFile(serveLog)
	if strings.Contains(string(text), "import "+path+": tar") {
		t.Errorf("half of it was imported")
	}
}

func importList(t *suite.T) {
	path := drop(t, "names.txt", []byte("# what k3s's directory may have\n\n"+t.Base+"\n"))
	s := waitImport(t, path, "imported")
	suite.Equal(t, "images", strings.Join(s.Images, " "), imageStatus(t, t.Base).Id)
	wantPinned(t, t.Base, true)
	takeAway(t, path)
	wantPinned(t, t.Base, false)
}

func importRestart(t *suite.T) {
	i := archived(t, suite.BaseTree())
	path := drop(t, "kept.tar.gz", oci.Gzip(oci.TarFiles(oci.Layout(i))))
	waitImport(t, path, "imported")
	before, _ := os.ReadFile(serveLog)
	kill(t, syscall.SIGKILL)
	wantPinned(t, i.Name, true)
	suite.Equal(t, "state", importState(t, path), "imported")
	time.Sleep(time.Second)
	after, _ := os.ReadFile(serveLog)
	if strings.Contains(string(after[len(before):]), "import "+path) {
		t.Errorf("it was imported again: %s", after[len(before):])
	}
	// while nobody looks
	t.Must(syscall.Kill(t.Serve(), syscall.SIGSTOP), "stop")
	os.Remove(path)
	kill(t, syscall.SIGKILL)
	wantPinned(t, i.Name, false)
}

func importClient(t *suite.T) {
	i := archived(t, suite.BaseTree())
	out, code := crisp(t, "import", t.File("a.tar", string(oci.TarFiles(oci.Layout(i)))))
	suite.Equal(t, "what it says", out, i.Image.ID()+" "+i.Name+"\n")
	suite.Equal(t, "exit code", code, 0)
	wantPinned(t, i.Name, false)
	// a name for one that has none, from a layout that only root can read
	nameless := oci.Named{Image: i.Image}
	dir := t.Dir("layout")
	t.Must(oci.WriteFiles(dir, oci.Layout(nameless)), "layout")
	other := fmt.Sprintf("archive.test/critests/renamed-%d:2", t.Next())
	out, code = crisp(t, "import", other+"="+dir)
	suite.Equal(t, "exit code", code, 0)
	suite.Equal(t, "what it says", out, i.Image.ID()+" "+other+"\n")
	if s := imageStatus(t, other); s == nil || s.Id != i.Image.ID() {
		t.Errorf("%s: %v", other, s)
	}
	out, code = crisp(t, "import", t.File("b.tar", "no archive"))
	if code == 0 || !strings.Contains(out, "b.tar") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
