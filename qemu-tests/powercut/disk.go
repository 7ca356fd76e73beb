// Package powercut is a disk whose power can be cut: it keeps what was written since the last flush in memory, as a disk
// does in its cache, and at the cut a part of that reaches the medium, in any order, some of it torn.
package powercut

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Sector is what a disk is addressed by, and Whole what it writes whole or not at all: today's disks and flash write 4 KiB so, and
// file systems need it. ext4's superblock, which no journal has, is two sectors: torn between them, nothing mounts it again.
const (
	Sector = 512
	Whole  = 4096
)

// Medium is where data lie that survive a cut: a file.
type Medium interface {
	io.ReaderAt
	io.WriterAt
}

// ErrOff is what a disk without power answers.
var ErrOff = errors.New("the power is off")

type write struct {
	at   int64
	data []byte
}

// Disk is the medium and the cache before it. Safe for several users at once.
type Disk struct {
	// FlushTime is how long a client's flush takes: at its end, not before, all is on the medium. To be set before Serve.
	FlushTime time.Duration

	mu     sync.Mutex
	medium Medium
	size   int64
	off    bool
	frozen bool
	writes int           // received so far
	stop   int           // at which of them the disk freezes; 0: at none
	held   chan struct{} // closed then
	// since the last flush: writes in their order, and for each sector of them the last that has it
	pending []*write
	latest  map[int64]*write
	bytes   int64
}

// NewDisk gives a medium of size bytes, whole sectors, a cache.
func NewDisk(medium Medium, size int64) (*Disk, error) {
	if size <= 0 || size%Sector != 0 {
		return nil, fmt.Errorf("a disk of %d bytes: not whole sectors", size)
	}
	return &Disk{medium: medium, size: size, latest: map[int64]*write{}}, nil
}

// Size in bytes.
func (d *Disk) Size() int64 { return d.size }

func (d *Disk) check(length int, at int64) error {
	switch {
	case d.off || d.frozen:
		return ErrOff
	case at < 0 || at%Sector != 0 || length%Sector != 0 || int64(length) > d.size || at > d.size-int64(length):
		return fmt.Errorf("%d bytes at %d of %d: not whole sectors of this disk", length, at, d.size)
	}
	return nil
}

// sector is the part of a write that belongs to the sector number n.
func (w *write) sector(n int64) []byte {
	from := n*Sector - w.at
	return w.data[from : from+Sector]
}

// sectors are the numbers of those that a write covers.
func (w *write) sectors() (first, end int64) {
	return w.at / Sector, (w.at + int64(len(w.data))) / Sector
}

// ReadAt reads what was written last, flushed or not.
func (d *Disk) ReadAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), at); err != nil {
		return 0, err
	}
	if n, err := d.medium.ReadAt(p, at); err != nil && !(errors.Is(err, io.EOF) && n == len(p)) {
		return n, err
	}
	for i := 0; i < len(p); i += Sector {
		n := (at + int64(i)) / Sector
		if w := d.latest[n]; w != nil {
			copy(p[i:], w.sector(n))
		}
	}
	return len(p), nil
}

// WriteAt writes to the cache. The caller may use p again.
func (d *Disk) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), at); err != nil {
		return 0, err
	}
	w := &write{at, slices.Clone(p)}
	d.pending = append(d.pending, w)
	d.bytes += int64(len(p))
	for n, end := w.sectors(); n < end; n++ {
		d.latest[n] = w
	}
	d.count()
	return len(p), nil
}

func (d *Disk) count() {
	d.writes++
	if d.writes == d.stop {
		d.freeze()
	}
}

func (d *Disk) freeze() {
	if !d.frozen && d.held != nil {
		close(d.held)
	}
	d.frozen = true
}

// FreezeAt lets the disk take so many writes more; with the last of them it freezes, which closes the channel.
func (d *Disk) FreezeAt(writes int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop, d.held = d.writes+writes, make(chan struct{})
	return d.held
}

// Freeze is the instant of the cut: nothing is taken or answered any more. Cut settles what becomes of what there is.
func (d *Disk) Freeze() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freeze()
}

// Writes is how many were received.
func (d *Disk) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// WriteThrough is a write with forced unit access: on the medium when it returns. What the cache held for these sectors
// before will not come after it.
func (d *Disk) WriteThrough(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), at); err != nil {
		return 0, err
	}
	if n, err := d.medium.WriteAt(p, at); err != nil {
		return n, err
	}
	d.supersede(at, at+int64(len(p)))
	d.count()
	return len(p), nil
}

// supersede takes the bytes from..to out of what is pending.
func (d *Disk) supersede(from, to int64) {
	for n := from / Sector; n < to/Sector; n++ {
		delete(d.latest, n)
	}
	var left []*write
	for _, w := range d.pending {
		end := w.at + int64(len(w.data))
		if end <= from || w.at >= to {
			left = append(left, w)
			continue
		}
		// what remains of it on either side are writes of their own
		for _, part := range [][2]int64{{w.at, min(end, from)}, {max(w.at, to), end}} {
			if part[0] >= part[1] {
				continue
			}
			rest := &write{part[0], w.data[part[0]-w.at : part[1]-w.at]}
			for n, e := rest.sectors(); n < e; n++ {
				if d.latest[n] == w {
					d.latest[n] = rest
				}
			}
			left = append(left, rest)
		}
	}
	d.pending = left
	d.recount()
}

func (d *Disk) recount() {
	d.bytes = 0
	for _, w := range d.pending {
		d.bytes += int64(len(w.data))
	}
}

// Flush brings all that was written to the medium.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off || d.frozen {
		return ErrOff
	}
	for _, w := range d.pending {
		if _, err := d.medium.WriteAt(w.data, w.at); err != nil {
			return err
		}
	}
	d.forget()
	return nil
}

func (d *Disk) forget() {
	d.pending, d.latest, d.bytes = nil, map[int64]*write{}, 0
}

// Pending is how much a cut would put at risk.
func (d *Disk) Pending() (writes int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pending), d.bytes
}

// Loss is what became of unflushed writes at a cut.
type Loss struct {
	Pending, Kept, Torn int
	Bytes, KeptBytes    int64
}

func (l Loss) String() string {
	return fmt.Sprintf("%d unflushed writes (%d KiB): %d reached the medium, %d of them torn (%d KiB)", l.Pending, l.Bytes>>10,
		l.Kept, l.Torn, l.KeptBytes>>10)
}

// How many of the writes of more than 4 KiB that reach the medium do so in part.
const tornShare = 0.25

// Cut takes the power away: of what is pending, each write is kept with the chance keep, in an order of chance, so that of two
// to one place either may be the last; some are torn. All is as rng says: the same seed and writes give the same medium.
// The disk answers nothing after it.
func (d *Disk) Cut(rng *rand.Rand, keep float64) (Loss, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return Loss{}, ErrOff
	}
	d.off = true
	loss := Loss{Pending: len(d.pending), Bytes: d.bytes}
	order := rng.Perm(len(d.pending))
	for _, i := range order {
		w := d.pending[i]
		if rng.Float64() >= keep {
			continue
		}
		loss.Kept++
		n, err := d.land(w, rng)
		if err != nil {
			return loss, err
		}
		loss.KeptBytes += n
		if n < int64(len(w.data)) {
			loss.Torn++
		}
	}
	d.forget()
	return loss, nil
}

// land writes w to the medium, or some of its aligned parts of Whole bytes; returns how many bytes.
func (d *Disk) land(w *write, rng *rand.Rand) (int64, error) {
	first, end := w.sectors()
	whole := map[int64]bool{}
	const parts = Whole / Sector
	torn := first/parts != (end-1)/parts && rng.Float64() < tornShare
	lands := true
	for n := first; n < end; n++ {
		if torn && (n == first || n%parts == 0) {
			lands = rng.IntN(2) == 0
		}
		if lands {
			whole[n] = true
		}
	}
	var bytes int64
	for _, n := range slices.Sorted(maps.Keys(whole)) {
		if _, err := d.medium.WriteAt(w.sector(n), n*Sector); err != nil {
			return bytes, err
		}
		bytes += Sector
	}
	return bytes, nil
}
