package bench

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

var account = &runtimeapi.AuthConfig{Username: node.User, Password: node.Password}

func (c *contestant) pull(ctx context.Context, name string) error {
	_, err := c.cri.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: name}, account, nil)
	return err
}

func (c *contestant) remove(ctx context.Context, name string) error {
	return c.cri.Images.RemoveImage(ctx, &runtimeapi.ImageSpec{Image: name})
}

// pullSmall: what the pods run.
func pullSmall(ctx context.Context, all []*contestant, _ plan) error {
	for _, c := range all {
		if err := c.pull(ctx, small); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// pullers: both containerds pull alike, so only one of them does.
func pullers(all []*contestant) []*contestant { return all[:2] }

// pulls of the large images: cold, with nothing of the registry's disk in memory, then once more.
func pulls(ctx context.Context, all []*contestant, p plan) error {
	disk, err := openDisk(store)
	if err != nil {
		return err
	}
	for i, tag := range p.big {
		for _, cold := range []bool{true, false} {
			for _, c := range turns(pullers(all), i) {
				variant := tag + ", warm"
				if cold {
					variant = tag + ", cold"
				}
				if err := c.pullOnce(ctx, big+tag, variant, cold, disk); err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, variant, err)
				}
			}
		}
	}
	return nil
}

func (c *contestant) pullOnce(ctx context.Context, name, variant string, cold bool, d *disk) error {
	before := onDisk(c.store())
	syscall.Sync()
	if cold {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return err
		}
	}
	syncs, err := countSyncs()
	if err != nil {
		return err
	}
	from, used, highest := d.read(), c.cpu(), c.watchMemory()
	began := time.Now()
	err = c.pull(ctx, name)
	took, cpu := time.Since(began), c.cpu()-used
	memory := highest()
	if err != nil {
		return err
	}
	calls, err := syncs.end()
	if err != nil {
		return err
	}
	flushes := d.read().flushes - from.flushes
	syscall.Sync() // what is written later is written too
	tell("pull", "time", variant, c, "ms", ms(took))
	tell("pull", "processor, daemon and its processes", variant, c, "s", cpu)
	tell("pull", "memory of those processes, highest", variant, c, "MB", memory)
	tell("pull", "written to the disk", variant, c, "MB", float64(d.read().sectors-from.sectors)*512/1e6)
	tell("pull", "flushes of the disk", variant, c, "", float64(flushes))
	tell("pull", "fsync and its like", variant, c, "", float64(calls))
	tell("pull", "kept in the store", variant, c, "MB", onDisk(c.store())-before)
	return c.remove(ctx, name)
}
