package nodetest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	podReady    = runtimeapi.PodSandboxState_SANDBOX_READY
	podNotReady = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
)

func (p *Pod) status() *runtimeapi.PodSandboxStatus {
	reply, err := p.t.PodSandboxStatus(p.t, p.ID, false)
	p.t.OK(err, "PodSandboxStatus")
	return reply.Status
}

func (p *Pod) addresses() []string {
	s := p.status()
	all := []string{s.Network.GetIp()}
	for _, ip := range s.Network.GetAdditionalIps() {
		all = append(all, ip.Ip)
	}
	return all
}

func httpGet(address string, port int) (string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get("http://" + net.JoinHostPort(address, fmt.Sprint(port)) + "/")
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, 4096))
	return strings.TrimSpace(string(body)), err
}

var podCases = []Case{
	{Group: "pod", Name: "life-and-status", Run: func(t *T) {
		config := t.PodConfig()
		before := time.Now()
		p := t.MakePod(config)
		s := p.status()
		t.Check(s.Id == p.ID && s.State == podReady && s.Metadata.Name == config.Metadata.Name &&
			s.Metadata.Namespace == "tests" && s.Metadata.Uid == config.Metadata.Uid, "status: %v", s)
		t.Check(s.CreatedAt >= before.Add(-time.Minute).UnixNano() && s.CreatedAt <= time.Now().UnixNano(), "created at %d", s.CreatedAt)
		t.Check(s.Labels["case"] == config.Labels["case"] && s.Annotations["note"] == config.Annotations["note"], "labels: %v", s)
		t.OK(t.StopPodSandbox(t, p.ID), "StopPodSandbox")
		t.Check(p.status().State == podNotReady, "stopped: %v", p.status().State)
		t.OK(t.RemovePodSandbox(t, p.ID), "RemovePodSandbox")
		_, err := t.PodSandboxStatus(t, p.ID, false)
		t.Check(status.Code(err) == codes.NotFound, "status of a removed pod: %v", err)
	}},
	{Group: "pod", Name: "stop-and-remove-are-idempotent", Run: func(t *T) {
		p := t.Pod()
		for range 2 {
			t.OK(t.StopPodSandbox(t, p.ID), "StopPodSandbox")
		}
		for range 2 {
			t.OK(t.RemovePodSandbox(t, p.ID), "RemovePodSandbox")
		}
		t.OK(t.StopPodSandbox(t, p.ID), "StopPodSandbox after removal")
	}},
	{Group: "pod", Name: "remove-while-running", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		t.OK(t.RemovePodSandbox(t, p.ID), "RemovePodSandbox")
		_, err := t.ContainerStatus(t, c.ID, false)
		t.Check(status.Code(err) == codes.NotFound, "its container: %v", err)
	}},
	{Group: "pod", Name: "stop-ends-containers", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		t.OK(t.StopPodSandbox(t, p.ID), "StopPodSandbox")
		t.Check(c.Status().State == runtimeapi.ContainerState_CONTAINER_EXITED, "container: %v", c.Status().State)
		_, err := t.CreateContainer(t, p.ID, p.ContainerConfig("/bin/true"), p.Config)
		t.Check(err != nil, "a container was created in a stopped pod")
	}},
	{Group: "pod", Name: "list-and-filters", Run: func(t *T) {
		a, b := t.Pod(), t.Pod()
		t.OK(t.StopPodSandbox(t, b.ID), "StopPodSandbox")
		find := func(what string, f *runtimeapi.PodSandboxFilter, want ...string) {
			list, err := t.ListPodSandbox(t, f)
			t.OK(err, "ListPodSandbox")
			have := map[string]bool{}
			for _, p := range list {
				have[p.Id] = true
			}
			t.Check(len(list) == len(want), "%s: %d pods, want %d", what, len(list), len(want))
			for _, id := range want {
				t.Check(have[id], "%s: %s is missing", what, id)
			}
		}
		find("by id", &runtimeapi.PodSandboxFilter{Id: a.ID}, a.ID)
		find("by the beginning of the id", &runtimeapi.PodSandboxFilter{Id: a.ID[:16]}, a.ID)
		find("by label", &runtimeapi.PodSandboxFilter{LabelSelector: a.Config.Labels}, a.ID)
		find("by id and state", &runtimeapi.PodSandboxFilter{Id: b.ID, State: &runtimeapi.PodSandboxStateValue{State: podReady}})
		find("by state and label", &runtimeapi.PodSandboxFilter{LabelSelector: b.Config.Labels,
			State: &runtimeapi.PodSandboxStateValue{State: podNotReady}}, b.ID)
		find("by a label of another", &runtimeapi.PodSandboxFilter{Id: a.ID, LabelSelector: b.Config.Labels})
	}},
	{Group: "pod", Name: "unknown-runtime-handler", Run: func(t *T) {
		config := onHost(t.PodConfig())
		id, err := t.RunPodSandbox(t, config, "no-such-handler")
		if err == nil {
			_ = t.RemovePodSandbox(t, id)
		}
		t.Check(err != nil && strings.Contains(err.Error(), "no-such-handler"), "want an error that names the handler: %v", err)
	}},
	{Group: "pod", Name: "same-name-next-attempt", Run: func(t *T) {
		config := onHost(t.PodConfig())
		first := t.MakePod(config)
		t.OK(t.StopPodSandbox(t, first.ID), "StopPodSandbox")
		config.Metadata = &runtimeapi.PodSandboxMetadata{Name: config.Metadata.Name, Namespace: "tests", Uid: config.Metadata.Uid, Attempt: 1}
		second := t.MakePod(config)
		t.Check(second.ID != first.ID && second.status().Metadata.Attempt == 1, "second attempt: %v", second.status())
	}},
	{Group: "pod", Name: "same-again-is-the-same-pod", Only: "crisp", Run: func(t *T) {
		config := onHost(t.PodConfig())
		first := t.MakePod(config)
		id, err := t.RunPodSandbox(t, config, "")
		// a retry of the kubelet's must not fail on "name is reserved"
		t.Check(err == nil && id == first.ID, "again: %s, %v; the first is %s", id, err, first.ID)
	}},
	{Group: "pod", Name: "hostname-hosts-and-dns", Run: func(t *T) {
		p := t.MakePod(t.PodConfig())
		c := p.Sleeper()
		t.Check(strings.TrimSpace(c.Exec("/bin/hostname")) == p.Config.Hostname, "hostname %q", c.Exec("/bin/hostname"))
		resolv := c.Exec("/bin/cat", "/etc/resolv.conf")
		for _, want := range []string{"nameserver 192.0.2.53", "search tests.example", "options ndots:3"} {
			t.Check(strings.Contains(resolv, want), "resolv.conf lacks %q: %q", want, resolv)
		}
		hostname := strings.TrimSpace(c.Exec("/bin/cat", "/etc/hostname"))
		t.Check(hostname == p.Config.Hostname, "/etc/hostname is %q", hostname)
	}},
	{Group: "pod", Name: "addresses-of-both-families", Run: func(t *T) {
		p := t.MakePod(t.PodConfig())
		all := p.addresses()
		t.Check(len(all) == 2 && net.ParseIP(all[0]) != nil && net.ParseIP(all[1]) != nil, "addresses %v", all)
		p.Start(p.ContainerConfig("/bin/payload", "web", "8080"))
		for _, ip := range all {
			t.Until(20*time.Second, "no answer from "+ip, func() string {
				body, err := httpGet(ip, 8080)
				if err != nil || body != p.Config.Hostname {
					return fmt.Sprintf("%q %v", body, err)
				}
				return ""
			})
		}
		t.OK(t.StopPodSandbox(t, p.ID), "StopPodSandbox")
		_, err := httpGet(all[0], 8080)
		t.Check(err != nil, "answers after the stop")
	}},
	{Group: "pod", Name: "pods-reach-each-other", Run: func(t *T) {
		a, b := t.MakePod(t.PodConfig()), t.MakePod(t.PodConfig())
		a.Start(a.ContainerConfig("/bin/payload", "web", "8080"))
		c := b.Sleeper()
		for _, ip := range a.addresses() {
			t.Until(20*time.Second, "from the other pod", func() string {
				out, _, err := t.ExecSync(t, c.ID, []string{"/bin/sh", "-c",
					fmt.Sprintf("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 %s 8080", ip)}, 30*time.Second)
				if err != nil || !strings.Contains(string(out), a.Config.Hostname) {
					return fmt.Sprintf("%q %v", out, err)
				}
				return ""
			})
		}
	}},
	{Group: "pod", Name: "host-port", Run: func(t *T) {
		config := t.PodConfig()
		config.PortMappings = []*runtimeapi.PortMapping{{ContainerPort: 8080, HostPort: 18081}}
		p := t.MakePod(config)
		p.Start(p.ContainerConfig("/bin/payload", "web", "8080"))
		t.Until(20*time.Second, "host port", func() string {
			body, err := httpGet("192.168.77.10", 18081)
			if err != nil || body != config.Hostname {
				return fmt.Sprintf("%q %v", body, err)
			}
			return ""
		})
		t.OK(t.StopPodSandbox(t, p.ID), "StopPodSandbox")
		_, err := httpGet("192.168.77.10", 18081)
		t.Check(err != nil, "the host port answers after the stop")
	}},
	{Group: "pod", Name: "host-network", Run: func(t *T) {
		p := t.Pod()
		c := p.Sleeper()
		t.Check(c.Exec("/bin/readlink", "/proc/self/ns/net") == link("/proc/1/ns/net"), "not the node's network")
		t.Check(p.status().Network.GetIp() == "", "a host network pod has the address %s", p.status().Network.GetIp())
	}},
	{Group: "pod", Name: "namespaces-are-the-pods", Run: func(t *T) {
		p := t.MakePod(t.PodConfig())
		a, b := p.Sleeper(), p.Sleeper()
		for _, ns := range []string{"net", "ipc", "uts"} {
			path := "/proc/self/ns/" + ns
			x, y := a.Exec("/bin/readlink", path), b.Exec("/bin/readlink", path)
			t.Check(x == y && x != link("/proc/1/ns/"+ns), "%s: %q and %q, the node's %q", ns, x, y, link("/proc/1/ns/"+ns))
		}
		for _, ns := range []string{"mnt", "pid"} {
			path := "/proc/self/ns/" + ns
			x, y := a.Exec("/bin/readlink", path), b.Exec("/bin/readlink", path)
			t.Check(x != y && x != link("/proc/1/ns/"+ns), "%s: %q and %q", ns, x, y)
		}
	}},
	{Group: "pod", Name: "shared-pid-namespace", Run: func(t *T) {
		config := onHost(t.PodConfig())
		config.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
		p := t.MakePod(config)
		p.Start(p.ContainerConfig("/bin/sleep", "987654"))
		b := p.Sleeper()
		seen := b.Shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
		t.Check(strings.Contains(seen, "sleep 987654"), "sees only %q", seen)
		t.Check(!strings.Contains(b.Exec("/bin/readlink", "/proc/self/ns/pid"), link("/proc/1/ns/pid")), "the node's PID namespace")
		// the pod's init reaps what a container leaves behind
		b.Exec("/bin/payload", "orphans", "20")
		t.Until(10*time.Second, "zombies in the pod", func() string {
			if z := b.Shell("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true"); z != "" {
				return z
			}
			return ""
		})
	}},
	{Group: "pod", Name: "host-pid-and-ipc", Run: func(t *T) {
		config := onHost(t.PodConfig())
		config.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
		config.Linux.SecurityContext.NamespaceOptions.Ipc = runtimeapi.NamespaceMode_NODE
		c := t.MakePod(config).Sleeper()
		for _, ns := range []string{"pid", "ipc"} {
			t.Check(c.Exec("/bin/readlink", "/proc/self/ns/"+ns) == link("/proc/1/ns/"+ns), "%s is not the node's", ns)
		}
	}},
	{Group: "pod", Name: "sysctls", Run: func(t *T) {
		config := t.PodConfig()
		config.Linux.Sysctls = map[string]string{"net.ipv4.ip_local_port_range": "1024\t2048", "kernel.shm_rmid_forced": "1"}
		c := t.MakePod(config).Sleeper()
		t.Check(c.Exec("/bin/cat", "/proc/sys/net/ipv4/ip_local_port_range") == "1024\t2048\n", "port range")
		t.Check(c.Exec("/bin/cat", "/proc/sys/kernel/shm_rmid_forced") == "1\n", "shm_rmid_forced")
	}},
	{Group: "pod", Name: "sysctls-of-the-node-are-refused", Only: "crisp", Run: func(t *T) {
		pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
		for key, value := range map[string]string{"kernel.core_pattern": "|/bin/evil", "vm.panic_on_oom": "1",
			"net.ipv4.ip_forward+kernel.core_pattern": "0", "../kernel/core_pattern": "x"} {
			config := t.PodConfig()
			config.Linux.Sysctls = map[string]string{key: value}
			id, err := t.RunPodSandbox(t, config, "")
			if err == nil {
				_ = t.RemovePodSandbox(t, id)
			}
			t.Check(err != nil, "%s was accepted", key)
		}
		now, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
		t.Check(string(now) == string(pattern), "core_pattern is now %q", now)
	}},
	{Group: "pod", Name: "shm-is-the-pods", Run: func(t *T) {
		p := t.Pod()
		a, b := p.Sleeper(), p.Sleeper()
		a.Shell("echo word > /dev/shm/file")
		t.Check(b.Exec("/bin/cat", "/dev/shm/file") == "word\n", "the other container does not see it")
		_, err := os.Stat("/dev/shm/file")
		t.Check(os.IsNotExist(err), "it is the node's /dev/shm")
	}},
	{Group: "pod", Name: "absent-pod", Run: func(t *T) {
		_, err := t.PodSandboxStatus(t, "0123456789abcdef", false)
		t.Check(status.Code(err) == codes.NotFound, "PodSandboxStatus: %v", err)
		_, err = t.CreateContainer(t, "0123456789abcdef", (&Pod{t: t, Config: t.PodConfig()}).ContainerConfig("/bin/true"), t.PodConfig())
		t.Check(err != nil, "a container in no pod")
	}},
	{Group: "pod", Name: "cni-failure-is-told-and-undone", Only: "crisp", Run: func(t *T) {
		config := t.PodConfig()
		// no such bandwidth: the plugin refuses it
		config.Annotations["kubernetes.io/ingress-bandwidth"] = "1"
		id, err := t.RunPodSandbox(t, config, "")
		if err == nil {
			_ = t.RemovePodSandbox(t, id)
			t.Skipf("the plugin took it")
		}
		t.Check(strings.Contains(err.Error(), "bandwidth"), "the error does not name the plugin: %v", err)
		list, err := t.ListPodSandbox(t, &runtimeapi.PodSandboxFilter{LabelSelector: config.Labels})
		t.OK(err, "ListPodSandbox")
		for _, p := range list {
			t.Check(p.State == podNotReady, "it is there, and ready")
			_ = t.RemovePodSandbox(t, p.Id)
		}
	}},
}

func link(path string) string {
	target, _ := os.Readlink(path)
	return target + "\n"
}
