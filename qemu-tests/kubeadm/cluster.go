package kubeadm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"crisp.dev/qemu-tests/node"
)

// silenceMax: kubeadm that says nothing for so long waits for something that does not come.
const silenceMax = 4 * time.Minute

// milestones are what kubeadm prints when it has something; each counts once.
var milestones = []struct{ line, what string }{
	{"[certs] Using certificateDir folder", "preflight checks passed"},
	{"[kubeconfig] Using kubeconfig folder", "certificates"},
	{"[kubelet-start] Starting the kubelet", "kubelet started"},
	{"[kubelet-check] The kubelet is healthy", "kubelet healthy"},
	{"[control-plane-check] kube-apiserver is healthy", "API server ready"},
	{"Your Kubernetes control-plane has initialized successfully!", "kubeadm init done"},
}

// initialize runs kubeadm init, and waits until the node is ready and the cluster's own pods are.
func initialize(ctx context.Context) (*cluster, error) {
	cri, err := node.Connect(ctx, 4*time.Minute)
	if err != nil {
		return nil, err
	}
	reached("crisp answers")
	if err := images(ctx, cri); err != nil {
		return nil, err
	}
	say("kubeadm init")
	if err := kubeadmInit(ctx); err != nil {
		return nil, fmt.Errorf("kubeadm init: %w", err)
	}
	a, err := connect(adminConf)
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	if _, err := until(limit, a, "/api/v1/nodes", named("node"), told(nodeReady)); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	reached("node Ready")
	if _, err := until(limit, a, collection("v1", "kube-system", "pods"), "", told(systemReady)); err != nil {
		return nil, fmt.Errorf("pods of kube-system: %w", err)
	}
	reached("kube-proxy and CoreDNS ready")
	return &cluster{a, cri}, nil
}

// images shows what is there before anything was pulled.
func images(ctx context.Context, cri *node.CRI) error {
	list, err := cri.Images.ListImages(ctx, nil)
	if err != nil {
		return err
	}
	say("%d images are there, baked: nothing is imported or pulled", len(list))
	for _, i := range list {
		fmt.Printf("%10d KiB  pinned %v  %s\n", i.Size/1024, i.Pinned, strings.Join(i.RepoTags, " "))
		if !i.Pinned {
			return fmt.Errorf("image %v of the read-only store is not pinned", i.RepoTags)
		}
	}
	return nil
}

func kubeadmInit(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "kubeadm", "init", "--config", configFile)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+adminConf)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	go func() { in.CloseWithError(cmd.Run()) }()
	silent := time.AfterFunc(silenceMax, func() { diagnose(ctx) })
	defer silent.Stop()
	return follow(out, silent)
}

// follow prints what kubeadm says, with the time, and notes what it has reached; its error is how the program ended. silent goes
// off if it says nothing for too long.
func follow(out io.Reader, silent *time.Timer) error {
	lines, last := bufio.NewReader(out), 0
	for {
		line, err := lines.ReadString('\n')
		silent.Reset(silenceMax)
		if line != "" {
			fmt.Printf("[%6.1f s] %s\n", node.Uptime().Seconds(), strings.TrimRight(line, "\n"))
		}
		for i := last; i < len(milestones); i++ {
			if strings.Contains(line, milestones[i].line) {
				reached(milestones[i].what)
				last = i + 1
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// told is missing, which also prints what is when that changes: emulated, the wait is long.
func told[T any](missing func(objects[T]) string) func(objects[T]) string {
	last := ""
	return func(all objects[T]) string {
		now := missing(all)
		if now != last && now != "" {
			fmt.Printf("[%6.1f s] not yet: %s\n", node.Uptime().Seconds(), now)
		}
		last = now
		return now
	}
}

func nodeReady(nodes objects[corev1.Node]) string {
	for _, condition := range nodes["node"].Status.Conditions {
		if condition.Type == corev1.NodeReady {
			if condition.Status == corev1.ConditionTrue {
				return ""
			}
			return condition.Message
		}
	}
	return "it has no condition Ready"
}

// systemReady: four static pods, kube-proxy, two of CoreDNS.
func systemReady(pods objects[corev1.Pod]) string {
	const count = 7
	for name, pod := range pods {
		if problem := podReady(pod); problem != "" {
			return name + ": " + problem
		}
	}
	if len(pods) < count {
		return fmt.Sprintf("there are %d of %d", len(pods), count)
	}
	return ""
}

// diagnose prints what helps to find out why something is not as it should be.
func diagnose(ctx context.Context) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"crisp", "pods"}, {"crisp", "ps", "-a"}, {"kubectl", "get", "pods", "-A", "-o", "wide"},
		{"kubectl", "get", "events", "-A", "--sort-by=.lastTimestamp"},
	} {
		show(limit, args...)
	}
	// those of the cluster's own pods; which is which, the table above says
	containers, _ := command(limit, "", "crisp", "ps", "-aq", "--namespace", "kube-system")
	for _, id := range strings.Fields(containers) {
		show(limit, "crisp", "logs", "--tail", "25", id)
	}
	fmt.Printf("---- the kubelet's log\n%s\n---- the runtime's log\n%s\n", node.Log("kubelet", 60), node.Log(node.Runtime(), 60))
}

// look prints the node as a person would look at it.
func look(ctx context.Context) {
	say("the cluster, looked at")
	show(ctx, "kubectl", "get", "nodes", "-o", "wide")
	show(ctx, "kubectl", "get", "pods", "-A")
	show(ctx, "crisp", "ps")
	fmt.Printf("\n%-28s %8s %8s KiB\n", "", "RSS", "PSS")
	rss, pss := node.Memory(node.ServicePID(node.Runtime()))
	fmt.Printf("%-28s %8d %8d\n", node.Runtime(), rss, pss)
	helpers, total := node.Helpers(), 0
	for _, p := range helpers {
		_, pss := node.Memory(p.PID)
		total += pss
	}
	fmt.Printf("%-28s %8s %8d\n", fmt.Sprintf("%d monitors", len(helpers)), "", total)
	busiest(12)
}

// busiest prints who has had most of the processors.
func busiest(count int) {
	type entry struct {
		name string
		time time.Duration
	}
	var all []entry
	for _, p := range node.Processes() {
		all = append(all, entry{p.Comm, node.ProcessorTime(p.PID)})
	}
	sort.Slice(all, func(i, k int) bool { return all[i].time > all[k].time })
	fmt.Printf("\nprocessor time of %.0f s\n", node.Uptime().Seconds())
	for _, e := range all[:min(count, len(all))] {
		fmt.Printf("%8.1f s  %s\n", e.time.Seconds(), e.name)
	}
}

func show(ctx context.Context, args ...string) {
	fmt.Printf("\nnode# %s\n", strings.Join(args, " "))
	out, err := command(ctx, "", args...)
	fmt.Print(out)
	if err != nil {
		fmt.Printf("(%v)\n", err)
	}
}
