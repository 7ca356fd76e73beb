package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// networks are the two kinds of pods: what CNI plugins take is no runtime's merit.
var networks = []struct {
	name string
	host bool
}{{"host network", true}, {"CNI", false}}

// pod is one of a single container, and what is known of it.
type pod struct {
	c             *contestant
	config        *runtimeapi.PodSandboxConfig
	id, container string
	host          bool
}

var podCount int

// newPod is the smallest configuration that a kubelet would send.
func newPod(c *contestant, host bool) *pod {
	mode := runtimeapi.NamespaceMode_POD
	if host {
		mode = runtimeapi.NamespaceMode_NODE
	}
	podCount++
	name := fmt.Sprintf("p%d", podCount)
	return &pod{c: c, host: host, config: &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "bench", Uid: "bench-" + name},
		LogDirectory: "/var/log/pods/bench_" + name,
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: cgroupParent(name),
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Network: mode, Pid: runtimeapi.NamespaceMode_CONTAINER},
				Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
			},
		},
	}}
}

// containerConfig is one that stays, under the default seccomp profile and a memory limit, as most are.
func (p *pod) containerConfig() *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
		Image:    &runtimeapi.ImageSpec{Image: small},
		Command:  []string{"/bin/sleep", "1000000"},
		LogPath:  "main.log",
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources: &runtimeapi.LinuxContainerResources{CpuShares: 102, MemoryLimitInBytes: 64 << 20},
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
				Seccomp:          p.config.Linux.SecurityContext.Seccomp,
			},
		},
	}
}

// cgroupParent is a pod's as the kubelet names it for either driver.
func cgroupParent(name string) string {
	if node.Systemd() {
		return "/bench.slice/bench-" + name + ".slice"
	}
	return "/bench/" + name
}

// call is told of each call how long it took; may be nil.
type call func(name string, took time.Duration)

// steps makes calls until one fails.
type steps struct {
	told call
	err  error
}

func (s *steps) do(name string, f func() error) {
	if s.err != nil {
		return
	}
	began := time.Now()
	if s.err = f(); s.err != nil {
		s.err = fmt.Errorf("%s: %w", name, s.err)
	} else if s.told != nil {
		s.told(name, time.Since(began))
	}
}

func (p *pod) up(ctx context.Context, told call) error {
	if err := os.MkdirAll(p.config.LogDirectory, 0o755); err != nil {
		return err
	}
	s := steps{told: told}
	cri := p.c.cri
	began := time.Now()
	s.do("RunPodSandbox", func() (err error) { p.id, err = cri.RunPodSandbox(ctx, p.config, ""); return })
	s.do("CreateContainer", func() (err error) {
		p.container, err = cri.CreateContainer(ctx, p.id, p.containerConfig(), p.config)
		return
	})
	s.do("StartContainer", func() error { return cri.StartContainer(ctx, p.container) })
	if s.err == nil && told != nil {
		told("up: those three", time.Since(began))
	}
	return s.err
}

func (p *pod) exec(ctx context.Context) error {
	_, _, err := p.c.cri.ExecSync(ctx, p.container, []string{"/bin/payload", "exit", "0"}, time.Minute)
	return err
}

func (p *pod) down(ctx context.Context, told call) error {
	defer os.RemoveAll(p.config.LogDirectory)
	s := steps{told: told}
	cri := p.c.cri
	began := time.Now()
	s.do("StopContainer", func() error { return cri.StopContainer(ctx, p.container, 0) })
	s.do("RemoveContainer", func() error { return cri.RemoveContainer(ctx, p.container) })
	s.do("StopPodSandbox", func() error { return cri.StopPodSandbox(ctx, p.id) })
	s.do("RemovePodSandbox", func() error { return cri.RemovePodSandbox(ctx, p.id) })
	if s.err == nil && told != nil {
		told("down: those four", time.Since(began))
	}
	return s.err
}

// life: pods one after another, each runtime's in its turn.
func life(ctx context.Context, all []*contestant, p plan) error {
	t, stages := times{group: "life", unit: "ms"}, times{group: "stages", unit: "ms"}
	for round := range p.pods + 1 {
		for _, network := range networks {
			if !strings.HasPrefix(network.name, node.CommandLine("crisp.network", "")) {
				continue
			}
			for _, c := range turns(all, round) {
				told := func(name string, took time.Duration) { t.add(c, name, network.name, ms(took)) }
				if round == 0 { // what is made once: a bridge, rules, caches
					told = nil
				}
				one := newPod(c, network.host)
				if err := one.up(ctx, told); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				if round > 0 {
					one.addStages(ctx, &stages)
				}
				if err := one.down(ctx, told); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
		}
	}
	t.tell()
	stages.tell()
	return nil
}

// Show prints the medians of a runtime's calls, for the demo: it has made its first pods.
func Show(ctx context.Context, cri *node.CRI, count int) error {
	c := &contestant{cri: cri}
	t := times{unit: "ms"}
	for _, network := range networks {
		for range count {
			told := func(name string, took time.Duration) { t.add(c, name, network.name, ms(took)) }
			one := newPod(c, network.host)
			if err := one.up(ctx, told); err != nil {
				return fmt.Errorf("%s: %w", network.name, err)
			}
			began := time.Now()
			if err := one.exec(ctx); err != nil {
				return fmt.Errorf("%s: %w", network.name, err)
			}
			told("ExecSync", time.Since(began))
			if err := one.down(ctx, told); err != nil {
				return fmt.Errorf("%s: %w", network.name, err)
			}
		}
	}
	fmt.Printf("%-18s %12s %12s   median of %d, ms\n", "", networks[0].name, networks[1].name, count)
	for _, key := range t.order {
		if s := t.values[key]; s.Case == networks[0].name {
			other := t.values[s.What+"/"+networks[1].name+"/"]
			fmt.Printf("%-18s %12.1f %12.1f\n", s.What, s.Median(), other.Median())
		}
	}
	return nil
}

// execs: in one container of each runtime, call by call.
func execs(ctx context.Context, all []*contestant, p plan) error {
	t := times{group: "life", unit: "ms"}
	pods := map[*contestant]*pod{}
	for _, c := range all {
		pods[c] = newPod(c, true)
		if err := pods[c].up(ctx, nil); err != nil {
			return err
		}
	}
	for round := range p.execs + 1 {
		for _, c := range turns(all, round) {
			began := time.Now()
			if err := pods[c].exec(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				t.add(c, "ExecSync", "", ms(time.Since(began)))
			}
		}
	}
	t.tell()
	for _, c := range all {
		if err := pods[c].down(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// each calls f for all pods at the same time; the first error is the answer.
func each(pods []*pod, f func(*pod) error) error {
	answers := make(chan error, len(pods))
	for _, one := range pods {
		go func() { answers <- f(one) }()
	}
	var first error
	for range pods {
		if err := <-answers; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// atOnce: ten pods with CNI, all called for at the same time.
func atOnce(ctx context.Context, all []*contestant, p plan) error {
	t := times{group: "life", unit: "ms"}
	for round := range p.rounds {
		for _, c := range turns(all, round) {
			pods := make([]*pod, 10)
			for i := range pods {
				pods[i] = newPod(c, false)
			}
			began := time.Now()
			if err := each(pods, func(one *pod) error { return one.up(ctx, nil) }); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			t.add(c, "ten at once, up", "CNI", ms(time.Since(began)))
			began = time.Now()
			if err := each(pods, func(one *pod) error { return one.down(ctx, nil) }); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			t.add(c, "ten at once, down", "CNI", ms(time.Since(began)))
		}
	}
	t.tell()
	return nil
}
