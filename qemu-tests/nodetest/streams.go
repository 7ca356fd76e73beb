package nodetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	clientexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// stream connects to a URL that the runtime gave, as the kubelet's proxy would: SPDY over HTTP.
func (t *T) stream(target string, limit time.Duration, options remotecommand.StreamOptions) error {
	u, err := url.Parse(target)
	t.OK(err, "the runtime's URL %q", target)
	t.Check(u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost", "streams from %s, not from this node alone", u.Host)
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{Host: u.Scheme + "://" + u.Host}, http.MethodPost, u)
	t.OK(err, "executor")
	ctx, cancel := context.WithTimeout(t, limit)
	defer cancel()
	return executor.StreamWithContext(ctx, options)
}

func (c *Container) execURL(tty, stdin bool, command ...string) string {
	reply, err := c.t.RuntimeService.Exec(c.t, &runtimeapi.ExecRequest{ContainerId: c.ID, Cmd: command, Tty: tty, Stdin: stdin,
		Stdout: true, Stderr: !tty})
	c.t.OK(err, "Exec")
	return reply.Url
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

// safeBuffer can be read while a stream writes it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var streamCases = []Case{
	{Group: "stream", Name: "exec-all-three-and-code", Run: func(t *T) {
		c := t.Pod().Sleeper()
		var stdout, stderr bytes.Buffer
		err := t.stream(c.execURL(false, true, "/bin/sh", "-c", "cat; echo err >&2; exit 6"), time.Minute,
			remotecommand.StreamOptions{Stdin: strings.NewReader("through\n"), Stdout: &stdout, Stderr: &stderr})
		code, ok := err.(clientexec.CodeExitError)
		t.Check(ok && code.Code == 6, "code: %v", err)
		t.Check(stdout.String() == "through\n" && stderr.String() == "err\n", "stdout %q, stderr %q", stdout.String(), stderr.String())
	}},
	{Group: "stream", Name: "exec-success-is-no-error", Run: func(t *T) {
		c := t.Pod().Sleeper()
		var stdout bytes.Buffer
		t.OK(t.stream(c.execURL(false, false, "/bin/toybox", "echo", "fine"), time.Minute,
			remotecommand.StreamOptions{Stdout: &stdout, Stderr: io.Discard}), "exec")
		t.Check(stdout.String() == "fine\n", "%q", stdout.String())
	}},
	{Group: "stream", Name: "exec-terminal-with-resize", Run: func(t *T) {
		c := t.Pod().Sleeper()
		in, out := io.Pipe()
		queue := make(sizes, 2)
		queue <- remotecommand.TerminalSize{Width: 90, Height: 30}
		var screen safeBuffer
		done := make(chan error, 1)
		go func() {
			done <- t.stream(c.execURL(true, true, "/bin/sh"), time.Minute,
				remotecommand.StreamOptions{Stdin: in, Stdout: &screen, Tty: true, TerminalSizeQueue: queue})
		}()
		wait := func(text string) {
			t.Until(20*time.Second, "the terminal does not show "+text, func() string {
				if strings.Contains(screen.String(), text) {
					return ""
				}
				return fmt.Sprintf("%q", screen.String())
			})
		}
		_, _ = io.WriteString(out, "test -t 0 && echo it-is-a-$((1+1))-terminal\n")
		wait("it-is-a-2-terminal")
		ask := func(want string) {
			t.Until(20*time.Second, "the size is not "+want, func() string {
				_, _ = io.WriteString(out, "stty size\n")
				time.Sleep(500 * time.Millisecond)
				if strings.Contains(screen.String(), want) {
					return ""
				}
				return fmt.Sprintf("%q", screen.String())
			})
		}
		ask("30 90")
		queue <- remotecommand.TerminalSize{Width: 111, Height: 44}
		ask("44 111")
		_, _ = io.WriteString(out, "exit 4\n")
		err := <-done
		code, ok := err.(clientexec.CodeExitError)
		t.Check(ok && code.Code == 4, "code: %v", err)
		close(queue)
	}},
	{Group: "stream", Name: "exec-much-data-both-ways", Run: func(t *T) {
		c := t.Pod().Sleeper()
		data := bytes.Repeat([]byte("0123456789abcdef"), 200000)
		var stdout bytes.Buffer
		t.OK(t.stream(c.execURL(false, true, "/bin/payload", "copy"), 2*time.Minute,
			remotecommand.StreamOptions{Stdin: bytes.NewReader(data), Stdout: &stdout, Stderr: io.Discard}), "exec")
		t.Check(bytes.Equal(stdout.Bytes(), data), "%d bytes came back of %d", stdout.Len(), len(data))
	}},
	{Group: "stream", Name: "tokens-are-for-once", Run: func(t *T) {
		c := t.Pod().Sleeper()
		target := c.execURL(false, false, "/bin/true")
		t.OK(t.stream(target, time.Minute, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}), "first")
		err := t.stream(target, time.Minute, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		t.Check(err != nil, "the same token worked twice")
		u, _ := url.Parse(target)
		u.Path = "/exec/AAAAAAAA"
		err = t.stream(u.String(), time.Minute, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
		t.Check(err != nil, "a token that nobody gave worked")
	}},
	{Group: "stream", Name: "exec-ends-with-the-connection", Run: func(t *T) {
		c := t.Pod().Sleeper()
		err := t.stream(c.execURL(true, true, "/bin/sleep", "76543"), 3*time.Second,
			remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: io.Discard, Tty: true})
		t.Check(err != nil, "it ended by itself")
		t.Until(30*time.Second, "a terminal's process still runs after its connection", func() string {
			for _, p := range node.Processes() {
				if strings.Contains(strings.Join(p.Args, " "), "sleep 76543") {
					return fmt.Sprint(p.PID)
				}
			}
			return ""
		})
	}},
	{Group: "stream", Name: "attach", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "copy")
		config.Stdin, config.StdinOnce = true, true
		c := p.Start(config)
		reply, err := t.Attach(t, &runtimeapi.AttachRequest{ContainerId: c.ID, Stdin: true, Stdout: true, Stderr: true})
		t.OK(err, "Attach")
		var stdout bytes.Buffer
		t.OK(t.stream(reply.Url, time.Minute, remotecommand.StreamOptions{Stdin: strings.NewReader("word\n"), Stdout: &stdout, Stderr: io.Discard}), "attach")
		t.Check(stdout.String() == "word\n", "%q", stdout.String())
		// stdinOnce: the container's own stdin has ended with it
		t.Check(c.Wait().ExitCode == 0 && c.Output("") == "word\n", "log %q", c.Output(""))
	}},
	{Group: "stream", Name: "attach-to-output-and-go", Run: func(t *T) {
		p := t.Pod()
		c := p.Start(p.ContainerConfig("/bin/payload", "ticks"))
		for range 3 {
			reply, err := t.Attach(t, &runtimeapi.AttachRequest{ContainerId: c.ID, Stdout: true, Stderr: true})
			t.OK(err, "Attach")
			var stdout safeBuffer
			_ = t.stream(reply.Url, 2*time.Second, remotecommand.StreamOptions{Stdout: &stdout, Stderr: io.Discard})
			t.Check(strings.Contains(stdout.String(), "tick "), "attached and saw %q", stdout.String())
		}
		t.Check(c.Status().State == running, "it ended")
		t.OK(t.StopContainer(t, c.ID, 0), "StopContainer")
		ticksInOrder(t, t.Lines(c.Log))
	}},
	{Group: "stream", Name: "port-forward", Run: func(t *T) {
		p := t.MakePod(t.PodConfig())
		p.Start(p.ContainerConfig("/bin/payload", "web", "8080"))
		reply, err := t.PortForward(t, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{8080}})
		t.OK(err, "PortForward")
		u, _ := url.Parse(reply.Url)
		transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: u.Scheme + "://" + u.Host})
		t.OK(err, "transport")
		stop, ready := make(chan struct{}), make(chan struct{})
		defer close(stop)
		forwarder, err := portforward.NewOnAddresses(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u),
			[]string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
		t.OK(err, "forwarder")
		failed := make(chan error, 1)
		go func() { failed <- forwarder.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-failed:
			t.Fatalf("forward: %v", err)
		case <-time.After(30 * time.Second):
			t.Fatalf("not ready")
		}
		ports, err := forwarder.GetPorts()
		t.OK(err, "ports")
		for range 5 {
			t.Until(20*time.Second, "through the forward", func() string {
				body, err := httpGet("127.0.0.1", int(ports[0].Local))
				if err != nil || body != p.Config.Hostname {
					return fmt.Sprintf("%q %v", body, err)
				}
				return ""
			})
		}
	}},
	{Group: "stream", Name: "garbage-on-the-port", Run: func(t *T) {
		c := t.Pod().Sleeper()
		u, _ := url.Parse(c.execURL(false, false, "/bin/true"))
		for _, text := range []string{"\x80\x03\x00\x01\xff\xff\xff\xff", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("x", 100000),
			"POST " + u.Path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"} {
			conn, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
			t.OK(err, "connect")
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.WriteString(conn, text)
			_, _ = io.ReadAll(io.LimitReader(conn, 1<<20))
			conn.Close()
		}
		t.OK(t.stream(c.execURL(false, false, "/bin/true"), time.Minute, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}), "exec after it")
	}},
	{Group: "stream", Name: "many-sessions-leave-nothing", Limit: 5 * time.Minute, Run: func(t *T) {
		c := t.Pod().Sleeper()
		count := func() int {
			total := 0
			for _, p := range node.Processes() {
				if strings.HasPrefix(p.Comm, "crisp") || strings.HasPrefix(p.Comm, "containerd") {
					entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
					total += len(entries)
				}
			}
			return total
		}
		session := func() {
			var out bytes.Buffer
			t.OK(t.stream(c.execURL(false, false, "/bin/toybox", "echo", "x"), time.Minute, remotecommand.StreamOptions{Stdout: &out, Stderr: io.Discard}), "exec")
			t.Check(out.String() == "x\n", "%q", out.String())
		}
		session()
		before := count()
		for range 30 {
			session()
		}
		t.Until(30*time.Second, "descriptors are left", func() string {
			if after := count(); after > before+8 {
				return fmt.Sprintf("%d before, %d after", before, after)
			}
			return ""
		})
	}},
}
