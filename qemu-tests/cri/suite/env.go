package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/registry"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Env is what all cases share.
type Env struct {
	Options
	Conn    *grpc.ClientConn
	CRI     runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
	CA      *registry.CA
	Local   *registry.Server // good, with the base image
	Base    string           // reference of the base image
	BaseID  string
	Program oci.Layer // of the payload: the lowest layer of most images

	counter  atomic.Int64
	restores []func()
}

// The kubelet's own limit: a larger answer is lost for it.
const messageMax = 16 << 20

// NewEnv connects.
func NewEnv(o Options) (*Env, error) {
	conn, err := grpc.NewClient(o.Endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageMax)))
	if err != nil {
		return nil, err
	}
	return &Env{Options: o, Conn: conn, CRI: runtimeapi.NewRuntimeServiceClient(conn),
		Images: runtimeapi.NewImageServiceClient(conn)}, nil
}

// Next number: for names that are used once.
func (e *Env) Next() int64 {
	return e.counter.Add(1)
}

// Serve is the process that answers.
func (e *Env) Serve() int {
	if e.ServePid != 0 {
		return e.ServePid
	}
	pid, err := node.Listener(e.Socket())
	if err != nil {
		return 0
	}
	return pid
}

// Prepare makes directories, cgroups, the certificate authority, the registry and the base image.
func (e *Env) Prepare() error {
	if err := os.MkdirAll(e.Work, 0o755); err != nil {
		return err
	}
	for _, step := range []func() error{e.answers, e.cgroups, e.certsDir, e.local} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// answers waits until the runtime does.
func (e *Env) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), e.Timeout)
	defer cancel()
	for {
		_, err := e.CRI.Version(ctx, &runtimeapi.VersionRequest{}, grpc.WaitForReady(true))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %v", e.Endpoint, err)
		}
		time.Sleep(100 * time.Millisecond) // containerd answers with errors until it has begun
	}
}

// service tells whoever looks after the runtime on this machine to start or stop it.
func (e *Env) service(verb string) error {
	if e.Systemd() {
		return systemctl(verb, e.Runtime)
	}
	return os.WriteFile("/run/init/control", []byte(verb+" "+e.Runtime+"\n"), 0)
}

// Down ends the runtime as a crash would, and keeps it from being started again.
func (e *Env) Down() error {
	pid := e.Serve()
	if err := e.service("stop"); err != nil {
		return err
	}
	unix.Kill(pid, unix.SIGKILL)
	for end := time.Now().Add(30 * time.Second); node.Alive(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s (%d) does not end", e.Runtime, pid)
		}
	}
	return nil
}

// Up starts it again, and waits until it answers.
func (e *Env) Up() error {
	if err := e.service("start"); err != nil {
		return err
	}
	return e.answers()
}

// Done undoes what Prepare did.
func (e *Env) Done() {
	for i := len(e.restores) - 1; i >= 0; i-- {
		e.restores[i]()
	}
	e.restores = nil
}

// The controllers, down to the pods' parent, as the kubelet turns them on.
func (e *Env) cgroups() error {
	if e.Systemd() {
		return nil // slices are made a pod
	}
	parent := filepath.Join(node.CgroupRoot, e.CgroupParent)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	e.restores = append(e.restores, func() { os.Remove(parent) })
	for dir := node.CgroupRoot; ; {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("cgroup v2: %v", err)
		}
		for _, c := range strings.Fields(string(text)) {
			// those that can't be are missed by the case that needs them
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0)
		}
		if dir == parent {
			return nil
		}
		rest := strings.TrimPrefix(parent, dir+"/")
		dir = filepath.Join(dir, strings.SplitN(rest, "/", 2)[0])
	}
}

// The registry settings, in a tmpfs over the real directory if that can't be written: it is part of the verified image.
func (e *Env) certsDir() error {
	if err := os.MkdirAll(e.CertsDir, 0o755); err == nil {
		if f, err := os.CreateTemp(e.CertsDir, ".critests"); err == nil {
			f.Close()
			os.Remove(f.Name())
			return nil
		}
	}
	copied := e.Work + "/certs.d"
	if err := os.CopyFS(copied, os.DirFS(e.CertsDir)); err != nil {
		return err
	}
	if err := unix.Mount("critests", e.CertsDir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("tmpfs over %s: %v", e.CertsDir, err)
	}
	e.restores = append(e.restores, func() { unix.Unmount(e.CertsDir, unix.MNT_DETACH) })
	if err := os.CopyFS(e.CertsDir, os.DirFS(copied)); err != nil {
		return err
	}
	return os.RemoveAll(copied)
}

// Trust writes the settings of one registry host; the directory goes with the last user.
func (e *Env) Trust(host string, ca []byte, toml string) (remove func(), err error) {
	dir := filepath.Join(e.CertsDir, host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if ca != nil {
		if err := os.WriteFile(dir+"/ca.crt", ca, 0o644); err != nil {
			return nil, err
		}
	}
	return func() { os.RemoveAll(dir) }, os.WriteFile(dir+"/hosts.toml", []byte(toml), 0o644)
}

// HostsTOML for one server, with the authority beside the file.
func (e *Env) HostsTOML(host, scheme string, ca bool) string {
	text := fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n",
		scheme+"://"+host, scheme+"://"+host)
	if ca {
		text += fmt.Sprintf("  ca = %q\n", filepath.Join(e.CertsDir, host, "ca.crt"))
	}
	return text
}

func (e *Env) local() error {
	var err error
	if e.CA, err = registry.NewCA("critests"); err != nil {
		return err
	}
	if e.Local, err = registry.Start(e.CA, registry.Cert{}); err != nil {
		return err
	}
	remove, err := e.Trust(e.Local.Addr, e.CA.PEM, e.HostsTOML(e.Local.Addr, "https", true))
	if err != nil {
		return err
	}
	e.restores = append(e.restores, remove, e.Local.Close)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	e.Program = oci.Plain(oci.Tar(oci.File("critests", string(program), 0o755)))
	image := oci.New(oci.Options{Config: BaseConfig()}, e.Program, BaseTree())
	e.BaseID = image.ID()
	e.Base = e.Local.Put("critests/base", "1", image)
	return nil
}

// BaseConfig is the base image's.
func BaseConfig() v1.ImageConfig {
	return v1.ImageConfig{Env: []string{"PATH=/", "FROM_IMAGE=yes"}, Entrypoint: []string{"/critests", payload.Word},
		Cmd: []string{"pause"}}
}

// BaseTree is what every image of the suite has beside the program.
func BaseTree() oci.Layer {
	var entries []oci.Entry
	for _, dir := range []string{"dev", "etc", "proc", "root", "sys", "run", "var", "data"} {
		entries = append(entries, oci.Dir(dir, 0o755))
	}
	entries = append(entries, oci.Dir("tmp", 0o1777),
		oci.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"+
			"other:x:1001:1002::/:/bin/sh\n", 0o644),
		oci.File("etc/group", "root:x:0:\nuser:x:1000:\nothers:x:1002:\nextra:x:2000:user\nmore:x:2001:user,other\n"+
			"wheel:x:10:root\n", 0o644),
		oci.File("data/file", "from the image\n", 0o644).Owned(1000, 1000))
	return oci.NewLayer(entries...)
}

// Padding makes a layer that differs from all others.
func (e *Env) Padding(size int) oci.Layer {
	var b bytes.Buffer
	noise := payload.NewNoise(uint64(e.Next()) + 7)
	data := make([]byte, size)
	noise.Read(data)
	b.Write(data)
	name := fmt.Sprintf("padding-%d", e.Next())
	return oci.Plain(oci.Tar(oci.File(name, b.String(), 0o644)))
}
