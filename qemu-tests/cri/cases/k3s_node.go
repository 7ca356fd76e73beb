package cases

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/suite"
)

const (
	k3sData    = "/var/lib/rancher/k3s"
	k3sRun     = "/run/k3s"
	k3sRelease = "0c4d3b2a"      // of data/: a digest in truth
	k3sDropIn  = "metrics.toml"  // of the machine's, which names a socket that is taken
	k3sCgroup  = "/k3s-monitors" // of serve's
	k3sRuntime = "/critests-k3s" // --runtime-cgroups
	k3sKubeDir = "/var/lib/rancher/kubelet"
)

// k3sNode is serve and a kubelet where k3s has its files, beside what the suite tests.
type k3sNode struct {
	socket         string
	serve, kubelet *exec.Cmd
	cri            *suite.Env
}

// The settings that make crisp the runtime of a k3s agent.
const k3sConfig = `root = "/var/lib/rancher/k3s/agent/crisp"
state = "/run/k3s/crisp"
listen = "unix:///run/k3s/crisp/crisp.sock"
certs_dir = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"
cni_conf_dir = "/var/lib/rancher/k3s/agent/etc/cni/net.d"
cni_bin_dirs = ["/var/lib/rancher/k3s/data/cni", "/var/lib/rancher/k3s/data/current/bin"]
monitor_cgroup = "` + k3sCgroup + `"
`

// defaultKubeletConfig of k3s' pkg/daemons/agent, as it is marshalled; certificates are the machine's.
const k3sKubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication:
  anonymous: { enabled: false }
  webhook: { cacheTTL: 2m0s, enabled: true }
  x509: { clientCAFile: /etc/pki/ca.crt }
authorization:
  mode: Webhook
  webhook: { cacheAuthorizedTTL: 5m0s, cacheUnauthorizedTTL: 30s }
cgroupDriver: cgroupfs
clusterDNS: [10.43.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/k3s/crisp/crisp.sock
cpuManagerReconcilePeriod: 10s
evictionHard: { imagefs.available: 5%, nodefs.available: 5% }
evictionMinimumReclaim: { imagefs.available: 10%, nodefs.available: 10% }
evictionPressureTransitionPeriod: 5m0s
failSwapOn: false
fileCheckFrequency: 20s
healthzBindAddress: 127.0.0.1
httpCheckFrequency: 20s
imageMinimumGCAge: 2m0s
imageServiceEndpoint: unix:///run/k3s/crisp/crisp.sock
allowedUnsafeSysctls: [net.ipv4.ip_forward, net.ipv6.conf.all.forwarding]
logging: { flushFrequency: 5000000000, format: text, verbosity: 2 }
nodeStatusReportFrequency: 5m0s
nodeStatusUpdateFrequency: 10s
resolvConf: /etc/resolv.conf
runtimeRequestTimeout: 2m0s
serializeImagePulls: false
staticPodPath: /var/lib/rancher/k3s/agent/pod-manifests
streamingConnectionIdleTimeout: 4h0m0s
syncFrequency: 1m0s
tlsCertFile: /etc/pki/kubelet.crt
tlsPrivateKeyFile: /etc/pki/kubelet.key
volumeStatsAggPeriod: 1m0s
`

// There is no API server here that would answer a webhook: in the directory of drop-ins, which is thus seen to be read.
const k3sKubeletDropIn = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  webhook: { enabled: false }
authorization:
  mode: AlwaysAllow
`

// k3sPrepare lays the files out, and takes all of it away at the end.
func k3sPrepare(t *suite.T) *k3sNode {
	n := &k3sNode{socket: k3sRun + "/crisp/crisp.sock"}
	for _, dir := range []string{"agent/etc/cni/net.d", "agent/etc/kubelet.conf.d", "agent/pod-manifests", "agent/images"} {
		t.Must(os.MkdirAll(n.path(dir), 0o700), "directory")
	}
	t.Cleanup(n.remove)
	n.write(t, "agent/etc/crisp.toml", k3sConfig, 0o600)
	n.write(t, "agent/etc/kubelet.conf", k3sKubeletConfig, 0o600)
	n.write(t, "agent/etc/kubelet.conf.d/99-critests.conf", k3sKubeletDropIn, 0o600)
	// one program under many names, in a directory that a link named current leads to
	n.write(t, "data/"+k3sRelease+"/bin/cni", "#!/bin/sh\nexec /opt/cni/bin/\"${0##*/}\"\n", 0o755)
	t.Must(os.Symlink(k3sRelease, n.path("data/current")), "current")
	for _, name := range []string{"bridge", "host-local", "loopback", "portmap", "bandwidth"} {
		t.Must(os.Symlink("cni", n.path("data/current/bin/"+name)), "plugin")
	}
	return n
}

// credentials are given by a program in the directories where k3s looks for one.
func (n *k3sNode) credentials(t *suite.T, host, user, password string) {
	n.write(t, "../credentialprovider/bin/critests", fmt.Sprintf("#!/bin/sh\ncat >/dev/null\necho '"+
		`{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry",`+
		`"cacheDuration":"1m","auth":{"%s":{"username":"%s","password":"%s"}}}`+"'\n", host, user, password), 0o755)
	n.write(t, "../credentialprovider/config.yaml", "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n"+
		"- { name: critests, apiVersion: credentialprovider.kubelet.k8s.io/v1, matchImages: [\""+host+"\"], defaultCacheDuration: 1m }\n", 0o600)
}

func (n *k3sNode) start(t *suite.T, name string, command ...string) *exec.Cmd {
	log, err := os.Create(filepath.Join(k3sRun, name+".log"))
	t.Must(err, "log")
	defer log.Close()
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = log, log
	t.Must(c.Start(), "%s", name)
	return c
}

// log is the end of it.
func (n *k3sNode) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(k3sRun, name+".log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

func (n *k3sNode) startServe(t *suite.T) {
	t.Must(os.MkdirAll(k3sRun, 0o711), "directory")
	dropIn := filepath.Join(t.State, "config.d", k3sDropIn)
	t.Must(os.MkdirAll(filepath.Dir(dropIn), 0o755), "drop-ins")
	t.Must(os.WriteFile(dropIn, nil, 0o644), "drop-in")
	n.serve = n.start(t, "serve", "/usr/bin/crisp", "serve", "--config", n.path("agent/etc/crisp.toml"))
	if !t.Until(30*time.Second, func() bool { return agentAsks(n.socket) == nil }) {
		t.Fatalf("serve does not answer:\n%s", n.log("serve"))
	}
	os.Remove(dropIn)
	os.Remove(filepath.Dir(dropIn))
	var err error
	n.cri, err = suite.NewEnv(suite.Options{Endpoint: "unix://" + n.socket, Runtime: "crisp"})
	t.Must(err, "connection")
}

// startKubelet with the flags of kubeletArgsAndConfig; --kubeconfig is left out: alone, the kubelet runs static pods.
func (n *k3sNode) startKubelet(t *suite.T) {
	t.Must(os.MkdirAll(node.CgroupRoot+k3sRuntime, 0o755), "cgroup")
	n.kubelet = n.start(t, "kubelet", "/usr/bin/kubelet", "--config="+n.path("agent/etc/kubelet.conf"),
		"--config-dir="+n.path("agent/etc/kubelet.conf.d"), "--read-only-port=0", "--cloud-provider=external",
		"--hostname-override=node", "--node-ip=192.168.77.10", "--node-labels=", "--runtime-cgroups="+k3sRuntime,
		"--root-dir="+k3sKubeDir, "--cert-dir="+k3sKubeDir+"/pki",
		"--image-credential-provider-bin-dir="+n.path("../credentialprovider/bin"),
		"--image-credential-provider-config="+n.path("../credentialprovider/config.yaml"))
}

func (n *k3sNode) condition(t *suite.T, name string) bool {
	r, err := n.cri.CRI.Status(t.Ctx, &runtimeapi.StatusRequest{})
	t.Must(err, "Status")
	for _, c := range r.Status.Conditions {
		if c.Type == name {
			return c.Status
		}
	}
	t.Fatalf("there is no condition %s", name)
	return false
}

func end(c *exec.Cmd) {
	if c != nil {
		c.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
		c.Wait()
		timer.Stop()
	}
}

// remove ends all of it: what is left after this is a leak.
func (n *k3sNode) remove(t *suite.T) {
	end(n.kubelet)
	if n.cri != nil {
		pods, err := n.cri.CRI.ListPodSandbox(t.Ctx, &runtimeapi.ListPodSandboxRequest{})
		t.Must(err, "ListPodSandbox")
		for _, p := range pods.Items {
			_, err := n.cri.CRI.StopPodSandbox(t.Ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.Id})
			t.Must(err, "StopPodSandbox")
			_, err = n.cri.CRI.RemovePodSandbox(t.Ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.Id})
			t.Must(err, "RemovePodSandbox")
		}
		n.cri.Conn.Close()
	}
	end(n.serve)
	for _, m := range node.Mounts(os.Getpid()) {
		if strings.HasPrefix(m.Point, k3sRun) || strings.HasPrefix(m.Point, k3sKubeDir) {
			unix.Unmount(m.Point, unix.MNT_DETACH)
		}
	}
	for _, dir := range []string{"/var/lib/rancher", k3sRun} {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("%v", err)
		}
	}
	for _, parent := range []string{"/kubepods", k3sCgroup, k3sRuntime} {
		for i, all := 0, node.Cgroups(parent); i < len(all); i++ {
			os.Remove(node.CgroupRoot + all[len(all)-1-i])
		}
	}
	exec.Command("ip", "link", "delete", "k3s0").Run()
}
