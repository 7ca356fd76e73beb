package registry

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"testing"

	"crisp.dev/qemu-tests/cri/oci"
)

func client(ca *CA) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func TestServer(t *testing.T) {
	ca, err := NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(ca, Cert{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	image := oci.New(oci.Options{}, oci.NewLayer(oci.File("hello", "world", 0o644)))
	s.Put("a/b", "1", image)
	s.Token = true
	c := client(ca)
	r, err := c.Get(s.Base() + "/v2/a/b/manifests/1")
	if err != nil || r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") == "" {
		t.Fatalf("without a token: %v %v", r, err)
	}
	s.Token = false
	r, err = c.Get(s.Base() + "/v2/a/b/manifests/1")
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%v %v", r, err)
	}
	body, _ := io.ReadAll(r.Body)
	if oci.Digest(body) != image.Digest() {
		t.Fatal("another manifest")
	}
	request, _ := http.NewRequest("GET", s.Base()+"/v2/a/b/blobs/"+image.Layers[0].Digest, nil)
	request.Header.Set("Range", "bytes=10-")
	r, err = c.Do(request)
	if err != nil || r.StatusCode != 206 {
		t.Fatalf("range: %v %v", r, err)
	}
	if s.Seen("manifest") != 2 || s.Seen("blob") != 1 {
		t.Fatalf("%+v", s.Requests())
	}
}
