package cases

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"crisp.dev/qemu-tests/cri/suite"
)

var reloadCases = []suite.Case{
	{Name: "takes-effect", Run: reloadTakes, CrispOnly: "crisp's configuration"},
	{Name: "a-bad-file-changes-nothing", Run: reloadBad, CrispOnly: "crisp's configuration"},
	{Name: "what-waits-for-a-restart-is-named", Run: reloadLater, CrispOnly: "crisp's configuration"},
}

const serveLog = "/run/log/crisp.log"

// reload puts a drop-in there and returns what serve says once it has been told.
func reload(t *suite.T, text, until string) string {
	path := filepath.Join(t.State, "config.d", "90-critests.toml")
	t.Must(os.MkdirAll(filepath.Dir(path), 0o755), "drop-ins")
	t.Must(os.WriteFile(path, []byte(text), 0o644), "drop-in")
	t.Cleanup(func(t *suite.T) {
		os.Remove(path)
		os.Remove(filepath.Dir(path))
		hangUp(t, "configuration reloaded")
	})
	return hangUp(t, until)
}

func hangUp(t *suite.T, until string) string {
	before, err := os.ReadFile(serveLog)
	t.Must(err, "serve's log")
	pid := t.Serve()
	if pid <= 1 {
		t.Fatalf("serve does not run")
	}
	t.Must(syscall.Kill(pid, syscall.SIGHUP), "SIGHUP")
	said := ""
	if !t.Until(20*time.Second, func() bool {
		text, _ := os.ReadFile(serveLog)
		said = strings.TrimPrefix(string(text), string(before))
		return strings.Contains(said, until) && strings.HasSuffix(said, "\n")
	}) {
		t.Fatalf("serve did not say %q but %q", until, said)
	}
	return said
}

func reloadTakes(t *suite.T) {
	reload(t, "default_env = [\"RELOADED=yes\"]\ndefault_ulimits = [\"nofile=500:600\"]\npids_limit = 55\n"+
		"default_sysctls = [\"net.ipv4.ip_default_ttl=33\"]\npinned_images = [\"*/critests/base:*\"]\n", "in force now")
	found := false
	for _, e := range t.RunPod().Report().Env {
		found = found || e == "RELOADED=yes"
	}
	if !found {
		t.Errorf("the container has no RELOADED=yes")
	}
	c := t.RunPod(suite.CNI).Run()
	// Go's runtime raises its own soft limit, to the hard one or to one less
	limits := strings.Join(strings.Fields(c.ReadText("/proc/1/limits")), " ")
	if !regexp.MustCompile(`Max open files (500|599|600) 600 `).MatchString(limits) {
		t.Errorf("limits: %s", limits)
	}
	suite.Equal(t, "pids.max", inside(c, "pids.max")["pids.max"], "55")
	suite.Equal(t, "the pod's sysctl", strings.TrimSpace(c.ReadText("/proc/sys/net/ipv4/ip_default_ttl")), "33")
	if i := imageStatus(t, t.Base); i == nil || !i.Pinned {
		t.Errorf("the image is not pinned: %v", i)
	}
}

func reloadBad(t *suite.T) {
	said := reload(t, "default_env = [\"SPOILED=yes\"]\n\nshm_size = \"much\"\n", "stays as it was")
	if !strings.Contains(said, "90-critests.toml:3: shm_size") {
		t.Errorf("file and line are not named: %s", said)
	}
	for _, e := range t.RunPod().Report().Env {
		if e == "SPOILED=yes" {
			t.Errorf("half of a bad configuration is in force")
		}
	}
}

func reloadLater(t *suite.T) {
	said := reload(t, "cni_timeout_s = 77\n", "after a restart")
	if !strings.Contains(said, "cni_timeout_s") {
		t.Errorf("the key is not named: %s", said)
	}
}
