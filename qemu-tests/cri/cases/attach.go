package cases

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

func attachOutput(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("ticks", "50"))
	c.WaitText("tick 2")
	ctx, cancel := context.WithCancel(t.Ctx)
	con := &console{t: t, done: make(chan error, 1)}
	s := suite.Streams{Stdout: con}
	where := c.AttachURL(s)
	go func() { con.done <- suite.Connect(ctx, where, s) }()
	con.wait("tick")
	if !t.Until(30*time.Second, func() bool { return strings.Count(con.text(), "tick") > 10 }) {
		t.Errorf("the output stopped: %q", con.text())
	}
	cancel()
	<-con.done
	suite.Equal(t, "state", c.Status().State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	lines := len(c.Lines())
	if !t.Until(10*time.Second, func() bool { return len(c.Lines()) > lines+5 }) {
		t.Errorf("the log stopped when the client left")
	}
	ticksWithout(t, c.Lines())
}

func stdin(once bool) suite.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) { c.Stdin, c.StdinOnce = true, once }
}

func attach(t *suite.T, c *suite.Container) *console {
	return talk(t, c.Config.Tty, c.AttachURL)
}

func attachStdin(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("copy-both"), stdin(false))
	con := attach(t, c)
	con.say("hello\n")
	con.wait("out hello\n")
	con.in.Close()
	time.Sleep(500 * time.Millisecond)
	suite.Equal(t, "state after the first client left", c.Status().State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	second := attach(t, c)
	second.say("again\nexit 4\n")
	c.WantExit(4)
	second.end()
	suite.Equal(t, "log", suite.Join(c.Lines(), "stdout"), "out hello\nout again\n")
}

// stdin_once: the end of the first client's input is the end of stdin.
func attachOnce(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("count"), stdin(true))
	con := attach(t, c)
	con.say("some text")
	con.in.Close()
	c.WantExit(0)
	var want payload.Sum
	io.WriteString(&want, "some text")
	suite.Equal(t, "what it read", strings.TrimSpace(c.Stdout()), want.String())
}

func attachTerminal(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("terminal"), stdin(false), func(c *runtimeapi.ContainerConfig) { c.Tty = true })
	c.WaitText("terminal [true true true]")
	con := attach(t, c)
	con.sizes <- remotecommand.TerminalSize{Width: 77, Height: 33}
	con.wait("resized 77x33")
	con.say("hello\n")
	con.wait("got hello\r\n")
	con.say("exit 6\n")
	c.WantExit(6)
	con.end()
	if !strings.Contains(c.Text(""), "got hello") {
		t.Errorf("the log holds %q", c.Text(""))
	}
	r := t.RunPod().Run(suite.Payload("report-wait"), func(c *runtimeapi.ContainerConfig) { c.Tty = true })
	r.WaitText("}")
	report := suite.Decode[payload.Report](t, r.Text(""))
	m, ok := node.At(node.ParseMounts(report.Mounts), "/dev/console")
	suite.Equal(t, "/dev/console is mounted", ok && m.Type == "devpts", true)
}

func attachTwice(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("copy-both"), stdin(false))
	a, b := attach(t, c), attach(t, c)
	a.say("from a\n")
	a.wait("out from a\n")
	b.wait("out from a\n")
	b.say("from b\n")
	a.wait("out from b\n")
}

func attachEnded(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("exit"))
	_, err := t.CRI.Attach(t.Ctx, &runtimeapi.AttachRequest{ContainerId: c.ID, Stdout: true})
	t.WantError(err, codes.OK, "running|ended|exited|state")
}

func tokenOnce(t *suite.T) {
	c := t.RunPod().Run()
	var out bytes.Buffer
	s := suite.Streams{Stdout: &out}
	where := c.ExecURL(s, suite.PayloadCommand("echo", "once")...)
	t.Must(suite.Connect(t.Ctx, where, s), "the first time")
	if err := suite.Connect(t.Ctx, where, s); err == nil {
		t.Errorf("the same URL was good for a second session")
	}
	suite.Equal(t, "output", out.String(), "once\n")
	again := c.ExecURL(s, suite.PayloadCommand("echo", "once")...)
	if where == again || len(where) < 20 {
		t.Errorf("URLs %q and %q", where, again)
	}
}

func tokenUnknown(t *suite.T) {
	c := t.RunPod().Run()
	s := suite.Streams{Stdout: io.Discard}
	where := c.ExecURL(s, "/critests")
	u, err := url.Parse(where)
	t.Must(err, "URL")
	for _, path := range []string{"/exec/AAAAAAAA", "/exec/", "/", "/exec/../../etc/passwd", "/portforward/" + u.Path[6:],
		"/attach/" + u.Path[6:], "/exec/" + strings.Repeat("x", 5000)} {
		bad := *u
		bad.Path = path
		if err := suite.Connect(t.Ctx, bad.String(), s); err == nil {
			t.Errorf("%.60s: a session", path)
		}
	}
}

func onlyLoopback(t *suite.T) {
	c := t.RunPod().Run()
	u, err := url.Parse(c.ExecURL(suite.Streams{Stdout: io.Discard}, "/critests"))
	t.Must(err, "URL")
	suite.Equal(t, "host of the URL", u.Hostname(), "127.0.0.1")
	if _, err := ask(nodeAddress(t)+":"+u.Port(), "GET / HTTP/1.0\n"); err == nil {
		t.Errorf("the port answers on the node's address")
	}
}

func plainHTTP(t *suite.T) {
	c := t.RunPod().Run()
	where := c.ExecURL(suite.Streams{Stdout: io.Discard}, suite.PayloadCommand("echo", "x")...)
	r, err := http.Get(where)
	if err == nil {
		r.Body.Close()
		if r.StatusCode < 400 {
			t.Errorf("GET without an upgrade: %s", r.Status)
		}
	}
}
