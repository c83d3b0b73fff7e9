package blk

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
	"github.com/arcboxlabs/arcbox-go/test/volatile"
)

// A ledger is what a guest knows of its disk: for each sector how often it was written, and
// up to which time a flush has said that this is safe.
type ledger struct {
	drive
	rnd     *rand.Rand
	written []uint64
	safe    []uint64
	flushes map[uint16]flushing // under way, by head
}

type flushing struct {
	before []uint64 // written when the flush was made
	status virtiotest.Buf
}

const ledgerSectors = 64

func newLedger(t *testing.T, disk Disk, rnd *rand.Rand) *ledger {
	return &ledger{
		drive: start(t, device(t, disk, Options{})), rnd: rnd,
		written: make([]uint64, ledgerSectors), safe: make([]uint64, ledgerSectors),
		flushes: map[uint16]flushing{},
	}
}

// work does one thing at random.
func (l *ledger) work(t *testing.T) {
	q := l.Queues[0]
	if l.rnd.IntN(8) == 0 {
		head := l.flush()
		for l.rnd.IntN(2) == 0 && l.flushes[head].before != nil { // or go on while it is under way
			got, _ := q.Wait()
			l.flushed(t, got)
		}
		return
	}
	s := l.rnd.IntN(ledgerSectors)
	l.written[s]++
	data := make([]byte, SectorSize)
	binary.LittleEndian.PutUint64(data, l.written[s])
	bufs, _, status := l.chain(opOut, uint64(s), data, 0)
	head := q.Add(bufs...)
	q.Kick()
	for {
		got, _ := q.Wait()
		if got == head {
			break
		}
		l.flushed(t, got)
	}
	if status.B[0] != statusOK {
		t.Fatalf("write: status %d", status.B[0])
	}
}

// flush asks for one, and does not wait for it.
func (l *ledger) flush() (head uint16) {
	q := l.Queues[0]
	bufs, _, status := l.chain(opFlush, 0, nil, 0)
	head = q.Add(bufs...)
	l.flushes[head] = flushing{append([]uint64(nil), l.written...), status}
	q.Kick()
	return head
}

// flushed takes note of a flush that was answered.
func (l *ledger) flushed(t *testing.T, head uint16) {
	f := l.flushes[head]
	delete(l.flushes, head)
	if f.status.B[0] != statusOK {
		t.Fatalf("flush: status %d", f.status.B[0])
	}
	for i, n := range f.before {
		l.safe[i] = max(l.safe[i], n)
	}
}

// lost is how many sectors have less than a flush had said is safe.
func (l *ledger) lost(left []byte) (n int) {
	for i := range l.safe {
		if binary.LittleEndian.Uint64(left[i*SectorSize:]) < l.safe[i] {
			n++
		}
	}
	return n
}

// round works until the power fails.
func round(t *testing.T, seed uint64, lies bool) (lost int) {
	rnd := rand.New(rand.NewPCG(seed, 9))
	medium := newMemDisk(ledgerSectors * SectorSize)
	disk := volatile.New(medium, SectorSize, rand.New(rand.NewPCG(seed, 7))) // which it uses in goroutines of its own
	disk.Lies = lies
	l := newLedger(t, disk, rand.New(rand.NewPCG(seed, 8)))
	for range 50 + rnd.IntN(200) {
		l.work(t)
	}
	if rnd.IntN(2) == 0 { // or the power fails with a flush under way, or none
		for head := l.flush(); l.flushes[head].before != nil; {
			got, _ := l.Queues[0].Wait()
			l.flushed(t, got)
		}
	}
	// What was answered up to here counts, and nothing that comes after the cut.
	for head, _, ok := l.Queues[0].Used(); ok; head, _, ok = l.Queues[0].Used() {
		l.flushed(t, head)
	}
	if err := disk.Cut(); err != nil {
		t.Fatal(err)
	}
	return l.lost(medium.content())
}

func TestWhatAFlushAnsweredSurvivesAPowerCut(t *testing.T) {
	rounds := uint64(100)
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		if n := round(t, seed, false); n != 0 {
			t.Fatalf("round %d: %d sectors were lost that a flush had said are safe", seed, n)
		}
	}
}

// TestPowerCutsFindAFlushThatDoesNothing shows that the test above can fail.
func TestPowerCutsFindAFlushThatDoesNothing(t *testing.T) {
	for seed := range uint64(40) {
		if round(t, seed, true) != 0 {
			return
		}
	}
	t.Error("forty power cuts did not show that flushes do nothing")
}

// TestBatchesOfFlushesStayApart is a find of the power cuts: after a wake-up for nothing the
// flushes that came in overwrote those being answered.
func TestBatchesOfFlushesStayApart(t *testing.T) {
	c := newCommit(device(t, newMemDisk(4096), Options{}))
	for i := range uint32(6) {
		if n := len(c.take()); n != 0 {
			t.Fatalf("%d flushes wait, want none", n)
		}
		c.add(request{n: i})
		batch := c.take()
		c.add(request{n: 100 + i})
		if len(batch) != 1 || batch[0].n != i {
			t.Errorf("the batch of flush %d became %v", i, batch)
		}
		c.take()
	}
}
