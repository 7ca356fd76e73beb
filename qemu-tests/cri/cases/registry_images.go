package cases

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

func registryAuth(t *suite.T) *runtimeapi.AuthConfig {
	return &runtimeapi.AuthConfig{Username: t.Registry.User, Password: t.Registry.Password, ServerAddress: "https://" + t.Registry.Host}
}

// pullFrom pulls from the machine's own registry, whose images are real tools' work.
func pullFrom(t *suite.T, name string) string {
	ref := t.Image(name)
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref), Auth: registryAuth(t)})
	if status.Code(err) == codes.Unavailable || err != nil && strings.Contains(err.Error(), "connection refused") {
		t.Skipf("no registry at %s: %v", t.Registry.Host, err)
	}
	t.Must(err, "PullImage %s", ref)
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	return ref
}

func registryToybox(t *suite.T) {
	ref := pullFrom(t, t.Registry.Toybox)
	c := t.RunPod().RunToEnd(suite.Image(ref), command("/bin/sh", "-c", "echo hello from $0; id -u", "toybox"))
	suite.Equal(t, "output", c.Stdout(), "hello from toybox\n0\n")
}

// Without credentials of the call the node's own count, if it has some.
func registryNoAuth(t *suite.T) {
	ref := t.Image(t.Registry.Toybox)
	_, err := pull(t, ref)
	if _, none := os.Stat("/etc/crisp/auth.json"); none == nil || !t.Crisp() {
		t.Must(err, "PullImage with the node's own credentials")
		removeImage(t, ref)
		return
	}
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication")
}

func registryWrongAuth(t *suite.T) {
	s := startRegistry(t)
	s.User, s.Password = "who", "right-password"
	ref := s.Put("critests/private", "1", oci.New(oci.Options{}, t.Padding(10)))
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref),
		Auth: &runtimeapi.AuthConfig{Username: "who", Password: "wrong-password"}})
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication|denied")
	if err != nil && strings.Contains(err.Error(), "wrong-password") {
		t.Errorf("the password is in the error's text")
	}
	_, err = pull(t, ref)
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication|denied")
	_, err = t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref),
		Auth: &runtimeapi.AuthConfig{Username: "who", Password: "right-password"}})
	t.Must(err, "PullImage with the right password")
	removeImage(t, ref)
}

// tree of a directory in a new container of an image.
func treeOf(t *suite.T, ref, dir string) map[string]payload.Node {
	self := t.Dir("program")
	program, err := os.ReadFile("/proc/self/exe")
	t.Must(err, "own binary")
	t.Must(os.WriteFile(self+"/critests", program, 0o755), "program")
	c := t.RunPod().RunToEnd(suite.Image(ref), suite.Mounts(&runtimeapi.Mount{HostPath: self, ContainerPath: "/.critests", Readonly: true}),
		command("/.critests/critests", "payload", "tree", dir), env("PATH", "/"))
	c.WantExit(0)
	return suite.Decode[map[string]payload.Node](t, c.Stdout())
}

// What umoci wrote: whiteouts, an opaque directory, hard links, a capability; the zstd one is the same.
func registryLayers(t *suite.T) {
	gz := treeOf(t, pullFrom(t, t.Registry.Layered), "/opt")
	for name, want := range map[string]bool{"opaque/upper": true, "opaque/lower": false, "gone": true, "gone/file": false,
		"replaced/file": true, "link-a": true, "link-b": false, "ping-cap": true, "fifo": true, "sparse": true, "näme with blanks": true} {
		if _, ok := gz[name]; ok != want {
			t.Errorf("/opt/%s is there: %v, wanted %v", name, ok, want)
		}
	}
	for name, text := range map[string]string{"gone": "a file now\n", "replaced/file": "inside\n", "link-a": "linked\n",
		"sparse": strings.Repeat("\x00", 8<<20) + "end\n", "näme with blanks": "odd\n", strings.Repeat("x", 200): "long\n"} {
		suite.Equal(t, "sum of /opt/"+name, gz[name].Sum, oci.Digest([]byte(text))[7:])
	}
	suite.Equal(t, "kind of the FIFO", fmt.Sprintf("%#o", gz["fifo"].Mode&0o170000), "010000")
	suite.Equal(t, "time of a file", time.Unix(0, gz["link-a"].Mtime).UTC().Format(time.RFC3339), "2026-01-01T00:00:00Z")
	if gz["ping-cap"].Xattrs["security.capability"] == "" {
		t.Errorf("ping-cap has lost its capability: %+v", gz["ping-cap"])
	}
	suite.Equal(t, "mode of the setuid program", fmt.Sprintf("%#o", gz["id-setuid"].Mode&0o7777), "04755")
	if t.Crisp() {
		suite.Equal(t, "user attribute", gz["link-a"].Xattrs["user.crisp"], "68656c6c6f")
	}
	zstd := treeOf(t, pullFrom(t, t.Registry.Zstd), "/opt")
	suite.Equal(t, "files of the zstd one", len(zstd), len(gz))
	for name, a := range gz {
		b := zstd[name]
		if a.Mode != b.Mode || a.Size != b.Size || a.Sum != b.Sum || a.Target != b.Target || a.Mtime != b.Mtime {
			t.Errorf("/opt/%s differs: %+v %+v", name, a, b)
		}
	}
}

// What umoci's configuration asks for.
func registryConfig(t *suite.T) {
	ref := pullFrom(t, t.Registry.Config)
	s := imageStatus(t, ref)
	suite.Equal(t, "user of the image", s.GetUsername(), "user")
	suite.Equal(t, "number of a user by name", s.GetUid() == nil, true)
	p := t.RunPod()
	own := p.Run(suite.Image(ref), command())
	own.WaitText("signals: ready")
	own.Stop(30 * time.Second)
	own.WantExit(7)
	suite.Equal(t, "stopped by SIGUSR1", strings.Contains(own.Text(""), "signals: 10"), true)
	args := p.RunToEnd(suite.Image(ref), func(c *runtimeapi.ContainerConfig) { c.Command, c.Args = nil, []string{"lines", "2"} })
	suite.Equal(t, "entry point with other arguments", args.Text(""), "line 0\nline 1\n")
	shell := p.RunToEnd(suite.Image(ref), command("/bin/sh", "-c", "echo $FROM_IMAGE $MINE; pwd; id -u; id -g; cat /data/file"), env("MINE", "too"))
	suite.Equal(t, "environment, directory, user", shell.Stdout(), "yes too\n/data\n1000\n1000\nfrom the image\n")
}

func registryMulti(t *suite.T) {
	ref := pullFrom(t, t.Registry.Multi)
	c := t.RunPod().RunToEnd(suite.Image(ref), command("/bin/cat", "/etc/architecture"))
	suite.Equal(t, "architecture", strings.TrimSpace(c.Stdout()), runtime.GOARCH)
}

// Not an index but a manifest: its configuration says another architecture, or an index of others: words either way.
func registryOther(t *suite.T) {
	ref := t.Image(t.Registry.OtherOnly)
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref), Auth: registryAuth(t)})
	if err == nil {
		removeImage(t, ref)
		if t.Crisp() {
			t.Errorf("an image of another architecture was taken")
		}
		return
	}
	t.WantError(err, codes.OK, runtime.GOARCH)
}
