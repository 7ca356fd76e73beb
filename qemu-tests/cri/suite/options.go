// Package suite runs cases against a CRI socket and looks whether they left anything behind.
package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Options are the command line.
type Options struct {
	Endpoint     string
	Runtime      string // crisp or containerd
	Handler      string // of the pods; "" = the default one
	Run          *regexp.Regexp
	Skip         *regexp.Regexp
	Short        map[string]bool // only these, by GROUP/NAME; nil: all
	Timeout      time.Duration   // of a case
	Slow         bool
	KillServe    bool
	ServePid     int // 0: whoever listens on the socket
	CertsDir     string
	Root, State  string
	Work         string
	CgroupParent string
	Settings     string // file
	Registry     Registry
	Verbose      bool
}

// Registry is the machine's own: what it serves comes from image/test-images.sh. A settings file may say other names.
type Registry struct {
	Host      string `json:"host"`
	User      string `json:"user"`
	Password  string `json:"password"`
	Toybox    string `json:"toybox"`     // one layer; toybox in /bin, dash as /bin/sh
	Zstd      string `json:"zstd"`       // of the same tree as Layered, zstd layers
	Layered   string `json:"layered"`    // several layers, gzip
	Multi     string `json:"multi"`      // an index
	OtherOnly string `json:"other_only"` // of another architecture only
	Config    string `json:"config"`     // user, working directory, volume, stop signal …
}

// DefaultRegistry is what the appliance has.
func DefaultRegistry() Registry {
	return Registry{Host: "registry.test:5000", User: "crisp", Password: "only-a-test", Toybox: "toybox:1",
		Layered: "debian:1", Zstd: "debian:zstd", Multi: "multi:1", OtherOnly: "multi:other-only", Config: "config:1"}
}

// Load reads the settings file over the registry's defaults; a missing file is none.
func (o *Options) Load() error {
	text, err := os.ReadFile(o.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &o.Registry); err != nil {
		return fmt.Errorf("%s: %v", o.Settings, err)
	}
	return nil
}

// Image is a reference in the machine's registry.
func (o *Options) Image(name string) string {
	return o.Registry.Host + "/" + name
}

// Socket is the endpoint's path.
func (o *Options) Socket() string {
	return strings.TrimPrefix(o.Endpoint, "unix://")
}

// Crisp: is it crisp that is tested?
func (o *Options) Crisp() bool {
	return o.Runtime == "crisp"
}

// Systemd: are the pods' cgroups slices of systemd's?
func (o *Options) Systemd() bool {
	return strings.HasSuffix(o.CgroupParent, ".slice")
}

// podCgroup is a new pod's cgroup parent, as the kubelet names it for either driver.
func (o *Options) podCgroup(uid string) string {
	if !o.Systemd() {
		return filepath.Join(o.CgroupParent, "pod"+uid)
	}
	stem := strings.TrimSuffix(filepath.Base(o.CgroupParent), ".slice")
	return filepath.Join(o.CgroupParent, stem+"-pod"+strings.ReplaceAll(uid, "-", "_")+".slice")
}
