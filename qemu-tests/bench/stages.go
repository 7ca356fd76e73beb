package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"crisp.dev/qemu-tests/node"
)

// addStages: what a runtime tells of the stages of a pod's and a container's creation, if it is crisp.
func (p *pod) addStages(ctx context.Context, t *times) {
	variant := networks[0].name
	if !p.host {
		variant = networks[1].name
	}
	if status, err := p.c.cri.PodSandboxStatus(ctx, p.id, true); err == nil {
		p.addSteps(status.Info, variant, t)
	}
	if status, err := p.c.cri.ContainerStatus(ctx, p.container, true); err == nil {
		p.addSteps(status.Info, variant, t)
	}
}

func (p *pod) addSteps(info map[string]string, variant string, t *times) {
	var known struct {
		Steps []struct {
			Call, What string
			Seconds    float64
		}
	}
	if json.Unmarshal([]byte(info["info"]), &known) != nil {
		return
	}
	for _, s := range known.Steps {
		t.add(p.c, s.Call+": "+s.What, variant, s.Seconds*1000)
	}
}

// mountMany: what a node has mounted that runs many pods.
func mountMany() error {
	count, _ := strconv.Atoi(node.CommandLine("crisp.mounts", "0"))
	for i := range count {
		dir := fmt.Sprintf("%s/mounts/%d", work, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("many", dir, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return nil
}
