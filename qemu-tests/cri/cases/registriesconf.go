package cases

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/registry"
	"crisp.dev/qemu-tests/cri/suite"
)

const criosFile = "CRI-O's registries.conf, which containerd does not read"

var registriesConfCases = []suite.Case{
	{Name: "mirror", Run: confMirror, CrispOnly: criosFile},
	{Name: "mirror-that-is-not-there", Run: confMirrorDown, CrispOnly: criosFile},
	{Name: "blocked", Run: confBlocked, CrispOnly: criosFile},
	{Name: "short-name-by-alias-and-search", Run: confShort, CrispOnly: criosFile},
	{Name: "error-names-file-and-line", Run: confError, CrispOnly: criosFile},
	{Name: "cve-2020-15157-credentials-stay-from-mirrors", Run: confCredentials, CrispOnly: criosFile},
	{Name: "abandoned-pull-leaves-no-file-and-no-process", Run: abandonedPull, CrispOnly: "files and processes of crisp"},
}

// containersDir is /etc/containers, writable for the case: under an overlay if /etc is part of the verified image.
func containersDir(t *suite.T) string {
	const dir = "/etc/containers"
	if err := os.MkdirAll(dir+"/registries.conf.d", 0o755); err == nil {
		t.Cleanup(func(*suite.T) { os.RemoveAll(dir) })
		return dir
	}
	work, err := os.MkdirTemp(t.Work, "etc")
	t.Must(err, "directory")
	t.Must(unix.Mount("critests", work, "tmpfs", 0, "mode=755"), "tmpfs")
	t.Cleanup(func(*suite.T) {
		unix.Unmount(work, unix.MNT_DETACH)
		os.RemoveAll(work)
	})
	t.Must(os.MkdirAll(work+"/upper", 0o755), "upper")
	t.Must(os.MkdirAll(work+"/work", 0o755), "work")
	t.Must(unix.Mount("critests", "/etc", "overlay", 0, "lowerdir=/etc,upperdir="+work+"/upper,workdir="+work+"/work"), "overlay over /etc")
	t.Cleanup(func(*suite.T) { unix.Unmount("/etc", unix.MNT_DETACH) })
	t.Must(os.MkdirAll(dir+"/registries.conf.d", 0o755), "/etc/containers")
	return dir
}

// put writes a file of /etc/containers.
func put(t *suite.T, name, text string) {
	t.Must(os.MkdirAll(filepath.Dir(name), 0o755), "directory")
	t.Must(os.WriteFile(name, []byte(text), 0o644), "%s", name)
}

// confRegistry serves one image, trusted through /etc/containers/certs.d alone.
func confRegistry(t *suite.T, dir string) *registry.Server {
	s, err := registry.Start(t.CA, registry.Cert{})
	t.Must(err, "registry")
	t.Cleanup(func(*suite.T) { s.Close() })
	put(t, dir+"/certs.d/"+s.Addr+"/ca.crt", string(t.CA.PEM))
	return s
}

func confImage(t *suite.T) *oci.Image {
	return oci.New(oci.Options{Config: suite.BaseConfig()}, t.Padding(5000))
}

func confMirror(t *suite.T) {
	dir := containersDir(t)
	s := confRegistry(t, dir)
	s.Put("mirrored/library/app", "1", confImage(t))
	put(t, dir+"/registries.conf.d/50-test.conf", fmt.Sprintf(
		"[[registry]]\nprefix = \"*.upstream.test\"\n[[registry.mirror]]\nlocation = \"%s/mirrored\"\n", s.Addr))
	// a wildcard keeps the path below the host
	const ref = "a.upstream.test/library/app:1"
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
	i := imageStatus(t, ref)
	if i == nil {
		t.Fatalf("not there under the name it was asked for")
	}
	suite.Equal(t, "tags", strings.Join(i.RepoTags, " "), ref)
	for _, q := range s.Requests() {
		if strings.Contains(q.URL, "ns=") {
			t.Errorf("containerd's parameter for another kind of mirror: %s", q.URL)
		}
	}
}

// The next in the order is asked: here the location itself.
func confMirrorDown(t *suite.T) {
	dir := containersDir(t)
	s := confRegistry(t, dir)
	s.Put("app", "1", confImage(t))
	put(t, dir+"/registries.conf", fmt.Sprintf("[[registry]]\nprefix = \"up.test/team\"\nlocation = \"%s\"\n"+
		"[[registry.mirror]]\nlocation = \"127.0.0.1:1/none\"\n", s.Addr))
	const ref = "up.test/team/app:1"
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	_, err := pull(t, ref)
	t.Must(err, "PullImage")
}

func confBlocked(t *suite.T) {
	dir := containersDir(t)
	s := confRegistry(t, dir)
	ref := s.Put("app", "1", confImage(t))
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	put(t, dir+"/registries.conf", fmt.Sprintf("\n[[registry]]\nlocation = \"%s\"\nblocked = true\n", s.Addr))
	_, err := pull(t, ref)
	t.WantError(err, codes.FailedPrecondition, `blocked by /etc/containers/registries\.conf:2`)
	suite.Equal(t, "requests", len(s.Requests()), 0)
	put(t, dir+"/registries.conf.d/a.conf", fmt.Sprintf("[[registry]]\nlocation = \"%s\"\n", s.Addr))
	_, err = pull(t, ref)
	t.Must(err, "PullImage after a drop-in replaced the entry")
}

func confShort(t *suite.T) {
	dir := containersDir(t)
	s := confRegistry(t, dir)
	s.Put("x/app", "1", confImage(t))
	s.Put("found", "2", confImage(t))
	put(t, dir+"/registries.conf", fmt.Sprintf("unqualified-search-registries = [\"127.0.0.1:1\", \"%s\"]\n"+
		"[aliases]\n\"critests-app\" = \"%s/x/app\"\n", s.Addr, s.Addr))
	for short, whole := range map[string]string{"critests-app:1": s.Addr + "/x/app:1", "found:2": s.Addr + "/found:2"} {
		t.Cleanup(func(t *suite.T) { removeImage(t, whole) })
		_, err := pull(t, short)
		t.Must(err, "PullImage of %s", short)
		i := imageStatus(t, short)
		if i == nil {
			t.Fatalf("%s is not found by the name it was pulled by", short)
		}
		suite.Equal(t, "tags of "+short, strings.Join(i.RepoTags, " "), whole)
		removeImage(t, short)
		if imageStatus(t, whole) != nil {
			t.Errorf("%s is still there after RemoveImage of %s", whole, short)
		}
	}
	put(t, dir+"/registries.conf.d/strict.conf", "short-name-mode = \"enforcing\"\n")
	_, err := pull(t, "found:2")
	t.WantError(err, codes.FailedPrecondition, "found:2.*enforcing")
}

func confError(t *suite.T) {
	dir := containersDir(t)
	put(t, dir+"/registries.conf.d/bad.conf", "# a comment\n[[registry]]\nlocation = \"https://a.test\"\n")
	_, err := pull(t, "b.test/x:1")
	t.WantError(err, codes.InvalidArgument, `/etc/containers/registries\.conf\.d/bad\.conf:3: location`)
}

// What the kubelet gives for the image's own registry is not told to a mirror of it, even one that asks.
func confCredentials(t *suite.T) {
	dir := containersDir(t)
	s := confRegistry(t, dir)
	s.Put("x", "1", confImage(t))
	s.User, s.Password = "who", "knows"
	put(t, dir+"/registries.conf", fmt.Sprintf("[[registry]]\nlocation = \"own.test\"\n[[registry.mirror]]\nlocation = \"%s\"\n", s.Addr))
	if err := pullWith(t, "own.test/x:1", &runtimeapi.AuthConfig{Username: "who", Password: "knows"}); err == nil {
		removeImage(t, "own.test/x:1")
		t.Errorf("the mirror got the credentials")
	}
	for _, q := range s.Requests() {
		if q.Auth != "" {
			t.Errorf("%s was told %q", q.URL, q.Auth)
		}
	}
}

// A left-over of a pull whose caller had gone once failed the case hostile/negative-size: what is being written has no name,
// so there is nothing to be left at any moment; the processes end soon.
func abandonedPull(t *suite.T) {
	s := startRegistry(t)
	s.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
		b, ok := s.Blob(q.Ref)
		if q.Kind != "blob" || r.Method == http.MethodHead || !ok || len(b) < 50000 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	ref := s.Put("critests/stalls", "1", oci.New(oci.Options{Config: suite.BaseConfig()}, t.Padding(200000)))
	helpers := func() (found []string) {
		for _, p := range node.Children(t.Serve()) {
			if strings.Contains(p.Cmdline, "fetch") || strings.Contains(p.Cmdline, "unpack") {
				found = append(found, p.String())
			}
		}
		return found
	}
	ctx, cancel := context.WithTimeout(t.Ctx, 4*time.Second)
	defer cancel()
	_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(ref)})
	t.WantError(err, codes.DeadlineExceeded, "")
	for _, name := range node.Files(t.Root) {
		if strings.Contains(name, "/.tmp-") {
			t.Errorf("left behind: %s", name)
		}
	}
	if !t.Until(10*time.Second, func() bool { return len(helpers()) == 0 }) {
		t.Errorf("still running: %v", helpers())
	}
}
