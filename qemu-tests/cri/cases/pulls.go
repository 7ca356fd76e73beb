package cases

import (
	"context"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/registry"
	"crisp.dev/qemu-tests/cri/suite"
)

// slowRegistry serves an image whose blobs come byte by byte until they are let go.
func slowRegistry(t *suite.T) (s *registry.Server, ref string, release func()) {
	gate := make(chan struct{})
	s = startRegistry(t)
	s.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
		if q.Kind != "blob" || r.Method == http.MethodHead {
			return false
		}
		select {
		case <-gate:
		case <-r.Context().Done():
			return true
		}
		return false
	}
	ref = s.Put("critests/slow", "1", oci.New(oci.Options{Config: suite.BaseConfig()}, suite.BaseTree(), t.Padding(100000)))
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	var once sync.Once
	release = func() { once.Do(func() { close(gate) }) }
	t.Cleanup(func(*suite.T) { release() })
	return s, ref, release
}

// startRegistry is one of the case's own, trusted.
func startRegistry(t *suite.T) *registry.Server {
	s, err := registry.Start(t.CA, registry.Cert{})
	t.Must(err, "registry")
	remove, err := t.Trust(s.Addr, t.CA.PEM, t.HostsTOML(s.Addr, "https", true))
	t.Must(err, "registry settings")
	t.Cleanup(func(*suite.T) { s.Close(); remove() })
	return s
}

func imageTenCallers(t *suite.T) {
	s, ref, release := slowRegistry(t)
	const callers = 10
	errs, ids := make(chan error, callers), make(chan string, callers)
	for i := 0; i < callers; i++ {
		go func() {
			id, err := pull(t, ref)
			errs <- err
			ids <- id
		}()
	}
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	time.Sleep(time.Second)
	release()
	seen := map[string]bool{}
	for i := 0; i < callers; i++ {
		if err := <-errs; err != nil {
			t.Errorf("one of the callers: %v", err)
		}
		seen[<-ids] = true
	}
	suite.Equal(t, "different answers", len(seen), 1)
	blobs := map[string]int{}
	for _, q := range s.Requests() {
		if q.Kind == "blob" && q.Method == http.MethodGet {
			blobs[q.Ref]++
		}
	}
	for ref, n := range blobs {
		if n > 1 {
			t.Errorf("blob %.20s was fetched %d times", ref, n)
		}
	}
}

func imageCancelled(t *suite.T) {
	s, ref, _ := slowRegistry(t)
	ctx, cancel := context.WithCancel(t.Ctx)
	done := make(chan error, 1)
	go func() {
		_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(ref)})
		done <- err
	}()
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	cancel()
	if code := status.Code(<-done); code != codes.Canceled {
		t.Errorf("the call ended with %s", code)
	}
	if !t.Until(30*time.Second, func() bool { return s.Open() == 0 }) {
		t.Errorf("%d connections to the registry are still open: the pull goes on", s.Open())
	}
	if imageStatus(t, ref) != nil {
		t.Errorf("the image is there")
	}
}

func imageOneLeaves(t *suite.T) {
	s, ref, release := slowRegistry(t)
	ctx, cancel := context.WithCancel(t.Ctx)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := t.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec(ref)})
		first <- err
	}()
	if !t.Until(30*time.Second, func() bool { return s.Seen("blob") > 0 }) {
		t.Errorf("nobody asks for a blob")
	}
	go func() {
		_, err := pull(t, ref)
		second <- err
	}()
	time.Sleep(time.Second)
	cancel()
	<-first
	time.Sleep(500 * time.Millisecond)
	release()
	t.Must(<-second, "the pull of the one who stayed")
}
