package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var streamingCases = []suite.Case{
	{Name: "execsync-output", Run: syncOutput},
	{Name: "execsync-timeout", Run: syncTimeout},
	{Name: "execsync-large-output", Run: syncLarge},
	{Name: "execsync-endless-output", Run: syncEndless, CrispOnly: "rule R5"},
	{Name: "execsync-no-such-program", Run: syncNoProgram},
	{Name: "execsync-leaves-child-behind", Run: syncDaemon},
	{Name: "execsync-stdin-is-empty", Run: syncNoStdin},
	{Name: "execsync-fifty-at-once", Run: syncMany, Scale: 2},
	{Name: "exec-output-and-code", Run: execOutput},
	{Name: "exec-stdin", Run: execStdin},
	{Name: "exec-stdin-closes", Run: execStdinCloses},
	{Name: "exec-terminal", Run: execTerminal},
	{Name: "exec-terminal-resize", Run: execResize},
	{Name: "exec-terminal-hangup", Run: execHangup, CrispOnly: "others leave what neither reads nor writes"},
	{Name: "exec-terminal-interrupt", Run: execInterrupt},
	{Name: "exec-client-goes-away", Run: execClientGone},
	{Name: "exec-ends-with-container", Run: execContainerEnds},
	{Name: "exec-100-MB-out", Run: execLargeOut, Scale: 2},
	{Name: "exec-100-MB-in", Run: execLargeIn, Scale: 2},
	{Name: "exec-1-GiB-both-ways", Run: execHuge, Slow: true, Scale: 4},
	{Name: "exec-spdy-v1-to-v4", Run: execVersions},
	{Name: "cve-2022-23471-resize-without-stdin", Run: execResizeOnly},
	{Name: "exec-slow-reader", Run: execSlowReader},
	{Name: "exec-no-such-program", Run: execNoProgram},
	{Name: "attach-output", Run: attachOutput},
	{Name: "attach-stdin", Run: attachStdin},
	{Name: "attach-stdin-once", Run: attachOnce},
	{Name: "attach-terminal", Run: attachTerminal},
	{Name: "attach-twice", Run: attachTwice},
	{Name: "attach-to-ended", Run: attachEnded},
	{Name: "token-is-used-once", Run: tokenOnce},
	{Name: "token-unknown", Run: tokenUnknown},
	{Name: "only-on-loopback", Run: onlyLoopback},
	{Name: "plain-http-refused", Run: plainHTTP},
	{Name: "garbage-on-the-port", Run: garbage},
	{Name: "bad-requests", Run: streamBadRequests, CrispOnly: "codes and words"},
	{Name: "200-sessions", Run: manySessions, Scale: 3},
	{Name: "1000-sessions", Run: thousandSessions, Slow: true, Scale: 6},
	{Name: "cve-2025-64329-1000-attaches", Run: thousandAttaches, Slow: true, Scale: 6, CrispOnly: "containerd leaked them once"},
	{Name: "200-attaches", Run: manyAttaches, Scale: 3, CrispOnly: "containerd leaked them once (CVE-2025-64329)"},
}

func syncOutput(t *suite.T) {
	c := t.RunPod().Run()
	r, err := c.TryExec(0, suite.PayloadCommand("say", `to stdout\n`, `to stderr\n`, "42")...)
	t.Must(err, "ExecSync")
	suite.Equal(t, "stdout", string(r.Stdout), "to stdout\n")
	suite.Equal(t, "stderr", string(r.Stderr), "to stderr\n")
	suite.Equal(t, "exit code", r.ExitCode, 42)
	r, err = c.TryExec(0, suite.PayloadCommand("say", `\xff\x00\xfe`, "")...)
	t.Must(err, "ExecSync")
	suite.Equal(t, "bytes", string(r.Stdout), "\xff\x00\xfe")
	r, err = c.TryExec(0, suite.PayloadCommand("kill-self", "9")...)
	t.Must(err, "ExecSync")
	suite.Equal(t, "exit code of one that was killed", r.ExitCode, 137)
}

// The kubelet takes DeadlineExceeded for a probe's timeout; what ran must be dead, its children too.
func syncTimeout(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	start := time.Now()
	_, err := c.TryExec(2*time.Second, suite.PayloadCommand("children", "3")...)
	if code := status.Code(err); code != codes.DeadlineExceeded {
		t.Errorf("code %s, wanted DeadlineExceeded: %v", code, err)
	}
	if took := time.Since(start); took < 1900*time.Millisecond || took > 30*time.Second {
		t.Errorf("it took %s, the timeout was 2 s", took)
	}
	gone := func() bool { return len(payloads(p, "children")) == 0 }
	if !t.Until(10*time.Second, gone) {
		t.Errorf("the process still runs: %v", payloads(p, "children"))
	}
	if t.Crisp() && !t.Until(10*time.Second, func() bool { return len(payloads(p, "sleeper")) == 0 }) {
		t.Errorf("its children still run: %v", payloads(p, "sleeper"))
	}
	c.Exec("echo", "fine")
}

// R5: 16 MiB is what the kubelet takes; a call that gives more fails as a whole.
func syncLarge(t *suite.T) {
	c := t.RunPod().Run()
	r, err := c.TryExec(0, suite.PayloadCommand("bytes", "3000000")...)
	t.Must(err, "ExecSync of a program that writes 3 MB")
	suite.Equal(t, "bytes of 3 MB", len(r.Stdout), 3000000)
	r, err = c.TryExec(0, suite.PayloadCommand("bytes", fmt.Sprint(40<<20))...)
	t.Must(err, "ExecSync of a program that writes 40 MiB")
	if len(r.Stdout) > 16<<20 || len(r.Stdout) < 1<<20 {
		t.Errorf("%d bytes of output", len(r.Stdout))
	}
	suite.Equal(t, "the beginning", strings.HasPrefix(string(r.Stdout), "abcdefghijklmnopqrstuvwxyzabc"), true)
	suite.Equal(t, "exit code", r.ExitCode, 0)
}

func syncEndless(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	pid := t.Serve()
	before := node.KiB(pid, "VmHWM")
	_, err := c.TryExec(5*time.Second, suite.PayloadCommand("yes")...)
	t.WantError(err, codes.DeadlineExceeded, "timed? ?out|timeout")
	suite.Equal(t, "processes that still write", len(payloads(p, "yes")), 0)
	if grown := node.KiB(pid, "VmHWM") - before; grown > 64<<10 {
		t.Errorf("serve grew by %d KiB at its peak", grown)
	}
}

func syncNoProgram(t *suite.T) {
	c := t.RunPod().Run()
	r, err := c.TryExec(0, "/no-such-program")
	if err == nil {
		t.Fatalf("exit code %d, no error", r.ExitCode)
	}
	t.WantError(err, codes.OK, "no-such-program.*(no such file|not found)")
}

// What a probe leaves running must not keep the call from ending for ever.
func syncDaemon(t *suite.T) {
	c := t.RunPod().Run()
	start := time.Now()
	r, err := c.TryExec(60*time.Second, suite.PayloadCommand("orphans", "1", "4000")...)
	if err != nil {
		t.Errorf("ExecSync: %v", err)
	} else {
		suite.Equal(t, "exit code", r.ExitCode, 0)
	}
	if took := time.Since(start); took > 40*time.Second {
		t.Errorf("it took %s", took)
	}
}

func syncNoStdin(t *suite.T) {
	c := t.RunPod().Run()
	r := suite.Decode[payload.Report](t, c.Exec("report"))
	if !strings.Contains(r.Fds[0], "null") && !strings.Contains(r.Fds[0], "pipe") {
		t.Errorf("stdin is %q", r.Fds[0])
	}
	var s payload.Sum
	suite.Equal(t, "what stdin gives", strings.TrimSpace(c.Exec("count")), s.String())
}

func syncMany(t *suite.T) {
	c := t.RunPod().Run()
	const count = 50
	errs := make(chan error, count)
	for i := 0; i < count; i++ {
		go func() {
			want := fmt.Sprintf("number %d\n", i)
			r, err := c.TryExec(0, suite.PayloadCommand("echo", "number", fmt.Sprint(i))...)
			if err == nil && (string(r.Stdout) != want || r.ExitCode != 0) {
				err = fmt.Errorf("exec %d: code %d, output %q", i, r.ExitCode, r.Stdout)
			}
			errs <- err
		}()
	}
	for i := 0; i < count; i++ {
		if err := <-errs; err != nil {
			t.Errorf("%v", err)
		}
	}
}

func wantCode(t *suite.T, err error, code int) {
	if code == 0 {
		t.Must(err, "session")
		return
	}
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != code {
		t.Errorf("the session ended with %v, wanted exit code %d", err, code)
	}
}

func execOutput(t *suite.T) {
	c := t.RunPod().Run()
	for _, code := range []int{0, 1, 42, 255} {
		var stdout, stderr bytes.Buffer
		s := suite.Streams{Stdout: &stdout, Stderr: &stderr}
		err := suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("say", `out\n`, `err\n`, fmt.Sprint(code))...), s)
		wantCode(t, err, code)
		suite.Equal(t, "stdout", stdout.String(), "out\n")
		suite.Equal(t, "stderr", stderr.String(), "err\n")
	}
	var stdout bytes.Buffer
	s := suite.Streams{Stdout: &stdout}
	t.Must(suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("say", "only", "nobody listens")...), s), "stdout alone")
	suite.Equal(t, "stdout alone", stdout.String(), "only")
}

func execStdin(t *suite.T) {
	c := t.RunPod().Run()
	var stdout, stderr bytes.Buffer
	s := suite.Streams{Stdin: strings.NewReader("one\ntwo\nexit 3\n"), Stdout: &stdout, Stderr: &stderr}
	wantCode(t, suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("copy-both")...), s), 3)
	suite.Equal(t, "stdout", stdout.String(), "out one\nout two\n")
	suite.Equal(t, "stderr", stderr.String(), "err one\nerr two\n")
}

// The end of the client's input is the end of the program's; until then both ways are busy at once.
func execStdinCloses(t *suite.T) {
	c := t.RunPod().Run()
	var in, out payload.Sum
	s := suite.Streams{Stdin: io.TeeReader(io.LimitReader(payload.NewNoise(4), 3<<20), &in), Stdout: &out}
	t.Must(suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("copy")...), s), "session")
	suite.Equal(t, "what came back", out.String(), in.String())
}

// sizes is a queue of terminal sizes.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}

// console is a session with a terminal that is talked to.
type console struct {
	t     *suite.T
	in    *io.PipeWriter
	mu    sync.Mutex
	out   bytes.Buffer
	sizes sizes
	done  chan error
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *console) say(line string) {
	_, err := io.WriteString(c.in, line)
	c.t.Must(err, "write to the session")
}

func (c *console) wait(text string) {
	if !c.t.Until(60*time.Second, func() bool { return strings.Contains(c.text(), text) }) {
		c.t.Fatalf("the session did not say %q: %.500q", text, c.text())
	}
}

func (c *console) end() error {
	select {
	case err := <-c.done:
		return err
	case <-time.After(90 * time.Second):
		c.t.Fatalf("the session does not end; it said %.500q", c.text())
		return nil
	}
}

// talk connects; urls come from make, which gets the streams that it must ask for.
func talk(t *suite.T, tty bool, ask func(suite.Streams) string) *console {
	r, w := io.Pipe()
	c := &console{t: t, in: w, sizes: make(sizes, 8), done: make(chan error, 1)}
	s := suite.Streams{Stdin: r, Stdout: c, TTY: tty, Sizes: c.sizes}
	if !tty {
		s.Sizes = nil
	}
	where := ask(s)
	go func() { c.done <- suite.Connect(t.Ctx, where, s) }()
	t.Cleanup(func(*suite.T) { w.Close() })
	return c
}

func terminal(t *suite.T, c *suite.Container, words ...string) *console {
	return talk(t, true, func(s suite.Streams) string { return c.ExecURL(s, suite.PayloadCommand(words...)...) })
}

func execTerminal(t *suite.T) {
	con := terminal(t, t.RunPod().Run(), "terminal")
	con.wait("terminal [true true true] /dev/pts/0 leader=true foreground=true")
	con.say("hello\n")
	con.wait("got hello\r\n")
	con.wait("hello\r\n") // the terminal's echo
	con.say("exit 5\n")
	wantCode(t, con.end(), 5)
}

func execResize(t *suite.T) {
	con := terminal(t, t.RunPod().Run(), "terminal")
	con.sizes <- remotecommand.TerminalSize{Width: 91, Height: 37}
	con.wait("terminal")
	if !t.Until(30*time.Second, func() bool {
		return strings.Contains(con.text(), "resized 91x37") || strings.Contains(con.text(), "size=91x37")
	}) {
		t.Errorf("the first size did not come: %.300q", con.text())
	}
	con.sizes <- remotecommand.TerminalSize{Width: 120, Height: 50}
	con.wait("resized 120x50")
	con.say("size\n")
	con.wait("size 120x50")
	con.say("\x04") // end of file, as a terminal has it
	wantCode(t, con.end(), 0)
}

// Who loses the terminal gets SIGHUP, as from any terminal: also one that neither reads nor writes.
func execHangup(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	ctx, cancel := context.WithCancel(t.Ctx)
	con := &console{t: t, done: make(chan error, 1)}
	s := suite.Streams{Stdin: neverEnding{ctx}, Stdout: con, TTY: true}
	where := c.ExecURL(s, suite.PayloadCommand("sleeper")...)
	go func() { con.done <- suite.Connect(ctx, where, s) }()
	if !t.Until(30*time.Second, func() bool { return len(payloads(p, "sleeper")) > 0 }) {
		t.Errorf("it does not run")
	}
	cancel()
	con.end()
	if !t.Until(30*time.Second, func() bool { return len(payloads(p, "sleeper")) == 0 }) {
		t.Errorf("it runs on without its terminal: %v", payloads(p, "sleeper"))
	}
}

func execInterrupt(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	con := terminal(t, c, "signals", "0")
	con.wait("signals: ready")
	con.say("\x03")
	con.wait("signal SIGINT")
	wantCode(t, con.end(), 0)
}

// R10: nothing stays of a session whose client is gone.
func execClientGone(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	ctx, cancel := context.WithCancel(t.Ctx)
	var out bytes.Buffer
	s := suite.Streams{Stdout: &out, Stdin: neverEnding{ctx}}
	where := c.ExecURL(s, suite.PayloadCommand("yes")...)
	done := make(chan error, 1)
	go func() { done <- suite.Connect(ctx, where, s) }()
	time.Sleep(3 * time.Second)
	cancel()
	<-done
	// what writes meets a closed pipe; what only waits may stay, as with the other runtimes
	if !t.Until(30*time.Second, func() bool { return len(payloads(p, "yes")) == 0 }) {
		t.Errorf("the process still writes: %v", payloads(p, "yes"))
	}
}

type neverEnding struct{ ctx context.Context }

func (n neverEnding) Read([]byte) (int, error) {
	<-n.ctx.Done()
	return 0, io.EOF
}

func execContainerEnds(t *suite.T) {
	c := t.RunPod().Run()
	con := terminal(t, c, "terminal")
	con.wait("terminal")
	c.Stop(0)
	if err := con.end(); err == nil {
		t.Logf("the session of a killed process ended without an error")
	}
}

const megabytes = 100

func execLargeOut(t *suite.T) { execOut(t, megabytes) }
func execLargeIn(t *suite.T)  { execIn(t, megabytes) }

func execHuge(t *suite.T) {
	execOut(t, 1024)
	execIn(t, 1024)
}

func execOut(t *suite.T, megabytes int) {
	c := t.RunPod().Run()
	var got, want payload.Sum
	s := suite.Streams{Stdout: &got}
	start := time.Now()
	t.Must(suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("noise", "5", fmt.Sprint(megabytes))...), s), "session")
	t.Logf("%d MiB out in %s", megabytes, time.Since(start))
	io.CopyN(&want, payload.NewNoise(5), int64(megabytes)<<20)
	suite.Equal(t, "what came", got.String(), want.String())
}

func execIn(t *suite.T, megabytes int) {
	c := t.RunPod().Run()
	var out bytes.Buffer
	var want payload.Sum
	s := suite.Streams{Stdout: &out, Stdin: io.TeeReader(io.LimitReader(payload.NewNoise(6), int64(megabytes)<<20), &want)}
	start := time.Now()
	t.Must(suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("count")...), s), "session")
	t.Logf("%d MiB in in %s", megabytes, time.Since(start))
	suite.Equal(t, "what came", strings.TrimSpace(out.String()), want.String())
}

// Each version tells the end in its own form; versions 1 to 3 tell success by silence.
func execVersions(t *suite.T) {
	c := t.RunPod().Run()
	for _, v := range []struct{ protocol, ok, failed string }{
		{"channel.k8s.io", "", "exit status 7"},
		{"v2.channel.k8s.io", "", "exit status 7"},
		{"v3.channel.k8s.io", "", "exit status 7"},
		{"v4.channel.k8s.io", `"status":"Success"`, `"reason":"ExitCode","message":"7"`},
	} {
		for code, want := range map[int]string{0: v.ok, 7: v.failed} {
			s := suite.Streams{Stdout: io.Discard}
			conn, err := suite.Dial(c.ExecURL(s, suite.PayloadCommand("say", "word", "", fmt.Sprint(code))...), v.protocol)
			t.Must(err, "dial with %s", v.protocol)
			streams := map[string]io.Reader{}
			for _, kind := range []string{"error", "stdout"} {
				stream, err := conn.CreateStream(http.Header{"Streamtype": {kind}})
				t.Must(err, "%s stream of %s", kind, v.protocol)
				streams[kind] = stream
			}
			out, _ := io.ReadAll(streams["stdout"])
			problem, _ := io.ReadAll(streams["error"])
			conn.Close()
			suite.Equal(t, v.protocol+": stdout", string(out), "word")
			if !strings.Contains(string(problem), want) || (want == "") != (len(problem) == 0) {
				t.Errorf("%s: the error stream says %q for exit code %d", v.protocol, problem, code)
			}
		}
	}
}

// containerd waited for ever for a channel of sizes that nobody read.
func execResizeOnly(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	flat(t, func() {
		for i := 0; i < 30; i++ {
			con := &console{t: t, sizes: make(sizes, 1), done: make(chan error, 1)}
			s := suite.Streams{Stdout: con, TTY: true, Sizes: con.sizes}
			con.sizes <- remotecommand.TerminalSize{Width: 80, Height: 24}
			t.Must(suite.Connect(t.Ctx, c.ExecURL(s, suite.PayloadCommand("echo", "done")...), s), "session")
			if !strings.Contains(con.text(), "done") {
				t.Errorf("it said %q", con.text())
			}
			close(con.sizes)
		}
	})
}

// slowly takes its time with the first bytes.
type slowly struct {
	sum  payload.Sum
	once sync.Once
}

func (s *slowly) Write(p []byte) (int, error) {
	s.once.Do(func() { time.Sleep(8 * time.Second) })
	return s.sum.Write(p)
}

// Bounded while the reader sleeps, whole when it wakes.
func execSlowReader(t *suite.T) {
	c := t.RunPod().Run()
	before := helpersMemory(t)
	var out slowly
	s := suite.Streams{Stdout: &out}
	where := c.ExecURL(s, suite.PayloadCommand("noise", "7", "48")...)
	done := make(chan error, 1)
	go func() { done <- suite.Connect(t.Ctx, where, s) }()
	time.Sleep(6 * time.Second)
	grown := helpersMemory(t) - before
	t.Must(<-done, "session")
	var want payload.Sum
	io.CopyN(&want, payload.NewNoise(7), 48<<20)
	suite.Equal(t, "what came", out.sum.String(), want.String())
	if t.Crisp() && grown > 16<<10 {
		t.Errorf("the runtime held %d KiB more while the reader slept", grown)
	}
}

// helpersMemory is serve's and its helpers' own memory, in KiB.
func helpersMemory(t *suite.T) int {
	pid := t.Serve()
	total := node.Memory(pid)
	for _, p := range node.Children(pid) {
		total += max(0, node.Memory(p.Pid))
	}
	return total
}

func execNoProgram(t *suite.T) {
	c := t.RunPod().Run()
	var out bytes.Buffer
	s := suite.Streams{Stdout: &out, Stderr: &out}
	err := suite.Connect(t.Ctx, c.ExecURL(s, "/no-such-program"), s)
	if err == nil {
		t.Fatalf("no error")
	}
	if !strings.Contains(err.Error(), "no-such-program") && !strings.Contains(out.String(), "no-such-program") {
		t.Errorf("the error does not name the program: %v", err)
	}
}

func streamBadRequests(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	for name, r := range map[string]*runtimeapi.ExecRequest{
		"no command":          {ContainerId: c.ID, Stdout: true},
		"no stream":           {ContainerId: c.ID, Cmd: []string{"/critests"}},
		"terminal and stderr": {ContainerId: c.ID, Cmd: []string{"/critests"}, Tty: true, Stdout: true, Stderr: true},
	} {
		if _, err := t.CRI.Exec(t.Ctx, r); err == nil {
			t.Errorf("Exec with %s: no error", name)
		} else {
			t.WantError(err, codes.InvalidArgument, "command|cmd|stream|stdin|stdout|stderr|tty|terminal")
		}
	}
	_, err := t.CRI.Exec(t.Ctx, &runtimeapi.ExecRequest{ContainerId: "no-such", Cmd: []string{"x"}, Stdout: true})
	t.WantError(err, codes.NotFound, "no-such")
	_, err = t.CRI.Attach(t.Ctx, &runtimeapi.AttachRequest{ContainerId: "no-such", Stdout: true})
	t.WantError(err, codes.NotFound, "no-such")
	_, err = t.CRI.PortForward(t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: "no-such"})
	t.WantError(err, codes.NotFound, "no-such")
	p.Stop()
	_, err = t.CRI.PortForward(t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{80}})
	t.WantError(err, codes.FailedPrecondition, "ready|stopped|running")
}
