package powercut

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

type memory []byte

func (m memory) ReadAt(p []byte, at int64) (int, error)  { return copy(p, m[at:]), nil }
func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

func disk(t *testing.T, sectors int) (*Disk, memory) {
	t.Helper()
	m := make(memory, sectors*Sector)
	d, err := NewDisk(m, int64(len(m)))
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

func fill(value byte, sectors int) []byte { return bytes.Repeat([]byte{value}, sectors*Sector) }

func must(t *testing.T, _ int, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// content is the first byte of each sector.
func content(m memory) []byte {
	var all []byte
	for i := 0; i < len(m); i += Sector {
		all = append(all, m[i])
	}
	return all
}

func TestUnflushedIsReadButNotOnTheMedium(t *testing.T) {
	d, m := disk(t, 4)
	n, err := d.WriteAt(fill(1, 2), Sector)
	must(t, n, err)
	p := make([]byte, 4*Sector)
	n, err = d.ReadAt(p, 0)
	must(t, n, err)
	if got := content(p); !bytes.Equal(got, []byte{0, 1, 1, 0}) {
		t.Errorf("read %v", got)
	}
	if got := content(m); !bytes.Equal(got, []byte{0, 0, 0, 0}) {
		t.Errorf("on the medium before the flush: %v", got)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := content(m); !bytes.Equal(got, []byte{0, 1, 1, 0}) {
		t.Errorf("on the medium after the flush: %v", got)
	}
}

func TestFlushedSurvivesAnyCut(t *testing.T) {
	for seed := range uint64(50) {
		d, m := disk(t, 8)
		n, err := d.WriteAt(fill(1, 4), 0)
		must(t, n, err)
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		n, err = d.WriteAt(fill(2, 4), 4*Sector)
		must(t, n, err)
		if _, err := d.Cut(seeded(seed), 0.5); err != nil {
			t.Fatal(err)
		}
		if got := content(m)[:4]; !bytes.Equal(got, []byte{1, 1, 1, 1}) {
			t.Fatalf("seed %d: flushed sectors are %v", seed, got)
		}
	}
}

// Every outcome that the model allows is seen, and no other; what a disk writes whole is whole.
func TestCutKeepsTearsAndReorders(t *testing.T) {
	const parts = Whole / Sector
	seen := map[string]bool{}
	for seed := range uint64(2000) {
		d, m := disk(t, 3*parts)
		for i, at := range []int64{0, Whole} { // they overlap in the second part
			n, err := d.WriteAt(fill(byte(i+1), 2*parts), at)
			must(t, n, err)
		}
		loss, err := d.Cut(seeded(seed), 0.7)
		if err != nil || loss.Pending != 2 || loss.Bytes != 4*Whole {
			t.Fatalf("%+v %v", loss, err)
		}
		sectors := content(m)
		var got []byte
		for part := range slices.Chunk(sectors, parts) {
			if !bytes.Equal(part, bytes.Repeat(part[:1], parts)) {
				t.Fatalf("seed %d: 4 KiB are torn: %v", seed, sectors)
			}
			got = append(got, part[0])
		}
		if !slices.Contains([]byte{0, 1}, got[0]) || !slices.Contains([]byte{0, 1, 2}, got[1]) || !slices.Contains([]byte{0, 2}, got[2]) {
			t.Fatalf("seed %d: %v", seed, got)
		}
		seen[string(got)] = true
	}
	for _, want := range []string{"\x00\x00\x00", "\x01\x01\x00", "\x01\x02\x02", "\x01\x01\x02", "\x00\x02\x02", "\x01\x00\x00", "\x00\x01\x00"} {
		if !seen[want] {
			t.Errorf("%q was never the outcome", want)
		}
	}
}

func TestCutIsRepeatedByItsSeed(t *testing.T) {
	outcome := func(seed uint64) []byte {
		d, m := disk(t, 64)
		for i := range 32 {
			n, err := d.WriteAt(fill(byte(i+1), 4), int64(i)*Sector)
			must(t, n, err)
		}
		if _, err := d.Cut(seeded(seed), 0.5); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if !bytes.Equal(outcome(7), outcome(7)) {
		t.Error("two outcomes of one seed")
	}
	if bytes.Equal(outcome(7), outcome(8)) {
		t.Error("one outcome of two seeds")
	}
}

func TestNothingComesAfterAWriteThrough(t *testing.T) {
	for seed := range uint64(200) {
		d, m := disk(t, 4)
		n, err := d.WriteAt(fill(1, 4), 0)
		must(t, n, err)
		n, err = d.WriteThrough(fill(9, 2), Sector)
		must(t, n, err)
		p := make([]byte, 4*Sector)
		n, err = d.ReadAt(p, 0)
		must(t, n, err)
		if got := content(p); !bytes.Equal(got, []byte{1, 9, 9, 1}) {
			t.Fatalf("read %v", got)
		}
		if _, err := d.Cut(seeded(seed), 0.5); err != nil {
			t.Fatal(err)
		}
		if got := content(m); got[1] != 9 || got[2] != 9 {
			t.Fatalf("seed %d: %v", seed, got)
		}
	}
}

func TestWithoutPowerNothingIsAnswered(t *testing.T) {
	d, m := disk(t, 2)
	if _, err := d.Cut(seeded(1), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt(fill(1, 1), 0); !errors.Is(err, ErrOff) {
		t.Errorf("write: %v", err)
	}
	if err := d.Flush(); !errors.Is(err, ErrOff) {
		t.Errorf("flush: %v", err)
	}
	if got := content(m); !bytes.Equal(got, []byte{0, 0}) {
		t.Errorf("the medium is %v", got)
	}
}

func TestFrozenAtAWriteTakesNoMore(t *testing.T) {
	d, m := disk(t, 4)
	n, err := d.WriteAt(fill(1, 1), 0)
	must(t, n, err)
	held := d.FreezeAt(2)
	for i := range int64(2) {
		select {
		case <-held:
			t.Fatalf("frozen after %d writes", i)
		default:
		}
		n, err = d.WriteAt(fill(2, 1), (1+i)*Sector)
		must(t, n, err)
	}
	<-held
	if _, err := d.WriteAt(fill(3, 1), 3*Sector); !errors.Is(err, ErrOff) {
		t.Errorf("a write to a frozen disk: %v", err)
	}
	if err := d.Flush(); !errors.Is(err, ErrOff) {
		t.Errorf("a flush of a frozen disk: %v", err)
	}
	if loss, err := d.Cut(seeded(1), 1); err != nil || loss.Pending != 3 {
		t.Errorf("%+v %v", loss, err)
	}
	if got := content(m); !bytes.Equal(got, []byte{1, 2, 2, 0}) {
		t.Errorf("the medium is %v", got)
	}
}

func TestOutsideIsRefused(t *testing.T) {
	d, _ := disk(t, 4)
	for _, c := range []struct {
		length int
		at     int64
	}{{Sector, 4 * Sector}, {5 * Sector, 0}, {100, 0}, {Sector, 100}, {Sector, -Sector}, {Sector, 1<<62 - Sector}} {
		if _, err := d.WriteAt(make([]byte, c.length), c.at); err == nil {
			t.Errorf("%d bytes at %d were written", c.length, c.at)
		}
	}
}

// peer speaks as QEMU does.
type peer struct {
	t *testing.T
	net.Conn
}

func (p peer) send(values ...any) {
	p.t.Helper()
	for _, v := range values {
		if err := binary.Write(p, binary.BigEndian, v); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p peer) want(values ...any) {
	p.t.Helper()
	var b bytes.Buffer
	for _, v := range values {
		if err := binary.Write(&b, binary.BigEndian, v); err != nil {
			p.t.Fatal(err)
		}
	}
	got := make([]byte, b.Len())
	if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, b.Bytes()) {
		p.t.Fatalf("got %x, want %x: %v", got, b.Bytes(), err)
	}
}

func (p peer) command(command, flags uint16, cookie, at uint64, length uint32) {
	p.send(uint32(magicRequest), flags, command, cookie, at, length)
}

func TestProtocol(t *testing.T) {
	d, m := disk(t, 8)
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Serve(listener) }()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := peer{t, conn}
	p.want(uint64(magicServer), uint64(magicOption), uint16(3))
	p.send(uint32(3))
	// QEMU asks for structured replies first, and takes no for an answer
	p.send(uint64(magicOption), uint32(8), uint32(0))
	p.want(uint64(magicReplyOpt), uint32(8), uint32(replyUnsupported), uint32(0))
	p.send(uint64(magicOption), uint32(optionGo), uint32(6), uint32(0), uint16(0))
	p.want(uint64(magicReplyOpt), uint32(optionGo), uint32(replyInfo), uint32(12), uint16(infoExport), uint64(8*Sector), uint16(exportFlags))
	p.want(uint64(magicReplyOpt), uint32(optionGo), uint32(replyInfo), uint32(14), uint16(infoBlockSize), uint32(Sector), uint32(4096), uint32(requestMax))
	p.want(uint64(magicReplyOpt), uint32(optionGo), uint32(replyAck), uint32(0))

	p.command(commandWrite, 0, 1, Sector, 2*Sector)
	p.send(fill(5, 2))
	p.want(uint32(magicReply), uint32(0), uint64(1))
	p.command(commandRead, 0, 2, 0, 4*Sector)
	p.want(uint32(magicReply), uint32(0), uint64(2), fill(0, 1), fill(5, 2), fill(0, 1))
	if content(m)[1] != 0 {
		t.Error("on the medium before the flush")
	}
	p.command(commandFlush, 0, 3, 0, 0)
	p.want(uint32(magicReply), uint32(0), uint64(3))
	p.command(commandWrite, commandFUA, 4, 0, Sector)
	p.send(fill(6, 1))
	p.want(uint32(magicReply), uint32(0), uint64(4))
	if got := content(m); !bytes.Equal(got, []byte{6, 5, 5, 0, 0, 0, 0, 0}) {
		t.Errorf("the medium is %v", got)
	}
	p.command(commandRead, 0, 5, 8*Sector, Sector)
	p.want(uint32(magicReply), uint32(errnoIO), uint64(5))
	p.command(99, 0, 6, 0, 0)
	p.want(uint32(magicReply), uint32(errnoInvalid), uint64(6))
	// the cut: not even an answer
	if _, err := d.Cut(seeded(1), 1); err != nil {
		t.Fatal(err)
	}
	p.command(commandFlush, 0, 7, 0, 0)
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an answer after the cut: %v", err)
	}
	conn.Close()
	listener.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the server: %v", err)
	}
}
