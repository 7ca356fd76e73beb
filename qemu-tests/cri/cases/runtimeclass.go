package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

// Other OCI runtimes of the node, by the handler that its configuration gives them.
var otherRuntimes = []string{"runc", "crun"}

// What a pod of another runtime does no differently: cases of the other groups.
var runtimeClassSame = []suite.Case{
	{Name: "lifecycle", Run: containerLifecycle},
	{Name: "exit-codes", Run: containerExitCodes},
	{Name: "killed-by-signal", Run: containerKilled},
	{Name: "stop-signal-term", Run: stopTerm},
	{Name: "stop-without-grace", Run: stopNoGrace},
	{Name: "remove-running", Run: containerRemoveRunning},
	{Name: "remove-created", Run: containerRemoveCreated},
	{Name: "log-format", Run: logFormat},
	{Name: "log-reopen", Run: logReopen},
	{Name: "execsync-output", Run: syncOutput},
	{Name: "execsync-timeout", Run: syncTimeout},
	{Name: "exec-output-and-code", Run: execOutput},
	{Name: "exec-stdin", Run: execStdin},
	{Name: "exec-terminal", Run: execTerminal},
	{Name: "exec-terminal-resize", Run: execResize},
	{Name: "attach-stdin", Run: attachStdin},
	{Name: "attach-terminal", Run: attachTerminal},
	{Name: "memory", Run: resMemory},
	{Name: "update", Run: resUpdate},
	{Name: "oom-killed", Run: resOOMKilled},
	{Name: "stats", Run: containerStats},
	{Name: "user-and-group", Run: processUser},
	{Name: "default-capabilities", Run: capsDefault},
	{Name: "seccomp-default", Run: seccompDefault},
	{Name: "exits-meanwhile", Run: surviveExits, KillServe: true, Scale: 2},
	{Name: "exec-and-attach-afterwards", Run: surviveExec, KillServe: true, Scale: 2},
}

func runtimeClassCases() []suite.Case {
	const only = "the handlers are of crisp's configuration"
	cases := []suite.Case{
		{Name: "unknown-handler", Run: classUnknown, CrispOnly: only},
		{Name: "status-tells-features", Run: classStatus, CrispOnly: only},
	}
	for _, h := range otherRuntimes {
		own := []suite.Case{
			{Name: "pod", Run: classPod},
			{Name: "no-such-program", Run: classNoProgram},
			{Name: "nothing-stays", Run: classNothingStays},
			{Name: "monitor-killed", Run: classMonitorKilled, Scale: 2},
		}
		for _, c := range append(own, runtimeClassSame...) {
			run := c.Run
			c.Name, c.CrispOnly = h+"-"+c.Name, only
			c.Run = func(t *suite.T) {
				t.Handler = h
				run(t)
			}
			cases = append(cases, c)
		}
	}
	return cases
}

func classUnknown(t *suite.T) {
	_, err := t.TryPod(t.PodConfig(), "no-such-handler")
	t.WantError(err, codes.NotFound, `no-such-handler.*crisp.*"crun"|no-such-handler.*crisp.*"runc"`)
}

func classStatus(t *suite.T) {
	r, err := t.CRI.Status(t.Ctx, &runtimeapi.StatusRequest{})
	t.Must(err, "Status")
	found := map[string]*runtimeapi.RuntimeHandlerFeatures{}
	for _, h := range r.RuntimeHandlers {
		found[h.Name] = h.Features
	}
	for _, name := range append([]string{"", "crisp"}, otherRuntimes...) {
		f := found[name]
		if f == nil {
			t.Errorf("handler %q is not among %v", name, r.RuntimeHandlers)
			continue
		}
		suite.Equal(t, fmt.Sprintf("recursive read-only mounts of %q", name), f.RecursiveReadOnlyMounts, true)
	}
}

// What the runtime keeps of its containers; crun has a cache beside them.
func kept(t *suite.T) string {
	dirs, _ := filepath.Glob(filepath.Join(t.State, "runtime", t.Handler, "[0-9a-f]*"))
	return strings.Join(dirs, " ")
}

// It is that runtime, and not the built-in executor, which runs it.
func classPod(t *suite.T) {
	p := t.RunPod(suite.CNI)
	c := p.Run(suite.Payload("ticks", "100"))
	c.WaitText("tick 2")
	suite.Equal(t, "handler", p.Status().RuntimeHandler, t.Handler)
	if !strings.Contains(kept(t), c.ID) {
		t.Errorf("%s keeps nothing of the container: %q", t.Handler, kept(t))
	}
	suite.Equal(t, "exec", c.Exec("echo", "here"), "here\n")
	suite.Equal(t, "exec session", c.ExecStream("echo", "there"), "there\n")
	r, err := t.CRI.ContainerStats(t.Ctx, &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
	t.Must(err, "ContainerStats")
	if r.GetStats().GetMemory().GetWorkingSetBytes().GetValue() == 0 {
		t.Errorf("no memory in %v", r.Stats)
	}
	c.Stop(0)
	c.WantExit(137)
}

func classNoProgram(t *suite.T) {
	p := t.RunPod()
	c, err := p.TryCreate(p.ContainerConfig(func(c *runtimeapi.ContainerConfig) {
		c.Command = []string{"/no/such/program"}
	}))
	if err == nil {
		err = c.TryStart()
	}
	t.WantError(err, codes.OK, "no/such/program")
}

func classNothingStays(t *suite.T) {
	p := t.RunPod()
	p.Run(suite.Payload("exit", "3")).WantExit(3)
	p.Create()
	p.Run(suite.Payload("pause"))
	p.End()
	suite.Equal(t, "what is kept", kept(t), "")
}

// Whatever the monitor could not do any more, serve does.
func classMonitorKilled(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("pause"))
	for _, proc := range node.Procs() {
		if strings.Contains(proc.Cmdline, "monitor "+p.ID) {
			t.Must(syscall.Kill(proc.Pid, syscall.SIGKILL), "kill")
		}
	}
	if !t.Until(30*time.Second, func() bool {
		return c.Status().State == runtimeapi.ContainerState_CONTAINER_EXITED
	}) {
		t.Errorf("the container without a monitor is %s", c.Status().State)
	}
	p.End()
	suite.Equal(t, "what is kept", kept(t), "")
	if _, err := os.Stat(filepath.Join(node.CgroupRoot, p.Cgroup, c.ID)); err == nil {
		t.Errorf("its cgroup is still there")
	}
}
