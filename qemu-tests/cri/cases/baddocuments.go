package cases

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/registry"
	"crisp.dev/qemu-tests/cri/suite"
)

// manifest puts another document in the place of the tag's.
func manifest(mediaType string, make func(t *suite.T, f *faulty) []byte) func(*suite.T, *faulty) {
	return func(t *suite.T, f *faulty) {
		f.PutManifest(f.repo, "1", mediaType, make(t, f))
	}
}

// changed is the good manifest with one text for another.
func changed(from, to string) func(*suite.T, *faulty) {
	return manifest(v1.MediaTypeImageManifest, func(t *suite.T, f *faulty) []byte {
		text := strings.ReplaceAll(string(f.image.Manifest), from, to)
		if text == string(f.image.Manifest) {
			t.Fatalf("the manifest has no %q", from)
		}
		return []byte(text)
	})
}

func other(change func(*v1.Manifest)) func(t *suite.T) *oci.Image {
	return func(t *suite.T) *oci.Image {
		return oci.New(oci.Options{Config: suite.BaseConfig(), Manifest: change}, suite.BaseTree(), t.Padding(bigLayer))
	}
}

const mib = 1 << 20

var documentFaults = []fault{
	{name: "manifest-of-another-digest", setup: func(t *suite.T, f *faulty) {
		want := "sha256:" + strings.Repeat("5", 64)
		f.PutManifestAs(f.repo, want, f.image.MediaType, f.image.Manifest)
		f.ref = f.Addr + "/" + f.repo + "@" + want
	}, words: "digest|sha256"},
	{name: "config-of-another-digest", setup: func(t *suite.T, f *faulty) {
		f.PutBlobAs(oci.Digest(f.image.Config), append([]byte(" "), f.image.Config[:len(f.image.Config)-1]...))
	}, words: "digest|sha256"},
	{name: "config-of-another-size", image: other(func(m *v1.Manifest) { m.Config.Size += 7 }), words: "size|digest|bytes|short|length|EOF|range"},
	{name: "huge-manifest", setup: manifest(v1.MediaTypeImageManifest, func(t *suite.T, f *faulty) []byte {
		return append([]byte(fmt.Sprintf(`{"annotations":{"filler":%q},`, strings.Repeat("x", 5*mib))), f.image.Manifest[1:]...)
	}), words: "large|limit|MiB|bytes|big", crispOnly: "containerd 1.7 has no such limit"},
	{name: "endless-manifest", setup: func(t *suite.T, f *faulty) {
		f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			if q.Kind != "manifest" || r.Method == http.MethodHead {
				return false
			}
			w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 65536)); err != nil {
					return true
				}
			}
		}
	}, words: "large|limit|MiB|bytes|big", crispOnly: "containerd 1.7 has no such limit"},
	{name: "huge-config", image: func(t *suite.T) *oci.Image {
		return oci.New(oci.Options{ConfigDoc: func(i *v1.Image) { i.Author = strings.Repeat("x", 5*mib) }}, suite.BaseTree())
	}, words: "large|limit|MiB|bytes|big", crispOnly: "containerd 1.7 has no such limit"},
	{name: "manifest-no-json", setup: manifest(v1.MediaTypeImageManifest, func(*suite.T, *faulty) []byte {
		return []byte("<html>not a manifest</html>")
	}), words: "json|manifest|invalid|character"},
	{name: "manifest-empty", setup: manifest(v1.MediaTypeImageManifest, func(*suite.T, *faulty) []byte { return nil }),
		words: "json|manifest|empty|EOF|bytes|size|length"},
	{name: "manifest-deeply-nested", setup: manifest(v1.MediaTypeImageManifest, func(*suite.T, *faulty) []byte {
		return []byte(strings.Repeat(`{"a":[`, 200000))
	}), words: "json|manifest|depth|nested|invalid|unexpected"},
	{name: "manifest-without-a-content-type", setup: func(t *suite.T, f *faulty) {
		f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			if q.Kind != "manifest" {
				return false
			}
			w.Header()["Content-Type"] = nil // not even one that is guessed
			w.Header().Set("Content-Length", fmt.Sprint(len(f.image.Manifest)))
			w.Write(f.image.Manifest)
			return true
		}
	}, crispOnly: "containerd asks for a blob then"},
	{name: "layer-of-unknown-type", image: other(func(m *v1.Manifest) { m.Layers[1].MediaType = "application/x-nonsense" }),
		words: "type|x-nonsense|unsupported|unknown"},
	{name: "manifest-of-unknown-type", setup: manifest("application/x-nonsense", func(*suite.T, *faulty) []byte {
		return []byte(`{"schemaVersion":2,"mediaType":"application/x-nonsense"}`)
	}), words: "type|x-nonsense|unsupported|unknown"},
	{name: "docker-schema-1", setup: manifest(oci.DockerSchema1, func(*suite.T, *faulty) []byte {
		return []byte(`{"schemaVersion":1,"name":"critests/faulty","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}`)
	}), words: "schema|type|manifest.v1|unsupported"},
	{name: "both-manifests-and-layers", setup: manifest(v1.MediaTypeImageManifest, func(t *suite.T, f *faulty) []byte {
		return append([]byte(`{"manifests":[],`), f.image.Manifest[1:]...)
	}), words: "manifests.*layers|layers.*manifests|both|ambiguous"},
	{name: "type-says-index-body-says-manifest", setup: manifest(v1.MediaTypeImageIndex, func(t *suite.T, f *faulty) []byte {
		return f.image.Manifest
	}), words: "type|index|manifest", crispOnly: "containerd goes by the body"},
	{name: "artifact", image: other(func(m *v1.Manifest) { m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json" }),
		words: "artifact|helm|config|not an image", crispOnly: "containerd 1.7 tries it"},
	{name: "index-without-our-platform", setup: manifest(v1.MediaTypeImageIndex, func(t *suite.T, f *faulty) []byte {
		return oci.Index(oci.Platform{OS: "linux", Arch: "s390x", Image: f.image}, oci.Platform{OS: "linux", Arch: "ppc64le", Image: f.image})
	}), words: "s390x.*ppc64le|no match for platform"},
	{name: "index-empty", setup: manifest(v1.MediaTypeImageIndex, func(t *suite.T, f *faulty) []byte { return oci.Index() }),
		words: "platform|index|empty|manifest"},
	{name: "index-of-itself", setup: func(t *suite.T, f *faulty) {
		inner := oci.Index(oci.Platform{OS: "linux", Arch: runtime.GOARCH, Image: f.image})
		for i := 0; i < 20; i++ {
			f.PutManifest(f.repo, fmt.Sprint("inner", i), v1.MediaTypeImageIndex, inner)
			inner = oci.Index(oci.Platform{OS: "linux", Arch: runtime.GOARCH, Image: &oci.Image{Manifest: inner, MediaType: v1.MediaTypeImageIndex}})
		}
		f.PutManifest(f.repo, "1", v1.MediaTypeImageIndex, inner)
	}, words: "index|nested|depth", crispOnly: "containerd follows it"},
	{name: "index-with-many-entries", setup: manifest(v1.MediaTypeImageIndex, func(t *suite.T, f *faulty) []byte {
		var all []oci.Platform
		for i := 0; i < 5000; i++ {
			all = append(all, oci.Platform{OS: "linux", Arch: fmt.Sprint("arch", i), Image: f.image})
		}
		return oci.Index(all...)
	}), words: "limit|many|entries|1024|platform"},
	{name: "index-entry-of-another-size", setup: manifest(v1.MediaTypeImageIndex, func(t *suite.T, f *faulty) []byte {
		text := string(oci.Index(oci.Platform{OS: "linux", Arch: runtime.GOARCH, Image: f.image}))
		return []byte(strings.Replace(text, fmt.Sprintf(`"size":%d`, len(f.image.Manifest)), `"size":12`, 1))
	}), words: "size|bytes|digest|length"},
	{name: "digest-is-a-path", image: other(func(m *v1.Manifest) { m.Layers[1].Digest = "sha256:../../../../etc/passwd" }), words: "digest"},
	{name: "digest-in-upper-case", image: other(func(m *v1.Manifest) {
		m.Layers[1].Digest = digest.Digest("sha256:" + strings.ToUpper(m.Layers[1].Digest.Encoded()))
	}), words: "digest|invalid|not found|404"},
	{name: "digest-of-unknown-algorithm", image: other(func(m *v1.Manifest) { m.Layers[1].Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" }), words: "digest|algorithm"},
	{name: "negative-size", image: other(func(m *v1.Manifest) { m.Layers[1].Size = -1 }), words: "size|negative"},
	{name: "gigantic-size", image: other(func(m *v1.Manifest) { m.Layers[1].Size = 1 << 62 }), words: "size|limit|large|space|bytes"},
	{name: "size-is-text", setup: changed(`"size":`, `"size":"1","x":`), words: "size|json|type|integer|number"},
	{name: "schema-version-3", setup: changed(`"schemaVersion":2`, `"schemaVersion":3`), words: "schema", crispOnly: "containerd does not look"},
	{name: "too-many-layers", image: func(t *suite.T) *oci.Image {
		var layers []oci.Layer
		l := oci.NewLayer(oci.File("x", "x", 0o644))
		for i := 0; i < 700; i++ {
			layers = append(layers, l)
		}
		return oci.New(oci.Options{}, layers...)
	}, words: "layers|limit|many", crispOnly: "containerd has no such limit"},
	{name: "layers-do-not-match-config", image: func(t *suite.T) *oci.Image {
		return oci.New(oci.Options{ConfigDoc: func(i *v1.Image) { i.RootFS.DiffIDs = i.RootFS.DiffIDs[:1] }}, suite.BaseTree(), t.Padding(1000))
	}, words: "diff|layers|match|number|count"},
	{name: "config-no-json", image: func(t *suite.T) *oci.Image {
		return oci.WithConfig([]byte("not a configuration"), suite.BaseTree())
	}, words: "json|config|invalid|character"},
	{name: "config-with-nul", image: func(t *suite.T) *oci.Image {
		return oci.WithConfig([]byte(`{"architecture":"`+runtime.GOARCH+`","os":"linux","config":{"Env":["A=b\u0000c"]},"rootfs":{"type":"layers","diff_ids":["`+
			suite.BaseTree().DiffID+`"]}}`), suite.BaseTree())
	}, words: "NUL|config|env|invalid|u0000", crispOnly: "others notice when the container starts"},
	{name: "foreign-urls-are-not-followed", setup: foreignURLs},
}

// CVE-2020-15157: a manifest must not send the node, or its credentials, to other places.
func foreignURLs(t *suite.T, f *faulty) {
	elsewhere := startRegistry(t)
	layer := f.big
	layer.URLs = []string{elsewhere.Base() + "/v2/x/blobs/" + layer.Digest, "file:///etc/passwd"}
	image := oci.New(oci.Options{Config: suite.BaseConfig()}, f.image.Layers[0], layer)
	f.Put(f.repo, "1", image)
	t.Cleanup(func(t *suite.T) {
		if n := len(elsewhere.Requests()); n > 0 {
			t.Errorf("%d requests to the place that the manifest names", n)
		}
	})
}

// redirectTo sends the layer's requests somewhere else.
func redirectTo(code int, where func(f *faulty, r *http.Request) string) func(*suite.T, *faulty) {
	return onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		http.Redirect(w, r, where(f, r), code)
		return true
	})
}

var redirectFaults = []fault{
	{name: "redirect-to-itself", setup: redirectTo(http.StatusFound, func(f *faulty, r *http.Request) string { return r.URL.String() }),
		words: "redirect"},
	{name: "redirect-in-a-circle", setup: redirectTo(http.StatusTemporaryRedirect, func(f *faulty, r *http.Request) string {
		return fmt.Sprintf("%s?n=%d", r.URL.Path, len(f.Requests()))
	}), words: "redirect"},
	{name: "redirect-to-a-file", setup: redirectTo(http.StatusFound, func(*faulty, *http.Request) string { return "file:///etc/passwd" }),
		words: "redirect|scheme|file"},
	{name: "redirect-to-plain-http", setup: func(t *suite.T, f *faulty) {
		plain, err := registry.Start(nil, registry.Cert{})
		t.Must(err, "registry")
		t.Cleanup(func(*suite.T) { plain.Close() })
		plain.Put(f.repo, "1", f.image)
		redirectTo(http.StatusFound, func(f *faulty, r *http.Request) string { return plain.Base() + r.URL.Path })(t, f)
	}, words: "redirect|http|TLS", crispOnly: "containerd follows it"},
	{name: "redirect-without-location", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		w.WriteHeader(http.StatusFound)
		return true
	}), words: "redirect|location|302"},
	{name: "redirect-to-nonsense", setup: redirectTo(http.StatusFound, func(*faulty, *http.Request) string { return "https://[::/x y" }),
		words: "redirect|url|location|parse"},
	{name: "redirect-to-another-host-without-credentials", setup: redirectAway},
	{name: "redirect-relative", setup: onBlob(func(f *faulty, w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			http.Redirect(w, r, r.URL.Path+"?again", http.StatusTemporaryRedirect)
		}
		return n == 1
	})},
}

// The layers live on another host, as with every large registry; what it needs is in the URL, never in a header.
func redirectAway(t *suite.T, f *faulty) {
	storage := startRegistry(t)
	storage.Put(f.repo, "1", f.image)
	f.User, f.Password = "who", "secret-word"
	auth, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(f.ref),
		Auth: &runtimeapi.AuthConfig{Username: "someone", Password: "else"}})
	t.WantError(err, codes.OK, "401|unauthorized|credentials|authentication|denied")
	_ = auth
	redirectTo(http.StatusTemporaryRedirect, func(f *faulty, r *http.Request) string {
		u := url.URL{Scheme: "https", Host: fmt.Sprintf("localhost:%d", storage.Port), Path: r.URL.Path, RawQuery: "signature=abc"}
		return u.String()
	})(t, f)
	trust(t, fmt.Sprintf("localhost:%d", storage.Port), t.CA.PEM, t.HostsTOML(fmt.Sprintf("localhost:%d", storage.Port), "https", false)+
		fmt.Sprintf("  ca = %q\n", t.CertsDir+fmt.Sprintf("/localhost:%d/ca.crt", storage.Port)))
	_, err = t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(f.ref),
		Auth: &runtimeapi.AuthConfig{Username: "who", Password: "secret-word"}})
	t.Must(err, "PullImage with a redirect to another host")
	if storage.Seen("blob") == 0 {
		t.Errorf("the other host was not asked")
	}
	for _, q := range storage.Requests() {
		if q.Auth != "" {
			t.Errorf("the other host got credentials: %s", q.Auth)
		}
	}
	f.User = "" // the pull that follows asks for none
}
