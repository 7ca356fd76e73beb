package nodetest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// pullBad pulls bad.test/REPO:1 and expects an error that has one of the words; nothing may stay.
func (t *T) pullBad(reference string, words ...string) {
	before := diskUsed()
	_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: reference}, nil, nil)
	if err == nil {
		_ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: reference})
		t.Fatalf("%s was pulled", reference)
	}
	t.Note("the error: %v", err)
	if node.Runtime() == "crisp" && len(words) > 0 {
		found := false
		for _, word := range words {
			found = found || strings.Contains(strings.ToLower(err.Error()), word)
		}
		t.Check(found, "the error does not say what is wrong (one of %q): %v", words, err)
	}
	t.nothingLeft(reference, before)
}

// nothingLeft looks for traces of a failed pull.
func (t *T) nothingLeft(reference string, diskBefore int64) {
	images, err := t.Images.ListImages(t, nil)
	t.OK(err, "ListImages")
	for _, i := range images {
		for _, tag := range append(i.RepoTags, i.RepoDigests...) {
			t.Check(!strings.HasPrefix(tag, strings.Split(reference, ":1")[0]+":"), "%s is listed", tag)
		}
	}
	if node.Runtime() != "crisp" {
		return
	}
	t.Until(30*time.Second, "unfinished files", func() string {
		left := ""
		_ = filepath.WalkDir("/var/lib/crisp", func(path string, _ os.DirEntry, err error) error {
			name := filepath.Base(path)
			if err == nil && (strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part") || strings.HasPrefix(name, ".tmp")) {
				left += path + " "
			}
			return nil
		})
		return left
	})
	t.Until(60*time.Second, "disk", func() string {
		if now := diskUsed(); now > diskBefore+2<<20 {
			return fmt.Sprintf("%d bytes more than before", now-diskBefore)
		}
		return ""
	})
	for _, p := range node.Processes() {
		if len(p.Args) > 1 && strings.HasPrefix(filepath.Base(p.Args[0]), "crisp") && (p.Args[1] == "fetch" || p.Args[1] == "unpack") {
			t.Until(20*time.Second, "a process is left", func() string {
				if _, err := os.Stat(fmt.Sprintf("/proc/%d", p.PID)); err == nil {
					return fmt.Sprint(p)
				}
				return ""
			})
		}
	}
}

func good() *image { return makeImage(nil, payloadLayer()) }

// bad is a case with one repository whose handler gets a good image to spoil.
func bad(name string, words []string, handler func(i *image) http.HandlerFunc) Case {
	return Case{Group: "registry", Name: name, Run: func(t *T) {
		t.badRegistry().repos["x/"+name] = handler(good())
		t.pullBad(badHost+"/x/"+name+":1", words...)
		_, err := t.Version(t, "v1")
		t.OK(err, "the runtime afterwards")
	}}
}

// blobs spoils the answers for layers only.
func blobs(i *image, spoil http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/"+i.layers[0]) {
			spoil(w, r)
			return
		}
		i.serve(w, r)
	}
}

// manifests spoils the answers for manifests only.
func manifests(i *image, spoil http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", typeManifest)
			spoil(w, r)
			return
		}
		i.serve(w, r)
	}
}

// text is a manifest of that text.
func text(body string) func(*image) http.HandlerFunc {
	return func(i *image) http.HandlerFunc {
		return manifests(i, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
}

// changed is the good manifest with a change.
func changed(change func(m object)) func(*image) http.HandlerFunc {
	return func(i *image) http.HandlerFunc {
		var m object
		_ = json.Unmarshal(i.manifest, &m)
		change(m)
		i.manifest, _ = json.Marshal(m)
		return i.serve
	}
}

func first(m object) object { return m["layers"].([]any)[0].(object) }

func certificate(name, host string, words ...string) Case {
	return Case{Group: "registry", Name: name, Run: func(t *T) {
		t.badRegistry().repos["x/cert"] = good().serve
		t.pullBad(host+"/x/cert:1", words...)
	}}
}

var registryCases = []Case{
	{Group: "registry", Name: "a-good-image-from-the-suites-server", Run: func(t *T) {
		t.badRegistry().repos["x/good"] = good().serve
		t.pullAndRun(badHost + "/x/good:1")
	}},
	certificate("certificate-of-a-strange-ca", strangeCA, "certificate", "trust", "unknown authority"),
	certificate("certificate-expired", expired, "expired"),
	certificate("certificate-not-valid-yet", notYet, "not valid", "not yet", "future", "before"),
	certificate("certificate-for-another-name", wrongName, "name", "match"),
	bad("wrong-digest", []string{"digest"}, func(i *image) http.HandlerFunc {
		other := payloadLayer()
		other[len(other)-1] ^= 1
		return blobs(i, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other) })
	}),
	{Group: "registry", Name: "wrong-digest-of-the-manifest", Run: func(t *T) {
		// the server gives its one manifest, whichever digest it is asked for
		t.badRegistry().repos["x/bydigest"] = good().serve
		t.pullBad(badHost+"/x/bydigest@sha256:"+strings.Repeat("12", 32), "digest")
	}},
	bad("truncated-again-and-again", []string{"ended", "short", "truncated", "eof", "cut", "closed", "length"}, func(i *image) http.HandlerFunc {
		return blobs(i, func(w http.ResponseWriter, _ *http.Request) {
			blob := i.blobs[i.layers[0]]
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
			_, _ = w.Write(blob[:100])
			panic(http.ErrAbortHandler)
		})
	}),
	bad("endless-layer", []string{"size", "long", "more"}, func(i *image) http.HandlerFunc {
		return blobs(i, endless)
	}),
	bad("endless-manifest", []string{"size", "large", "limit", "more", "long", "big"}, func(i *image) http.HandlerFunc {
		return manifests(i, endless)
	}),
	bad("huge-manifest", []string{"size", "large", "limit", "more", "long", "big"}, text(`{"schemaVersion":2,"x":"`+strings.Repeat("a", 6<<20)+`"}`)),
	bad("redirect-loop", []string{"redirect"}, func(i *image) http.HandlerFunc {
		return blobs(i, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		})
	}),
	bad("redirect-to-plain-http", []string{"http", "redirect"}, func(i *image) http.HandlerFunc {
		return blobs(i, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:10255"+r.URL.Path, http.StatusTemporaryRedirect)
		})
	}),
	bad("redirect-to-a-file", []string{"redirect", "file", "scheme"}, func(i *image) http.HandlerFunc {
		return blobs(i, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusTemporaryRedirect)
		})
	}),
	bad("always-500", []string{"500"}, func(*image) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", 500) }
	}),
	bad("always-503-on-layers", []string{"503"}, func(i *image) http.HandlerFunc {
		return blobs(i, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", 503) })
	}),
	bad("denied", []string{"401", "403", "denied", "unauthorized", "forbidden", "credentials"}, func(*image) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="nobody"`)
			http.Error(w, "no", 401)
		}
	}),
	bad("token-service-that-says-no", []string{"token", "401", "403", "denied", "auth"}, func(*image) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				http.Error(w, "no", 403)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+badHost+`/v2/x/token-service-that-says-no/token",service="x"`)
			http.Error(w, "no", 401)
		}
	}),
	bad("manifest-is-no-json", []string{"json", "manifest"}, text("<html>hello</html>")),
	bad("manifest-is-empty", []string{"json", "manifest", "empty"}, text("")),
	bad("manifest-is-deep", []string{"json", "manifest", "deep", "nest"}, text(strings.Repeat("[", 500000))),
	bad("manifest-and-index-in-one", []string{"manifest", "index", "both"}, changed(func(m object) {
		m["manifests"] = []object{{"mediaType": typeManifest, "digest": "sha256:" + strings.Repeat("0", 64), "size": 1}}
	})),
	bad("index-of-itself", []string{"index", "nest", "platform", "manifest"}, func(*image) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typeIndex)
			_, _ = io.WriteString(w, `{"schemaVersion":2,"mediaType":"`+typeIndex+`","manifests":[{"mediaType":"`+typeIndex+
				`","digest":"sha256:`+strings.Repeat("0", 64)+`","size":100,"platform":{"os":"linux","architecture":"amd64"}}]}`)
		}
	}),
	bad("layer-with-a-path-for-a-digest", []string{"digest"}, changed(func(m object) { first(m)["digest"] = "sha256:../../../../etc/passwd" })),
	bad("layer-of-negative-size", []string{"size"}, changed(func(m object) { first(m)["size"] = -1 })),
	bad("layer-of-a-wrong-size", []string{"size", "bytes", "long", "short", "length", "digest"}, changed(func(m object) { first(m)["size"] = 10 })),
	bad("layer-of-an-exabyte", []string{"size", "room", "large", "limit"}, changed(func(m object) { first(m)["size"] = int64(1) << 60 })),
	bad("ten-thousand-layers", []string{"layers"}, changed(func(m object) {
		all := make([]any, 10000)
		for i := range all {
			all[i] = first(m)
		}
		m["layers"] = all
	})),
	bad("layer-of-an-unknown-type", []string{"type", "media"}, changed(func(m object) { first(m)["mediaType"] = "application/x-tar-of-mine" })),
	bad("configuration-of-another-image", []string{"layer", "config", "diff"}, func(i *image) http.HandlerFunc {
		two := makeImage(nil, payloadLayer(), layer(file("x", "x")))
		var one, other object
		_ = json.Unmarshal(i.manifest, &one)
		_ = json.Unmarshal(two.manifest, &other)
		one["config"] = other["config"]
		for d, b := range two.blobs {
			i.blobs[d] = b
		}
		i.manifest, _ = json.Marshal(one)
		return i.serve
	}),
	bad("diff-id-that-is-not-the-layers", []string{"diff", "digest", "config"}, func(*image) http.HandlerFunc {
		return makeImage(object{"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + strings.Repeat("ab", 32)}}}, payloadLayer()).serve
	}),
	{Group: "registry", Name: "cut-once-is-resumed", Run: func(t *T) {
		var cut atomic.Bool
		var ranged atomic.Bool
		i := good()
		t.badRegistry().repos["x/cut"] = blobs(i, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				ranged.Store(true)
			}
			if r.Method == http.MethodGet && cut.CompareAndSwap(false, true) {
				blob := i.blobs[i.layers[0]]
				w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
				w.Header().Set("Accept-Ranges", "bytes")
				_, _ = w.Write(blob[:len(blob)/2])
				panic(http.ErrAbortHandler)
			}
			i.serve(w, r)
		})
		t.pullAndRun(badHost + "/x/cut:1")
		t.Check(cut.Load(), "nothing was cut")
		if node.Runtime() == "crisp" {
			t.Check(ranged.Load(), "it began again instead of going on")
		}
	}},
	{Group: "registry", Name: "busy-twice-is-retried", Only: "crisp", Run: func(t *T) {
		var count atomic.Int32
		i := good()
		t.badRegistry().repos["x/busy"] = func(w http.ResponseWriter, r *http.Request) {
			if count.Add(1) <= 2 {
				http.Error(w, "busy", 503)
				return
			}
			i.serve(w, r)
		}
		t.pullAndRun(badHost + "/x/busy:1")
	}},
	{Group: "registry", Name: "credentials-do-not-follow-a-redirect", Run: func(t *T) {
		b, i := t.badRegistry(), good()
		b.repos["x/away"] = func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Host, "other.test") {
				i.serve(w, r)
				return
			}
			if user, password, _ := r.BasicAuth(); user != "me" || password != "top-secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
				http.Error(w, "no", 401)
				return
			}
			if strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, "https://"+otherHost+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			i.serve(w, r)
		}
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: badHost + "/x/away:1"}, &runtimeapi.AuthConfig{Username: "me", Password: "top-secret"}, nil)
		t.OK(err, "pull")
		t.Cleanup(func() { _ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: badHost + "/x/away:1"}) })
		b.mu.Lock()
		defer b.mu.Unlock()
		away := 0
		for _, r := range b.requests {
			if strings.HasPrefix(r.Host, "other.test") {
				away++
				t.Check(r.Header.Get("Authorization") == "", "the other host was given %q", r.Header.Get("Authorization"))
			}
		}
		t.Check(away > 0, "nobody asked the other host")
	}},
	{Group: "registry", Name: "token-from-a-service", Run: func(t *T) {
		b, i := t.badRegistry(), good()
		b.repos["x/token"] = func(w http.ResponseWriter, r *http.Request) {
			want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:top-secret"))
			switch {
			case strings.HasSuffix(r.URL.Path, "/service"):
				if r.Method == http.MethodPost && r.FormValue("password") != "top-secret" || r.Method == http.MethodGet && r.Header.Get("Authorization") != want {
					http.Error(w, "no", 401)
					return
				}
				_, _ = io.WriteString(w, `{"token":"abc.def","access_token":"abc.def","expires_in":300}`)
			case r.Header.Get("Authorization") == "Bearer abc.def":
				i.serve(w, r)
			default:
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+badHost+`/v2/x/token/service",service="bad.test",scope="repository:x/token:pull"`)
				http.Error(w, "no", 401)
			}
		}
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: badHost + "/x/token:1"}, &runtimeapi.AuthConfig{Username: "me", Password: "top-secret"}, nil)
		t.OK(err, "pull with a token")
		t.OK(t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: badHost + "/x/token:1"}), "RemoveImage")
	}},
	{Group: "registry", Name: "mirror-is-asked-first", Run: func(t *T) {
		b := t.badRegistry()
		b.repos["x/mirrored"] = good().serve
		t.pullAndRun(mirrorHost + "/x/mirrored:1")
		b.mu.Lock()
		defer b.mu.Unlock()
		t.Check(len(b.requests) > 0 && strings.HasPrefix(b.requests[0].Host, "bad.test"), "asked first: %v", b.requests[0].Host)
	}},
	{Group: "registry", Name: "manifest-without-a-content-type", Run: func(t *T) {
		i := good()
		t.badRegistry().repos["x/plain"] = manifests(i, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write(i.manifest)
		})
		t.pullAndRun(badHost + "/x/plain:1")
	}},
	{Group: "registry", Name: "nobody-there", Run: func(t *T) {
		began := time.Now()
		t.pullBad(badHost+"/x/nobody:1", "refused", "connect")
		t.Check(time.Since(began) < 2*time.Minute, "took %v", time.Since(began))
	}},
}

func endless(w http.ResponseWriter, r *http.Request) {
	chunk := make([]byte, 64<<10)
	for range 20000 {
		if _, err := w.Write(chunk); err != nil || r.Context().Err() != nil {
			return
		}
	}
}

// pullAndRun pulls, runs the image's own command for a moment, and removes all of it.
func (t *T) pullAndRun(reference string) {
	_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: reference}, nil, nil)
	t.OK(err, "pull %s", reference)
	t.Cleanup(func() { _ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: reference}) })
	p := t.Pod()
	config := p.ContainerConfig("/bin/payload", "lines", "2")
	config.Image.Image = reference
	c := p.Start(config)
	t.Check(c.Wait().ExitCode == 0 && strings.Contains(c.Output(""), "line 1"), "code %d, %q", c.Status().ExitCode, c.Output(""))
}
