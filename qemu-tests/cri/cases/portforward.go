package cases

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

var forwardCases = []suite.Case{
	{Name: "one-line", Run: forwardLine},
	{Name: "kubectls-forwarder", Run: forwardKubectl},
	{Name: "nobody-listens", Run: forwardNobody},
	{Name: "host-network", Run: forwardHost},
	{Name: "many-at-once", Run: forwardMany},
	{Name: "100-MB-in", Run: forwardLargeIn, Scale: 2},
	{Name: "100-MB-out", Run: forwardLargeOut, Scale: 2},
	{Name: "client-goes-away", Run: forwardGone},
	{Name: "pod-goes-away", Run: forwardPodGone},
}

// talkTo opens one connection through a session, says a line and returns what comes.
func talkTo(t *suite.T, p *suite.Pod, port int, line string) (string, string) {
	conn := p.PortForward(int32(port))
	f, err := suite.Open(conn, 0, port)
	t.Must(err, "streams")
	fmt.Fprintln(f.Data, line)
	f.Data.Close()
	got, _ := io.ReadAll(f.Data)
	problem, _ := io.ReadAll(f.Errors)
	return strings.TrimSpace(string(got)), string(problem)
}

func forwardLine(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080", "8081")
	for _, port := range []int{8080, 8081} {
		got, problem := talkTo(t, p, port, "host")
		suite.Equal(t, "answer", got, p.Config.Hostname)
		suite.Equal(t, "error", problem, "")
	}
}

func forwardKubectl(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	r, err := t.CRI.PortForward(t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{8080}})
	t.Must(err, "PortForward")
	u, err := url.Parse(r.Url)
	t.Must(err, "URL")
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: u.Host})
	t.Must(err, "transport")
	stop, ready := make(chan struct{}), make(chan struct{})
	var out, problems bytes.Buffer
	f, err := portforward.NewOnAddresses(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u),
		[]string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, &out, &problems)
	t.Must(err, "forwarder")
	done := make(chan error, 1)
	go func() { done <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("the forwarder ended: %v", err)
	}
	ports, err := f.GetPorts()
	t.Must(err, "ports")
	for i := 0; i < 5; i++ {
		got, err := ask(fmt.Sprintf("127.0.0.1:%d", ports[0].Local), "host")
		if err != nil || got != p.Config.Hostname {
			t.Errorf("connection %d: %q, %v", i, got, err)
		}
	}
	close(stop)
	<-done
}

func forwardNobody(t *suite.T) {
	p := t.RunPod(suite.CNI)
	p.Run()
	got, problem := talkTo(t, p, 9999, "host")
	suite.Equal(t, "answer", got, "")
	if !strings.Contains(problem, "9999") && !strings.Contains(strings.ToLower(problem), "refused") {
		t.Errorf("the error stream says %q", problem)
	}
}

func forwardHost(t *suite.T) {
	p := t.RunPod()
	port := 20000 + rand.Intn(10000)
	answer(p, fmt.Sprint(port))
	got, problem := talkTo(t, p, port, "host")
	if got == "" || problem != "" {
		t.Errorf("answer %q, error %q", got, problem)
	}
}

func forwardMany(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	conn := p.PortForward(8080)
	const count = 30
	errs := make(chan error, count)
	for i := 0; i < count; i++ {
		f, err := suite.Open(conn, i, 8080)
		t.Must(err, "streams")
		go func() {
			want := fmt.Sprintf("text of %d %s", i, strings.Repeat("x", i*1000))
			fmt.Fprintf(f.Data, "echo\n%s", want)
			f.Data.Close()
			got, err := io.ReadAll(f.Data)
			if err == nil && string(got) != want {
				err = fmt.Errorf("connection %d: %d bytes came back, wanted %d", i, len(got), len(want))
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

func forwardLargeIn(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	f, err := suite.Open(p.PortForward(8080), 0, 8080)
	t.Must(err, "streams")
	var want payload.Sum
	start := time.Now()
	fmt.Fprintln(f.Data, "sum")
	_, err = io.Copy(f.Data, io.TeeReader(io.LimitReader(payload.NewNoise(8), megabytes<<20), &want))
	t.Must(err, "send")
	f.Data.Close()
	got, err := bufio.NewReader(f.Data).ReadString('\n')
	t.Must(err, "receive")
	t.Logf("%d MiB in in %s", megabytes, time.Since(start))
	suite.Equal(t, "what came", strings.TrimSpace(got), want.String())
}

func forwardLargeOut(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	f, err := suite.Open(p.PortForward(8080), 0, 8080)
	t.Must(err, "streams")
	var want, got payload.Sum
	start := time.Now()
	fmt.Fprintf(f.Data, "noise 9 %d\n", megabytes)
	_, err = io.Copy(&got, f.Data)
	t.Must(err, "receive")
	t.Logf("%d MiB out in %s", megabytes, time.Since(start))
	io.CopyN(&want, payload.NewNoise(9), megabytes<<20)
	suite.Equal(t, "what came", got.String(), want.String())
}

func forwardGone(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	conn := p.PortForward(8080)
	f, err := suite.Open(conn, 0, 8080)
	t.Must(err, "streams")
	fmt.Fprintf(f.Data, "noise 9 1000000\n")
	io.CopyN(io.Discard, f.Data, 1<<20)
	conn.Close()
	if got, problem := talkTo(t, p, 8080, "host"); got != p.Config.Hostname {
		t.Errorf("a second session: %q %q", got, problem)
	}
}

func forwardPodGone(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	f, err := suite.Open(p.PortForward(8080), 0, 8080)
	t.Must(err, "streams")
	fmt.Fprintf(f.Data, "echo\nhello\n")
	line, err := bufio.NewReader(f.Data).ReadString('\n')
	if err != nil || line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
	p.Stop()
	done := make(chan struct{})
	go func() {
		io.Copy(io.Discard, f.Data)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Errorf("the connection to a stopped pod does not end")
	}
}

// garbage: the port can be reached from pods of the node's network: whatever comes, it lives.
func garbage(t *suite.T) {
	c := t.RunPod().Run()
	where, err := url.Parse(c.ExecURL(suite.Streams{Stdout: io.Discard}, suite.PayloadCommand("echo", "x")...))
	t.Must(err, "URL")
	upgrade := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"+
		"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n", where.Path)
	for name, text := range map[string]string{
		"nothing":                "",
		"a line":                 "hello\r\n\r\n",
		"a line without end":     strings.Repeat("x", 100000),
		"headers without end":    "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 20000),
		"TLS":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"HTTP/2":                 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"an upgrade, then noise": upgrade + strings.Repeat("\x80\x03\x00\x01\x00\xff\xff\xff", 1000),
		"noise":                  noise(65536),
	} {
		conn, err := net.DialTimeout("tcp", where.Host, 5*time.Second)
		t.Must(err, "%s: connect", name)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, text)
		io.CopyN(io.Discard, conn, 100)
		conn.Close()
	}
	c.ExecStream("echo", "alive")
}

func noise(n int) string {
	b := make([]byte, n)
	payload.NewNoise(uint64(n)).Read(b)
	return string(b)
}

// R10, CVE-2025-64329: sessions that are opened, used and closed leave nothing.
func manySessions(t *suite.T)     { sessions(t, 200) }
func thousandSessions(t *suite.T) { sessions(t, 1000) }

func sessions(t *suite.T, count int) {
	p := t.RunPod()
	c := p.Run()
	for i := 0; i < 20; i++ {
		c.ExecStream("echo", "warm")
	}
	flat(t, func() {
		for i := 0; i < count; i++ {
			if got := c.ExecStream("echo", fmt.Sprint(i)); got != fmt.Sprintln(i) {
				t.Fatalf("session %d said %q", i, got)
			}
		}
	})
}

func manyAttaches(t *suite.T)     { attaches(t, 200) }
func thousandAttaches(t *suite.T) { attaches(t, 1000) }

func attaches(t *suite.T, count int) {
	p := t.RunPod()
	c := p.Run(suite.Payload("ticks", "20"))
	one := func() {
		ctx, cancel := context.WithCancel(t.Ctx)
		con := &console{t: t, done: make(chan error, 1)}
		s := suite.Streams{Stdout: con}
		where := c.AttachURL(s)
		go func() { con.done <- suite.Connect(ctx, where, s) }()
		con.wait("tick")
		cancel()
		<-con.done
	}
	for i := 0; i < 20; i++ {
		one()
	}
	flat(t, func() {
		for i := 0; i < count; i++ {
			one()
		}
	})
}

// flat compares what the runtime's processes hold before and after.
func flat(t *suite.T, f func()) {
	type use struct{ memory, fds int }
	read := func() map[string]use {
		found := map[string]use{}
		pid := t.Serve()
		all := append(node.Children(pid), node.Proc{Pid: pid, Cmdline: "serve"})
		for _, proc := range all {
			fds, _ := node.Fds(proc.Pid)
			found[fmt.Sprintf("%d %s", proc.Pid, proc.Cmdline)] = use{node.Memory(proc.Pid), fds}
		}
		return found
	}
	before := read()
	f()
	var after map[string]use
	rested := func() bool {
		after = read()
		for name, now := range after {
			if was, ok := before[name]; ok && (now.fds > was.fds+2 || now.memory > was.memory+1024) {
				return false
			}
		}
		return true
	}
	if !t.Until(15*time.Second, rested) && t.Crisp() {
		for name, now := range after {
			if was, ok := before[name]; ok && (now.fds > was.fds+2 || now.memory > was.memory+1024) {
				t.Errorf("%s: %d KiB, before %d; %d descriptors, before %d", name, now.memory, was.memory, now.fds, was.fds)
			}
		}
	}
	for name, now := range after {
		t.Logf("%s: %d KiB, before %d; %d descriptors, before %d", name, now.memory, before[name].memory, now.fds, before[name].fds)
	}
}
