package cases

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/suite"
)

const ownProfiles = "containerd loads its profile only where apparmor_parser is"

var apparmorCases = []suite.Case{
	{Name: "profile-of-a-container", Run: withAppArmor(apparmorProfile), CrispOnly: ownProfiles},
	{Name: "default-confines", Run: withAppArmor(apparmorConfines), CrispOnly: ownProfiles},
	{Name: "default-lets-work", Run: withAppArmor(apparmorWorks), CrispOnly: ownProfiles},
	{Name: "localhost-enforce-and-complain", Run: withAppArmor(apparmorLocalhost), CrispOnly: ownProfiles},
	{Name: "profile-that-is-not-loaded", Run: withAppArmor(apparmorMissing), CrispOnly: ownProfiles},
	{Name: "signals", Run: withAppArmor(apparmorSignals), CrispOnly: ownProfiles},
	{Name: "cve-2019-16884-volume-over-proc", Run: withAppArmor(apparmorFakeProc), CrispOnly: ownProfiles},
	{Name: "cve-2023-28642-proc-is-a-link", Run: withAppArmor(apparmorLinkedProc), CrispOnly: ownProfiles},
	{Name: "asked-for-where-there-is-none", Run: apparmorOff, CrispOnly: ownProfiles},
}

const (
	securityModules = "/sys/kernel/security/lsm"
	appArmorFS      = "/sys/kernel/security/apparmor"
	ownLabel        = "/proc/self/attr/apparmor/current"
	firstLabel      = "/proc/1/attr/apparmor/current"
)

// hasModule: is the security module on in this machine?
func hasModule(name string) bool {
	text, _ := os.ReadFile(securityModules)
	for _, module := range strings.Split(strings.TrimSpace(string(text)), ",") {
		if module == name {
			return true
		}
	}
	return false
}

func withAppArmor(run func(*suite.T)) func(*suite.T) {
	return func(t *suite.T) {
		if !hasModule("apparmor") {
			t.Skipf("the machine runs without AppArmor")
		}
		run(t)
	}
}

func apparmor(kind runtimeapi.SecurityProfile_ProfileType, ref string) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.Apparmor = &runtimeapi.SecurityProfile{ProfileType: kind, LocalhostRef: ref}
	})
}

// The field that kubelets before 1.30 sent.
func apparmorWord(word string) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.ApparmorProfile = word })
}

// noAppArmor for cases about something else that AppArmor would refuse first.
var noAppArmor = apparmor(runtimeapi.SecurityProfile_Unconfined, "")

// Seccomp, capabilities and the mounts of /proc out of the way: what is refused then, AppArmor refuses.
var openContainer = []suite.ContainerOption{caps([]string{"ALL"}, nil), seccomp(runtimeapi.SecurityProfile_Unconfined, ""),
	suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.MaskedPaths, s.ReadonlyPaths = nil, nil })}

func runOpen(p *suite.Pod, more ...suite.ContainerOption) *suite.Container {
	return p.Run(append(append([]suite.ContainerOption{}, openContainer...), more...)...)
}

func label(c *suite.Container, path string) string {
	return strings.TrimSpace(strings.TrimRight(c.ReadText(path), "\x00"))
}

func apparmorProfile(t *suite.T) {
	const byDefault = "crisp-default (enforce)"
	p := t.RunPod(suite.PrivilegedPod)
	for _, c := range []struct {
		name    string
		options []suite.ContainerOption
		want    string
	}{
		{"nothing said", nil, byDefault},
		{"RuntimeDefault", []suite.ContainerOption{apparmor(runtimeapi.SecurityProfile_RuntimeDefault, "")}, byDefault},
		{"runtime/default", []suite.ContainerOption{apparmorWord("runtime/default")}, byDefault},
		{"Unconfined", []suite.ContainerOption{noAppArmor}, "unconfined"},
		{"unconfined", []suite.ContainerOption{apparmorWord("unconfined")}, "unconfined"},
		{"privileged", []suite.ContainerOption{suite.Privileged}, "unconfined"},
		{"a user with no_new_privs", []suite.ContainerOption{runAs(1000, -1),
			suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.NoNewPrivs = true })}, byDefault},
	} {
		made := p.Run(c.options...)
		suite.Equal(t, c.name, label(made, firstLabel), c.want)
		suite.Equal(t, c.name+": of an exec", label(made, ownLabel), c.want)
		suite.Equal(t, c.name+": of an exec with a stream", strings.TrimSpace(streamedLabel(made)), c.want)
		made.Stop(0)
	}
}

func streamedLabel(c *suite.Container) string {
	text := c.ExecStream("read", ownLabel)
	_, text, _ = strings.Cut(text, `"text":"`)
	text, _, _ = strings.Cut(text, `\n`)
	return text
}

// Each is refused to the one and possible for the other, whose only difference is the profile.
func apparmorConfines(t *suite.T) {
	p := t.RunPod(suite.CNI)
	confined, free := runOpen(p), runOpen(p, noAppArmor)
	suite.Equal(t, "mount", confined.Errors("syscalls", "mount")["mount"], "EACCES")
	suite.Equal(t, "mount, unconfined", free.Errors("syscalls", "mount")["mount"], "")
	files := []string{"/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger",
		"/proc/sys/kernel/seccomp/actions_logged", "/proc/sys/fs/file-max", "/proc/sys/kernel/modprobe", "/proc/irq/default_smp_affinity"}
	got, without := confined.Errors(append([]string{"overwrite"}, files...)...), free.Errors(append([]string{"overwrite"}, files...)...)
	for _, path := range files {
		if without[path] != "" {
			t.Logf("%s cannot be opened without AppArmor either: %s", path, without[path])
			continue
		}
		suite.Equal(t, "writing "+path, got[path], "EACCES")
	}
	read := confined.Read("/proc/kcore", "/sys/kernel/security/lsm", "/sys/firmware/memmap/0/start")
	for path, content := range read {
		if content.Error != "EACCES" && content.Error != "ENOENT" {
			t.Errorf("reading %s: %q", path, content.Error)
		}
	}
}

func apparmorWorks(t *suite.T) {
	p := t.RunPod(suite.CNI)
	c := runOpen(p)
	for path, err := range c.Errors("overwrite", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/sem",
		"/proc/sys/kernel/msgmax", "/proc/sys/fs/mqueue/queues_max", "/proc/self/oom_score_adj", "/proc/self/comm") {
		suite.Equal(t, "writing "+path, err, "")
	}
	for dir, err := range c.Errors("touch-each", "/", "/tmp", "/etc", "/dev/shm", "/run") {
		suite.Equal(t, "a file in "+dir, err, "")
	}
	suite.Equal(t, "a process of its own", c.Exec("threads", "3"), "{\"made\":3,\"why\":\"\"}\n")
	suite.Equal(t, "devices", c.Errors("open-devices", "/dev/null", "/dev/ptmx")["/dev/ptmx"], "r= w=")
}

// loadProfile loads our default profile under another name of the same length; complain: it only logs.
func loadProfile(t *suite.T, name string, complain bool) {
	const own = "crisp-default"
	if len(name) != len(own) {
		t.Fatalf("%q has another length", name)
	}
	found, _ := filepath.Glob(appArmorFS + "/policy/profiles/" + own + ".*/raw_data")
	if len(found) != 1 {
		t.Fatalf("the kernel gives %d copies of %s", len(found), own)
	}
	blob, err := os.ReadFile(found[0])
	t.Must(err, "the kernel's copy of %s", own)
	// "profile" struct: its name is the first string; the mode is the second number of the struct "flags"
	at := bytes.Index(blob, []byte(own+"\x00"))
	flags := bytes.Index(blob, []byte("flags\x00"))
	if at < 0 || flags < 0 || flags < at {
		t.Fatalf("%s is no policy as we know it: %.60q", found[0], blob)
	}
	copy(blob[at:], name)
	mode := flags + len("flags\x00") + 1 + 5 + 1
	if complain {
		binary.LittleEndian.PutUint32(blob[mode:], 1)
	}
	t.Must(os.WriteFile(appArmorFS+"/.replace", blob, 0), "load %s", name)
	t.Cleanup(func(t *suite.T) {
		if err := os.WriteFile(appArmorFS+"/.remove", []byte(name), 0); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	})
}

func apparmorLocalhost(t *suite.T) {
	local := runtimeapi.SecurityProfile_Localhost
	loadProfile(t, "crisp-enforce", false)
	loadProfile(t, "crisp-complai", true)
	p := t.RunPod(suite.PrivilegedPod)
	enforce, complain := runOpen(p, apparmor(local, "crisp-enforce")), runOpen(p, apparmor(local, "localhost/crisp-complai"))
	suite.Equal(t, "enforce", label(enforce, firstLabel), "crisp-enforce (enforce)")
	suite.Equal(t, "mount", enforce.Errors("syscalls", "mount")["mount"], "EACCES")
	suite.Equal(t, "complain", label(complain, firstLabel), "crisp-complai (complain)")
	suite.Equal(t, "mount, complaining", complain.Errors("syscalls", "mount")["mount"], "")
	word := runOpen(p, apparmorWord("localhost/crisp-enforce"))
	suite.Equal(t, "by the old field", label(word, firstLabel), "crisp-enforce (enforce)")
	privileged := p.Run(suite.Privileged, apparmor(local, "crisp-enforce"))
	suite.Equal(t, "privileged", label(privileged, firstLabel), "crisp-enforce (enforce)")
}

func apparmorMissing(t *suite.T) {
	p := t.RunPod()
	for ref, words := range map[string]string{"no-such-profile": "no-such-profile.*not loaded", "localhost/no-such": "no-such.*not loaded",
		"": "without a name", "localhost/": "without a name", "two words": "blank"} {
		_, err := p.TryCreate(p.ContainerConfig(apparmor(runtimeapi.SecurityProfile_Localhost, ref)))
		t.WantError(err, codes.OK, words)
	}
}

// From the runtime they arrive; between containers of the profile; from the profile to what is not confined they do not.
func apparmorSignals(t *suite.T) {
	p := t.RunPod(suite.SharedPID)
	c := p.Run(suite.Payload("signals", "7"))
	c.WaitText("ready")
	began := time.Now()
	c.Stop(60 * time.Second)
	c.WantExit(7)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("SIGTERM took %s", took)
	}
	killed := p.Run()
	killed.Stop(0)
	killed.WantExit(137)
	target, free := p.Run(suite.Payload("signals", "9")), p.Run(suite.Payload("signals", "9"), noAppArmor)
	target.WaitText("ready")
	free.WaitText("ready")
	sender := p.Run(caps([]string{"ALL"}, nil))
	suite.Equal(t, "to a container of the profile", sender.Errors("kill", pidOf(t, sender, target), "15")["error"], "")
	target.WantExit(9)
	suite.Equal(t, "to an unconfined one", sender.Errors("kill", pidOf(t, sender, free), "15")["error"], "EACCES")
}

// pidOf a container's first process as another one of the pod sees it.
func pidOf(t *suite.T, from, c *suite.Container) string {
	pid := 0
	if _, err := fmt.Sscanf(afterWord(c.FullStatus().Info["info"], `"pid":`), "%d", &pid); err != nil {
		t.Fatalf("no pid in %q", c.FullStatus().Info["info"])
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	t.Must(err, "status of the container's process")
	fields := strings.Fields(afterWord(string(text), "NSpid:"))
	return fields[1]
}

func afterWord(text, word string) string {
	_, rest, _ := strings.Cut(text, word)
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// A volume that looks like a procfs must not swallow the write of the label.
func apparmorFakeProc(t *suite.T) {
	volume := t.Dir("proc")
	for _, dir := range []string{"self/attr/apparmor", "thread-self/attr/apparmor", "1/attr/apparmor", "self/task/1/attr/apparmor"} {
		t.Must(os.MkdirAll(filepath.Join(volume, dir), 0o755), "directory")
		t.Must(os.WriteFile(filepath.Join(volume, dir, "exec"), nil, 0o666), "file")
	}
	p := t.RunPod()
	made, err := p.TryCreate(p.ContainerConfig(suite.Mounts(bind(volume, "/proc"))))
	if err == nil {
		err = made.TryStart()
	}
	if err == nil {
		suite.Equal(t, "the container that could be started", label(made, firstLabel), "crisp-default (enforce)")
	}
	t.WantError(err, codes.OK, "proc")
}

// An image whose /proc is a link to a directory of its own with the same files.
func apparmorLinkedProc(t *suite.T) {
	entries := []oci.Entry{oci.Symlink("proc", "/fake")}
	for _, dir := range []string{"fake", "fake/self", "fake/self/attr", "fake/self/attr/apparmor", "fake/thread-self", "fake/thread-self/attr",
		"fake/thread-self/attr/apparmor"} {
		entries = append(entries, oci.Dir(dir, 0o755))
	}
	entries = append(entries, oci.File("fake/self/attr/apparmor/exec", "", 0o666), oci.File("fake/thread-self/attr/apparmor/exec", "", 0o666))
	ref := pullImage(t, oci.New(oci.Options{Config: suite.BaseConfig()}, t.Program, oci.NewLayer(entries...)))
	p := t.RunPod()
	made, err := p.TryCreate(p.ContainerConfig(suite.Image(ref)))
	if err == nil {
		err = made.TryStart()
	}
	t.WantError(err, codes.OK, "proc")
}

func apparmorOff(t *suite.T) {
	if hasModule("apparmor") {
		t.Skipf("the machine runs with AppArmor")
	}
	p := t.RunPod()
	for _, o := range []suite.ContainerOption{apparmor(runtimeapi.SecurityProfile_RuntimeDefault, ""),
		apparmor(runtimeapi.SecurityProfile_Localhost, "mine"), apparmorWord("localhost/mine")} {
		_, err := p.TryCreate(p.ContainerConfig(o))
		t.WantError(err, codes.InvalidArgument, "no AppArmor")
	}
	p.Run(noAppArmor)
	p.Run()
}
