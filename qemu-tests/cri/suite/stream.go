package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Streams of an exec or attach; nil ones are not asked for.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	TTY            bool
	Sizes          remotecommand.TerminalSizeQueue
}

// ExecURL asks for an exec session.
func (c *Container) ExecURL(s Streams, command ...string) string {
	r, err := c.t.CRI.Exec(c.t.Ctx, &runtimeapi.ExecRequest{ContainerId: c.ID, Cmd: command, Tty: s.TTY,
		Stdin: s.Stdin != nil, Stdout: s.Stdout != nil, Stderr: s.Stderr != nil})
	c.t.Must(err, "Exec")
	return r.Url
}

// AttachURL asks for an attach session.
func (c *Container) AttachURL(s Streams) string {
	r, err := c.t.CRI.Attach(c.t.Ctx, &runtimeapi.AttachRequest{ContainerId: c.ID, Tty: s.TTY, Stdin: s.Stdin != nil,
		Stdout: s.Stdout != nil, Stderr: s.Stderr != nil})
	c.t.Must(err, "Attach")
	return r.Url
}

// Connect speaks SPDY with a URL, as the kubelet does, until the session ends.
func Connect(ctx context.Context, where string, s Streams) error {
	u, err := url.Parse(where)
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{Host: u.Host}, http.MethodPost, u)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: s.Stdin, Stdout: s.Stdout,
		Stderr: s.Stderr, Tty: s.TTY, TerminalSizeQueue: s.Sizes})
}

// ConnectWebSocket does the same over WebSocket; without protocols v5, as kubectl speaks it.
func ConnectWebSocket(ctx context.Context, where string, s Streams, protocols ...string) error {
	u, err := url.Parse(where)
	if err != nil {
		return err
	}
	if len(protocols) == 0 {
		protocols = []string{"v5.channel.k8s.io"}
	}
	executor, err := remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{Host: u.Host}, http.MethodGet, where, protocols...)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: s.Stdin, Stdout: s.Stdout,
		Stderr: s.Stderr, Tty: s.TTY, TerminalSizeQueue: s.Sizes})
}

// DialTunnel opens a connection of many SPDY streams inside WebSocket messages, as kubectl port-forward does.
func DialTunnel(where string, protocols ...string) (httpstream.Connection, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	dialer, err := portforward.NewSPDYOverWebsocketDialer(u, &rest.Config{Host: u.Host})
	if err != nil {
		return nil, err
	}
	conn, _, err := dialer.Dial(protocols...)
	return conn, err
}

// ExecStream runs a word of the payload through a streaming session; its stdout.
func (c *Container) ExecStream(words ...string) string {
	var stdout, stderr bytes.Buffer
	s := Streams{Stdout: &stdout, Stderr: &stderr}
	if err := Connect(c.t.Ctx, c.ExecURL(s, PayloadCommand(words...)...), s); err != nil {
		c.t.Fatalf("exec session of %v: %v: %.300q", words, err, stderr.String())
	}
	return stdout.String()
}

// Dial opens a connection of many streams.
func Dial(where string, protocols ...string) (httpstream.Connection, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: u.Host})
	if err != nil {
		return nil, err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	conn, _, err := dialer.Dial(protocols...)
	return conn, err
}

// PortForward opens a session to a pod.
func (p *Pod) PortForward(ports ...int32) httpstream.Connection {
	r, err := p.t.CRI.PortForward(p.t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: ports})
	p.t.Must(err, "PortForward")
	conn, err := Dial(r.Url, "portforward.k8s.io")
	p.t.Must(err, "%s", r.Url)
	p.t.Cleanup(func(*T) { conn.Close() })
	return conn
}

// Forward is one connection through a port-forward session.
type Forward struct {
	Data, Errors httpstream.Stream
}

// Open one to a port.
func Open(conn httpstream.Connection, request, port int) (*Forward, error) {
	headers := http.Header{}
	headers.Set("streamType", "error")
	headers.Set("port", fmt.Sprint(port))
	headers.Set("requestID", fmt.Sprint(request))
	errors, err := conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	errors.Close() // we say nothing there
	headers.Set("streamType", "data")
	data, err := conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	return &Forward{Data: data, Errors: errors}, nil
}
