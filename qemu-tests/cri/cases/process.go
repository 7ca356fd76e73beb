package cases

import (
	"fmt"
	"maps"
	"sort"
	"strings"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

var processCases = []suite.Case{
	{Name: "command-and-args", Run: processCommand},
	{Name: "environment", Run: processEnv},
	{Name: "environment-of-any-bytes", Run: processEnvBytes},
	{Name: "home", Run: processHome},
	{Name: "working-directory", Run: processCwd},
	{Name: "working-directory-of-the-image", Run: processCwdImage},
	{Name: "user-and-group", Run: processUser},
	{Name: "groups-merge", Run: processMerge},
	{Name: "groups-strict", Run: processStrict, CrispOnly: "came with containerd 2"},
	{Name: "user-of-the-status", Run: processStatusUser, CrispOnly: "came with containerd 2"},
	{Name: "user-of-the-image", Run: processImageUser},
	{Name: "unknown-user", Run: processUnknownUser},
	{Name: "exec-is-like-the-container", Run: processExec},
	{Name: "descriptors", Run: processFds},
	{Name: "session-and-umask", Run: processSession},
	{Name: "many-arguments", Run: processManyArgs},
}

// pullNew makes an image of the base tree with another configuration, or more layers, and pulls it. The label makes
// it another image than the base even if nothing else does: it is removed in the end, with all its names.
func pullNew(t *suite.T, config v1.ImageConfig, layers ...oci.Layer) string {
	config.Labels = maps.Clone(config.Labels)
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	config.Labels["critests"] = fmt.Sprint(t.Next())
	return pullImage(t, oci.New(oci.Options{Config: config}, append([]oci.Layer{t.Program, suite.BaseTree()}, layers...)...))
}

// pullImage serves an image and pulls it; it is removed when the case ends.
func pullImage(t *suite.T, image *oci.Image) string {
	ref := t.Local.Put(fmt.Sprintf("critests/image-%d", t.Next()), "1", image)
	_, err := t.Images.PullImage(t.Ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	t.Must(err, "PullImage")
	t.Cleanup(func(t *suite.T) { removeImage(t, ref) })
	return ref
}

func removeImage(t *suite.T, ref string) {
	_, err := t.Images.RemoveImage(t.Ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	if err != nil {
		t.Errorf("RemoveImage: %v", err)
	}
}

func processCommand(t *suite.T) {
	config := suite.BaseConfig()
	config.Entrypoint, config.Cmd = []string{"/critests", "payload"}, []string{"echo", "of the image"}
	image := pullNew(t, config)
	p := t.RunPod()
	for _, c := range []struct {
		name          string
		command, args []string
		want          string
	}{
		{"neither", nil, nil, "of the image"},
		{"args", nil, []string{"echo", "other args"}, "other args"},
		{"command", []string{"/critests", "payload", "echo", "command"}, nil, "command"},
		{"both", []string{"/critests", "payload", "echo"}, []string{"a", "b c", "", "d"}, "a b c  d"},
		{"a name of PATH", []string{"critests", "payload", "echo"}, []string{"found"}, "found"},
	} {
		got := p.RunToEnd(suite.Image(image), func(cc *runtimeapi.ContainerConfig) { cc.Command, cc.Args = c.command, c.args })
		suite.Equal(t, c.name, got.Stdout(), c.want+"\n")
	}
}

func env(pairs ...string) suite.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		for i := 0; i+1 < len(pairs); i += 2 {
			c.Envs = append(c.Envs, &runtimeapi.KeyValue{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
	}
}

func lookup(r payload.Report, name string) string {
	value, times := "", 0
	for _, pair := range r.Env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
			times++
		}
	}
	if times != 1 {
		return fmt.Sprintf("(%d times)", times)
	}
	return value
}

func processEnv(t *suite.T) {
	p := t.RunPod()
	r := p.Report(env("FROM_IMAGE", "no", "OWN", "1", "EMPTY", "", "WITH_EQUALS", "a=b=c", "LINES", "one\ntwo",
		"TWICE", "first", "TWICE", "second"))
	suite.Equal(t, "the image's, changed", lookup(r, "FROM_IMAGE"), "no")
	suite.Equal(t, "OWN", lookup(r, "OWN"), "1")
	suite.Equal(t, "EMPTY", lookup(r, "EMPTY"), "")
	suite.Equal(t, "WITH_EQUALS", lookup(r, "WITH_EQUALS"), "a=b=c")
	suite.Equal(t, "LINES", lookup(r, "LINES"), "one\ntwo")
	suite.Equal(t, "TWICE", lookup(r, "TWICE"), "second")
	suite.Equal(t, "PATH", lookup(r, "PATH"), "/")
	suite.Equal(t, "the image's", lookup(p.Report(), "FROM_IMAGE"), "yes")
}

func processEnvBytes(t *suite.T) {
	p := t.RunPod()
	c := p.Run(env("BYTES", "\xff\xfe\x01"))
	got := c.ReadText("/proc/1/environ")
	if !strings.Contains(got, "BYTES=") {
		t.Fatalf("no BYTES in %q", got)
	}
	// JSON can't carry them: what comes is one replacement character for each
	if !strings.Contains(got, "BYTES=\ufffd\ufffd\x01\x00") {
		t.Errorf("BYTES is another: %q", got)
	}
}

func processHome(t *suite.T) {
	p := t.RunPod()
	for _, c := range []struct {
		user int64
		want string
	}{{0, "/root"}, {1000, "/home/user"}, {4711, "/"}} {
		r := p.Report(runAs(c.user, -1))
		suite.Equal(t, fmt.Sprintf("HOME of %d", c.user), lookup(r, "HOME"), c.want)
	}
	suite.Equal(t, "HOME as it was sent", lookup(p.Report(env("HOME", "/data")), "HOME"), "/data")
}

func processCwd(t *suite.T) {
	p := t.RunPod()
	dir := func(d string) suite.ContainerOption {
		return func(c *runtimeapi.ContainerConfig) { c.WorkingDir = d }
	}
	suite.Equal(t, "by default", p.Report().Cwd, "/")
	suite.Equal(t, "one that is there", p.Report(dir("/data")).Cwd, "/data")
	suite.Equal(t, "one that is not there", p.Report(dir("/made/on/demand")).Cwd, "/made/on/demand")
}

func processCwdImage(t *suite.T) {
	config := suite.BaseConfig()
	config.WorkingDir = "/data"
	image := pullNew(t, config)
	p := t.RunPod()
	suite.Equal(t, "the image's", p.Report(suite.Image(image)).Cwd, "/data")
	r := p.Report(suite.Image(image), func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/tmp" })
	suite.Equal(t, "the pod's", r.Cwd, "/tmp")
}

func runAs(user, group int64) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.RunAsUser = &runtimeapi.Int64Value{Value: user}
		if group >= 0 {
			s.RunAsGroup = &runtimeapi.Int64Value{Value: group}
		}
	})
}

func runAsName(name string) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.RunAsUsername = name })
}

func supplemental(policy runtimeapi.SupplementalGroupsPolicy, groups ...int64) suite.ContainerOption {
	return suite.Security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.SupplementalGroups, s.SupplementalGroupsPolicy = groups, policy
	})
}

// ids is "UID:GID groups", the primary group left out of the list.
func ids(r payload.Report) string {
	sort.Ints(r.Groups)
	var more []int
	for _, g := range r.Groups {
		if g != r.GID {
			more = append(more, g)
		}
	}
	return fmt.Sprintf("%d:%d %v", r.UID, r.GID, more)
}

func processUser(t *suite.T) {
	p := t.RunPod()
	for _, c := range []struct {
		name    string
		options []suite.ContainerOption
		want    string
	}{
		{"root by default", nil, "0:0 [10]"},
		{"a user of the image's passwd", []suite.ContainerOption{runAs(1000, -1)}, "1000:1000 [2000 2001]"},
		{"a user that it has not", []suite.ContainerOption{runAs(4711, -1)}, "4711:0 []"},
		{"user and group", []suite.ContainerOption{runAs(4711, 4712)}, "4711:4712 []"},
		{"a known user, another group", []suite.ContainerOption{runAs(1000, 4712)}, "1000:4712 [2000 2001]"},
		{"by name", []suite.ContainerOption{runAsName("other")}, "1001:1002 [2001]"},
	} {
		r := p.Report(c.options...)
		suite.Equal(t, c.name, ids(r), c.want)
		suite.Equal(t, c.name+": effective", fmt.Sprint(r.EUID, r.EGID), fmt.Sprint(r.UID, r.GID))
	}
}

// CVE-2022-2995, CVE-2023-25173: the groups must be set up with the user.
func processMerge(t *suite.T) {
	p := t.RunPod()
	merge := runtimeapi.SupplementalGroupsPolicy_Merge
	suite.Equal(t, "of root", ids(p.Report(supplemental(merge, 5000, 5001))), "0:0 [10 5000 5001]")
	suite.Equal(t, "of a user", ids(p.Report(runAs(1000, -1), supplemental(merge, 5000))), "1000:1000 [2000 2001 5000]")
}

func processStrict(t *suite.T) {
	p := t.RunPod()
	strict := runtimeapi.SupplementalGroupsPolicy_Strict
	suite.Equal(t, "of a user", ids(p.Report(runAs(1000, -1), supplemental(strict, 5000))), "1000:1000 [5000]")
	suite.Equal(t, "none", ids(p.Report(runAs(1000, 3000), supplemental(strict))), "1000:3000 []")
	c := p.Run(runAs(1000, -1), supplemental(strict, 5000))
	r := suite.Decode[payload.Report](t, c.Exec("report"))
	suite.Equal(t, "of an exec", ids(r), "1000:1000 [5000]")
}

func processStatusUser(t *suite.T) {
	p := t.RunPod()
	c := p.Run(runAs(1000, 3000), supplemental(runtimeapi.SupplementalGroupsPolicy_Merge, 5000))
	u := c.Status().GetUser().GetLinux()
	groups := append([]int64(nil), u.GetSupplementalGroups()...)
	sort.Slice(groups, func(i, k int) bool { return groups[i] < groups[k] })
	suite.Equal(t, "user of the status", fmt.Sprint(u.GetUid(), u.GetGid(), groups), "1000 3000 [2000 2001 3000 5000]")
}

func processImageUser(t *suite.T) {
	p := t.RunPod()
	for user, want := range map[string]string{"1000": "1000:1000 [2000 2001]", "user": "1000:1000 [2000 2001]",
		"4711:4712": "4711:4712 []", "user:extra": "1000:2000 [2001]", "user:2001": "1000:2001 [2000]", "": "0:0 [10]"} {
		config := suite.BaseConfig()
		config.User = user
		image := pullNew(t, config)
		r := p.Report(suite.Image(image))
		if strings.Contains(user, ":") { // runtimes differ in whether a named group drops the user's others
			suite.Equal(t, "USER "+user, strings.Fields(ids(r))[0], strings.Fields(want)[0])
			continue
		}
		suite.Equal(t, "USER "+user, ids(r), want)
		over := p.Report(suite.Image(image), runAs(1001, -1))
		suite.Equal(t, "USER "+user+" and run_as_user 1001", ids(over), "1001:1002 [2001]")
	}
}

func processUnknownUser(t *suite.T) {
	p := t.RunPod()
	c, err := p.TryCreate(p.ContainerConfig(runAsName("nobody-here")))
	if err == nil {
		err = c.TryStart()
	}
	t.WantError(err, codes.OK, "nobody-here")
	config := suite.BaseConfig()
	config.User = "nobody-there"
	c, err = p.TryCreate(p.ContainerConfig(suite.Image(pullNew(t, config))))
	if err == nil {
		err = c.TryStart()
	}
	t.WantError(err, codes.OK, "nobody-there")
}

func processExec(t *suite.T) {
	p := t.RunPod()
	c := p.Run(runAs(1000, 3000), env("OWN", "1"), supplemental(0, 5000), suite.Payload("report-wait"),
		func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/data" })
	c.WaitText("\n")
	main := suite.Decode[payload.Report](t, c.Stdout())
	exec := suite.Decode[payload.Report](t, c.Exec("report"))
	for _, d := range []struct{ what, exec, main string }{
		{"user", ids(exec), ids(main)},
		{"directory", exec.Cwd, main.Cwd},
		{"OWN", lookup(exec, "OWN"), lookup(main, "OWN")},
		{"HOME", lookup(exec, "HOME"), lookup(main, "HOME")},
		{"PATH", lookup(exec, "PATH"), lookup(main, "PATH")},
		{"namespaces", fmt.Sprint(exec.Namespaces), fmt.Sprint(main.Namespaces)},
		{"effective capabilities", exec.Status["CapEff"], main.Status["CapEff"]},
		{"bounding capabilities", exec.Status["CapBnd"], main.Status["CapBnd"]},
		{"inheritable capabilities", exec.Status["CapInh"], main.Status["CapInh"]},
		{"no_new_privs", exec.Status["NoNewPrivs"], main.Status["NoNewPrivs"]},
		{"seccomp", exec.Status["Seccomp"], main.Status["Seccomp"]},
		{"umask", fmt.Sprint(exec.Umask), fmt.Sprint(main.Umask)},
		{"OOM score", exec.OOMAdj, main.OOMAdj},
		{"cgroup", exec.Cgroup, main.Cgroup},
		{"limits", exec.Limits, main.Limits},
		{"root's mounts", fmt.Sprint(len(exec.Mounts)), fmt.Sprint(len(main.Mounts))},
	} {
		suite.Equal(t, "exec's "+d.what, d.exec, d.main)
	}
}

// CVE-2024-21626: no descriptor of the runtime may reach the container.
// ofGo: what the payload's own runtime opens.
func ofGo(target string) bool {
	return strings.HasPrefix(target, "/sys/fs/cgroup/cpu.max") || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]"
}

func processFds(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("report-wait"))
	c.WaitText("\n")
	for name, r := range map[string]payload.Report{"the container": suite.Decode[payload.Report](t, c.Stdout()),
		"an exec": suite.Decode[payload.Report](t, c.Exec("report"))} {
		for fd, target := range r.Fds {
			if fd > 2 && !ofGo(target) {
				t.Errorf("%s has descriptor %d: %s", name, fd, target)
			}
		}
		for fd := 0; fd < 3; fd++ {
			if _, ok := r.Fds[fd]; !ok {
				t.Errorf("%s has no descriptor %d", name, fd)
			}
		}
	}
	main := suite.Decode[payload.Report](t, c.Stdout())
	suite.Equal(t, "stdin", main.Fds[0], "/dev/null")
}

func processSession(t *suite.T) {
	r := t.RunPod().Report()
	suite.Equal(t, "leader of its session", r.Session, r.Pid)
	suite.Equal(t, "umask", fmt.Sprintf("%#o", r.Umask), "022")
	suite.Equal(t, "signals that are ignored", r.Status["SigIgn"], "0000000000000000")
	suite.Equal(t, "signals that are blocked", r.Status["SigBlk"], "0000000000000000")
	suite.Equal(t, "cgroup seen from inside", r.Cgroup, "0::/")
	if r.CwdError != "" {
		t.Errorf("getcwd: %s", r.CwdError)
	}
}

func processManyArgs(t *suite.T) {
	words := []string{"report"}
	for i := 0; i < 2000; i++ {
		words = append(words, fmt.Sprintf("argument-%d-%s", i, strings.Repeat("x", 40)))
	}
	p := t.RunPod()
	r := p.Report(suite.Payload(words...))
	suite.Equal(t, "arguments", len(r.Args), len(words)+2)
	var pairs []string
	for i := 0; i < 3000; i++ {
		pairs = append(pairs, fmt.Sprintf("SERVICE_%d_PORT", i), "tcp://10.0.0.1:80")
	}
	r = p.Report(env(pairs...))
	suite.Equal(t, "the last of many variables", lookup(r, "SERVICE_2999_PORT"), "tcp://10.0.0.1:80")
}
