package cases

import (
	"archive/tar"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc/codes"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var configCases = []suite.Case{
	{Name: "passwd-is-a-fifo", Run: passwdIs("fifo", oci.Fifo("etc/passwd"))},
	{Name: "passwd-is-dev-zero", Run: passwdIs("device", oci.Symlink("etc/passwd", "/dev/zero")), CrispOnly: "older runtimes read it"},
	{Name: "passwd-is-a-zero-device", Run: passwdIs("device", oci.Device(tar.TypeChar, "etc/passwd", 1, 5)), CrispOnly: "older runtimes read it"},
	{Name: "passwd-is-a-directory", Run: passwdIs("directory", oci.Dir("etc/passwd", 0o755))},
	{Name: "passwd-leads-to-the-node", Run: passwdOfTheNode},
	{Name: "passwd-of-64-MiB", Run: passwdHuge, CrispOnly: "CVE-2026-47262"},
	{Name: "group-of-64-MiB", Run: groupHuge, CrispOnly: "CVE-2026-47262"},
	{Name: "passwd-with-odd-lines", Run: passwdOdd},
	{Name: "user-out-of-range", Run: userOutOfRange, CrispOnly: "CVE-2024-40635, CVE-2026-46680"},
	{Name: "user-with-leading-zeros", Run: userZeros},
	{Name: "user-digits-named-root", Run: userNamedDigits, CrispOnly: "CVE-2026-46680"},
	{Name: "user-odd", Run: userOdd},
	{Name: "workdir-is-a-descriptor", Run: workdirDescriptor, Scale: 3},
	{Name: "workdir-through-symlinks", Run: workdirSymlink},
	{Name: "volume-with-dots", Run: volumeDots},
	{Name: "volume-through-symlink", Run: volumeSymlink},
	{Name: "volume-of-the-root", Run: volumeRoot},
	{Name: "home-with-line-end", Run: homeLine},
	{Name: "labels-decide-nothing", Run: labelsNothing},
	{Name: "stop-signal-nonsense", Run: stopSignalNonsense},
	{Name: "no-command", Run: noCommand},
	{Name: "environment-odd", Run: environmentOdd},
	{Name: "entrypoint-out-of-the-root", Run: entrypointOutside},
}

// passwdIs puts something else in the file's place: a user by name can't be resolved, and nothing hangs.
func passwdIs(what string, e oci.Entry) func(*suite.T) {
	return func(t *suite.T) {
		config := suite.BaseConfig()
		config.User = "user"
		ref := pullNew(t, config, oci.NewLayer(oci.File("etc/.wh.passwd", "", 0o644), e))
		p := t.RunPod()
		_, err := startOf(p, ref)
		t.WantError(err, codes.OK, "passwd|user|"+what)
		c, err := startOf(p, ref, runAs(1000, 1000))
		if err == nil {
			c.Exec("echo", "by number it runs")
		} else {
			t.WantError(err, codes.OK, "passwd|user|"+what)
		}
	}
}

func passwdOfTheNode(t *suite.T) {
	path := t.File("passwd", "intruder:x:4242:4242::/:/bin/sh\n")
	config := suite.BaseConfig()
	config.User = "intruder"
	for _, target := range []string{path, strings.Repeat("../", 12) + path[1:]} {
		ref := pullNew(t, config, oci.NewLayer(oci.File("etc/.wh.passwd", "", 0o644), oci.Symlink("etc/passwd", target)))
		_, err := startOf(t.RunPod(), ref)
		t.WantError(err, codes.OK, "passwd|user|intruder")
	}
}

func hugeFile(name, line string) oci.Layer {
	text := strings.Repeat("filler:x:5:5::/:\n", 64<<20/17)
	return oci.NewLayer(oci.File(name, text+line, 0o644))
}

func hugeUserFile(t *suite.T, l oci.Layer, user string) {
	config := suite.BaseConfig()
	config.User = user
	ref := pullNew(t, config, l)
	before := node.KiB(t.Serve(), "VmHWM")
	_, err := startOf(t.RunPod(), ref)
	t.WantError(err, codes.OK, "passwd|group|large|limit|user|late")
	if grown := node.KiB(t.Serve(), "VmHWM") - before; grown > 16<<10 {
		t.Errorf("serve grew by %d KiB at its peak", grown)
	}
}

func passwdHuge(t *suite.T) {
	hugeUserFile(t, hugeFile("etc/passwd", "late:x:1234:1234::/:\n"), "late")
}

func groupHuge(t *suite.T) {
	hugeUserFile(t, hugeFile("etc/group", "late:x:1234:\n"), "user:late")
}

func passwdOdd(t *suite.T) {
	text := "# comment\n\n:::::\nroot\nbad:x:notanumber:0::/:\nhuge:x:99999999999999999999:0::/:\nneg:x:-1:0::/:\n" +
		strings.Repeat("l", 5000) + ":x:7:7::/:\nuser:x:1000:1000::/home/user:/bin/sh\nnoend:x:1500:1501::/"
	config := suite.BaseConfig()
	p := t.RunPod()
	for user, want := range map[string]string{"user": "1000:1000", "noend": "1500:1501"} {
		config.User = user
		r := p.Report(suite.Image(pullNew(t, config, oci.NewLayer(oci.File("etc/passwd", text, 0o644)))))
		suite.Equal(t, "USER "+user, fmt.Sprintf("%d:%d", r.UID, r.GID), want)
	}
	for _, user := range []string{"huge", "neg", "bad"} {
		config.User = user
		c, err := startOf(p, pullNew(t, config, oci.NewLayer(oci.File("etc/passwd", text, 0o644))), suite.Payload("report"))
		if err == nil {
			c.WaitExit()
			r := suite.Decode[payload.Report](t, c.Stdout())
			t.Errorf("USER %s runs as %d:%d", user, r.UID, r.GID)
		}
	}
}

// R7: what is all digits is a number; one that does not fit is an error, never a name and never zero.
func userOutOfRange(t *suite.T) {
	p := t.RunPod()
	passwd := oci.NewLayer(oci.File("etc/passwd", "root:x:0:0::/:\n4294967296:x:0:0::/:\n4294967295:x:0:0::/:\n", 0o644))
	for _, user := range []string{"4294967296", "4294967295", "4294967296:0", "0:4294967296", "18446744073709551616", "1000:99999999999",
		"-1", "0:-1"} {
		config := suite.BaseConfig()
		config.User = user
		ref := pullNew(t, config, passwd)
		c, err := startOf(p, ref, suite.Payload("report"))
		if err == nil {
			c.WaitExit()
			t.Errorf("USER %s runs: %.300s", user, c.Stdout())
			continue
		}
		t.WantError(err, codes.OK, "user|group|range|number|"+user)
	}
}

func userZeros(t *suite.T) {
	config := suite.BaseConfig()
	config.User = "007"
	c, err := startOf(t.RunPod(), pullNew(t, config), suite.Payload("report"))
	if err != nil {
		t.WantError(err, codes.OK, "user|007")
		return
	}
	c.WaitExit()
	suite.Equal(t, "uid", suite.Decode[payload.Report](t, c.Stdout()).UID, 7)
}

func userNamedDigits(t *suite.T) {
	config := suite.BaseConfig()
	config.User = "12345"
	ref := pullNew(t, config, oci.NewLayer(oci.File("etc/passwd", "12345:x:0:0:root by another name:/:\nroot:x:0:0::/:\n", 0o644)))
	r := t.RunPod().Report(suite.Image(ref))
	suite.Equal(t, "uid", r.UID, 12345)
}

func userOdd(t *suite.T) {
	p := t.RunPod()
	for _, user := range []string{":", "user:", ":1000", "user:nogroup:more", "us er", "user\nroot", strings.Repeat("u", 5000), "../root", "1000x"} {
		config := suite.BaseConfig()
		config.User = user
		ref := t.Local.Put(fmt.Sprintf("critests/user-%d", t.Next()), "1", oci.New(oci.Options{Config: config}, t.Program, suite.BaseTree()))
		t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
		if _, err := pull(t, ref); err != nil {
			t.Logf("USER %.20q: pull: %v", user, err)
			continue
		}
		c, err := startOf(p, ref, suite.Payload("report"))
		if err != nil {
			t.Logf("USER %.20q: %v", user, err)
			continue
		}
		c.WaitExit()
		r := suite.Decode[payload.Report](t, c.Stdout())
		t.Logf("USER %.20q runs as %d:%d", user, r.UID, r.GID)
		if (strings.Contains(user, "root") || user == "1000x") && r.UID == 0 {
			t.Errorf("USER %q runs as root", user)
		}
	}
}

// CVE-2024-21626: a working directory that is a descriptor of the runtime.
func workdirDescriptor(t *suite.T) {
	marker := t.File("marker", "of the node")
	p := t.RunPod()
	runs := p.Run()
	for fd := 3; fd < 40; fd++ {
		for _, dir := range []string{fmt.Sprintf("/proc/self/fd/%d", fd), fmt.Sprintf("/proc/1/fd/%d/", fd)} {
			config := p.ContainerConfig(suite.Payload("exists", "../../../../../.."+marker, ".."+marker))
			config.WorkingDir = dir
			c, err := p.TryCreate(config)
			if err == nil {
				err = c.TryStart()
			}
			if err != nil {
				if !t.Crisp() || strings.Contains(err.Error(), "/proc/") {
					continue
				}
				t.Errorf("%s: the error does not name it: %v", dir, err)
				continue
			}
			c.WaitExit()
			for path, e := range suite.Decode[map[string]string](t, c.Stdout()) {
				if e == "" && strings.HasPrefix(path, "..") {
					t.Errorf("from %s the container sees %s of the node", dir, path)
				}
			}
		}
	}
	// and through an image, and a symbolic link of it
	config := suite.BaseConfig()
	config.WorkingDir = "/way/in"
	ref := pullNew(t, config, oci.NewLayer(oci.Dir("way", 0o755), oci.Symlink("way/in", "/proc/self/fd/7")))
	c, err := startOf(p, ref, suite.Payload("exists", "../../../../../.."+marker))
	if err == nil {
		c.WaitExit()
		for path, e := range suite.Decode[map[string]string](t, c.Stdout()) {
			if e == "" {
				t.Errorf("the container sees %s", path)
			}
		}
	}
	runs.Exec("echo", "alive")
}

func workdirSymlink(t *suite.T) {
	dir := t.Dir("target")
	p := t.RunPod()
	for _, path := range []string{"/way/made/here", dots + dir[1:] + "/made/there"} {
		config := suite.BaseConfig()
		config.WorkingDir = path
		c, err := startOf(p, pullNew(t, config, oci.NewLayer(oci.Symlink("way", dir))))
		t.Logf("working directory %s: %v", path, err)
		if err == nil {
			c.Exec("echo", "alive")
		}
	}
	if files := node.Files(dir); len(files) != 1 {
		t.Errorf("on the node: %v", files)
	}
}

// CVE-2022-23648: the copy of a VOLUME's content must stay in the root.
func volumeDots(t *suite.T) {
	for _, path := range []string{"/../../../../../../../../../etc", "/data/../../../../../../../etc", "../../../etc", "relative"} {
		config := suite.BaseConfig()
		config.Volumes = map[string]struct{}{path: {}}
		ref := t.Local.Put(fmt.Sprintf("critests/volume-%d", t.Next()), "1", oci.New(oci.Options{Config: config}, t.Program, suite.BaseTree()))
		t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
		if _, err := pull(t, ref); err != nil {
			t.Logf("VOLUME %s: pull: %v", path, err)
			continue
		}
		c, err := startOf(t.RunPod(), ref)
		if err != nil {
			t.Logf("VOLUME %s: %v", path, err)
			continue
		}
		for _, file := range []string{"/etc/machine-id", "/etc/crisp/config.toml"} {
			if e := c.Errors("exists", file)[file]; e == "" {
				t.Errorf("VOLUME %s: the container has the node's %s", path, file)
			}
		}
	}
}

func volumeSymlink(t *suite.T) {
	dir := t.Dir("target")
	t.Must(os.WriteFile(dir+"/secret", []byte("of the node"), 0o644), "file")
	config := suite.BaseConfig()
	config.Volumes = map[string]struct{}{"/way": {}}
	ref := pullNew(t, config, oci.NewLayer(oci.Symlink("way", dir)))
	c, err := startOf(t.RunPod(), ref)
	t.Logf("a VOLUME that is a symbolic link: %v", err)
	if err == nil {
		got := c.Errors("exists", "/way/secret", dir+"/secret")
		for path, e := range got {
			if e == "" {
				t.Errorf("%s is in the container", path)
			}
		}
		c.Errors("write", "/way/new", "x")
	}
	if files := node.Files(dir); len(files) != 2 {
		t.Errorf("on the node: %v", files)
	}
}

func volumeRoot(t *suite.T) {
	for _, path := range []string{"/", "/proc", "/dev", ""} {
		config := suite.BaseConfig()
		config.Volumes = map[string]struct{}{path: {}}
		ref := t.Local.Put(fmt.Sprintf("critests/volume-%d", t.Next()), "1", oci.New(oci.Options{Config: config}, t.Program, suite.BaseTree()))
		t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
		_, err := pull(t, ref)
		if err == nil {
			_, err = startOf(t.RunPod(), ref)
		}
		t.Logf("VOLUME %q: %v", path, err)
	}
}

// CVE-2022-4318, CVE-2026-15809: nothing of the environment becomes a line of a file.
func homeLine(t *suite.T) {
	config := suite.BaseConfig()
	config.Env = append(config.Env, "HOME=/root\nevil:x:0:0::/:/bin/sh", "USER=evil\nroot::0:0::/:")
	p := t.RunPod()
	c, err := startOf(p, pullNew(t, config), runAs(4711, 4711))
	if err != nil {
		t.WantError(err, codes.OK, "env|HOME|line")
		return
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		if text := c.ReadText(file); strings.Contains(text, "evil") {
			t.Errorf("%s has a line of the environment: %q", file, text)
		}
	}
	other, err := startOf(p, t.Base, runAs(4712, 4712), env("HOME", "/root\nevil:x:0:0::/:/bin/sh"))
	if err != nil {
		t.WantError(err, codes.OK, "env|HOME|line")
		return
	}
	if text := other.ReadText("/etc/passwd"); strings.Contains(text, "evil") {
		t.Errorf("/etc/passwd has a line of the environment: %q", text)
	}
}

// R6, CVE-2026-53488, CVE-2023-6476: labels and annotations of an image choose nothing.
func labelsNothing(t *suite.T) {
	config := suite.BaseConfig()
	config.Labels = map[string]string{"containerd.io/restart.status": "running", "containerd.io/restart.loguri": "binary:///tmp/x",
		"io.kubernetes.container.name": "another", "io.kubernetes.cri.sandbox-id": "x", "critests": "no",
		"cdi.k8s.io/x": "vendor.com/device=all", "io.kubernetes.cri-o.UnifiedCgroup": "memory.max=max"}
	ref := pullImage(t, oci.New(oci.Options{Config: config, Manifest: func(m *v1.Manifest) { m.Annotations = config.Labels }},
		t.Program, suite.BaseTree()))
	c := t.RunPod().Run(suite.Image(ref), memory(64))
	s := c.Status()
	suite.Equal(t, "labels of the container", fmt.Sprint(s.Labels), fmt.Sprint(c.Config.Labels))
	suite.Equal(t, "annotations of the container", fmt.Sprint(s.Annotations), fmt.Sprint(c.Config.Annotations))
	suite.Equal(t, "memory.max", inside(c, "memory.max")["memory.max"], fmt.Sprint(64<<20))
}

func stopSignalNonsense(t *suite.T) {
	for _, signal := range []string{"SIGNONSENSE", "9999", "-9", "SIGKILL; reboot", "0"} {
		config := suite.BaseConfig()
		config.StopSignal = signal
		c, err := startOf(t.RunPod(), pullNew(t, config))
		if err != nil {
			t.WantError(err, codes.OK, "signal")
			continue
		}
		// it must end all the same
		if err := c.TryStop(t.Ctx, 0); err != nil {
			t.Errorf("StopSignal %s: %v", signal, err)
		}
		c.WaitExit()
	}
}

func noCommand(t *suite.T) {
	config := suite.BaseConfig()
	config.Entrypoint, config.Cmd = nil, nil
	ref := pullNew(t, config)
	p := t.RunPod()
	_, err := startOf(p, ref, command())
	t.WantError(err, codes.OK, "command|entrypoint|cmd|args|nothing to run")
	_, err = startOf(p, ref, command(""))
	t.WantError(err, codes.OK, "command|empty|executable|args|no such|permission")
}

func environmentOdd(t *suite.T) {
	config := suite.BaseConfig()
	config.Env = append(config.Env, "NOVALUE", "=novalue", "", "LD_PRELOAD=/evil.so", "A=1", "A=2")
	p := t.RunPod()
	c, err := startOf(p, pullNew(t, config), suite.Payload("report"))
	if err != nil {
		t.WantError(err, codes.OK, "env")
		return
	}
	c.WantExit(0)
	suite.Equal(t, "A", lookup(suite.Decode[payload.Report](t, c.Stdout()), "A"), "2")
}

func entrypointOutside(t *suite.T) {
	p := t.RunPod()
	for _, path := range []string{"/proc/1/root/run/ct/critests", "../../../../../../usr/bin/crisp", "/way"} {
		ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(oci.Symlink("way", "/usr/bin/crisp")))
		c, err := startOf(p, ref, command(path, "version"))
		if err != nil {
			t.Logf("%s: %v", path, err)
			continue
		}
		c.WaitExit()
		if strings.Contains(c.Stdout(), "crisp") {
			t.Errorf("%s ran the node's program: %.100q", path, c.Stdout())
		}
	}
}
