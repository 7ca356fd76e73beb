package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"crisp.dev/qemu-tests/node"
)

const (
	settle      = 5 * time.Second
	probePeriod = 20 * time.Second // kubelet's default is ten: an emulated processor is too slow for runc's
)

// crowds: what pods cost that are just there, one runtime after another: memory that is shared between two runtimes'
// helpers would be counted half.
func crowds(ctx context.Context, all []*contestant, p plan) error {
	for _, c := range all {
		if err := crowd(ctx, c, p); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func crowd(ctx context.Context, c *contestant, p plan) error {
	var pods []*pod
	before := node.MemAvailable()
	for _, n := range p.crowds {
		for len(pods) < n {
			one := newPod(c, true)
			if err := one.up(ctx, nil); err != nil {
				return err
			}
			pods = append(pods, one)
		}
		time.Sleep(settle)
		c.tellCrowd(n, before)
	}
	count := fmt.Sprintf("%d pods", len(pods))
	used := c.cpu()
	time.Sleep(p.quiet)
	tell("processor", "a minute without a call", count, c, "s", (c.cpu()-used)*60/p.quiet.Seconds())
	used = c.cpu()
	began := time.Now() // the last probes end when they end
	if err := probe(ctx, pods, p.probed); err != nil {
		return err
	}
	tell("processor", fmt.Sprintf("a minute, each pod with an exec probe every %v", probePeriod), count, c, "s",
		(c.cpu()-used)*60/time.Since(began).Seconds())
	for _, one := range pods {
		if err := one.down(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *contestant) tellCrowd(n, before int) {
	when := fmt.Sprintf("%d pods", n)
	c.tellDaemon(when)
	_, helpers := c.roles()
	threads := int64(0)
	for _, pid := range helpers {
		threads += statField(pid, 20)
	}
	rss, pss := memory(helpers)
	each := float64(len(helpers))
	tell("memory", "monitor or shim, each, RSS", when, c, "MB", rss/each)
	tell("memory", "monitor or shim, each, PSS", when, c, "MB", pss/each)
	tell("memory", "monitor or shim, threads of each", when, c, "", float64(threads)/each)
	rss, pss = memory(pauses())
	tell("memory", "pause, each, RSS", when, c, "MB", rss/float64(n))
	tell("memory", "pause, each, PSS", when, c, "MB", pss/float64(n))
	tell("memory", "the machine's, a pod with its container", when, c, "MB",
		float64(before-node.MemAvailable())*1024/1e6/float64(n))
}

// probe runs a program in each pod once a period, evenly spread, whether the last has ended or not.
func probe(ctx context.Context, pods []*pod, span time.Duration) error {
	var running sync.WaitGroup
	errors := make(chan error, 1)
	tick := time.NewTicker(probePeriod / time.Duration(len(pods)))
	defer tick.Stop()
	began := time.Now()
	for i := 0; time.Since(began) < span; i++ {
		<-tick.C
		running.Add(1)
		go func() {
			defer running.Done()
			if err := pods[i%len(pods)].exec(ctx); err != nil {
				select {
				case errors <- err:
				default:
				}
			}
		}()
	}
	running.Wait()
	select {
	case err := <-errors:
		return err
	default:
		return nil
	}
}
