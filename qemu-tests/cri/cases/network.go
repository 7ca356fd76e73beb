package cases

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

var networkCases = []suite.Case{
	{Name: "host", Run: networkHost},
	{Name: "addresses", Run: networkAddresses},
	{Name: "pod-to-pod", Run: networkPodToPod},
	{Name: "loopback", Run: networkLoopback},
	{Name: "host-port", Run: networkHostPort},
	{Name: "host-port-free-again", Run: networkHostPortTwice},
	{Name: "hostname", Run: networkHostname},
	{Name: "resolv-conf", Run: networkResolv},
	{Name: "resolv-conf-of-the-node", Run: networkResolvNode},
	{Name: "hosts", Run: networkHosts, CrispOnly: "containerd copies the node's"},
	{Name: "address-given-back", Run: networkGivenBack},
	{Name: "stopped-pod-keeps-no-address", Run: networkStopped},
	{Name: "ten-at-once", Run: networkTen, Scale: 2},
	{Name: "plugin-that-fails-is-told-and-undone", Run: networkPluginFails, CrispOnly: "other words"},
}

func networkHost(t *suite.T) {
	p := t.RunPod()
	r := p.Report()
	suite.Equal(t, "network namespace", r.Namespaces["net"], ownNamespace(t, "net"))
	suite.Equal(t, "UTS namespace", r.Namespaces["uts"], ownNamespace(t, "uts"))
	own, _ := os.Hostname()
	suite.Equal(t, "host name", r.Hostname, own)
	if ip := p.Status().GetNetwork().GetIp(); ip != "" {
		t.Errorf("a pod of the node's network has the address %s", ip)
	}
}

func networkAddresses(t *suite.T) {
	p := t.RunPod(suite.CNI)
	var v4, v6 int
	for _, text := range p.IPs() {
		ip, err := netip.ParseAddr(text)
		t.Must(err, "address %q", text)
		if ip.Is4() {
			v4++
		} else {
			v6++
		}
	}
	if v4 != 1 || v6 != 1 {
		t.Errorf("addresses %v, wanted one of each family", p.IPs())
	}
	r := p.Report()
	if r.Namespaces["net"] == ownNamespace(t, "net") {
		t.Errorf("it is the node's network namespace")
	}
	suite.Equal(t, "interfaces", strings.Join(r.Interfaces, " "), "eth0 lo")
}

// answer starts a container that answers on the ports.
func answer(p *suite.Pod, ports ...string) *suite.Container {
	c := p.Run(suite.Payload(append([]string{"answer"}, ports...)...))
	c.WaitText("answering")
	return c
}

// ask connects from the node and says one line; what comes back.
func ask(address, line string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintln(conn, line)
	got, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(got), err
}

func networkPodToPod(t *suite.T) {
	p := t.RunPod(suite.CNI)
	answer(p, "8080")
	q := t.RunPod(suite.CNI)
	c := q.Run()
	for _, ip := range p.IPs() {
		got, err := ask(net.JoinHostPort(ip, "8080"), "host")
		if err != nil || got != p.Config.Hostname {
			t.Errorf("from the node to %s: %q, %v", ip, got, err)
		}
		got = strings.TrimSpace(c.Exec("ask", ip, "8080", "host"))
		suite.Equal(t, "from pod to pod by "+ip, got, p.Config.Hostname)
	}
}

func networkLoopback(t *suite.T) {
	p := t.RunPod(suite.CNI)
	c := answer(p, "8080")
	for _, ip := range []string{"127.0.0.1", "::1"} {
		suite.Equal(t, "answer by "+ip, strings.TrimSpace(c.Exec("ask", ip, "8080", "host")), p.Config.Hostname)
	}
}

func hostPort(port int32) suite.PodOption {
	return func(c *runtimeapi.PodSandboxConfig) {
		suite.CNI(c)
		c.PortMappings = []*runtimeapi.PortMapping{{Protocol: runtimeapi.Protocol_TCP, ContainerPort: 8080, HostPort: port},
			{Protocol: runtimeapi.Protocol_UDP, ContainerPort: 8081, HostPort: 0}}
	}
}

func nodeAddress(t *suite.T) string {
	all, err := net.InterfaceAddrs()
	t.Must(err, "addresses of the node")
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !strings.HasPrefix(n.IP.String(), "10.88.") {
			return n.IP.String()
		}
	}
	t.Skipf("the node has no address of its own")
	return ""
}

func networkHostPort(t *suite.T) {
	address := nodeAddress(t)
	p := t.RunPod(hostPort(18080))
	answer(p, "8080")
	for _, ip := range []string{address, "127.0.0.1"} {
		var got string
		var err error
		if !t.Until(10*time.Second, func() bool {
			got, err = ask(ip+":18080", "host")
			return err == nil && got == p.Config.Hostname
		}) {
			t.Errorf("%s:18080: %q, %v", ip, got, err)
		}
	}
	p.Stop()
	if got, err := ask(address+":18080", "host"); err == nil {
		t.Errorf("the port still answers after the stop: %q", got)
	}
}

// The port is free again when its pod is gone.
func networkHostPortTwice(t *suite.T) {
	address := nodeAddress(t)
	for i := 0; i < 2; i++ {
		p := t.RunPod(hostPort(18081))
		answer(p, "8080")
		got, err := ask(address+":18081", "host")
		if err != nil || got != p.Config.Hostname {
			t.Errorf("time %d: %q, %v", i+1, got, err)
		}
		p.End()
	}
}

func networkHostname(t *suite.T) {
	p := t.RunPod(suite.CNI, func(c *runtimeapi.PodSandboxConfig) { c.Hostname = "a-name-of-its-own" })
	r := p.Report()
	suite.Equal(t, "host name", r.Hostname, "a-name-of-its-own")
	c := p.Run()
	suite.Equal(t, "/etc/hostname", strings.TrimSpace(c.ReadText("/etc/hostname")), "a-name-of-its-own")
	own, _ := os.Hostname()
	if own == "a-name-of-its-own" {
		t.Errorf("the node has the name")
	}
}

func networkResolv(t *suite.T) {
	p := t.RunPod(suite.CNI, func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10", "fd00::10"},
			Searches: []string{"critests.svc.cluster.local", "cluster.local"}, Options: []string{"ndots:5", "edns0"}}
	})
	got := p.Run().ReadText("/etc/resolv.conf")
	for _, want := range []string{"nameserver 10.96.0.10", "nameserver fd00::10",
		"search critests.svc.cluster.local cluster.local", "options ndots:5 edns0"} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %q in %q", want, got)
		}
	}
}

func networkResolvNode(t *suite.T) {
	own, err := os.ReadFile("/etc/resolv.conf")
	t.Must(err, "the node's resolv.conf")
	suite.Equal(t, "resolv.conf", t.RunPod(suite.CNI).Run().ReadText("/etc/resolv.conf"), string(own))
}

func networkHosts(t *suite.T) {
	p := t.RunPod(suite.CNI)
	got := p.Run().ReadText("/etc/hosts")
	if !strings.Contains(got, "127.0.0.1") || !strings.Contains(got, "localhost") {
		t.Errorf("no localhost in %q", got)
	}
	found := false
	for _, line := range strings.Split(got, "\n") {
		words := strings.Fields(line)
		found = found || len(words) > 1 && words[len(words)-1] == p.Config.Hostname
	}
	if !found {
		t.Errorf("the pod's own name is not in %q", got)
	}
}

func networkGivenBack(t *suite.T) {
	seen := map[string]bool{}
	links := len(node.Links())
	for i := 0; i < 5; i++ {
		p := t.RunPod(suite.CNI)
		ips := p.IPs()
		if len(ips) == 0 {
			t.Fatalf("no address")
		}
		if seen[ips[0]] {
			t.Logf("%s for the second time", ips[0])
		}
		seen[ips[0]] = true
		p.End()
	}
	if !t.Until(10*time.Second, func() bool { return len(node.Links()) <= links }) {
		t.Errorf("%d network links, before %d: %v", len(node.Links()), links, node.Links())
	}
	for ip := range seen {
		for _, f := range node.Files("/run/cni/networks") {
			if strings.HasSuffix(f, "/"+ip) {
				t.Errorf("%s is still reserved: %s", ip, f)
			}
		}
	}
}

func networkStopped(t *suite.T) {
	p := t.RunPod(suite.CNI)
	ip := p.IPs()[0]
	answer(p, "8080")
	p.Stop()
	if got, err := ask(ip+":8080", "host"); err == nil {
		t.Errorf("a stopped pod answers: %q", got)
	}
}

func networkTen(t *suite.T) {
	const count = 10
	pods := make([]*runtimeapi.PodSandboxConfig, count)
	for i := range pods {
		pods[i] = t.PodConfig(suite.CNI)
		t.Must(os.MkdirAll(pods[i].LogDirectory, 0o755), "log directory")
		t.Must(t.MakeCgroup(pods[i].Linux.CgroupParent), "cgroup")
	}
	t.Cleanup(func(t *suite.T) {
		for _, c := range pods {
			os.RemoveAll(c.LogDirectory)
			os.Remove(node.CgroupRoot + c.Linux.CgroupParent)
		}
	})
	errs := make(chan error, count)
	start := time.Now()
	for _, c := range pods {
		go func() { errs <- upAndDown(t, c) }()
	}
	for range pods {
		if err := <-errs; err != nil {
			t.Errorf("%v", err)
		}
	}
	t.Logf("%d pods up and down in %s", count, time.Since(start))
}

// The last plugin of the chain refuses such a rate: those before it have made an interface, and given an address.
func networkPluginFails(t *suite.T) {
	config := t.PodConfig(suite.CNI)
	config.Annotations["kubernetes.io/ingress-bandwidth"] = "1"
	links := len(node.Links())
	p, err := t.TryPod(config, "")
	if err == nil {
		p.End()
	}
	t.WantError(err, codes.OK, "bandwidth")
	suite.Equal(t, "network links", len(node.Links()), links)
	for _, left := range t.Pods(&runtimeapi.PodSandboxFilter{LabelSelector: config.Labels}) {
		t.Errorf("the pod is there: %v", left)
	}
}
