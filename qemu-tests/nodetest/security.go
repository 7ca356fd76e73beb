package nodetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func statusLine(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

var securityCases = []Case{
	{Group: "security", Name: "defaults", Run: func(t *T) {
		s := t.Pod().Sleeper().Exec("/bin/cat", "/proc/1/status")
		t.Check(statusLine(s, "Seccomp") == "2", "seccomp %s", statusLine(s, "Seccomp"))
		t.Check(statusLine(s, "CapInh") == "0000000000000000" && statusLine(s, "CapAmb") == "0000000000000000", "inheritable or ambient: %s", s)
		// chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot (+ net_raw mknod audit_write setfcap)
		for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
			var caps uint64
			_, _ = fmt.Sscanf(statusLine(s, set), "%x", &caps)
			t.Check(caps&^0xa80425fb == 0 && caps&0xc0 == 0xc0, "%s is %x", set, caps)
		}
	}},
	{Group: "security", Name: "add-and-drop-capabilities", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Linux.SecurityContext.Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"NET_ADMIN"}, DropCapabilities: []string{"CHOWN", "KILL"}}
		c := p.Start(config)
		var caps uint64
		_, _ = fmt.Sscanf(statusLine(c.Exec("/bin/cat", "/proc/1/status"), "CapEff"), "%x", &caps)
		t.Check(caps&(1<<12) != 0 && caps&1 == 0 && caps&(1<<5) == 0, "CapEff is %x", caps)
		config = p.ContainerConfig("/bin/payload", "pause")
		config.Linux.SecurityContext.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}}
		s := p.Start(config).Exec("/bin/cat", "/proc/1/status")
		t.Check(statusLine(s, "CapEff") == "0000000000000000" && statusLine(s, "CapBnd") == "0000000000000000", "ALL dropped: %s", s)
	}},
	{Group: "security", Name: "no-new-privileges", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Linux.SecurityContext.NoNewPrivs = true
		c := p.Start(config)
		t.Check(statusLine(c.Exec("/bin/cat", "/proc/1/status"), "NoNewPrivs") == "1", "PID 1 has not")
		t.Check(statusLine(c.Exec("/bin/cat", "/proc/self/status"), "NoNewPrivs") == "1", "an exec has not")
	}},
	{Group: "security", Name: "privileged", Run: func(t *T) {
		config := onHost(t.PodConfig())
		config.Linux.SecurityContext.Privileged = true
		p := t.MakePod(config)
		cc := p.ContainerConfig("/bin/payload", "pause")
		cc.Linux.SecurityContext.Privileged = true
		cc.Linux.SecurityContext.Seccomp = nil
		cc.Linux.SecurityContext.MaskedPaths, cc.Linux.SecurityContext.ReadonlyPaths = nil, nil
		c := p.Start(cc)
		s := c.Exec("/bin/cat", "/proc/1/status")
		var caps uint64
		_, _ = fmt.Sscanf(statusLine(s, "CapEff"), "%x", &caps)
		t.Check(caps&(1<<21) != 0 && statusLine(s, "Seccomp") == "0", "caps %x, seccomp %s", caps, statusLine(s, "Seccomp"))
		t.Check(strings.Contains(c.Exec("/bin/ls", "/dev"), "vda"), "the node's devices are not there")
	}},
	{Group: "security", Name: "masked-and-read-only-paths", Run: func(t *T) {
		c := t.Pod().Sleeper()
		t.Check(c.Shell("cat /proc/kcore | wc -c; ls /sys/firmware | wc -l") == "0\n0\n", "masked paths show something")
		for _, path := range []string{"/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs"} {
			out := c.Shell("echo x 2>&1 > " + path + " && echo WRITTEN; true")
			t.Check(!strings.Contains(out, "WRITTEN"), "%s can be written", path)
		}
	}},
	{Group: "security", Name: "user-and-groups", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/cat", "/proc/self/status")
		config.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
		config.Linux.SecurityContext.RunAsGroup = &runtimeapi.Int64Value{Value: 3000}
		config.Linux.SecurityContext.SupplementalGroups = []int64{4000, 5000}
		c := p.Start(config)
		c.Wait()
		s := c.Output("")
		t.Check(statusLine(s, "Uid") == "1000 1000 1000 1000" && statusLine(s, "Gid") == "3000 3000 3000 3000", "%s", s)
		for _, g := range []string{"3000", "4000", "5000"} {
			t.Check(strings.Contains(" "+statusLine(s, "Groups")+" ", " "+g+" "), "groups %q lack %s", statusLine(s, "Groups"), g)
		}
	}},
	{Group: "security", Name: "groups-of-the-image-merged-and-strict", Run: func(t *T) {
		p := t.Pod()
		run := func(policy runtimeapi.SupplementalGroupsPolicy) string {
			config := p.ContainerConfig("/bin/cat", "/proc/self/status")
			config.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
			config.Linux.SecurityContext.SupplementalGroupsPolicy = policy
			c := p.Start(config)
			c.Wait()
			return " " + statusLine(c.Output(""), "Groups") + " "
		}
		merged := run(runtimeapi.SupplementalGroupsPolicy_Merge)
		t.Check(strings.Contains(merged, " 2000 "), "merged: %s", merged)
		s, err := t.RuntimeService.Status(t, false)
		t.OK(err, "Status")
		if s.Features.GetSupplementalGroupsPolicy() {
			strict := run(runtimeapi.SupplementalGroupsPolicy_Strict)
			t.Check(!strings.Contains(strict, " 2000 "), "strict: %s", strict)
		}
	}},
	{Group: "security", Name: "user-by-name", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/sh", "-c", "id -u; id -g")
		config.Linux.SecurityContext.RunAsUsername = "user"
		c := p.Start(config)
		c.Wait()
		t.Check(c.Output("") == "1000\n1000\n", "%q", c.Output(""))
		config = p.ContainerConfig("/bin/true")
		config.Linux.SecurityContext.RunAsUsername = "nobody-knows-me"
		id, err := t.CreateContainer(t, p.ID, config, p.Config)
		if err == nil {
			err = t.StartContainer(t, id)
		}
		t.Check(err != nil && strings.Contains(err.Error(), "nobody-knows-me"), "unknown user: %v", err)
	}},
	{Group: "security", Name: "localhost-seccomp-profile", Run: func(t *T) {
		p := t.Pod()
		path := "/run/profile.json"
		t.OK(os.WriteFile(path, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}`), 0o644), "profile")
		config := p.ContainerConfig("/bin/sh", "-c", "mkdir /tmp/x 2>&1")
		config.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: path}
		c := p.Start(config)
		t.Check(c.Wait().ExitCode != 0 && strings.Contains(c.Output(""), "not implemented"), "mkdir: %q", c.Output(""))
		config = p.ContainerConfig("/bin/true")
		config.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost}
		id, err := t.CreateContainer(t, p.ID, config, p.Config)
		if err == nil {
			err = t.StartContainer(t, id)
		}
		t.Check(err != nil, "an empty localhost profile was taken for unconfined")
	}},
	{Group: "security", Name: "unconfined-seccomp", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Linux.SecurityContext.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
		t.Check(statusLine(p.Start(config).Exec("/bin/cat", "/proc/1/status"), "Seccomp") == "0", "seccomp is on")
	}},
	{Group: "security", Name: "no-descriptor-leaks-in", Run: func(t *T) {
		p := t.Pod()
		c := p.Run("/bin/payload", "descriptors")
		for _, line := range strings.Split(strings.TrimSpace(c.Output("")), "\n") {
			var fd int
			var target string
			_, _ = fmt.Sscan(line, &fd, &target)
			t.Check(fd <= 2, "descriptor %s", line)
		}
		c = p.Sleeper()
		for _, line := range strings.Split(strings.TrimSpace(c.Exec("/bin/payload", "descriptors")), "\n") {
			var fd int
			_, _ = fmt.Sscan(line, &fd)
			t.Check(fd <= 2, "in an exec, descriptor %s", line)
		}
		// CVE-2024-21626
		for _, dir := range []string{"/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/9"} {
			config := p.ContainerConfig("/bin/sh", "-c", "pwd; ls ../../..")
			config.WorkingDir = dir
			id, err := t.CreateContainer(t, p.ID, config, p.Config)
			if err == nil && t.StartContainer(t, id) == nil {
				c := &Container{t, id, config, p.Config.LogDirectory + "/" + config.LogPath}
				c.Wait()
				t.Check(!strings.Contains(c.Output(""), "crisp-modules") && !strings.Contains(c.Output(""), "unreachable"), "%s: %q", dir, c.Output(""))
			}
		}
	}},
	{Group: "security", Name: "the-runtimes-binary-cannot-be-written", Run: func(t *T) {
		// CVE-2019-5736: through /proc/PID/exe of whatever of the runtime is in the container's sight
		config := onHost(t.PodConfig())
		config.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
		c := t.MakePod(config).Sleeper()
		out := c.Shell("for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null && echo WRITTEN $p; done; true")
		t.Check(!strings.Contains(out, "WRITTEN"), "%s", out)
	}},
	{Group: "security", Name: "dev-is-small", Run: func(t *T) {
		out := t.Pod().Sleeper().Exec("/bin/ls", "/dev")
		for _, dev := range strings.Fields(out) {
			t.Check(strings.Contains(" core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero console ", " "+dev+" "), "/dev/%s", dev)
		}
		for _, dev := range []string{"null", "zero", "full", "random", "urandom", "tty", "fd", "shm", "pts", "ptmx"} {
			t.Check(strings.Contains(" "+strings.Join(strings.Fields(out), " ")+" ", " "+dev+" "), "no /dev/%s in %q", dev, out)
		}
	}},
	{Group: "security", Name: "devices-only-as-allowed", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		// mknod may be allowed, opening the node's disk never is
		out := c.Shell("mknod /tmp/disk b 254 0 2>&1; head -c 1 /tmp/disk 2>&1 >/dev/null && echo OPENED; true")
		t.Check(!strings.Contains(out, "OPENED"), "a disk could be read: %q", out)
		config := p.ContainerConfig("/bin/sh", "-c", "head -c 4 /dev/mine | wc -c; echo x 2>/dev/null > /dev/mine && echo WRITTEN; true")
		config.Devices = []*runtimeapi.Device{{HostPath: "/dev/zero", ContainerPath: "/dev/mine", Permissions: "r"}}
		c = p.Start(config)
		c.Wait()
		t.Check(strings.HasPrefix(c.Output(""), "4\n"), "%q", c.Output(""))
	}},
}

var mountCases = []Case{
	{Group: "mounts", Name: "bind-directory-and-file", Run: func(t *T) {
		dir := t.dir()
		t.OK(os.WriteFile(dir+"/file", []byte("from the node\n"), 0o644), "file")
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/mine/deep"}, {HostPath: dir + "/file", ContainerPath: "/etc/one-file"}}
		c := p.Start(config)
		t.Check(c.Exec("/bin/cat", "/mine/deep/file", "/etc/one-file") == "from the node\nfrom the node\n", "content")
		c.Shell("echo from inside > /mine/deep/new")
		t.Check(read(dir+"/new") == "from inside", "not written through: %q", read(dir+"/new"))
		found := false
		for _, m := range c.Status().Mounts {
			found = found || m.ContainerPath == "/mine/deep" && m.HostPath == dir
		}
		t.Check(found, "the status has not the mount: %v", c.Status().Mounts)
	}},
	{Group: "mounts", Name: "read-only", Run: func(t *T) {
		dir := t.dir()
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/mine", Readonly: true}}
		c := p.Start(config)
		t.Check(c.Shell("echo x 2>&1 > /mine/new || echo refused") != "", "written")
		_, err := os.Stat(dir + "/new")
		t.Check(os.IsNotExist(err), "a read-only mount was written")
	}},
	{Group: "mounts", Name: "read-only-root", Run: func(t *T) {
		dir := t.dir()
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Linux.SecurityContext.ReadonlyRootfs = true
		config.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/tmp"}}
		c := p.Start(config)
		out := c.Shell("(echo x > /etc/new) 2>/dev/null && echo WRITTEN; (echo x > /tmp/new) && echo fine; (echo x > /dev/shm/new) && echo fine")
		t.Check(out == "fine\nfine\n", "%q", out)
	}},
	{Group: "mounts", Name: "propagation", Run: func(t *T) {
		dir := t.dir()
		t.OK(os.Mkdir(dir+"/sub", 0o755), "mkdir")
		t.OK(mountTmpfs(dir), "mount")
		t.Cleanup(func() { unmount(dir) })
		t.OK(os.Mkdir(dir+"/sub", 0o755), "mkdir")
		p := t.Pod()
		config := p.ContainerConfig("/bin/payload", "pause")
		config.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/slave", Propagation: runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
			{HostPath: dir, ContainerPath: "/private"}}
		c := p.Start(config)
		t.OK(mountTmpfs(dir+"/sub"), "mount")
		t.Cleanup(func() { unmount(dir + "/sub") })
		t.OK(os.WriteFile(dir+"/sub/late", []byte("x"), 0o644), "file")
		t.Check(c.Shell("ls /slave/sub /private/sub") == "/private/sub:\n\n/slave/sub:\nlate\n" ||
			c.Shell("ls /slave/sub") == "late\n" && c.Shell("ls /private/sub") == "", "slave %q, private %q", c.Shell("ls /slave/sub"), c.Shell("ls /private/sub"))
	}},
	{Group: "mounts", Name: "absent-host-path", Run: func(t *T) {
		p := t.Pod()
		config := p.ContainerConfig("/bin/true")
		config.Mounts = []*runtimeapi.Mount{{HostPath: "/var/tmp/not-there-" + t.name, ContainerPath: "/x"}}
		id, err := t.CreateContainer(t, p.ID, config, p.Config)
		if err == nil {
			err = t.StartContainer(t, id)
		}
		defer os.RemoveAll("/var/tmp/not-there-" + t.name)
		if err == nil {
			// containerd and CRI-O make the directory
			_, err := os.Stat("/var/tmp/not-there-" + t.name)
			t.OK(err, "started, but the directory was not made")
		}
	}},
	{Group: "mounts", Name: "targets-stay-inside", Run: func(t *T) {
		p := t.Pod()
		dir := t.dir()
		t.OK(os.WriteFile(dir+"/file", []byte("x"), 0o644), "file")
		config := p.ContainerConfig("/bin/ls", "/escape-"+filepath.Base(dir))
		config.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/../../../../../escape-" + filepath.Base(dir)}}
		id, err := t.CreateContainer(t, p.ID, config, p.Config)
		if err == nil {
			_ = t.StartContainer(t, id)
		}
		_, err = os.Stat("/escape-" + filepath.Base(dir))
		t.Check(os.IsNotExist(err), "made on the node")
	}},
}

// dir is a directory of the node that goes with the case.
func (t *T) dir() string {
	dir, err := os.MkdirTemp("/var/tmp", "case-")
	t.OK(err, "directory")
	t.OK(os.Chmod(dir, 0o777), "chmod")
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
