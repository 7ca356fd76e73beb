package cases

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/registry"
	"crisp.dev/qemu-tests/cri/suite"
)

// onEverything but tokens answers 401 with a challenge.
func challenge(text string) func(*suite.T, *faulty) {
	return func(t *suite.T, f *faulty) {
		f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			if q.Kind == "token" {
				return false
			}
			if text != "" {
				w.Header().Set("WWW-Authenticate", strings.ReplaceAll(text, "BASE", f.Base()))
			}
			registry.Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return true
		}
	}
}

func onToken(answer func(w http.ResponseWriter, n int64)) func(*suite.T, *faulty) {
	return func(t *suite.T, f *faulty) {
		f.Token = true
		var n atomic.Int64
		f.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			if q.Kind == "token" {
				answer(w, n.Add(1))
			}
			return q.Kind == "token"
		}
	}
}

var authFaults = []fault{
	{name: "401-without-challenge", setup: challenge(""), words: "401|unauthorized|challenge|authenticat"},
	{name: "401-with-unknown-scheme", setup: challenge(`Negotiate`), words: "401|unauthorized|challenge|Negotiate|scheme|authenticat"},
	{name: "401-with-broken-challenge", setup: challenge(`Bearer realm="` + strings.Repeat("x", 20000)), words: "401|unauthorized|challenge|authenticat|header|realm"},
	{name: "401-for-ever-with-token", setup: challenge(`Bearer realm="BASE/token",service="s",scope="repository:x:pull"`), words: "401|unauthorized|authenticat|denied"},
	{name: "realm-is-a-file", setup: challenge(`Bearer realm="file:///etc/passwd"`), words: "realm|scheme|file|unsupported|url"},
	{name: "realm-is-plain-http", setup: challenge(`Bearer realm="http://127.0.0.1:1/token"`), words: "realm|http|TLS|refused", crispOnly: "containerd asks there"},
	{name: "token-anonymous", setup: func(t *suite.T, f *faulty) { f.Token = true }, check: wantToken},
	{name: "token-for-each-request", setup: func(t *suite.T, f *faulty) { f.Token, f.TokenLife = true, 2 }, check: wantToken,
		crispOnly: "containerd keeps a token until its end"},
	{name: "token-500-MB", setup: onToken(func(w http.ResponseWriter, n int64) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"token":"`))
		block := []byte(strings.Repeat("x", 1<<20))
		for i := 0; i < 500; i++ {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		w.Write([]byte(`"}`))
	}), words: "token|large|limit|bytes", crispOnly: "containerd has no such limit"},
	{name: "token-with-line-end", setup: onToken(func(w http.ResponseWriter, n int64) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"token":"abc\r\nX-Injected: yes"}`))
	}), words: "token|header|invalid"},
	{name: "token-service-says-no", setup: onToken(func(w http.ResponseWriter, n int64) {
		registry.Fail(w, http.StatusForbidden, "DENIED", "no token for you")
	}), words: "token|401|403|denied|authenticat"},
	{name: "token-no-json", setup: onToken(func(w http.ResponseWriter, n int64) { w.Write([]byte("<html>")) }), words: "token|json|invalid"},
	{name: "token-empty", setup: onToken(func(w http.ResponseWriter, n int64) { w.Write([]byte("{}")) }), words: "token|no token|401|unauthorized"},
}

func wantToken(t *suite.T, f *faulty) {
	n := 0
	for _, q := range f.Requests() {
		if strings.HasPrefix(q.Auth, "Bearer ") {
			n++
		}
	}
	if n == 0 || f.Seen("token") == 0 {
		t.Errorf("%d requests with a token, %d requests for one", n, f.Seen("token"))
	}
}

var authCases = []suite.Case{
	{Name: "basic", Run: authBasic},
	{Name: "basic-as-auth-field", Run: authField},
	{Name: "token-with-password", Run: authToken},
	{Name: "registry-token", Run: authRegistryToken, CrispOnly: "containerd 1.7 sends it otherwise"},
	{Name: "secrets-stay-out-of-errors", Run: authSecrets},
	{Name: "credentials-go-to-their-host-only", Run: authOtherHost},
}

func privateRegistry(t *suite.T, token bool) (*registry.Server, string) {
	s := startRegistry(t)
	s.User, s.Password, s.Token = "who", "a:pass word/with=signs", token
	ref := s.Put("critests/private", "1", oci.New(oci.Options{Config: suite.BaseConfig()}, t.Padding(5000)))
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	return s, ref
}

func pullWith(t *suite.T, ref string, auth *runtimeapi.AuthConfig) error {
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: spec(ref), Auth: auth})
	return err
}

func authBasic(t *suite.T) {
	s, ref := privateRegistry(t, false)
	t.Must(pullWith(t, ref, &runtimeapi.AuthConfig{Username: s.User, Password: s.Password}), "PullImage")
}

func authField(t *suite.T) {
	s, ref := privateRegistry(t, false)
	auth := base64.StdEncoding.EncodeToString([]byte(s.User + ":" + s.Password))
	t.Must(pullWith(t, ref, &runtimeapi.AuthConfig{Auth: auth}), "PullImage")
}

func authToken(t *suite.T) {
	s, ref := privateRegistry(t, true)
	t.Must(pullWith(t, ref, &runtimeapi.AuthConfig{Username: s.User, Password: s.Password}), "PullImage")
	for _, q := range s.Requests() {
		if q.Kind != "token" && strings.HasPrefix(q.Auth, "Basic ") {
			t.Errorf("the password went to %s, which asked for a token", q.URL)
		}
	}
}

func authRegistryToken(t *suite.T) {
	s := startRegistry(t)
	s.Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
		if q.Auth == "Bearer of-the-pull-secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="s"`, s.Base()))
		registry.Fail(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return true
	}
	ref := s.Put("critests/private", "1", oci.New(oci.Options{Config: suite.BaseConfig()}, t.Padding(5000)))
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	t.Must(pullWith(t, ref, &runtimeapi.AuthConfig{RegistryToken: "of-the-pull-secret"}), "PullImage")
}

func authSecrets(t *suite.T) {
	_, ref := privateRegistry(t, true)
	secrets := []string{"a-secret-password", base64.StdEncoding.EncodeToString([]byte("name:a-secret-password")), "a-secret-token"}
	for _, auth := range []*runtimeapi.AuthConfig{{Username: "name", Password: secrets[0]}, {Auth: secrets[1]},
		{IdentityToken: secrets[2]}, {RegistryToken: secrets[2]}, {Auth: "not base64 " + secrets[2]}} {
		err := pullWith(t, ref, auth)
		t.WantError(err, codes.OK, "401|unauthorized|credentials|authenticat|denied|base64|auth")
		for _, s := range secrets {
			if err != nil && strings.Contains(err.Error(), s) {
				t.Errorf("the error holds a secret: %v", err)
			}
		}
	}
	if log, err := os.ReadFile("/run/log/" + t.Options.Runtime + ".log"); err == nil {
		for _, s := range secrets {
			suite.Equal(t, "a secret is in the log", strings.Contains(string(log), s), false)
		}
	}
}

// AuthConfig.server_address: for another registry they must not be used.
func authOtherHost(t *suite.T) {
	s, ref := privateRegistry(t, false)
	err := pullWith(t, ref, &runtimeapi.AuthConfig{Username: s.User, Password: s.Password, ServerAddress: "https://registry.example"})
	if err == nil {
		t.Logf("credentials of another server are taken all the same")
	}
	for _, q := range s.Requests() {
		if err != nil && q.Auth != "" {
			t.Errorf("credentials of another server were sent")
		}
	}
}

var mirrorFaults = []fault{
	{name: "mirror-serves", setup: mirrors(func(t *suite.T, f *faulty, m []*registry.Server) {
		m[0].Put(f.repo, "1", f.image)
	}, 1), check: upstream(0)},
	{name: "mirrors-in-order", setup: mirrors(func(t *suite.T, f *faulty, m []*registry.Server) {
		m[1].Put(f.repo, "1", f.image)
		t.Cleanup(func(t *suite.T) {
			if m[0].Seen("manifest") == 0 || m[1].Seen("blob") == 0 {
				t.Errorf("requests: %d to the first, which has nothing, %d to the second", len(m[0].Requests()), len(m[1].Requests()))
			}
		})
	}, 2), check: upstream(0)},
	{name: "mirror-is-down", setup: mirrors(func(t *suite.T, f *faulty, m []*registry.Server) { m[0].Close() }, 1), check: upstream(1)},
	{name: "mirror-answers-5xx", setup: mirrors(func(t *suite.T, f *faulty, m []*registry.Server) {
		m[0].Hook = func(w http.ResponseWriter, r *http.Request, q registry.Request) bool {
			registry.Fail(w, http.StatusInternalServerError, "UNKNOWN", "broken")
			return true
		}
	}, 1), check: upstream(1)},
	{name: "mirror-has-no-layer", setup: mirrors(func(t *suite.T, f *faulty, m []*registry.Server) {
		m[0].PutManifest(f.repo, "1", f.image.MediaType, f.image.Manifest)
	}, 1), check: upstream(1)},
	{name: "mirror-with-wrong-bytes", setup: mirrors(func(t *suite.T, f *faulty, m []*registry.Server) {
		m[0].Put(f.repo, "1", f.image)
		other := append([]byte(nil), f.big.Blob...)
		other[77] ^= 1
		m[0].PutBlobAs(f.big.Digest, other)
	}, 1), words: "digest|sha256"},
	{name: "hosts-toml-broken", setup: func(t *suite.T, f *faulty) { trust(t, f.Addr, t.CA.PEM, "server = \"https://\n[[[") },
		words: "hosts.toml|toml"},
	{name: "hosts-toml-without-its-ca", setup: func(t *suite.T, f *faulty) {
		trust(t, f.Addr, nil, strings.ReplaceAll(t.HostsTOML(f.Addr, "https", true), "ca.crt", "no-such.crt"))
	}, words: "no-such.crt"},
}

// mirrors writes the settings with so many of them before the registry itself.
func mirrors(prepare func(t *suite.T, f *faulty, m []*registry.Server), count int) func(*suite.T, *faulty) {
	return func(t *suite.T, f *faulty) {
		text := fmt.Sprintf("server = %q\n", f.Base())
		var all []*registry.Server
		for i := 0; i < count; i++ {
			m, err := registry.Start(t.CA, registry.Cert{})
			t.Must(err, "mirror")
			t.Cleanup(func(*suite.T) { m.Close() })
			all = append(all, m)
			text += fmt.Sprintf("\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %q\n", m.Base(), t.CertsDir+"/"+f.Addr+"/ca.crt")
		}
		// the registry itself, for its authority; last
		text += fmt.Sprintf("\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %q\n", f.Base(), t.CertsDir+"/"+f.Addr+"/ca.crt")
		trust(t, f.Addr, t.CA.PEM, text)
		prepare(t, f, all)
	}
}

// upstream wants the registry itself to have been asked, or not.
func upstream(want int) func(*suite.T, *faulty) {
	return func(t *suite.T, f *faulty) {
		n := len(f.Requests())
		if (n > 0) != (want > 0) {
			t.Errorf("%d requests to the registry itself, wanted some: %v", n, want > 0)
		}
	}
}
