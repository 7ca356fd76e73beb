package survival

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

const (
	cgroupParent = "/sys/fs/cgroup/survival"
	logs         = "/var/log/pods/survival"
	podImage     = node.Registry + "/toybox:1"
	jobsKept     = 4 // ended containers that a boot leaves for the next to find
)

// References are the images of the load, and of the truth.
func References() []string {
	all := []string{podImage}
	for _, unit := range units {
		all = append(all, unit...)
	}
	return all
}

// units are pulled and removed by one worker each. References of one image are one unit: who removes one removes them all.
var units = [][]string{
	{node.Registry + "/debian:1", node.Registry + "/debian:zstd"},
	{ImportedFrom, Imported},
	{node.Registry + "/multi:1"},
}

// Imported is a name that no registry has: its image comes from Layout, where it is that of ImportedFrom.
const (
	Imported     = node.Registry + "/imported:1"
	ImportedFrom = node.Registry + "/config:1"
	Layout       = "/etc/survival/layout"
)

var auth = &runtimeapi.AuthConfig{Username: node.User, Password: node.Password}

// load is what the node does when its power goes.
type load struct {
	cri    *node.CRI
	boot   int
	serial atomic.Int64
}

// trouble is told, and told to the host: under load nothing may fail.
func trouble(err error, format string, args ...any) bool {
	if err != nil {
		say(WordProblem, "%s: %v", fmt.Sprintf(format, args...), err)
	}
	return err != nil
}

// pull a reference, or import it.
func pull(ctx context.Context, cri *node.CRI, reference string) error {
	if reference == Imported {
		if out, err := exec.CommandContext(ctx, "/usr/bin/crisp", "import", Imported+"="+Layout).CombinedOutput(); err != nil {
			return fmt.Errorf("crisp import: %w: %s", err, out)
		}
		say(WordImported, "%s", reference)
		return nil
	}
	_, err := cri.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: reference}, auth, nil)
	if err == nil {
		say(WordPulled, "%s", reference)
	}
	return err
}

// images pulls and removes the references of some units, until a failure.
func (l *load) images(ctx context.Context, rng *rand.Rand, mine [][]string) {
	for {
		unit := mine[rng.IntN(len(mine))]
		reference := unit[rng.IntN(len(unit))]
		id, err := l.imageOf(ctx, unit)
		switch {
		case err != nil:
		case id == "":
			err = pull(ctx, l.cri, reference)
		default:
			say(WordDropping, "%s", strings.Join(unit, " "))
			err = l.cri.Images.RemoveImage(ctx, &runtimeapi.ImageSpec{Image: id})
		}
		if trouble(err, "%s", reference) {
			return
		}
	}
}

// imageOf is the ID of what a unit's references name; "" if none is there.
func (l *load) imageOf(ctx context.Context, unit []string) (string, error) {
	for _, reference := range unit {
		reply, err := l.cri.Images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: reference}, false)
		if err != nil || reply.Image != nil {
			return reply.GetImage().GetId(), err
		}
	}
	return "", nil
}

func (l *load) podConfig(network bool) *runtimeapi.PodSandboxConfig {
	name := fmt.Sprintf("p%d-%d", l.boot, l.serial.Add(1))
	options := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	if !network {
		options.Network = runtimeapi.NamespaceMode_NODE
	}
	return &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "survival", Uid: "uid-" + name},
		LogDirectory: filepath.Join(logs, name),
		Labels:       map[string]string{"boot": fmt.Sprint(l.boot)},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    "/survival/" + name,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: options},
		},
	}
}

// delegate gives a cgroup's children all controllers.
func delegate(dir string) {
	text, _ := os.ReadFile(dir + "/cgroup.controllers")
	for _, name := range strings.Fields(string(text)) {
		_ = os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+name), 0)
	}
}

// pod makes one, as the kubelet does: its cgroup and directory first.
func (l *load) pod(ctx context.Context, config *runtimeapi.PodSandboxConfig) (string, error) {
	cgroup := "/sys/fs/cgroup" + config.Linux.CgroupParent
	for _, dir := range []string{cgroup, config.LogDirectory} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	delegate(cgroupParent)
	delegate(cgroup)
	return l.cri.RunPodSandbox(ctx, config, "")
}

// container runs a command in the pod.
func (l *load) container(ctx context.Context, pod string, config *runtimeapi.PodSandboxConfig, command ...string) (string, error) {
	name := fmt.Sprintf("c%d", l.serial.Add(1))
	id, err := l.cri.CreateContainer(ctx, pod, &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: podImage},
		Command:  command,
		LogPath:  name + ".log",
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: config.Linux.SecurityContext.NamespaceOptions}},
	}, config)
	if err != nil {
		return "", err
	}
	return id, l.cri.StartContainer(ctx, id)
}

// job runs a container to its end and says so; the kubelet would tell the world.
func (l *load) job(ctx context.Context, pod string, config *runtimeapi.PodSandboxConfig, code int) (string, error) {
	id, err := l.container(ctx, pod, config, "/bin/payload", "exit", fmt.Sprint(code))
	if err != nil {
		return id, err
	}
	var status *runtimeapi.ContainerStatus
	ended := until(time.Minute, func() bool {
		reply, e := l.cri.ContainerStatus(ctx, id, false)
		if e != nil {
			err = e
			return true
		}
		status = reply.Status
		return status.State == runtimeapi.ContainerState_CONTAINER_EXITED
	})
	switch {
	case err != nil:
		return id, err
	case !ended:
		return id, fmt.Errorf("container %s does not end", id)
	case int(status.ExitCode) != code:
		return id, fmt.Errorf("container %s ended with %d, not %d", id, status.ExitCode, code)
	}
	say(WordEnded, "%s %d", id, code)
	return id, nil
}

func removeCgroup(config *runtimeapi.PodSandboxConfig) error {
	return os.Remove("/sys/fs/cgroup" + config.Linux.CgroupParent)
}

// life is a pod's, from one end to the other, but for a job that stays.
func (l *load) life(ctx context.Context, rng *rand.Rand, keep bool) error {
	config := l.podConfig(rng.IntN(3) == 0)
	pod, err := l.pod(ctx, config)
	if err != nil {
		return fmt.Errorf("RunPodSandbox: %w", err)
	}
	if _, err := l.container(ctx, pod, config, "/bin/payload", "pause"); err != nil {
		return err
	}
	job, err := l.job(ctx, pod, config, []int{0, 0, 0, 7}[rng.IntN(4)])
	if err != nil {
		return err
	}
	if err := l.cri.StopPodSandbox(ctx, pod); err != nil || keep {
		return err
	}
	say(WordRemoving, "%s", job)
	if err := l.cri.RemovePodSandbox(ctx, pod); err != nil {
		return err
	}
	return removeCgroup(config)
}

func (l *load) pods(ctx context.Context, rng *rand.Rand) {
	for kept := 0; ; {
		keep := kept < jobsKept && rng.IntN(3) == 0
		if trouble(l.life(ctx, rng, keep), "a pod's life") {
			return
		}
		if keep {
			kept++
		}
	}
}

// removeOld takes away what earlier boots have left, but for some of the jobs, as a kubelet would.
func (l *load) removeOld(ctx context.Context, keep int) error {
	pods, err := l.cri.ListPodSandbox(ctx, nil)
	if err != nil {
		return err
	}
	slices.SortFunc(pods, func(a, b *runtimeapi.PodSandbox) int { return int(b.CreatedAt - a.CreatedAt) })
	for i, p := range pods {
		if i < keep {
			continue
		}
		containers, err := l.cri.ListContainers(ctx, &runtimeapi.ContainerFilter{PodSandboxId: p.Id})
		if err != nil {
			return err
		}
		for _, c := range containers {
			say(WordRemoving, "%s", c.Id)
		}
		if err := l.cri.RemovePodSandbox(ctx, p.Id); err != nil {
			return fmt.Errorf("RemovePodSandbox: %w", err)
		}
	}
	return nil
}

// run never ends but by the power's.
func (l *load) run(ctx context.Context, seed uint64) {
	worker := uint64(0)
	rng := func() *rand.Rand {
		worker++
		return rand.New(rand.NewPCG(seed, worker))
	}
	go l.images(ctx, rng(), units[:1])
	go l.images(ctx, rng(), units[1:])
	go l.pods(ctx, rng())
	go l.pods(ctx, rng())
	<-ctx.Done()
}
