package conformance

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"crisp.dev/qemu-tests/node"
)

const (
	token       = "of-the-tests"
	api         = "https://127.0.0.1:6443"
	kubeconfig  = work + "/kubeconfig"
	staticPods  = work + "/static-pods"
	servicesMax = 15 * time.Minute // until all are ready, on a loaded host
)

// A service runs as long as the specs do.
type service struct {
	name  string
	cmd   *exec.Cmd
	ended chan error
}

// services are etcd with the API server, and the kubelet. The test program would start them itself, but one after the
// other, and it gives a node two minutes to become ready, which are few when the processor is emulated.
func services() ([]*service, error) {
	if err := os.WriteFile(kubeconfig, []byte(kubeconfigText), 0o600); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(staticPods, 0o755); err != nil {
		return nil, err
	}
	apiserver, err := begin("services", "./e2e_node.test", "--run-services-mode", "--bearer-token="+token)
	if err != nil {
		return nil, err
	}
	kubelet, err := begin("kubelet", "/usr/bin/kubelet", "--config=/etc/conformance/kubelet.yaml",
		"--kubeconfig="+kubeconfig, "--hostname-override=node", "--node-ip=192.168.77.10",
		"--root-dir=/var/lib/kubelet", "--v=2")
	all := []*service{apiserver}
	if err == nil {
		all = append(all, kubelet)
		err = nodeReady(all)
	}
	if err != nil {
		stop(all)
		return nil, err
	}
	fmt.Printf("the node is ready, %.0f s since power-on\n", node.Uptime().Seconds())
	return all, nil
}

const kubeconfigText = `apiVersion: v1
kind: Config
users: [{name: kubelet, user: {token: ` + token + `}}]
clusters: [{name: local, cluster: {server: "` + api + `", insecure-skip-tls-verify: true}}]
contexts: [{name: local, context: {cluster: local, user: kubelet}}]
current-context: local
`

// begin starts a program whose output goes to logs/NAME.log.
func begin(name string, argv ...string) (*service, error) {
	log, err := os.Create(filepath.Join(work, "logs", name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &service{name: name, cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan error, 1)}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env = work, log, log, environment()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s, nil
}

func stop(all []*service) {
	for _, s := range all {
		_ = s.cmd.Process.Kill()
	}
}

// nodeReady waits until the API server says that the node is ready.
func nodeReady(all []*service) error {
	client := &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	var why error
	for until := time.Now().Add(servicesMax); time.Now().Before(until); time.Sleep(time.Second) {
		for _, s := range all {
			select {
			case err := <-s.ended:
				logs(20)
				return fmt.Errorf("%s ended: %v", s.name, err)
			default:
			}
		}
		if why = isReady(client); why == nil {
			return nil
		}
	}
	logs(20)
	return fmt.Errorf("the node is not ready after %v: %w", servicesMax, why)
}

func isReady(client *http.Client) error {
	request, err := http.NewRequest(http.MethodGet, api+"/api/v1/nodes/node", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	var is struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&is); err != nil {
		return err
	}
	for _, c := range is.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		}
		if c.Type == "Ready" {
			err = fmt.Errorf("%s", c.Message)
		}
	}
	if err == nil {
		err = fmt.Errorf("it has no condition Ready yet")
	}
	return err
}
