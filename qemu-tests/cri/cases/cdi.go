package cases

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/suite"
)

// The directory of CDI specs that is writable here: /etc is of a read-only root.
const cdiDir = "/var/run/cdi"

var cdiCases = []suite.Case{
	{Name: "edits", Run: cdiEdits},
	{Name: "edits-of-the-file-once", Run: cdiFileEdits},
	{Name: "hooks", Run: cdiHooks, CrispOnly: "containerd leaves poststart and poststop to runc, in other states"},
	{Name: "hook-fails", Run: cdiHookFails, CrispOnly: "words"},
	{Name: "unknown-device", Run: cdiUnknown, CrispOnly: "words"},
	{Name: "device-in-two-files", Run: cdiConflict, CrispOnly: "words"},
	{Name: "malformed-file", Run: cdiMalformed, CrispOnly: "words"},
	{Name: "yaml", Run: cdiYAML, CrispOnly: "containerd reads YAML"},
	{Name: "annotations-name-no-device", Run: cdiAnnotations, CrispOnly: "CVE-2026-53492: containerd 1.7 obeys them"},
}

type cdiMap = map[string]any

// cdiSpec writes a file with one device; gone after the case.
func cdiSpec(t *suite.T, file, kind, device string, edits, all cdiMap) {
	text, err := json.Marshal(cdiMap{"cdiVersion": "0.6.0", "kind": kind, "containerEdits": all,
		"devices": []cdiMap{{"name": device, "containerEdits": edits}}})
	t.Must(err, "JSON")
	cdiFile(t, file, string(text))
}

func cdiFile(t *suite.T, file, text string) {
	t.Must(os.MkdirAll(cdiDir, 0o755), "CDI directory")
	path := filepath.Join(cdiDir, file)
	t.Must(os.WriteFile(path, []byte(text), 0o644), "CDI spec")
	t.Cleanup(func(*suite.T) {
		os.Remove(path)
		os.Remove(cdiDir)
	})
}

func devices(names ...string) suite.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		for _, name := range names {
			c.CDIDevices = append(c.CDIDevices, &runtimeapi.CDIDevice{Name: name})
		}
	}
}

func cdiEdits(t *suite.T) {
	file := t.File("given", "of the vendor")
	cdiSpec(t, "one.json", "critests.org/thing", "one", cdiMap{
		"env": []string{"THING=one", "PATH=/of/the/vendor"},
		"deviceNodes": []cdiMap{
			{"path": "/dev/thing", "hostPath": "/dev/full", "permissions": "r"},
			{"path": "/dev/other", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 7, "gid": 8},
		},
		"mounts":         []cdiMap{{"hostPath": filepath.Dir(file), "containerPath": "/vendor", "options": []string{"ro", "rbind"}}},
		"additionalGids": []int{4711},
	}, nil)
	p := t.RunPod()
	c := p.Run(devices("critests.org/thing=one"))
	suite.Equal(t, "file of the mount", c.ReadText("/vendor/given"), "of the vendor")
	for path, what := range c.Errors("write", "/vendor/new", "x") {
		if what == "" {
			t.Errorf("%s could be written", path)
		}
	}
	report := p.Report(devices("critests.org/thing=one"))
	env := strings.Join(report.Env, "\n")
	if !strings.Contains(env, "THING=one") || !strings.Contains(env, "PATH=/of/the/vendor") {
		t.Errorf("environment %q", report.Env)
	}
	if !strings.Contains(fmt.Sprint(report.Groups), "4711") {
		t.Errorf("groups %v", report.Groups)
	}
	opened := c.Errors("open-devices", "/dev/thing", "/dev/other")
	t.Logf("%v", opened)
	if !strings.HasPrefix(opened["/dev/other"], "r= ") {
		t.Errorf("/dev/other, which is the node's zero: %q", opened["/dev/other"])
	}
	if opened["/dev/thing"] == "" {
		t.Errorf("no /dev/thing: %v", opened)
	}
}

func cdiFileEdits(t *suite.T) {
	cdiFile(t, "two.json", `{"cdiVersion":"0.5.0","kind":"critests.org/two","containerEdits":{"additionalGids":[4712]},
"devices":[{"name":"a","containerEdits":{"env":["A=1"]}},{"name":"b","containerEdits":{"env":["B=1"]}}]}`)
	report := t.RunPod().Report(devices("critests.org/two=a", "critests.org/two=b", "critests.org/two=a"))
	env := strings.Join(report.Env, "\n")
	if !strings.Contains(env, "A=1") || !strings.Contains(env, "B=1") {
		t.Errorf("environment %q", report.Env)
	}
	if strings.Count(fmt.Sprint(report.Groups), "4712") != 1 {
		t.Errorf("groups %v", report.Groups)
	}
}

// hook appends its name and the state's status to a file of the node's.
func hook(name, out string) cdiMap {
	return cdiMap{"hookName": name, "path": "/bin/sh", "args": []string{"sh", "-c",
		`echo "$0 $(tr ',' '\n' | sed -n 's/.*"status": *"\([a-z]*\)".*/\1/p')" >>` + out, name}, "env": []string{"PATH=/bin:/usr/bin"}}
}

// runtime-spec, "Lifecycle": each at its time, with the state that there is then. Those of the container's own
// namespaces see its root: here they would find no shell in it.
func cdiHooks(t *suite.T) {
	out := filepath.Join(t.Dir("hooks"), "said")
	cdiSpec(t, "hooks.json", "critests.org/hook", "all", cdiMap{"hooks": []cdiMap{hook("prestart", out),
		hook("createRuntime", out), hook("createContainer", out), hook("poststart", out), hook("poststop", out)}}, nil)
	p := t.RunPod()
	c := p.Create(devices("critests.org/hook=all"))
	said := func() string {
		text, _ := os.ReadFile(out)
		return string(text)
	}
	created := "prestart creating\ncreateRuntime creating\ncreateContainer creating\n"
	suite.Equal(t, "after create", said(), created)
	c.Start()
	suite.Equal(t, "after start", said(), created+"poststart running\n")
	suite.Equal(t, "state", c.Status().State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	c.Stop(0)
	c.WantExit(137)
	suite.Equal(t, "after the end", said(), created+"poststart running\npoststop stopped\n")
}

func cdiHookFails(t *suite.T) {
	for _, name := range []string{"createRuntime", "poststart"} {
		cdiSpec(t, "fails.json", "critests.org/fails", name, cdiMap{"hooks": []cdiMap{{"hookName": name, "path": "/bin/sh",
			"args": []string{"sh", "-c", "echo out of order >&2; exit 3"}}}}, nil)
		p := t.RunPod()
		c, err := p.TryCreate(p.ContainerConfig(devices("critests.org/fails=" + name)))
		if err == nil {
			err = c.TryStart()
		}
		t.WantError(err, codes.OK, name+" hook /bin/sh: exit status 3: out of order")
	}
}

func cdiRefused(t *suite.T, device string, code codes.Code, words string) {
	p := t.RunPod()
	_, err := p.TryCreate(p.ContainerConfig(devices(device)))
	t.WantError(err, code, words)
}

func cdiUnknown(t *suite.T) {
	cdiRefused(t, "critests.org/none=x", codes.NotFound, "critests.org/none=x: no file of the node's CDI directories has it")
	cdiRefused(t, "no name", codes.InvalidArgument, "not VENDOR/CLASS=NAME")
	cdiRefused(t, "critests.org/none=../../x", codes.InvalidArgument, "not VENDOR/CLASS=NAME")
}

func cdiConflict(t *suite.T) {
	cdiSpec(t, "first.json", "critests.org/conflict", "x", cdiMap{}, nil)
	cdiSpec(t, "second.json", "critests.org/conflict", "x", cdiMap{}, nil)
	cdiRefused(t, "critests.org/conflict=x", codes.InvalidArgument, "both .*(first|second).json and .*(first|second).json have it")
}

func cdiMalformed(t *suite.T) {
	cdiFile(t, "broken.json", `{"cdiVersion":"0.5.0","kind":"critests.org/broken","devices":[{"name":"x"`)
	cdiSpec(t, "whole.json", "critests.org/whole", "x", cdiMap{"env": []string{"WHOLE=1"}}, nil)
	cdiRefused(t, "critests.org/broken=x", codes.NotFound, "not used: .*broken.json")
	t.RunPod().Run(devices("critests.org/whole=x"))
}

func cdiYAML(t *suite.T) {
	cdiFile(t, "spec.yaml", "cdiVersion: 0.5.0\n")
	cdiRefused(t, "critests.org/yaml=x", codes.NotFound, "spec.yaml: YAML is not read")
}

// A pod's author writes annotations: they choose nothing of the node's.
func cdiAnnotations(t *suite.T) {
	cdiSpec(t, "annotated.json", "critests.org/annotated", "x", cdiMap{"env": []string{"ANNOTATED=1"}}, nil)
	report := t.RunPod().Report(func(c *runtimeapi.ContainerConfig) {
		c.Annotations = map[string]string{"cdi.k8s.io/critests": "critests.org/annotated=x"}
	})
	if strings.Contains(strings.Join(report.Env, "\n"), "ANNOTATED") {
		t.Errorf("an annotation gave it a device: %q", report.Env)
	}
}
