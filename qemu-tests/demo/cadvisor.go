package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"crisp.dev/qemu-tests/node"
)

const (
	dropIn       = "/run/crisp/config.d/50-cadvisor.toml"
	dropInText   = "cadvisor_listen = \"unix:///run/crio/crio.sock\"\n"
	cadvisorURL  = "http://127.0.0.1:10255/metrics/cadvisor"
	summaryURL   = "http://127.0.0.1:10255/stats/summary"
	metricsBytes = 32 << 20
)

// knownToCadvisor has crisp answer cAdvisor, which is in the kubelet and asks when that starts. A pod that is there
// already keeps its cgroups.
func knownToCadvisor(ctx context.Context) error {
	if node.Runtime() != "crisp" {
		return nil
	}
	if err := os.MkdirAll("/run/crisp/config.d", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(dropIn, []byte(dropInText), 0o644); err != nil {
		return err
	}
	before := node.ServicePID("crisp")
	if err := node.Control("stop", "crisp"); err != nil {
		return err
	}
	if err := node.WaitService("crisp", 0, false, 30*time.Second); err != nil {
		return err
	}
	if err := node.Control("start", "crisp"); err != nil {
		return err
	}
	if err := node.WaitService("crisp", before, true, 30*time.Second); err != nil {
		return err
	}
	_, err := node.Connect(ctx, time.Minute)
	return err
}

// labelled: the kubelet's metrics, with its default gates, say whose they are.
func labelled(_ context.Context, _ *node.CRI, pod *corev1.Pod) string {
	if pod == nil {
		return phase(pod)
	}
	text, err := fetch(cadvisorURL)
	if err != nil {
		return err.Error()
	}
	for _, want := range []struct{ metric, words string }{
		{"container_cpu_usage_seconds_total", `container="server" image="registry.test:5000/toybox:1" namespace="demo" pod="web-node"`},
		{"container_memory_working_set_bytes", `container="server" namespace="demo" pod="web-node"`},
		{"container_network_receive_bytes_total", `interface="eth0" namespace="demo" pod="web-node"`},
	} {
		if !hasMetric(text, want.metric, strings.Fields(want.words)) {
			return fmt.Sprintf("%s has no %s with %s", cadvisorURL, want.metric, want.words)
		}
	}
	return podNetwork()
}

func hasMetric(text, metric string, words []string) bool {
line:
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, metric+"{") {
			continue
		}
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue line
			}
		}
		return true
	}
	return false
}

func podNetwork() string {
	text, err := fetch(summaryURL)
	if err != nil {
		return err.Error()
	}
	var summary stats.Summary
	if err := json.Unmarshal([]byte(text), &summary); err != nil {
		return fmt.Sprintf("%s: %v", summaryURL, err)
	}
	for _, pod := range summary.Pods {
		if pod.PodRef.Name == "web-node" && pod.Network != nil && pod.Network.RxBytes != nil && *pod.Network.RxBytes > 0 {
			return ""
		}
	}
	return summaryURL + " has no network of web"
}

func fetch(url string) (string, error) {
	client := http.Client{Timeout: 30 * time.Second}
	reply, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, metricsBytes))
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", url, reply.Status, body)
	}
	return string(body), err
}
