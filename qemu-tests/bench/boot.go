package bench

import (
	"context"
	"fmt"
	"strings"

	"crisp.dev/qemu-tests/node"
)

// boot: a node that comes up with its images in the store, and one pod asked for as soon as anybody answers. Times are
// since the kernel's start.
func boot(ctx context.Context, name string) error {
	began := node.Uptime()
	var known []string
	for _, c := range contestants() {
		known = append(known, c.name)
		if c.name != name {
			continue
		}
		if _, err := c.start(ctx); err != nil {
			return err
		}
		defer c.stop()
		answered := node.Uptime()
		one := newPod(c, true)
		if err := one.up(ctx, nil); err != nil {
			return err
		}
		running := node.Uptime()
		tell("boot", "kernel's start to the daemon's", "", c, "ms", ms(began))
		tell("boot", "to its first answer", "", c, "ms", ms(answered))
		tell("boot", "to the first container running", "", c, "ms", ms(running))
		tell("boot", "of it the runtime's part", "", c, "ms", ms(running-began))
		return one.down(ctx, nil)
	}
	return fmt.Errorf("crisp.bench=boot:%s: there are %s", name, strings.Join(known, ", "))
}
