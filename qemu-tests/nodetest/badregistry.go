package nodetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// The registry that misbehaves: a TLS server inside the suite. image/root.sh gives the node, for each of these
// names, the hosts entry and the hosts.toml that trusts the tests' CA; the certificates differ.
const (
	badPort    = "5443"
	badHost    = "bad.test:" + badPort       // a good certificate
	otherHost  = "other.test:" + badPort     // a good one too, another host
	strangeCA  = "strangeca.test:" + badPort // signed by a CA that the node does not know
	expired    = "expired.test:" + badPort
	notYet     = "notyet.test:" + badPort
	wrongName  = "wrongname.test:" + badPort // a certificate for another name
	mirrorHost = "mirrored.test:" + badPort  // its hosts.toml has bad.test as a mirror; it is not there itself
)

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeGzip     = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// badRegistry serves repositories, each with a handler; requests are noted.
type badRegistry struct {
	mu       sync.Mutex
	repos    map[string]http.HandlerFunc
	requests []*http.Request
}

// note keeps what was asked, for cases that look at headers.
func (b *badRegistry) note(r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, r.Clone(background))
}

func (b *badRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.note(r)
	if r.URL.Path == "/v2/" {
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	b.mu.Lock()
	var handler http.HandlerFunc
	for repo, h := range b.repos {
		if strings.HasPrefix(path, repo+"/") {
			handler = h
		}
	}
	b.mu.Unlock()
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	handler(w, r)
}

// serve starts it for one case.
func (t *T) badRegistry() *badRegistry {
	b := &badRegistry{repos: map[string]http.HandlerFunc{}}
	ca, err := loadCA()
	t.OK(err, "the tests' CA")
	server := &http.Server{Handler: b, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetCertificate: ca.certificate, MinVersion: tls.VersionTLS12}}
	listener, err := net.Listen("tcp", "127.0.0.1:"+badPort)
	t.OK(err, "listen")
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close() })
	return b
}

// authority signs what GetCertificate is asked for.
type authority struct {
	cert    *x509.Certificate
	key     any
	strange *authority
	mu      sync.Mutex
	made    map[string]*tls.Certificate
}

func loadCA() (*authority, error) {
	certText, err := os.ReadFile("/etc/pki/ca.crt")
	if err != nil {
		return nil, err
	}
	keyText, err := os.ReadFile("/usr/libexec/crisp-tests/ca.key")
	if err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(certText)
	keyBlock, _ := pem.Decode(keyText)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("no PEM in the CA's files")
	}
	a := &authority{made: map[string]*tls.Certificate{}}
	if a.cert, err = x509.ParseCertificate(certBlock.Bytes); err != nil {
		return nil, err
	}
	if a.key, err = x509.ParseECPrivateKey(keyBlock.Bytes); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a.strange = &authority{cert: a.cert, key: key}
	return a, nil
}

func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := hello.ServerName
	if c := a.made[name]; c != nil {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now, signer := time.Now(), a
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	switch name + ":" + badPort {
	case expired:
		template.NotAfter = now.Add(-time.Hour)
	case notYet:
		template.NotBefore = now.Add(12 * time.Hour)
	case wrongName:
		template.DNSNames = []string{"somebody.else"}
	case strangeCA:
		signer = a.strange
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil && signer == a.strange {
		// its key does not fit the CA's certificate, on purpose: self-signed then
		der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	}
	if err != nil {
		return nil, err
	}
	a.made[name] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return a.made[name], nil
}

// image is one made in memory: blobs by digest, and the manifest.
type image struct {
	blobs    map[string][]byte
	manifest []byte
	layers   []string
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// entry is one of a layer's tar.
type entry struct {
	tar.Header
	Data string
}

func file(name, data string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755}, data}
}

func symlink(name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}, ""}
}

func hardlink(name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target, Mode: 0o755}, ""}
}

func directory(name string) entry {
	return entry{tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

// layer packs entries as tar and gzip; what it cannot pack is a mistake of the case.
func layer(entries ...entry) []byte {
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.Data))
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1767225600, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			panic(fmt.Sprintf("%s: %v", e.Name, err))
		}
		_, _ = io.WriteString(w, e.Data)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return zip(raw.Bytes())
}

func zip(raw []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(raw)
	_ = w.Close()
	return out.Bytes()
}

func unzip(data []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return data
	}
	raw, _ := io.ReadAll(r)
	return raw
}

type object = map[string]any

// payloadLayer is a whole small root: our static payload and what a container must have.
func payloadLayer() []byte {
	text, err := os.ReadFile("/usr/libexec/crisp-tests/payload")
	if err != nil {
		panic(err)
	}
	return layer(directory("bin"), file("bin/payload", string(text)), directory("etc"),
		file("etc/passwd", "root:x:0:0::/:/bin/sh\n"), directory("tmp"), directory("dev"), directory("proc"), directory("sys"))
}

// makeImage puts layers and a configuration together; config changes what would be normal.
func makeImage(config object, layers ...[]byte) *image {
	i := &image{blobs: map[string][]byte{}}
	diffs := []string{}
	descriptors := []object{}
	for _, l := range layers {
		d := digest(l)
		i.blobs[d] = l
		i.layers = append(i.layers, d)
		diffs = append(diffs, digest(unzip(l)))
		descriptors = append(descriptors, object{"mediaType": typeGzip, "digest": d, "size": len(l)})
	}
	c := object{"architecture": runtime.GOARCH, "os": "linux", "rootfs": object{"type": "layers", "diff_ids": diffs},
		"config": object{"Cmd": []string{"/bin/payload", "pause"}}}
	for k, v := range config {
		c[k] = v
	}
	configText, _ := json.Marshal(c)
	d := digest(configText)
	i.blobs[d] = configText
	i.manifest, _ = json.Marshal(object{"schemaVersion": 2, "mediaType": typeManifest,
		"config": object{"mediaType": typeConfig, "digest": d, "size": len(configText)}, "layers": descriptors})
	return i
}

// serve answers as a registry should.
func (i *image) serve(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if strings.Contains(r.URL.Path, "/manifests/") {
		w.Header().Set("Content-Type", typeManifest)
		w.Header().Set("Docker-Content-Digest", digest(i.manifest))
		_, _ = w.Write(i.manifest)
		return
	}
	blob, ok := i.blobs[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
}
