package cases

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

const v5 = "other runtimes' servers end at v4"

var websocketCases = []suite.Case{
	{Name: "v5-exec-output-and-code", Run: wsOutput, CrispOnly: v5},
	{Name: "v5-exec-stdin-closes", Run: wsStdinCloses, CrispOnly: v5},
	{Name: "v5-exec-terminal-resize", Run: wsTerminal, CrispOnly: v5},
	{Name: "v5-exec-100-MB-both-ways", Run: wsLarge, Scale: 2, CrispOnly: v5},
	{Name: "v5-attach", Run: wsAttach, CrispOnly: v5},
	{Name: "older-protocols", Run: wsOlder},
	{Name: "close-is-answered", Run: wsClose, CrispOnly: "others cut the connection"},
	{Name: "broken-frames", Run: wsBroken, CrispOnly: "close codes"},
	{Name: "forward-by-channels", Run: wsForward},
	{Name: "forward-nobody-listens", Run: wsForwardNobody},
	{Name: "forward-in-a-tunnel", Run: wsTunnel, CrispOnly: "others have the API server do it"},
	{Name: "forward-in-a-tunnel-100-MB", Run: wsTunnelLarge, Scale: 2, CrispOnly: "others have the API server do it"},
	{Name: "200-sessions", Run: wsMany, Scale: 3, CrispOnly: v5},
}

func wsOutput(t *suite.T) {
	c := t.RunPod().Run()
	for _, code := range []int{0, 1, 255} {
		var stdout, stderr bytes.Buffer
		s := suite.Streams{Stdout: &stdout, Stderr: &stderr}
		err := suite.ConnectWebSocket(t.Ctx, c.ExecURL(s, suite.PayloadCommand("say", `out\n`, `err\n`, fmt.Sprint(code))...), s)
		wantCode(t, err, code)
		suite.Equal(t, "stdout", stdout.String(), "out\n")
		suite.Equal(t, "stderr", stderr.String(), "err\n")
	}
	s := suite.Streams{Stdout: io.Discard}
	err := suite.ConnectWebSocket(t.Ctx, c.ExecURL(s, "/no-such-program"), s)
	if err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that is not there: %v", err)
	}
}

// Half close: the end of the client's input is the end of the program's, and what it says then still comes.
func wsStdinCloses(t *suite.T) {
	c := t.RunPod().Run()
	var stdout bytes.Buffer
	s := suite.Streams{Stdin: strings.NewReader("to the end"), Stdout: &stdout}
	t.Must(suite.ConnectWebSocket(t.Ctx, c.ExecURL(s, suite.PayloadCommand("copy")...), s), "session")
	suite.Equal(t, "stdout", stdout.String(), "to the end")
}

func wsTerminal(t *suite.T) {
	c := t.RunPod().Run()
	r, w := io.Pipe()
	con := &console{t: t, in: w, sizes: make(sizes, 8), done: make(chan error, 1)}
	s := suite.Streams{Stdin: r, Stdout: con, TTY: true, Sizes: con.sizes}
	where := c.ExecURL(s, suite.PayloadCommand("terminal")...)
	go func() { con.done <- suite.ConnectWebSocket(t.Ctx, where, s) }()
	t.Cleanup(func(*suite.T) { w.Close() })
	con.wait("terminal")
	con.sizes <- remotecommand.TerminalSize{Width: 120, Height: 50}
	con.wait("resized 120x50")
	con.say("exit 5\n")
	wantCode(t, con.end(), 5)
}

func wsLarge(t *suite.T) {
	c := t.RunPod().Run()
	var got, want, sent payload.Sum
	s := suite.Streams{Stdout: &got}
	start := time.Now()
	t.Must(suite.ConnectWebSocket(t.Ctx, c.ExecURL(s, suite.PayloadCommand("noise", "5", fmt.Sprint(megabytes))...), s), "out")
	t.Logf("%d MiB out in %s", megabytes, time.Since(start))
	io.CopyN(&want, payload.NewNoise(5), megabytes<<20)
	suite.Equal(t, "what came out", got.String(), want.String())
	var out bytes.Buffer
	s = suite.Streams{Stdout: &out, Stdin: io.TeeReader(io.LimitReader(payload.NewNoise(6), megabytes<<20), &sent)}
	start = time.Now()
	t.Must(suite.ConnectWebSocket(t.Ctx, c.ExecURL(s, suite.PayloadCommand("count")...), s), "in")
	t.Logf("%d MiB in in %s", megabytes, time.Since(start))
	suite.Equal(t, "what went in", strings.TrimSpace(out.String()), sent.String())
}

func wsAttach(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("copy-both"), stdin(false))
	r, w := io.Pipe()
	con := &console{t: t, in: w, done: make(chan error, 1)}
	s := suite.Streams{Stdin: r, Stdout: con, Stderr: io.Discard}
	where := c.AttachURL(s)
	go func() { con.done <- suite.ConnectWebSocket(t.Ctx, where, s) }()
	con.say("hello\n")
	con.wait("out hello\n")
	con.say("exit 4\n")
	c.WantExit(4)
	con.end()
	w.Close()
}

// dialWS opens a connection as it is.
func dialWS(t *suite.T, where string, protocols ...string) *websocket.Conn {
	u, err := url.Parse(where)
	t.Must(err, "URL")
	u.Scheme = "ws"
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: 20 * time.Second}
	conn, r, err := d.Dial(u.String(), nil)
	if err != nil && r != nil {
		b, _ := io.ReadAll(r.Body)
		t.Fatalf("handshake for %v: %s: %.200s", protocols, r.Status, b)
	}
	t.Must(err, "dial")
	conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	t.Cleanup(func(*suite.T) { conn.Close() })
	return conn
}

// hear reads until the connection ends; what came on each channel.
func hear(conn *websocket.Conn, text bool) (map[int]string, error) {
	got := map[int]string{}
	for {
		_, b, err := conn.ReadMessage()
		if err != nil {
			return got, err
		}
		if len(b) == 0 {
			continue
		}
		channel, rest := int(b[0]), b[1:]
		if text {
			channel -= '0'
			if rest, err = base64.StdEncoding.DecodeString(string(rest)); err != nil {
				return got, err
			}
		}
		got[channel] += string(rest)
	}
}

func wsOlder(t *suite.T) {
	c := t.RunPod().Run()
	for _, p := range []struct {
		name       string
		text       bool
		ok, failed string // what the error channel says
	}{
		{"v4.channel.k8s.io", false, `"Success"`, `"ExitCode"`},
		{"v4.base64.channel.k8s.io", true, `"Success"`, `"ExitCode"`},
		{"channel.k8s.io", false, "", "exit"},
		{"base64.channel.k8s.io", true, "", "exit"},
		{"", false, "", "exit"},
	} {
		for _, code := range []int{0, 3} {
			s := suite.Streams{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard}
			var asked []string
			if p.name != "" {
				asked = []string{p.name}
			}
			conn := dialWS(t, c.ExecURL(s, suite.PayloadCommand("copy-both")...), asked...)
			line := fmt.Sprintf("word\nexit %d\n", code)
			if p.text {
				t.Must(conn.WriteMessage(websocket.TextMessage, []byte("0"+base64.StdEncoding.EncodeToString([]byte(line)))), "write")
			} else {
				t.Must(conn.WriteMessage(websocket.BinaryMessage, []byte("\x00"+line)), "write")
			}
			got, _ := hear(conn, p.text)
			suite.Equal(t, p.name+": stdout", got[1], "out word\n")
			suite.Equal(t, p.name+": stderr", got[2], "err word\n")
			want := p.ok
			if code != 0 {
				want = p.failed
			}
			if !strings.Contains(got[3], want) || (want == "") != (got[3] == "") {
				t.Errorf("%q: the error channel says %q for exit code %d", p.name, got[3], code)
			}
		}
	}
}

func wsClose(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	s := suite.Streams{Stdin: strings.NewReader(""), Stdout: io.Discard}
	conn := dialWS(t, c.ExecURL(s, suite.PayloadCommand("copy")...), "v5.channel.k8s.io")
	t.Must(conn.WriteMessage(websocket.BinaryMessage, []byte("\x00hello")), "write")
	t.Must(conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye"),
		time.Now().Add(5*time.Second)), "close")
	_, err := hear(conn, false)
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the connection ended with %v", err)
	}
	if !t.Until(30*time.Second, func() bool { return len(payloads(p, "copy")) == 0 }) {
		t.Errorf("the process still runs: its input should have ended")
	}
}

func wsBroken(t *suite.T) {
	c := t.RunPod().Run()
	for name, bad := range map[string]struct {
		protocol string
		bytes    []byte
		code     int
	}{
		"not masked":       {"v5.channel.k8s.io", []byte{0x82, 1, 0}, websocket.CloseProtocolError},
		"reserved bit":     {"v5.channel.k8s.io", []byte{0xf2, 0x80, 0, 0, 0, 0}, websocket.CloseProtocolError},
		"no base64":        {"v4.base64.channel.k8s.io", []byte{0x81, 0x82, 0, 0, 0, 0, '0', '!'}, websocket.CloseInvalidFramePayloadData},
		"2^63 bytes":       {"v5.channel.k8s.io", []byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, websocket.CloseProtocolError},
		"close of nothing": {"v5.channel.k8s.io", []byte{0x82, 0x81, 0, 0, 0, 0, 0xff}, websocket.CloseProtocolError},
	} {
		s := suite.Streams{Stdin: strings.NewReader(""), Stdout: io.Discard}
		conn := dialWS(t, c.ExecURL(s, suite.PayloadCommand("copy")...), bad.protocol)
		_, err := conn.UnderlyingConn().Write(bad.bytes)
		t.Must(err, "write")
		_, err = hear(conn, false)
		if !websocket.IsCloseError(err, bad.code) {
			t.Errorf("%s: the connection ended with %v", name, err)
		}
	}
	c.ExecStream("echo", "alive")
}

func forwardURL(t *suite.T, p *suite.Pod, ports ...int32) string {
	r, err := t.CRI.PortForward(t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: ports})
	t.Must(err, "PortForward")
	query := ""
	for i, port := range ports {
		query += fmt.Sprintf("%cport=%d", "?&"[min(i, 1)], port)
	}
	return r.Url + query
}

func wsForward(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080", "8081")
	conn := dialWS(t, forwardURL(t, p, 8080, 8081), "v4.channel.k8s.io")
	t.Must(conn.WriteMessage(websocket.BinaryMessage, []byte("\x00host\n")), "write")
	t.Must(conn.WriteMessage(websocket.BinaryMessage, []byte("\x02host\n")), "write")
	got, _ := hear(conn, false)
	for i, port := range []uint16{8080, 8081} {
		number := string(binary.LittleEndian.AppendUint16(nil, port))
		suite.Equal(t, fmt.Sprint("data of ", port), got[2*i], number+p.Config.Hostname+"\n")
		suite.Equal(t, fmt.Sprint("errors of ", port), got[2*i+1], number)
	}
}

func wsForwardNobody(t *suite.T) {
	p := t.RunPod(suite.CNI)
	p.Run()
	conn := dialWS(t, forwardURL(t, p, 9999), "v4.channel.k8s.io")
	got, _ := hear(conn, false)
	if len(got[1]) < 3 || !strings.Contains(got[1], "9999") {
		t.Errorf("the error channel says %q", got[1])
	}
}

func wsTunnel(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	r, err := t.CRI.PortForward(t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{8080}})
	t.Must(err, "PortForward")
	conn, err := suite.DialTunnel(r.Url, "portforward.k8s.io")
	t.Must(err, "dial")
	defer conn.Close()
	for i := 0; i < 5; i++ {
		f, err := suite.Open(conn, i, 8080)
		t.Must(err, "streams")
		fmt.Fprintln(f.Data, "host")
		f.Data.Close()
		got, _ := io.ReadAll(f.Data)
		problem, _ := io.ReadAll(f.Errors)
		suite.Equal(t, "answer", strings.TrimSpace(string(got)), p.Config.Hostname)
		suite.Equal(t, "error", string(problem), "")
		conn.RemoveStreams(f.Data, f.Errors)
	}
}

func wsTunnelLarge(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	r, err := t.CRI.PortForward(t.Ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{8080}})
	t.Must(err, "PortForward")
	conn, err := suite.DialTunnel(r.Url, "portforward.k8s.io")
	t.Must(err, "dial")
	defer conn.Close()
	f, err := suite.Open(conn, 0, 8080)
	t.Must(err, "streams")
	var want, got payload.Sum
	fmt.Fprintf(f.Data, "noise 9 %d\n", megabytes)
	if _, err = io.Copy(&got, f.Data); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Must(err, "receive")
	}
	io.CopyN(&want, payload.NewNoise(9), megabytes<<20)
	suite.Equal(t, "what came", got.String(), want.String())
}

func wsMany(t *suite.T) {
	c := t.RunPod().Run()
	once := func(i int) {
		var out bytes.Buffer
		s := suite.Streams{Stdout: &out}
		t.Must(suite.ConnectWebSocket(t.Ctx, c.ExecURL(s, suite.PayloadCommand("echo", fmt.Sprint(i))...), s), "session")
		suite.Equal(t, "output", out.String(), fmt.Sprintln(i))
	}
	for i := 0; i < 20; i++ {
		once(i)
	}
	flat(t, func() {
		for i := 0; i < 200; i++ {
			once(i)
		}
	})
}
