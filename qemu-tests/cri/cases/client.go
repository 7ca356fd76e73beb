package cases

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/suite"
)

// What an operator sees: crisp's own client on the node.
var clientCases = []suite.Case{
	{Name: "explain-exit-codes", Run: explainExits, CrispOnly: own},
	{Name: "explain-signals", Run: explainSignals, CrispOnly: own},
	{Name: "explain-out-of-memory", Run: explainOOM, CrispOnly: own},
	{Name: "explain-seccomp", Run: explainSeccomp, CrispOnly: own},
	{Name: "explain-missing-programs", Run: explainMissing, CrispOnly: own},
	{Name: "explain-missing-library", Run: explainLibrary, CrispOnly: own},
	{Name: "explain-what-was-asked-and-done", Run: explainAsked, CrispOnly: own},
	{Name: "explain-hanging-network-plugin", Run: explainHangingPlugin, CrispOnly: own},
	{Name: "explain-slow-registry", Run: explainSlowRegistry, CrispOnly: own},
	{Name: "explain-failed-pull", Run: explainFailedPull, CrispOnly: own},
	{Name: "explain-without-serve", Run: explainOffline, CrispOnly: own},
	{Name: "explain-after-serve-was-killed", Run: explainRestarted, CrispOnly: own, KillServe: true, Scale: 2},
	{Name: "crictl-by-name-with-yaml", Run: crictlLink, CrispOnly: own},
}

const own = "its client asks for what only crisp tells"

// crisp runs the client; its output, the errors included, and its exit status.
func crisp(t *suite.T, args ...string) (string, int) {
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Ctx, "/usr/bin/crisp", append([]string{"--runtime-endpoint", t.Endpoint}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("crisp: %v", err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// wantPage: each pattern is on it.
func wantPage(t *suite.T, page string, patterns ...string) {
	for _, p := range patterns {
		if !regexp.MustCompile("(?im)" + p).MatchString(page) {
			t.Errorf("the page has no /%s/: %q", p, page)
			return
		}
	}
}

func explain(t *suite.T, name string, patterns ...string) {
	page, code := crisp(t, "explain", name)
	if code != 0 {
		t.Errorf("explain %s: exit code %d: %s", name, code, page)
	}
	wantPage(t, page, patterns...)
}

func explainExits(t *suite.T) {
	p := t.RunPod()
	explain(t, p.RunToEnd(suite.Payload("exit", "0")).ID, `exited, exit code 0, Completed`, `It completed`)
	explain(t, p.RunToEnd(suite.Payload("exit", "3")).ID, `exit code 3, Error`, `exited by itself with code 3`)
	// the number of a signal, and no signal
	explain(t, p.RunToEnd(suite.Payload("exit", "137")).ID, `exit code that stands for signal 9 \(SIGKILL\)`)
	running := p.Run()
	explain(t, running.ID, `: running$`, `started    20`)
	explain(t, p.Create().ID, `created, not started`)
}

func explainSignals(t *suite.T) {
	p := t.RunPod(suite.SharedPID) // as PID 1 a program would ignore most of them
	for number, words := range map[string]string{"15": `ended by signal 15 \(SIGTERM\)`, "1": `signal 1 \(SIGHUP\)`} {
		c := p.RunToEnd(suite.Payload("kill-self", number))
		explain(t, c.ID, words)
	}
	c := p.Run(suite.Payload("pause"))
	c.Stop(0)
	explain(t, c.ID, `ended by signal 9 \(SIGKILL\)`, `Stopping was asked for`, `StopContainer: waiting for the container to end`)
	c = p.Run(suite.Payload("pause"))
	pid := hostPid(t, c)
	unix.Kill(pid, unix.SIGKILL)
	c.WaitExit()
	explain(t, c.ID, `ended by signal 9 \(SIGKILL\)`, `Nobody asked this runtime`)
}

// hostPid of the container's first process: serve tells.
func hostPid(t *suite.T, c *suite.Container) int {
	info := suite.Decode[struct{ Pid int }](t, c.FullStatus().Info["info"])
	if info.Pid <= 1 {
		t.Fatalf("no process: %d", info.Pid)
	}
	return info.Pid
}

func explainOOM(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("eat", "200"),
		suite.Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20}))
	explain(t, c.ID, `OOMKilled`, `for lack of memory \(OOM\): its limit is 67.11MB`, `limits     memory 67.11MB`,
		`kernel: oom-kill:`)
}

const killProfile = `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}`

func explainSeccomp(t *suite.T) {
	path := t.File("profile.json", killProfile)
	c := t.RunPod().RunToEnd(suite.Payload("syscalls", "mkdir"), seccomp(runtimeapi.SecurityProfile_Localhost, path))
	explain(t, c.ID, `signal 31 \(SIGSYS\): a system call that its seccomp profile forbids`,
		`kernel: seccomp: the profile forbids .* the system call mkdir`, `seccomp: `+regexp.QuoteMeta(path))
}

// An ELF file of a machine that is not ours.
func foreignELF() string {
	machine := byte(183) // EM_AARCH64
	if runtime.GOARCH == "arm64" {
		machine = 62
	}
	header := make([]byte, 120)
	copy(header, "\x7fELF\x02\x01\x01")
	header[16], header[18], header[20], header[52], header[54], header[56] = 2, machine, 1, 64, 56, 1
	return string(header)
}

func explainMissing(t *suite.T) {
	ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(
		oci.File("script", "#!/bin/no-such-shell -e\n", 0o755),
		oci.File("foreign", foreignELF(), 0o755),
		oci.File("text", "just text\n", 0o755),
		oci.File("plain", "no program\n", 0o644)))
	p := t.RunPod()
	for program, words := range map[string]string{
		"/no-such-program": `never started: .*no such file.*\n.*The image has no such file`,
		"no-such-program":  `never started: .*not found in \$PATH.*\n.*No directory of the image's PATH`,
		"/script":          `never started: .*interpreter it names, /bin/no-such-shell, is not.*\n.*what it needs to run is not`,
		"/foreign":         `never started: .*exec format error: it is a program for (aarch64|x86_64), this node is .*\n.*another architecture`,
		"/text":            `never started: .*exec format error`,
		"/plain":           `never started: .*permission denied.*\n.*may not be executed`,
		"/etc":             `never started: .*is a directory`,
	} {
		c := p.Create(suite.Image(ref), command(program))
		if err := c.TryStart(); err == nil {
			t.Errorf("%s starts", program)
			continue
		}
		c.WaitExit()
		explain(t, c.ID, words, `StartContainer: executing the container's program`, `^Failed calls`)
	}
}

// A program that the dynamic loader cannot load says so itself, and ends with 127.
func explainLibrary(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("say", "",
		`/app: error while loading shared libraries: libgone.so.1: cannot open shared object file\n`, "127"))
	explain(t, c.ID, `exited by itself with code 127`, `The dynamic loader missed a library: .*libgone\.so\.1`)
}

func explainAsked(t *suite.T) {
	ref := pullNew(t, suite.BaseConfig(), t.Padding(300000))
	p := t.RunPod(suite.CNI)
	c := p.Run(suite.Image(ref), suite.Payload("say", `hello from inside\x1b[31mred\n`, ""),
		suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
			s.ReadonlyRootfs, s.NoNewPrivs = true, true
			s.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}}
		}),
		suite.Resources(&runtimeapi.LinuxContainerResources{CpuQuota: 50000, CpuPeriod: 100000, MemoryLimitInBytes: 256000000}))
	c.WaitExit()
	// by the pod's name; the image's pull, each plugin and each step with their times
	page, code := crisp(t, "explain", p.Config.Metadata.Namespace+"/"+p.Config.Metadata.Name)
	suite.Equal(t, "exit code", code, 0)
	step := `^ +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z +\d+\.\d{3} s  `
	wantPage(t, page, `^Pod `+p.Config.Metadata.Name+` in namespace critests: ready`, `address    `+p.IPs()[0],
		step+`RunPodSandbox: starting the monitor and the namespaces`, step+`RunPodSandbox: network: ADD of plugin bridge`,
		step+`PullImage: fetching the manifest`, step+`PullImage: .* bytes came`, step+`CreateContainer: mounting the image`,
		step+`StartContainer: executing the container's program`,
		`image      `+regexp.QuoteMeta(ref), `limits     memory 256MB, 0.50 CPUs`,
		`security   user 1000:\d+, read-only root, no new privileges, dropped ALL, seccomp: the runtime's default`,
		`Log, its end: `, `hello from inside`)
	if strings.Contains(page, "\x1b") {
		t.Errorf("the container's escape sequence reaches the terminal")
	}
	// the same from a name of the container, and through inspect
	explain(t, c.Config.Metadata.Name, `^Container `+c.Config.Metadata.Name)
	for verb, id := range map[string]string{"inspectp": p.ID, "inspect": c.ID} {
		text, _ := crisp(t, verb, id)
		info := suite.Decode[struct {
			Info struct {
				Steps  []struct{ Time, Call, What string }
				Config map[string]any
			}
		}](t, text).Info
		if len(info.Steps) == 0 || info.Steps[0].Call == "" || len(info.Config) == 0 {
			t.Errorf("%s shows no steps or configuration: %.300q", verb, text)
		}
	}
}

// hangingPlugin lays a network over the node's whose plugin waits until it is let go.
func hangingPlugin(t *suite.T) (release func()) {
	gate := filepath.Join(t.Dir("gate"), "open")
	script := fmt.Sprintf("#!/bin/sh\n[ \"$CNI_COMMAND\" = ADD ] || exit 0\nwhile [ ! -e %s ]; do sleep 0.1; done\n"+
		"echo '{\"code\": 7, \"msg\": \"it was let go\"}'\nexit 1\n", gate)
	over := func(dir string, files map[string]string) {
		t.Must(unix.Mount("critests", dir, "tmpfs", 0, "mode=755"), "tmpfs over %s", dir)
		t.Cleanup(func(*suite.T) { unix.Unmount(dir, unix.MNT_DETACH) })
		for name, text := range files {
			t.Must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755), "%s", name)
		}
	}
	over("/opt/cni/bin", map[string]string{"hanging": script})
	over("/etc/cni/net.d", map[string]string{
		"10-hanging.conflist": `{"cniVersion": "1.0.0", "name": "hanging", "plugins": [{"type": "hanging"}]}`})
	release = func() { os.WriteFile(gate, nil, 0o644) }
	t.Cleanup(func(*suite.T) { release() })
	return release
}

func explainHangingPlugin(t *suite.T) {
	release := hangingPlugin(t)
	config := t.PodConfig(suite.CNI)
	failed := make(chan error, 1)
	go func() {
		p, err := t.TryPod(config, "")
		if err == nil {
			p.End()
		}
		failed <- err
	}()
	flight := `In flight: RunPodSandbox .* for \d+\.\d s; it is network: ADD of plugin hanging, since \d+\.\d s`
	var page string
	if !t.Until(20*time.Second, func() bool {
		page, _ = crisp(t, "explain", config.Metadata.Name)
		return regexp.MustCompile(flight).MatchString(page)
	}) {
		t.Errorf("the page does not say where it hangs: %q", page)
	}
	info, _ := crisp(t, "info")
	wantPage(t, info, `"stage": "network: ADD of plugin hanging"`, `"stageAge": \d`)
	release()
	if err := <-failed; err == nil {
		t.Fatalf("a pod without a network")
	}
	page, code := crisp(t, "explain", config.Metadata.Name)
	suite.Equal(t, "exit code for a pod that is not there", code, 1)
	wantPage(t, page, `Failed calls`, `RunPodSandbox .*: .*hanging plugin: it was let go \(while undoing\)`)
}

func explainSlowRegistry(t *suite.T) {
	s, ref, release := slowRegistry(t)
	pod := t.RunPod()
	done := make(chan error, 1)
	go func() {
		_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref},
			SandboxConfig: pod.Config})
		done <- err
	}()
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	explain(t, pod.ID, `In flight: PullImage `+regexp.QuoteMeta(ref)+` for \d+\.\d s; it is pulling: fetching the configuration, `+
		`\d+ of \d+ bytes, since \d+\.\d s`)
	release()
	t.Must(<-done, "pull")
}

func explainFailedPull(t *suite.T) {
	pod := t.RunPod()
	ref := t.Local.Ref("critests/never-pushed", "1")
	for i := 0; i < 3; i++ {
		if _, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref},
			SandboxConfig: pod.Config}); err == nil {
			t.Fatalf("it was pulled")
		}
	}
	explain(t, pod.ID, `Failed calls`, `PullImage `+regexp.QuoteMeta(ref)+` \(3 times since .*\): pull .*\(while pulling\)`)
}

// Nobody on the socket: the records tell.
func explainOffline(t *suite.T) {
	p := t.RunPod()
	c := p.RunToEnd(suite.Payload("exit", "9"))
	cmd := exec.CommandContext(t.Ctx, "/usr/bin/crisp", "--runtime-endpoint", "unix:///run/nobody.sock", "explain",
		"--root", t.Root, c.ID)
	out, err := cmd.CombinedOutput()
	t.Must(err, "explain: %s", out)
	wantPage(t, string(out), `no CRI runtime`, `records on disk`, `^Pod `+p.Config.Metadata.Name, `exit code 9`,
		`CreateContainer: mounting the image`, `exited by itself with code 9`)
}

// Steps are in the records, failures below /run: a new serve knows both.
func explainRestarted(t *suite.T) {
	p := t.RunPod()
	c := p.RunToEnd(suite.Payload("kill-self", "9"))
	bad := p.Create(command("/no-such-program"))
	if bad.TryStart() == nil {
		t.Fatalf("it starts")
	}
	kill(t, unix.SIGKILL)
	explain(t, c.ID, `RunPodSandbox: starting the monitor`, `CreateContainer: mounting the image`,
		`StartContainer `+bad.Config.Metadata.Name+`: .*no such file`)
}

// The names and files of crictl's users.
func crictlLink(t *suite.T) {
	dir := t.Dir("crictl")
	link := filepath.Join(dir, "crictl")
	t.Must(os.Symlink("/usr/bin/crisp", link), "link")
	n := t.Next()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		t.Must(os.WriteFile(path, []byte(text), 0o644), "%s", name)
		return path
	}
	cgroup := filepath.Join(t.CgroupParent, fmt.Sprintf("pod-by-yaml-%d", n))
	t.Cleanup(func(*suite.T) { os.Remove(filepath.Join(node.CgroupRoot, cgroup)) })
	pod := write("pod.yaml", fmt.Sprintf("metadata:\n  name: by-yaml-%d\n  namespace: default\n  attempt: 1\n  uid: \"%d\"\n"+
		"log_directory: %s\nlinux:\n  cgroup_parent: %s\n  security_context:\n    namespace_options: {network: 2}\n", n, n, dir, cgroup))
	container := write("container.yaml", "metadata:\n  name: c\nimage:\n  image: "+t.Base+"\ncommand:\n- /critests\n- "+
		suite.PayloadCommand()[1]+"\n- say\n- 'from yaml\\n'\n- ''\nlog_path: c.log\n")
	settings := write("crictl.yaml", "runtime-endpoint: "+t.Endpoint+"\nimage-endpoint: \"\"\ntimeout: 60\n")
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Ctx, link, append([]string{"--config", settings}, args...)...)
		out, err := cmd.CombinedOutput()
		t.Must(err, "crictl %v: %s", args, out)
		return string(out)
	}
	wantPage(t, run("version"), `RuntimeName:  crisp`)
	id := strings.TrimSpace(run("run", "--no-pull", container, pod))
	podID := strings.TrimSpace(run("pods", "--name", fmt.Sprintf("by-yaml-%d", n), "-q"))
	t.Cleanup(func(*suite.T) { run("rmp", "-f", podID) })
	if !t.Until(20*time.Second, func() bool { return strings.Contains(run("ps", "-a", "--id", id), "Exited") }) {
		t.Errorf("it does not end: %s", run("inspect", id))
	}
	suite.Equal(t, "log", run("logs", id), "from yaml\n")
	wantPage(t, run("ps", "-a", "--id", id, "-o", "yaml"), `state: CONTAINER_EXITED`)
	run("rm", id)
	if _, err := os.Stat(filepath.Join(dir, "c.log")); !os.IsNotExist(err) {
		t.Errorf("the log stays: %v", err)
	}
}
