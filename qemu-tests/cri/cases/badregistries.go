package cases

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/registry"
	"crisp.dev/qemu-tests/cri/suite"
)

// fault is one thing that a registry does wrong, or does oddly but rightly.
type fault struct {
	name      string
	ca        func(t *suite.T) *registry.CA // that signs; nil: the trusted one
	cert      registry.Cert
	plain     bool                        // no TLS though https is expected
	image     func(t *suite.T) *oci.Image // nil: a small good one
	setup     func(t *suite.T, f *faulty) // after the image is there
	words     string                      // of the error; "": the pull must succeed
	check     func(t *suite.T, f *faulty) // after the pull
	limit     time.Duration               // it must have ended by then; 0: a minute and a half
	crispOnly string
	slow      bool
}

// faulty is a registry of one fault.
type faulty struct {
	*registry.Server
	ref   string
	repo  string
	image *oci.Image
	big   oci.Layer // the image's last layer
}

const bigLayer = 2 << 20

func smallImage(t *suite.T) *oci.Image {
	return oci.New(oci.Options{Config: suite.BaseConfig()}, suite.BaseTree(), t.Padding(bigLayer))
}

func faultCases() []suite.Case {
	var all []suite.Case
	for _, table := range [][]fault{tlsFaults, transferFaults, documentFaults, redirectFaults, authFaults, mirrorFaults} {
		for _, f := range table {
			all = append(all, suite.Case{Name: f.name, CrispOnly: f.crispOnly, Slow: f.slow, Run: func(t *suite.T) { f.run(t) }})
		}
	}
	return append(all, suite.Case{Name: "silent-for-ever", Run: silentForEver, Slow: true, Scale: 3},
		suite.Case{Name: "not-there-at-all", Run: nobodyThere})
}

func (f fault) start(t *suite.T) *faulty {
	ca := t.CA
	if f.ca != nil {
		ca = f.ca(t)
	}
	if f.plain {
		ca = nil
	}
	s, err := registry.Start(ca, f.cert)
	t.Must(err, "registry")
	remove, err := t.Trust(s.Addr, t.CA.PEM, t.HostsTOML(s.Addr, "https", true))
	t.Must(err, "registry settings")
	t.Cleanup(func(*suite.T) { s.Close(); remove() })
	make := f.image
	if make == nil {
		make = smallImage
	}
	x := &faulty{Server: s, image: make(t), repo: "critests/faulty"}
	x.ref = s.Put(x.repo, "1", x.image)
	if n := len(x.image.Layers); n > 0 {
		x.big = x.image.Layers[n-1]
	}
	t.Cleanup(func(t *suite.T) { removeImage(t, x.ref) })
	return x
}

func (f fault) run(t *suite.T) {
	x := f.start(t)
	if f.setup != nil {
		f.setup(t, x)
	}
	limit := f.limit
	if limit == 0 {
		limit = 90 * time.Second
	}
	ctx, cancel := t.Deadline(limit)
	defer cancel()
	start := time.Now()
	_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(x.ref)})
	took := time.Since(start)
	if ctx.Err() != nil {
		t.Errorf("the pull had not ended after %s", took)
	} else if f.words != "" {
		t.WantError(err, codes.OK, f.words)
	} else {
		t.Must(err, "PullImage")
	}
	got := imageStatus(t, x.ref)
	suite.Equal(t, "the image is there", got != nil, f.words == "")
	if f.check != nil {
		f.check(t, x)
	}
	if f.words != "" {
		if !t.Until(20*time.Second, func() bool { return x.Open() == 0 }) && t.Crisp() {
			t.Errorf("%d connections are still open", x.Open())
		}
	}
	t.Logf("ended after %s", took)
}

func otherCA(t *suite.T) *registry.CA {
	ca, err := registry.NewCA("nobody's")
	t.Must(err, "authority")
	return ca
}

var localhostOnly = []net.IP{net.IPv4(127, 0, 0, 1)}

var tlsFaults = []fault{
	{name: "good", check: func(t *suite.T, f *faulty) {
		for _, q := range f.Requests() {
			if q.Auth != "" {
				t.Errorf("credentials for a registry that asks for none: %s", q.Auth)
			}
		}
	}},
	{name: "tls-1.2", cert: registry.Cert{MaxTLS: tls.VersionTLS12}},
	{name: "tls-1.3-only", cert: registry.Cert{MinTLS: tls.VersionTLS13}},
	{name: "tls-1.1-only", cert: registry.Cert{MinTLS: tls.VersionTLS11, MaxTLS: tls.VersionTLS11}, words: "TLS|handshake|protocol"},
	{name: "wrong-ca", ca: otherCA, words: "certificate|trust|authority"},
	{name: "wrong-name", cert: registry.Cert{DNS: []string{"other.test"}}, words: "certificate.*name|name.*certificate|other.test"},
	{name: "wrong-name-of-dns", cert: registry.Cert{DNS: []string{"other.test"}}, setup: byName, words: "certificate.*name|name.*certificate|other.test"},
	{name: "good-by-name", setup: byName},
	{name: "wrong-address", cert: registry.Cert{IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}, words: "certificate|name"},
	{name: "expired", cert: registry.Cert{IPs: localhostOnly, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)},
		words: "expired|certificate"},
	{name: "not-yet-valid", cert: registry.Cert{IPs: localhostOnly, NotBefore: time.Now().Add(24 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour)},
		words: "not (yet )?valid|future|certificate"},
	{name: "plain-http", plain: true, words: "TLS|handshake|SSL|HTTP"},
	{name: "plain-http-as-asked", plain: true, setup: func(t *suite.T, f *faulty) {
		trust(t, f.Addr, nil, t.HostsTOML(f.Addr, "http", false))
	}},
	{name: "wrong-ca-but-skip-verify", ca: otherCA, setup: func(t *suite.T, f *faulty) {
		trust(t, f.Addr, nil, t.HostsTOML(f.Addr, "https", false)+"  skip_verify = true\n")
	}},
	{name: "client-certificate", setup: clientCertificate},
	{name: "client-certificate-missing", setup: clientCertificateMissing, words: "certificate|TLS|handshake|connection"},
}

// byName asks for the registry by its host's name instead of its address.
func byName(t *suite.T, f *faulty) {
	host := fmt.Sprintf("localhost:%d", f.Port)
	trust(t, host, t.CA.PEM, t.HostsTOML(host, "https", true))
	f.ref = host + "/" + f.repo + ":1"
}

func trust(t *suite.T, host string, ca []byte, toml string) {
	remove, err := t.Trust(host, ca, toml)
	t.Must(err, "registry settings")
	t.Cleanup(func(*suite.T) { remove() })
}

// restart puts another server in the place of the fault's, with the same image.
func restart(t *suite.T, f *faulty, cert registry.Cert) {
	s, err := registry.Start(t.CA, cert)
	t.Must(err, "registry")
	t.Cleanup(func(*suite.T) { s.Close() })
	f.Server = s
	f.ref = s.Put(f.repo, "1", f.image)
}

func clientCertificate(t *suite.T, f *faulty) {
	ca := otherCA(t)
	restart(t, f, registry.Cert{Client: ca})
	cert, key, err := ca.ClientPEM("node")
	t.Must(err, "client certificate")
	dir := filepath.Join(t.CertsDir, f.Addr)
	trust(t, f.Addr, t.CA.PEM, t.HostsTOML(f.Addr, "https", true)+
		fmt.Sprintf("  client = [[%q, %q]]\n", dir+"/client.cert", dir+"/client.key"))
	t.Must(os.WriteFile(dir+"/client.cert", cert, 0o644), "certificate")
	t.Must(os.WriteFile(dir+"/client.key", key, 0o600), "key")
	t.Cleanup(func(t *suite.T) { removeImage(t, f.ref) })
}

func clientCertificateMissing(t *suite.T, f *faulty) {
	restart(t, f, registry.Cert{Client: otherCA(t)})
	trust(t, f.Addr, t.CA.PEM, t.HostsTOML(f.Addr, "https", true))
}

// onBlob answers GETs of the big layer; n counts them from 1.
func (f *faulty) onBlob(answer func(w http.ResponseWriter, r *http.Request, n int) bool) {
	var mu sync.Mutex
	n := 0
	f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
		if q.Kind != "blob" || q.Ref != f.big.Digest || r.Method != http.MethodGet {
			return false
		}
		mu.Lock()
		n++
		k := n
		mu.Unlock()
		return answer(w, r, k)
	}
}

func onBlob(answer func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool) func(*suite.T, *faulty) {
	return func(_ *suite.T, f *faulty) {
		f.onBlob(func(w http.ResponseWriter, r *http.Request, n int) bool { return answer(f, w, r, n) })
	}
}

func wantRange(t *suite.T, f *faulty) {
	for _, q := range f.Requests() {
		if q.Ref == f.big.Digest && strings.HasPrefix(q.Range, "bytes=") && q.Range != "bytes=0-" {
			return
		}
	}
	t.Errorf("no request for the rest of the layer")
}

var transferFaults = []fault{
	{name: "layer-of-other-bytes", setup: func(t *suite.T, f *faulty) {
		other := append([]byte(nil), f.big.Blob...)
		other[len(other)/2] ^= 1
		f.PutBlobAs(f.big.Digest, other)
	}, words: "digest|sha256"},
	{name: "layer-too-short", setup: func(t *suite.T, f *faulty) {
		f.PutBlobAs(f.big.Digest, f.big.Blob[:bigLayer/2])
	}, words: "size|short|bytes|length|digest|EOF|range"},
	{name: "layer-too-long", setup: func(t *suite.T, f *faulty) {
		f.PutBlobAs(f.big.Digest, append(append([]byte(nil), f.big.Blob...), make([]byte, 100000)...))
	}, words: "size|long|more|bytes|length|digest", crispOnly: "containerd stops reading at the size"},
	{name: "endless-layer", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		block := make([]byte, 65536)
		for {
			if _, err := w.Write(block); err != nil {
				return true
			}
		}
	}), words: "size|long|more|bytes|length|digest"},
	{name: "cut-then-resumed", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			registry.Cut(w, f.big.Blob, bigLayer/3)
		}
		return false
	}), check: wantRange, crispOnly: "containerd 1.7 begins anew"},
	{name: "cut-many-times-with-progress", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 5 {
			return false
		}
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(f.big.Blob)-1, len(f.big.Blob)))
			w.Header().Set("Content-Length", fmt.Sprint(len(f.big.Blob)-from))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(f.big.Blob[from : from+200000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		registry.Cut(w, f.big.Blob, 200000)
		return true
	}), check: wantRange, crispOnly: "containerd 1.7 gives up earlier", limit: 3 * time.Minute},
	{name: "cut-and-ranges-not-known", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			registry.Cut(w, f.big.Blob, bigLayer/3)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(f.big.Blob)))
		w.Write(f.big.Blob)
		return true
	}), crispOnly: "containerd 1.7 gives up earlier"},
	{name: "wrong-range-answered", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			registry.Cut(w, f.big.Blob, bigLayer/3)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 10-%d/%d", len(f.big.Blob)-1, len(f.big.Blob)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(f.big.Blob[10:])
		return true
	}), words: "range|digest|size|offset"},
	{name: "cut-for-ever", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		registry.Cut(w, f.big.Blob, 1000)
		return true
	}), words: "cut|closed|EOF|short|times|tries|attempts|reset|connection", limit: 4 * time.Minute},
	{name: "cut-in-the-header", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		panic(http.ErrAbortHandler)
	}), words: "closed|EOF|connection|reset|answer", limit: 4 * time.Minute},
	{name: "5xx-twice", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n <= 2 {
			registry.Fail(w, http.StatusServiceUnavailable, "UNAVAILABLE", "come again")
		}
		return n <= 2
	}), crispOnly: "containerd 1.7 does not try again"},
	{name: "5xx-on-the-manifest-twice", setup: func(t *suite.T, f *faulty) {
		var mu sync.Mutex
		n := 0
		f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if q.Kind != "manifest" || n >= 2 {
				return false
			}
			n++
			registry.Fail(w, http.StatusBadGateway, "UNAVAILABLE", "come again")
			return true
		}
	}, crispOnly: "containerd 1.7 does not try again"},
	{name: "5xx-for-ever", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		registry.Fail(w, http.StatusServiceUnavailable, "UNAVAILABLE", "never again")
		return true
	}), words: "503|unavailable", limit: 4 * time.Minute},
	{name: "500-on-everything", setup: func(t *suite.T, f *faulty) {
		f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			registry.Fail(w, http.StatusInternalServerError, "UNKNOWN", "out of order")
			return true
		}
	}, words: "500", limit: 4 * time.Minute},
	{name: "429-with-retry-after", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			w.Header().Set("Retry-After", "2")
			registry.Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
		}
		return n == 1
	})},
	{name: "retry-after-a-year", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n <= 2 {
			w.Header().Set("Retry-After", "31536000")
			registry.Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
		}
		return n <= 2
	}), words: "429|too many", limit: 4 * time.Minute, crispOnly: "words"},
	{name: "403", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		registry.Fail(w, http.StatusForbidden, "DENIED", "not for you")
		return true
	}), words: "403|denied|forbidden"},
	{name: "404-on-the-layer", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		registry.Fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "gone")
		return true
	}), words: "404|not found|unknown"},
	{name: "blob-is-an-html-page", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>please log in</html>")
		return true
	}), words: "size|digest|bytes|short|length"},
	{name: "chunked-layer", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		for b := f.big.Blob; len(b) > 0; {
			k := min(len(b), 10007)
			w.Write(b[:k])
			w.(http.Flusher).Flush()
			b = b[k:]
		}
		return true
	})},
	{name: "garbage-instead-of-http", setup: hijacked("SSH-2.0-OpenSSH_9.9\r\n"), words: "HTTP|answer|response|malformed|status"},
	{name: "endless-header", setup: hijacked("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 5000)),
		words: "header|large|limit|long|HTTP|response"},
	{name: "endless-status-line", setup: hijacked("HTTP/1.1 200 " + strings.Repeat("O", 5<<20)), words: "status|header|large|limit|long|HTTP|response"},
	{name: "negative-length", setup: hijacked("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), words: "length|HTTP|malformed|header|response"},
	{name: "two-lengths", setup: hijacked("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), words: "length|HTTP|malformed|header|response"},
	{name: "bad-chunk", setup: hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nhello"), words: "chunk|HTTP|malformed|large|response"},
}

// hijacked answers the layer's request with raw bytes.
func hijacked(text string) func(*suite.T, *faulty) {
	return onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(conn, text)
			conn.Close()
		}
		return true
	})
}

// The kubelet gives a pull no deadline: a registry that says nothing must be noticed by the runtime.
func silentForEver(t *suite.T) {
	f := fault{name: "silent"}.start(t)
	f.onBlob(func(w http.ResponseWriter, r *http.Request, n int) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(f.big.Blob)))
		w.Write(f.big.Blob[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithTimeout(t.Ctx, 5*time.Minute)
	defer cancel()
	start := time.Now()
	_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(f.ref)})
	if ctx.Err() != nil {
		t.Errorf("the pull had not ended after %s without a byte", time.Since(start))
		return
	}
	t.WantError(err, codes.OK, "timeout|timed out|no byte|progress|stall")
	t.Logf("ended after %s", time.Since(start))
}

func nobodyThere(t *suite.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	t.Must(err, "port")
	addr := l.Addr().String()
	l.Close()
	start := time.Now()
	_, err = pull(t, addr+"/no/one:1")
	t.WantError(err, codes.OK, "refused|connect")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	_, err = pull(t, "no-such-host.invalid/no/one:1")
	t.WantError(err, codes.OK, "no-such-host.invalid.*(name|resolve|lookup|host)|(name|resolve|lookup).*no-such-host.invalid")
}
