package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"crisp.dev/qemu-tests/survival"
)

// failure is one of the node, not of this program.
type failure struct {
	boot int
	text string
}

func (f *failure) Error() string { return fmt.Sprintf("boot %d: %s", f.boot, f.text) }

// when is the instant of a cut, chosen before the machine starts.
type when struct {
	word   string        // heard from the machine
	count  int           // that often
	after  time.Duration // and then so long after,
	writes int           // or at that write to the disk
}

func (w when) String() string {
	if w.writes > 0 && w.count == 0 {
		return fmt.Sprintf("at write %d of the boot", w.writes)
	}
	if w.writes > 0 {
		return fmt.Sprintf("at write %d after %q", w.writes, w.word)
	}
	return fmt.Sprintf("%v after %d × %q", w.after.Round(time.Millisecond), w.count, w.word)
}

const (
	loadMax    = 8 * time.Second       // of load at an instant of pure chance
	promiseMax = 40 * time.Millisecond // after a promise: when what it needs may not be on the disk yet
	writesMax  = 400                   // of load
	replayMax  = 80                    // writes from power-on: the journal's replay, and what serve does with what it finds
)

// choose: mostly under load, at one of the disk's writes or at any time; sometimes just after a promise, sometimes while the
// node comes back.
func choose(rng *rand.Rand, first bool) when {
	chance := func(limit time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(limit))) }
	switch n := rng.IntN(10); {
	case n < 2 && !first:
		return when{writes: 1 + rng.IntN(replayMax)}
	case n < 3:
		return when{word: survival.WordEnded, count: 2 + rng.IntN(6), after: chance(promiseMax)}
	case n < 4:
		return when{word: survival.WordPulled, count: 2 + rng.IntN(4), after: chance(promiseMax)}
	case n < 6:
		return when{word: survival.WordLoad, count: 1, after: chance(loadMax)}
	}
	return when{word: survival.WordLoad, count: 1, writes: 1 + rng.IntN(writesMax)}
}

// The share of unflushed writes that reach the medium: none, few, half, most, all.
var shares = []float64{0, 0.1, 0.5, 0.9, 1}

func run(o *options, truth *survival.Truth) (passed int, err error) {
	file, err := medium(o)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	facts := &survival.Facts{Images: map[string]bool{}, Ended: map[string]int{}}
	for boot := range o.cuts {
		rng := rand.New(rand.NewPCG(o.seed, uint64(boot)))
		if err := cutOnce(o, file, boot, rng, truth, facts); err != nil {
			return passed, err
		}
		if boot > 0 {
			passed++ // the check after the cut before
		}
	}
	if err := lastBoot(o, file, truth, facts); err != nil {
		return passed, err
	}
	return passed + 2, nil // the last cut's, and that nothing is left in the end
}

const endLimit = 30 * time.Second

// again: at most so often is a boot repeated that the emulation spoiled.
const again = 3

func cutOnce(o *options, file *os.File, boot int, rng *rand.Rand, truth *survival.Truth, facts *survival.Facts) error {
	w := choose(rng, boot == 0)
	keep := shares[rng.IntN(len(shares))]
	seed := rng.Uint64()
	for range again {
		began := time.Now()
		m, err := start(o, file, survival.Plan{Boot: boot, Seed: seed}, truth, facts)
		if err != nil {
			return err
		}
		if !m.reached(w) {
			m.endSoon()
			if diedOfEmulation(o) {
				fmt.Println("     the emulated kernel died of its emulation; once more")
				if err := m.disk.Flush(); err != nil {
					return err
				}
				continue
			}
			return &failure{boot, m.end()}
		}
		m.mu.Lock()
		m.cut = true
		seen := m.seen
		m.mu.Unlock()
		loss, err := m.disk.Cut(rng, keep)
		if err != nil {
			return err
		}
		if err := m.kill(); err != nil {
			return err
		}
		_ = m.wait() // the machine's end is no result
		if text := m.troubles(); text != "" {
			return &failure{boot, text}
		}
		fmt.Printf("cut  %2d of %d: %v, %d promises, %d writes: %v [%.0f s]\n", boot+1, o.cuts, w, seen, m.disk.Writes(), loss,
			time.Since(began).Seconds())
		return nil
	}
	return fmt.Errorf("the emulation spoiled a boot %d times", again)
}

// reached waits for the instant and freezes the disk; false if the machine ended, or had a problem, before it.
func (m *machine) reached(w when) bool {
	var held <-chan struct{}
	var late <-chan time.Time
	for count := 0; ; {
		if count >= w.count && held == nil {
			if w.writes == 0 {
				time.Sleep(w.after)
				break
			}
			held = m.disk.FreezeAt(w.writes)
		}
		select {
		case <-held:
			return true
		case <-late: // it writes less than that
			m.disk.Freeze()
			return true
		case word, ok := <-m.heard:
			if !ok || word == survival.WordProblem {
				return false // the rest of what it has to say comes with its end
			}
			if word == w.word {
				count++
			}
			if word == survival.WordLoad {
				late = time.After(2 * loadMax)
			}
		}
	}
	m.disk.Freeze()
	return true
}

// endSoon waits for a machine that has no more to do, or has a problem and may be in no hurry to end.
func (m *machine) endSoon() {
	timer := time.AfterFunc(endLimit, func() { _ = m.kill() })
	defer timer.Stop()
	_ = m.wait()
}

func (m *machine) end() string {
	if text := m.troubles(); text != "" {
		return text
	}
	return "the machine ended: " + m.stderr.String()
}

func lastBoot(o *options, file *os.File, truth *survival.Truth, facts *survival.Facts) error {
	for range again {
		m, err := start(o, file, survival.Plan{Boot: o.cuts, Last: true, Seed: o.seed}, truth, facts)
		if err != nil {
			return err
		}
		err = m.wait()
		if flushed := m.disk.Flush(); flushed != nil {
			return flushed
		}
		if err != nil && m.troubles() == "" && diedOfEmulation(o) {
			continue
		}
		if err != nil || m.troubles() != "" {
			return &failure{o.cuts, m.end()}
		}
		return fsck(o)
	}
	return fmt.Errorf("the emulation spoiled a boot %d times", again)
}

// fsck: e2fsck finds what the kernel does not look for: inodes without a name that nobody will ever free.
func fsck(o *options) error {
	out, err := exec.Command("/usr/sbin/e2fsck", "-f", "-n", o.disk()).CombinedOutput()
	if err != nil {
		return &failure{o.cuts, "e2fsck: " + strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n     ")}
	}
	return nil
}
