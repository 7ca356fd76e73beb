package registry

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"crisp.dev/qemu-tests/cri/oci"
)

// Request is what a client asked for.
type Request struct {
	Kind   string // ping, manifest, blob, token, other
	Repo   string
	Ref    string // tag or digest
	Method string
	Host   string
	Auth   string
	Range  string
	URL    string
}

type document struct {
	kind string
	body []byte
}

// Server is one registry on a port of 127.0.0.1.
type Server struct {
	Addr string // 127.0.0.1:PORT
	Port int
	CA   *CA

	// Hook may answer in the registry's place: true if it did. Set it before the first request.
	Hook func(w http.ResponseWriter, r *http.Request, q Request) bool
	// User and Password: basic authentication, or of the token service if Token.
	User, Password string
	// Token: a bearer token is needed for what is asked for; TokenLife requests per token if not 0.
	Token     bool
	TokenLife int

	mu        sync.Mutex
	manifests map[string]document // repo:tag and repo@digest
	blobs     map[string][]byte
	log       []Request
	tokens    map[string]int
	open      int
	http      *http.Server
}

// Start begins to serve. *ca* nil: plain HTTP.
func Start(ca *CA, cert Cert) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String(), Port: l.Addr().(*net.TCPAddr).Port, CA: ca, manifests: map[string]document{},
		blobs: map[string][]byte{}, tokens: map[string]int{}}
	s.http = &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0), ConnState: s.count}
	if ca == nil {
		go s.http.Serve(l)
		return s, nil
	}
	config, err := cert.config(ca)
	if err != nil {
		l.Close()
		return nil, err
	}
	s.http.TLSConfig = config
	go s.http.ServeTLS(l, "", "")
	return s, nil
}

// Close ends it, connections too.
func (s *Server) Close() {
	s.http.Close()
}

func (s *Server) count(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open++
	case http.StateClosed, http.StateHijacked:
		s.open--
	}
}

// Open connections now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Requests so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.log...)
}

// Seen counts the requests of one kind.
func (s *Server) Seen(kind string) int {
	n := 0
	for _, q := range s.Requests() {
		if q.Kind == kind {
			n++
		}
	}
	return n
}

// Put makes an image available under a tag; its reference is given back.
func (s *Server) Put(repo, tag string, image *oci.Image) string {
	s.PutManifest(repo, tag, image.MediaType, image.Manifest)
	s.PutBlob(image.Config)
	for _, l := range image.Layers {
		s.PutBlobAs(l.Digest, l.Blob)
	}
	return s.Ref(repo, tag)
}

// PutManifest makes any document available by tag and by its digest.
func (s *Server) PutManifest(repo, tag, mediaType string, body []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := document{mediaType, body}
	s.manifests[repo+":"+tag] = d
	s.manifests[repo+"@"+oci.Digest(body)] = d
	return s.Ref(repo, tag)
}

// PutManifestAs makes a document available as another digest than its own.
func (s *Server) PutManifestAs(repo, digest, mediaType string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifests[repo+"@"+digest] = document{mediaType, body}
}

// PutBlob makes a blob available under its digest.
func (s *Server) PutBlob(b []byte) {
	s.PutBlobAs(oci.Digest(b), b)
}

// PutBlobAs makes a blob available under any digest.
func (s *Server) PutBlobAs(digest string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = b
}

// Ref is the reference of a tag.
func (s *Server) Ref(repo, tag string) string {
	return fmt.Sprintf("%s/%s:%s", s.Addr, repo, tag)
}

var paths = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)

func parse(r *http.Request) Request {
	q := Request{Kind: "other", Method: r.Method, Host: r.Host, Auth: r.Header.Get("Authorization"),
		Range: r.Header.Get("Range"), URL: r.URL.String()}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		q.Kind = "ping"
	} else if r.URL.Path == "/token" {
		q.Kind = "token"
	} else if m := paths.FindStringSubmatch(r.URL.Path); m != nil {
		q.Repo, q.Ref, q.Kind = m[1], m[3], strings.TrimSuffix(m[2], "s")
	}
	return q
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := parse(r)
	s.mu.Lock()
	s.log = append(s.log, q)
	s.mu.Unlock()
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if s.Hook != nil && s.Hook(w, r, q) {
		return
	}
	s.Serve(w, r, q)
}

// Serve answers as a registry should; hooks may call it with another request.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, q Request) {
	if q.Kind == "token" {
		s.serveToken(w, r)
		return
	}
	if !s.allowed(w, q) {
		return
	}
	switch q.Kind {
	case "ping":
		w.WriteHeader(http.StatusOK)
	case "manifest":
		s.serveManifest(w, r, q)
	case "blob":
		s.serveBlob(w, r, q)
	default:
		Fail(w, http.StatusNotFound, "UNSUPPORTED", "no such thing")
	}
}

// Fail answers with an error as the distribution spec writes it.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(oci.JSON(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}}))
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func (s *Server) scheme() string {
	if s.CA == nil {
		return "http"
	}
	return "https"
}

// Base is the URL in front of every path.
func (s *Server) Base() string {
	return s.scheme() + "://" + s.Addr
}

func (s *Server) allowed(w http.ResponseWriter, q Request) bool {
	if s.Token {
		token := strings.TrimPrefix(q.Auth, "Bearer ")
		s.mu.Lock()
		left, ok := s.tokens[token]
		if ok && s.TokenLife > 0 {
			s.tokens[token] = left - 1
			ok = left > 0
		}
		s.mu.Unlock()
		if ok {
			return true
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="crisp test",scope="repository:%s:pull"`,
			s.Base(), q.Repo))
	} else if s.User == "" || q.Auth == basic(s.User, s.Password) {
		return true
	} else {
		w.Header().Set("WWW-Authenticate", `Basic realm="crisp test"`)
	}
	Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if s.User != "" && r.Header.Get("Authorization") != basic(s.User, s.Password) {
		Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "who are you")
		return
	}
	s.mu.Lock()
	token := fmt.Sprintf("token-%d-%d", s.Port, len(s.tokens)+1)
	s.tokens[token] = s.TokenLife
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Write(oci.JSON(map[string]any{"token": token, "access_token": token, "expires_in": 300}))
}

func (s *Server) serveManifest(w http.ResponseWriter, r *http.Request, q Request) {
	s.mu.Lock()
	d, ok := s.manifests[q.Repo+":"+q.Ref]
	if !ok {
		d, ok = s.manifests[q.Repo+"@"+q.Ref]
	}
	s.mu.Unlock()
	if !ok {
		Fail(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", d.kind)
	w.Header().Set("Docker-Content-Digest", oci.Digest(d.body))
	w.Header().Set("Content-Length", fmt.Sprint(len(d.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(d.body)
	}
}

// Blob that is there.
func (s *Server) Blob(digest string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[digest]
	return b, ok
}

func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, q Request) {
	b, ok := s.Blob(q.Ref)
	if !ok {
		Fail(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", q.Ref)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// Cut sends the first n bytes of a body that was announced as larger, and closes the connection.
func Cut(w http.ResponseWriter, body []byte, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Header().Set("Accept-Ranges", "bytes")
	w.WriteHeader(http.StatusOK)
	w.Write(body[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}
