package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
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
	servicesMax = 15 * time.Minute // until one is ready, on a loaded host
	// where the API server looks for its certificate before it makes one
	certificates = "/var/run/kubernetes"
)

// A service runs as long as the specs do.
type service struct {
	name  string
	cmd   *exec.Cmd
	ended chan error
}

// services are etcd with the API server, and the kubelet. The test program would start them itself, but it gives the node
// two minutes to become ready, which are few when the processor is emulated.
func services() ([]*service, error) {
	if err := files(); err != nil {
		return nil, err
	}
	apiserver, err := begin("services", "./e2e_node.test", "--run-services-mode", "--bearer-token="+token,
		"--server-start-timeout="+servicesMax.String())
	if err != nil {
		return nil, err
	}
	// not earlier: its first hundreds of attempts at a connection would keep the API server from starting
	all := []*service{apiserver}
	err = wait(all, "API server", "/healthz", nil)
	if err == nil {
		var kubelet *service
		kubelet, err = begin("kubelet", "/usr/bin/kubelet", "--config=/etc/conformance/kubelet.yaml",
			"--kubeconfig="+kubeconfig, "--hostname-override=node", "--node-ip=192.168.77.10",
			"--root-dir=/var/lib/kubelet", "--runtime-cgroups=/services/"+node.Runtime(), "--v=2")
		if err == nil {
			all = append(all, kubelet)
			err = wait(all, "node", "/api/v1/nodes/node", isReady)
		}
	}
	if err != nil {
		stop(all)
		return nil, err
	}
	return all, nil
}

// files are what the services find. A key of the API server's that it need not make, and that costs an emulated
// processor less than the RSA key which it would make.
func files() error {
	for _, dir := range []string{staticPods, certificates} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	certificate, key, err := keyPair()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(kubeconfig, []byte(kubeconfigText), 0o600),
		os.WriteFile(certificates+"/apiserver.crt", certificate, 0o644),
		os.WriteFile(certificates+"/apiserver.key", key, 0o600))
}

// keyPair makes a certificate that signs itself; nobody checks it.
func keyPair() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "apiserver"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	text, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}), nil
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

// wait waits until the API server answers at path, and check, if there is one, is content with what it answers.
func wait(all []*service, what, path string, check func(io.Reader) error) error {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, TLSHandshakeTimeout: time.Minute}}
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
		if why = ask(client, path, check); why == nil {
			fmt.Printf("the %s is ready, %.0f s since power-on\n", what, node.Uptime().Seconds())
			return nil
		}
	}
	logs(20)
	return fmt.Errorf("the %s is not ready after %v: %w", what, servicesMax, why)
}

func ask(client *http.Client, path string, check func(io.Reader) error) error {
	request, err := http.NewRequest(http.MethodGet, api+path, nil)
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
	if check == nil {
		return nil
	}
	return check(answer.Body)
}

// isReady reads a node's object.
func isReady(object io.Reader) error {
	var is struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.NewDecoder(object).Decode(&is); err != nil {
		return err
	}
	for _, c := range is.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		}
		if c.Type == "Ready" {
			return fmt.Errorf("%s", c.Message)
		}
	}
	return fmt.Errorf("it has no condition Ready yet")
}
