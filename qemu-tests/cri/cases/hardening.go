package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

// What runtimes have got wrong that no other group is about; vulnerabilities.txt has the whole list.
var hardeningCases = []suite.Case{
	{Name: "no-abstract-sockets", Run: noAbstractSockets, CrispOnly: "containerd's shims have other sockets"},
	{Name: "environments-do-not-mix", Run: environmentsApart},
	{Name: "state-is-for-root-only", Run: stateForRoot, CrispOnly: "its own directories"},
	{Name: "annotations-decide-nothing", Run: annotationsNothing},
	{Name: "etc-is-a-link-to-the-node", Run: etcLink},
	{Name: "mtab-is-a-link-to-the-node", Run: mtabLink},
	{Name: "checkpoint-and-restore-are-not-offered", Run: noCheckpoint, CrispOnly: "containerd restores"},
	{Name: "run-as-username-is-strict", Run: usernameStrict, CrispOnly: "CVE-2026-46680"},
	{Name: "session-keyring-of-its-own", Run: ownKeyring},
	{Name: "binaries-cannot-be-written", Run: binariesReadonly, CrispOnly: "crisp's roles"},
}

// crispProcesses are serve, its helpers and the monitors.
func crispProcesses() map[int]node.Proc {
	found := map[int]node.Proc{}
	for pid, p := range node.Procs() {
		if strings.HasPrefix(p.Cmdline, "crisp ") || strings.HasPrefix(p.Cmdline, "/usr/bin/crisp ") {
			found[pid] = p
		}
	}
	return found
}

// A container of the node's network could connect to an abstract socket whatever its user and mounts.
func noAbstractSockets(t *suite.T) {
	c := t.RunPod().Run()
	t.RunPod(suite.SharedPID).Run()
	inodes := map[string]string{}
	for _, line := range strings.Split(c.ReadText("/proc/net/unix"), "\n") {
		if f := strings.Fields(line); len(f) == 8 && strings.HasPrefix(f[7], "@") {
			inodes["socket:["+f[6]+"]"] = f[7]
		}
	}
	processes := crispProcesses()
	if len(processes) < 3 {
		t.Fatalf("only %d processes of crisp are to be seen", len(processes))
	}
	for pid, p := range processes {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			target, _ := os.Readlink(link)
			if name, ok := inodes[target]; ok {
				t.Errorf("%s listens on abstract socket %s", p, name)
			}
		}
	}
}

func environmentsApart(t *suite.T) {
	p := t.RunPod()
	var wg sync.WaitGroup
	made, problems := make([]*suite.Container, 12), make([]error, 12)
	for i := range made {
		wg.Add(1)
		go func() {
			defer wg.Done()
			made[i], problems[i] = p.TryCreate(p.ContainerConfig(suite.Payload("report"), env(fmt.Sprintf("OF_%d", i), "1", "WHO", fmt.Sprint(i))))
		}()
	}
	wg.Wait()
	for i, c := range made {
		t.Must(problems[i], "CreateContainer")
		c.Start()
	}
	for i, c := range made {
		c.WantExit(0)
		r := suite.Decode[payload.Report](t, c.Stdout())
		suite.Equal(t, "WHO", lookup(r, "WHO"), fmt.Sprint(i))
		for _, pair := range r.Env {
			if strings.HasPrefix(pair, "OF_") && pair != fmt.Sprintf("OF_%d=1", i) {
				t.Errorf("container %d has %s", i, pair)
			}
		}
	}
}

// asNobody runs a word of the payload on the node, as a user without rights.
func asNobody(t *suite.T, words ...string) string {
	dir := t.Dir("nobody")
	out, err := os.Create(filepath.Join(dir, "out"))
	t.Must(err, "output")
	defer out.Close()
	p, err := os.StartProcess("/proc/self/exe", suite.PayloadCommand(words...), &os.ProcAttr{Files: []*os.File{nil, out, out},
		Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4711}}})
	t.Must(err, "start as nobody")
	p.Wait()
	text, err := os.ReadFile(out.Name())
	t.Must(err, "output")
	return string(text)
}

// Set-user-ID programs and files of an image must not be within reach of the node's users.
func stateForRoot(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	c.Exec("write", "/of-the-container", "x")
	paths := []string{
		filepath.Join(t.State, "containers", c.ID, "rootfs", "etc", "passwd"), filepath.Join(t.State, "containers", c.ID, "config.json"),
		filepath.Join(t.State, "pods", p.ID), filepath.Join(t.Root, "containers", c.ID, "record"),
		filepath.Join(t.Root, "containers", c.ID, "upper", "of-the-container"), filepath.Join(t.Root, "pods", p.ID, "record"),
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil && !strings.HasSuffix(path, p.ID) {
			t.Errorf("for root it is not there either: %v", err)
		}
	}
	for path, e := range suite.Decode[map[string]string](t, asNobody(t, append([]string{"exists"}, paths...)...)) {
		suite.Equal(t, path+" as nobody", e, "EACCES")
	}
	suite.Equal(t, "connecting to the socket as nobody", suite.Decode[map[string]string](t, asNobody(t, "connect", t.Socket()))["error"], "EACCES")
	layers, _ := filepath.Glob(filepath.Join(t.State, "layers", "*"))
	if len(layers) == 0 {
		t.Fatalf("no layers are mounted in %s/layers", t.State)
	}
	for path, e := range suite.Decode[map[string]string](t, asNobody(t, append([]string{"exists"}, layers...)...)) {
		suite.Equal(t, path+" as nobody", e, "EACCES")
	}
}

// Annotations of pod and container come from whoever may make a pod.
func annotationsNothing(t *suite.T) {
	evil := map[string]string{
		"io.kubernetes.cri-o.UnifiedCgroup": "memory.max=max;cpu.max=max", "io.kubernetes.cri-o.UnifiedCgroup.POD": "memory.max=max",
		"run.oci.systemd.subgroup": "x", "org.systemd.property.MemoryMax": "'infinity'", "org.systemd.property.ExecStopPost": "'/bin/sh'",
		"io.kubernetes.cri-o.Devices": "/dev/mem:/dev/mem:rwm", "io.kubernetes.cri-o.userns-mode": "auto", "run.oci.keep_original_groups": "1",
		"run.oci.hooks.stderr": "/tmp/hooked", "seccomp.security.alpha.kubernetes.io/pod": "unconfined", "io.kubernetes.cri-o.LinkLogs": "/",
		"container.apparmor.security.beta.kubernetes.io/x": "unconfined", "run.oci.handler": "krun", "io.containers.trace-syscall": "of:/tmp/x",
	}
	add := func(to map[string]string) {
		for k, v := range evil {
			to[k] = v
		}
	}
	p := t.RunPod(func(c *runtimeapi.PodSandboxConfig) { add(c.Annotations) })
	c := p.Run(memory(64), func(c *runtimeapi.ContainerConfig) { add(c.Annotations) })
	suite.Equal(t, "memory.max", inside(c, "memory.max")["memory.max"], fmt.Sprint(64<<20))
	r := suite.Decode[payload.Report](t, c.Exec("report"))
	suite.Equal(t, "seccomp", r.Status["Seccomp"], "2")
	suite.Equal(t, "user namespace", r.Namespaces["user"], ownNamespace(t, "user"))
	if e := c.Errors("exists", "/dev/mem")["/dev/mem"]; e == "" {
		t.Errorf("/dev/mem is there")
	}
	suite.Equal(t, "annotations of the status", len(c.Status().Annotations), len(evil)+1)
}

// linkedImage has a link to a directory of the node in the place of one of its own; nothing may be made there.
func linkedImage(t *suite.T, victim string, entries ...oci.Entry) {
	ref := pullImage(t, oci.New(oci.Options{Config: suite.BaseConfig()}, t.Program, oci.NewLayer(entries...)))
	p := t.RunPod(suite.CNI)
	c, err := startOf(p, ref, func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/etc/made/by/it" })
	if err == nil {
		c.Exec("report")
	} else {
		t.Logf("refused: %v", err)
	}
	left, err := os.ReadDir(victim)
	t.Must(err, "directory of the node")
	if len(left) != 1 || left[0].Name() != "kept" {
		t.Errorf("%s of the node has %v", victim, left)
	}
	text, err := os.ReadFile(filepath.Join(victim, "kept"))
	suite.Equal(t, "file of the node", string(text)+fmt.Sprint(err), "untouched<nil>")
}

func victimDir(t *suite.T) string {
	victim := t.Dir("victim")
	t.Must(os.WriteFile(filepath.Join(victim, "kept"), []byte("untouched"), 0o644), "file")
	return victim
}

func etcLink(t *suite.T) {
	victim := victimDir(t)
	linkedImage(t, victim, oci.Symlink("etc", victim))
	linkedImage(t, victim, oci.Symlink("etc", strings.Repeat("../", 20)+strings.TrimPrefix(victim, "/")))
}

func mtabLink(t *suite.T) {
	victim := victimDir(t)
	linkedImage(t, victim, oci.Dir("etc", 0o755), oci.Symlink("etc/mtab", victim+"/mtab"), oci.Symlink("etc/hosts", victim+"/hosts"),
		oci.Symlink("etc/hostname", victim+"/kept"), oci.Symlink("etc/resolv.conf", "/proc/1/root"+victim+"/resolv"))
}

// An archive would choose mounts, processes and files of the node: no such code, no such holes.
func noCheckpoint(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	_, err := t.CRI.CheckpointContainer(t.Ctx, &runtimeapi.CheckpointContainerRequest{ContainerId: c.ID, Location: "/tmp/checkpoint.tar"})
	t.WantError(err, codes.Unimplemented, "")
	_, err = t.CRI.CheckpointPod(t.Ctx, &runtimeapi.CheckpointPodRequest{})
	t.WantError(err, codes.Unimplemented, "")
	_, err = t.CRI.RestorePod(t.Ctx, &runtimeapi.RestorePodRequest{})
	t.WantError(err, codes.Unimplemented, "")
	if _, err := os.Stat("/tmp/checkpoint.tar"); err == nil {
		t.Errorf("a file was written all the same")
	}
	// an archive in the place of an image, as CRI-O takes it
	_, err = p.TryCreate(p.ContainerConfig(suite.Image("/tmp/checkpoint.tar")))
	t.WantError(err, codes.OK, "image|checkpoint|reference")
}

// Digits are an ID and nothing else; an image's passwd must not make names of them.
func usernameStrict(t *suite.T) {
	passwd := "root:x:0:0::/:/\n"
	bad := []string{"4294967295", "4294967296", "18446744073709551616", "99999999999999999999999", "2147483648000", "-1", "+0", " 0", "0 ", "0x0",
		"1e3", "0:0", "1000:0"}
	for _, name := range bad {
		passwd += name + ":x:0:0::/:/\n"
	}
	ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(oci.File("etc/passwd", passwd, 0o644)))
	p := t.RunPod()
	for _, name := range bad[:5] {
		_, err := startOf(p, ref, runAsName(name))
		t.WantError(err, codes.OK, "range")
	}
	for _, name := range bad[5:] {
		c, err := startOf(p, ref, runAsName(name), suite.Payload("report"))
		if err != nil {
			continue
		}
		c.WaitExit()
		// a name that passwd really has is a name; one with a colon cannot be there
		if strings.Contains(name, ":") {
			t.Errorf("%q ran as %s", name, ids(suite.Decode[payload.Report](t, c.Stdout())))
		}
	}
	suite.Equal(t, "1000 by name", strings.Fields(ids(p.Report(suite.Image(ref), runAsName("1000"))))[0], "1000:0")
	for _, id := range []int64{-2, -1 << 32, 1 << 32, 1<<32 - 1, 1 << 62} {
		_, err := startOf(p, ref, runAs(id, -1))
		t.WantError(err, codes.OK, "range")
		_, err = startOf(p, ref, suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.RunAsUser, s.RunAsGroup = &runtimeapi.Int64Value{Value: 1}, &runtimeapi.Int64Value{Value: id}
		}))
		t.WantError(err, codes.OK, "range")
		_, err = startOf(p, ref, supplemental(runtimeapi.SupplementalGroupsPolicy_Merge, id))
		t.WantError(err, codes.OK, "range")
	}
}

// Keys of the runtime or of another container must not come along.
func ownKeyring(t *suite.T) {
	p := t.RunPod()
	var seen []string
	for i := 0; i < 2; i++ {
		c := p.RunToEnd(seccomp(runtimeapi.SecurityProfile_Unconfined, ""), suite.Payload("session-keyring"))
		c.WantExit(0)
		seen = append(seen, strings.TrimSpace(c.Stdout()))
	}
	seen = append(seen, strings.TrimSpace(asNobody(t, "session-keyring")))
	if seen[0] == seen[1] || seen[0] == seen[2] || seen[1] == seen[2] {
		t.Errorf("session keyrings of two containers and the node: %v", seen)
	}
}

// Roles run from a sealed memfd or a read-only file system: not even root can change what the next one will execute.
func binariesReadonly(t *suite.T) {
	const sealed = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	t.RunPod().Run()
	monitors := 0
	for pid, p := range crispProcesses() {
		if !strings.Contains(p.Cmdline, "monitor") {
			continue
		}
		monitors++
		f, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
		t.Must(err, "program of %s", p)
		seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
		var fs unix.Statfs_t
		if e := unix.Fstatfs(int(f.Fd()), &fs); e != nil {
			t.Errorf("%v", e)
		}
		if (err != nil || seals&sealed != sealed) && fs.Flags&unix.ST_RDONLY == 0 {
			t.Errorf("%s runs from a file that can be written: seals %#x, %v", p, seals, err)
		}
		f.Close()
	}
	if monitors == 0 {
		t.Errorf("no monitor is to be seen")
	}
}
