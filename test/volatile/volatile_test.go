package volatile

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
)

const block = 16

// ram is a medium.
type ram struct {
	mu    sync.Mutex
	b     []byte
	syncs int
}

func (m *ram) Size() int64 { return int64(len(m.b)) }

func (m *ram) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs++
	return nil
}

func (m *ram) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.b[off:off+int64(len(p))]), nil
}

func (m *ram) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.b[off:off+int64(len(p))], p), nil
}

// TestReadsSeeWhatWasWritten holds a disk against an array, with drains beside it.
func TestReadsSeeWhatWasWritten(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	medium := &ram{b: make([]byte, 64*block)}
	d := New(medium, block, rand.New(rand.NewPCG(3, 4)))
	want := make([]byte, len(medium.b))
	stop := make(chan struct{})
	var drains sync.WaitGroup
	drains.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := d.Sync(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 20000 {
		off := rnd.IntN(len(want))
		n := 1 + rnd.IntN(min(5*block, len(want)-off))
		p := want[off : off+n]
		switch rnd.IntN(4) {
		case 0:
			clear(p)
			if err := d.Zero(int64(off), int64(n), true); err != nil {
				t.Fatal(err)
			}
		case 1:
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			if _, err := d.WriteAt(p, int64(off)); err != nil {
				t.Fatal(err)
			}
		default:
			got := make([]byte, n)
			if _, err := d.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%d bytes at %d read %x, %v; want %x", n, off, got, err, p)
			}
		}
	}
	close(stop)
	drains.Wait()
	if err := d.Sync(); err != nil || !bytes.Equal(medium.b, want) {
		t.Errorf("the medium holds other bytes after a sync, %v", err)
	}
}

// TestCutLosesWhatWasNotSynced: all that was synced is there, and of the rest not all.
func TestCutLosesWhatWasNotSynced(t *testing.T) {
	for _, lies := range []bool{false, true} {
		medium := &ram{b: make([]byte, 64*block)}
		d := New(medium, block, rand.New(rand.NewPCG(5, 6)))
		d.Lies = lies
		old, fresh := bytes.Repeat([]byte{1}, 32*block), bytes.Repeat([]byte{2}, 32*block)
		_, _ = d.WriteAt(old, 0)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		_, _ = d.WriteAt(fresh, 32*block)
		if err := d.Cut(); err != nil {
			t.Fatal(err)
		}
		safe, rest := bytes.Count(medium.b[:32*block], []byte{1}), bytes.Count(medium.b[32*block:], []byte{2})
		if (safe == len(old)) == lies || rest == len(fresh) || rest%block != 0 {
			t.Errorf("lies %v: %d bytes of %d that were synced are left, and %d of %d others", lies, safe, len(old), rest, len(fresh))
		}
		if _, err := d.WriteAt(old, 0); err == nil {
			t.Error("a write after the cut succeeds")
		}
	}
}
