package blk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

// memDisk is a disk in memory. It panics when it is used outside its bounds.
type memDisk struct {
	mu    sync.Mutex
	b     []byte
	syncs int
}

func newMemDisk(n int) *memDisk { return &memDisk{b: make([]byte, n)} }

// content is a copy of the disk, and synced how often it was synced.
func (m *memDisk) content() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.b)
}

func (m *memDisk) synced() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

func (m *memDisk) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.b[off:off+int64(len(p))]), nil
}

func (m *memDisk) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.b[off:off+int64(len(p))], p), nil
}

func (m *memDisk) Size() int64 { return int64(len(m.b)) }

func (m *memDisk) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs++
	return nil
}

func (m *memDisk) Punch(off, n int64) error { return m.Zero(off, n, true) }

func (m *memDisk) Zero(off, n int64, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.b[off : off+n])
	return nil
}

func device(t testing.TB, disk Disk, opt Options) *Device {
	t.Helper()
	d, err := New(disk, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// drive is a driver that makes block requests on queue 0.
type drive struct {
	*virtiotest.Driver
}

func start(t testing.TB, dev *Device) drive {
	return drive{virtiotest.Start(t, dev, virtiotest.Options{})}
}

// chain is a request: header, data to the device, data from it, status.
func (d drive) chain(op uint32, sector uint64, data []byte, in int) (bufs []virtiotest.Buf, reply, status virtiotest.Buf) {
	bufs = append(bufs, d.Out(virtiotest.Put(op, uint32(0), sector)))
	if len(data) > 0 {
		bufs = append(bufs, d.Out(data))
	}
	reply, status = d.In(in), d.In(1)
	status.B[0] = 0xee
	if in > 0 {
		bufs = append(bufs, reply)
	}
	return append(bufs, status), reply, status
}

// do makes one request and returns its status, what was read and used.len.
func (d drive) do(op uint32, sector uint64, data []byte, in int) (status byte, reply []byte, n uint32) {
	bufs, r, st := d.chain(op, sector, data, in)
	n = d.Queues[0].Do(bufs...)
	return st.B[0], r.B, n
}

func TestConformance(t *testing.T) {
	for _, opt := range []Options{{}, {Queues: 4}, {ReadOnly: true}, {InOrder: true}} {
		t.Run(fmt.Sprintf("%d queues, read only %v, in order %v", opt.Queues, opt.ReadOnly, opt.InOrder), func(t *testing.T) {
			virtiotest.Run(t, virtiotest.Subject{
				New: func(t testing.TB) virtio.Device { return device(t, newMemDisk(1<<20), opt) },
				Probe: func(t testing.TB, d *virtiotest.Driver) {
					if st, _, n := (drive{d}).do(opIn, 3, nil, 1024); st != statusOK || n != 1025 {
						t.Errorf("read of 1024 bytes: status %d, used %d", st, n)
					}
				},
			})
		})
	}
}

func TestRequests(t *testing.T) {
	const sectors = 8
	ranges := func(v ...any) []byte { return virtiotest.Put(v...) }
	tests := []struct {
		name   string
		op     uint32
		sector uint64
		data   []byte
		in     int
		want   byte
		used   uint32
	}{
		{"last sector", opIn, 7, nil, 512, statusOK, 513},
		{"whole disk", opIn, 0, nil, 4096, statusOK, 4097},
		{"nothing at the end", opIn, 8, nil, 0, statusOK, 1},
		{"half past the end", opIn, 7, nil, 1024, statusIOErr, 1},
		{"behind the end", opIn, 9, nil, 512, statusIOErr, 1},
		{"sector overflows as bytes", opIn, 1 << 55, nil, 512, statusIOErr, 1},
		{"largest sector", opIn, 1<<64 - 1, nil, 512, statusIOErr, 1},
		{"half a sector", opIn, 0, nil, 256, statusIOErr, 1},
		{"write", opOut, 2, make([]byte, 1024), 0, statusOK, 1},
		{"write past the end", opOut, 7, make([]byte, 1024), 0, statusIOErr, 1},
		{"write of half a sector", opOut, 0, make([]byte, 100), 0, statusIOErr, 1},
		{"flush", opFlush, 0, nil, 0, statusOK, 1},
		{"serial", opGetID, 0, nil, 20, statusOK, 21},
		{"serial in a short buffer", opGetID, 0, nil, 4, statusOK, 5},
		{"discard", opDiscard, 0, ranges(uint64(1), uint32(2), uint32(0)), 0, statusOK, 1},
		{"discard of two ranges", opDiscard, 0, ranges(uint64(1), uint32(2), uint32(0), uint64(7), uint32(1), uint32(0)), 0, statusOK, 1},
		{"discard of nothing", opDiscard, 0, ranges(uint64(1), uint32(0), uint32(0)), 0, statusOK, 1},
		{"discard with a flag", opDiscard, 0, ranges(uint64(1), uint32(2), uint32(1)), 0, statusUnsupp, 1},
		{"discard past the end", opDiscard, 0, ranges(uint64(7), uint32(2), uint32(0)), 0, statusIOErr, 1},
		{"discard of half a range", opDiscard, 0, make([]byte, 8), 0, statusIOErr, 1},
		{"discard without a range", opDiscard, 0, nil, 0, statusIOErr, 1},
		{"discard of too many ranges", opDiscard, 0, make([]byte, 65*rangeLen), 0, statusIOErr, 1},
		{"write zeroes", opWriteZeroes, 0, ranges(uint64(1), uint32(2), uint32(0)), 0, statusOK, 1},
		{"write zeroes and unmap", opWriteZeroes, 0, ranges(uint64(1), uint32(2), uint32(1)), 0, statusOK, 1},
		{"write zeroes with an unknown flag", opWriteZeroes, 0, ranges(uint64(1), uint32(2), uint32(2)), 0, statusUnsupp, 1},
		{"write zeroes over all sectors there could be", opWriteZeroes, 0, ranges(uint64(0), uint32(1<<32-1), uint32(0)), 0, statusIOErr, 1},
		{"unknown type", 99, 0, nil, 0, statusUnsupp, 1},
		{"legacy SCSI command", 2, 0, nil, 64, statusUnsupp, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, device(t, newMemDisk(sectors*SectorSize), Options{Serial: "arcbox"}))
			st, _, n := d.do(tt.op, tt.sector, tt.data, tt.in)
			if st != tt.want || n != tt.used {
				t.Errorf("type %d sector %d, %d bytes out, %d in: status %d used %d, want %d and %d",
					tt.op, tt.sector, len(tt.data), tt.in, st, n, tt.want, tt.used)
			}
		})
	}
}

func TestChainsThatAreNoRequests(t *testing.T) {
	d := start(t, device(t, newMemDisk(4096), Options{}))
	if n := d.Queues[0].Do(d.Out(make([]byte, 16))); n != 0 {
		t.Errorf("no room for a status: used %d, want 0", n)
	}
	st := d.In(1)
	if n := d.Queues[0].Do(d.Out(make([]byte, 15)), st); n != 1 || st.B[0] != statusIOErr {
		t.Errorf("header of 15 bytes: used %d status %d", n, st.B[0])
	}
	if st, _, _ := d.do(opIn, 0, nil, 512); st != statusOK {
		t.Errorf("status %d for the request after them", st)
	}
}

func TestReadOnlyDiskChangesNothing(t *testing.T) {
	disk := newMemDisk(4096)
	copy(disk.b, "untouched")
	d := start(t, device(t, disk, Options{ReadOnly: true}))
	rng := virtiotest.Put(uint64(0), uint32(8), uint32(0))
	for _, op := range []uint32{opOut, opDiscard, opWriteZeroes} {
		data := rng
		if op == opOut {
			data = make([]byte, 512)
		}
		if st, _, _ := d.do(op, 0, data, 0); st != statusIOErr {
			t.Errorf("type %d on a read-only disk: status %d, want %d", op, st, statusIOErr)
		}
	}
	if !bytes.HasPrefix(disk.content(), []byte("untouched")) {
		t.Error("the disk changed")
	}
}

func TestBytesArriveWhateverTheSplit(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	disk := newMemDisk(64 << 10)
	d := start(t, device(t, disk, Options{}))
	want := make([]byte, 16<<10)
	for i := range want {
		want[i] = byte(rnd.Uint32())
	}
	for range 20 {
		d.Init()
		bufs := []virtiotest.Buf{d.Out(virtiotest.Put(uint32(opOut), uint32(0), uint64(8)))}
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(3000))
			bufs = append(bufs, d.Out(rest[:n]))
			rest = rest[n:]
		}
		st := d.In(1)
		d.Queues[0].Do(append(bufs, st)...)
		if st.B[0] != statusOK || !bytes.Equal(disk.content()[4096:][:len(want)], want) {
			t.Fatalf("write in %d buffers: status %d, or other bytes", len(bufs)-1, st.B[0])
		}
		if st, got, _ := d.do(opIn, 8, nil, len(want)); st != statusOK || !bytes.Equal(got, want) {
			t.Fatalf("read back: status %d, or other bytes", st)
		}
	}
}

func TestConfigurationSpace(t *testing.T) {
	d := start(t, device(t, newMemDisk(10*512+100), Options{Queues: 3}))
	le := binary.LittleEndian
	c := d.Config(0, 60)
	got := []uint64{le.Uint64(c), uint64(le.Uint32(c[12:])), uint64(le.Uint32(c[20:])), uint64(le.Uint16(c[34:]))}
	for i, want := range []uint64{10, 254, 512, 3} {
		if name := []string{"capacity", "seg_max", "blk_size", "num_queues"}[i]; got[i] != want {
			t.Errorf("%s is %d, want %d", name, got[i], want)
		}
	}
}

func TestResizeTellsTheDriver(t *testing.T) {
	disk := newMemDisk(4096)
	dev := device(t, disk, Options{})
	d := start(t, dev)
	gen := d.R(virtiotest.ConfigGen)
	disk.mu.Lock()
	disk.b = make([]byte, 8192)
	disk.mu.Unlock()
	dev.Resized()
	d.WaitConfig()
	if n := d.Config32(0); n != 16 || d.R(virtiotest.ConfigGen) == gen {
		t.Errorf("capacity %d after growing to 16 sectors, generation was %d, is %d", n, gen, d.R(virtiotest.ConfigGen))
	}
	if st, _, _ := d.do(opIn, 15, nil, 512); st != statusOK {
		t.Errorf("read of the new last sector: status %d", st)
	}
}

// gate is a disk whose Sync waits until it is let through.
type gate struct {
	*memDisk
	entered, leave chan struct{}
}

func newGate() *gate {
	return &gate{newMemDisk(1 << 20), make(chan struct{}, 100), make(chan struct{})}
}

func (g *gate) Sync() error {
	g.entered <- struct{}{}
	<-g.leave
	return g.memDisk.Sync()
}

func TestOneSyncAnswersAllFlushesThatWait(t *testing.T) {
	g := newGate()
	d := start(t, device(t, g, Options{}))
	q := d.Queues[0]
	for i := range 10 {
		bufs, _, _ := d.chain(opFlush, 0, nil, 0)
		q.Add(bufs...)
		q.Kick()
		if i == 0 {
			<-g.entered // its Sync is under way before the others ask
		}
	}
	// A read made after all flushes is answered while they wait.
	bufs, _, _ := d.chain(opIn, 0, nil, 512)
	head := q.Add(bufs...)
	q.Kick()
	if got, _ := q.Wait(); got != head {
		t.Errorf("chain %d was answered before the read %d", got, head)
	}
	close(g.leave)
	for range 10 {
		q.Wait()
	}
	if n := g.synced(); n != 2 {
		t.Errorf("10 flushes took %d syncs, want 2: one that was under way, one for those that came later", n)
	}
}

func TestFlushIsNotAnsweredBySyncThatBeganBefore(t *testing.T) {
	g := newGate()
	d := start(t, device(t, g, Options{}))
	q := d.Queues[0]
	first, _, _ := d.chain(opFlush, 0, nil, 0)
	head := q.Add(first...)
	q.Kick()
	<-g.entered
	if st, _, _ := d.do(opOut, 0, make([]byte, 512), 0); st != statusOK {
		t.Fatalf("write: status %d", st)
	}
	second, _, _ := d.chain(opFlush, 0, nil, 0)
	q.Add(second...)
	q.Kick()
	time.Sleep(5 * time.Millisecond)
	g.leave <- struct{}{}
	if got, _ := q.Wait(); got != head {
		t.Fatalf("flush %d was answered, want the first, %d", got, head)
	}
	if _, _, ok := q.WaitFor(10 * time.Millisecond); ok {
		t.Error("the sync that began before a write answered the flush made after it")
	}
	g.leave <- struct{}{}
	q.Wait()
}

func TestDriverWithoutFlushGetsDurableWrites(t *testing.T) {
	disk := newMemDisk(4096)
	d := drive{virtiotest.Start(t, device(t, disk, Options{}), virtiotest.Options{Refuse: featFlush})}
	for i := 1; i <= 3; i++ {
		if st, _, _ := d.do(opOut, 0, make([]byte, 512), 0); st != statusOK || disk.synced() != i {
			t.Errorf("write %d: status %d after %d syncs", i, st, disk.synced())
		}
	}
}

var errBroken = errors.New("broken")

// faultDisk fails its n-th call, in one of the ways in which disks fail.
type faultDisk struct {
	*memDisk
	n     int
	short bool // moves too few bytes instead of an error

	mu    sync.Mutex
	calls int
}

func (f *faultDisk) fail() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return f.calls == f.n
}

func (f *faultDisk) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *faultDisk) move(p []byte, off int64, do func([]byte, int64) (int, error)) (int, error) {
	switch {
	case !f.fail():
		return do(p, off)
	case f.short:
		return do(p[:len(p)-1], off)
	}
	return 0, errBroken
}

func (f *faultDisk) ReadAt(p []byte, off int64) (int, error) { return f.move(p, off, f.memDisk.ReadAt) }
func (f *faultDisk) WriteAt(p []byte, off int64) (int, error) {
	return f.move(p, off, f.memDisk.WriteAt)
}

func (f *faultDisk) other(do func() error) error {
	if f.fail() {
		return errBroken
	}
	return do()
}

func (f *faultDisk) Sync() error { return f.other(f.memDisk.Sync) }
func (f *faultDisk) Punch(off, n int64) error {
	return f.other(func() error { return f.memDisk.Punch(off, n) })
}
func (f *faultDisk) Zero(off, n int64, punch bool) error {
	return f.other(func() error { return f.memDisk.Zero(off, n, punch) })
}

// bad makes one request of each kind and counts those that fail.
func (d drive) bad() (failed int) {
	rng := virtiotest.Put(uint64(0), uint32(1), uint32(0))
	for _, r := range []struct {
		op   uint32
		data []byte
		in   int
	}{{opOut, make([]byte, 512), 0}, {opIn, nil, 512}, {opDiscard, rng, 0}, {opWriteZeroes, rng, 0}, {opFlush, nil, 0}} {
		if st, _, _ := d.do(r.op, 0, r.data, r.in); st != statusOK {
			failed++
		}
	}
	return failed
}

func TestEachFailedDiskCallFailsOneRequest(t *testing.T) {
	for _, short := range []bool{false, true} {
		for n := 1; ; n++ {
			disk := &faultDisk{memDisk: newMemDisk(4096), n: n, short: short}
			var told atomic.Int32
			d := start(t, device(t, disk, Options{Failed: func(string, error) { told.Add(1) }}))
			bad := d.bad()
			if disk.called() < n {
				break // nothing was left to fail
			}
			if later := d.bad(); bad != 1 || later != 0 || told.Load() != 1 {
				t.Errorf("disk call %d failed (short %v): %d requests and %d reports say so, want 1; %d later ones failed", n, short, bad, told.Load(), later)
			}
		}
	}
}

// fullDisk has no space until it is given some.
type fullDisk struct {
	*memDisk
	mu   sync.Mutex
	full bool
}

func (f *fullDisk) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return 0, fmt.Errorf("cannot write: %w", syscall.ENOSPC)
	}
	return f.memDisk.WriteAt(p, off)
}

func (f *fullDisk) Zero(off, n int64, punch bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full && !punch {
		return syscall.ENOSPC
	}
	return f.memDisk.Zero(off, n, punch)
}

func (f *fullDisk) setFull(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

// startFull is a driver whose disk is full, and what Options.Full was told.
func startFull(t *testing.T) (d drive, dev *Device, disk *fullDisk, told chan error) {
	disk, told = &fullDisk{memDisk: newMemDisk(64 << 10), full: true}, make(chan error, 100)
	dev = device(t, disk, Options{Queues: 2, Full: func(err error) { told <- err }})
	return start(t, dev), dev, disk, told
}

// held waits until so many requests are held.
func held(t *testing.T, dev *Device, n int) {
	t.Helper()
	for end := time.Now().Add(virtiotest.Patience); dev.Held() != n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d requests are held, want %d", dev.Held(), n)
		}
	}
}

func TestFullHostDiskHoldsRequestsUntilThereIsSpace(t *testing.T) {
	d, dev, disk, told := startFull(t)
	var status []virtiotest.Buf
	ask := func(op uint32, sector uint64, data []byte) {
		bufs, _, st := d.chain(op, sector, data, 0)
		status = append(status, st)
		d.Queues[0].Add(bufs...)
		d.Queues[0].Kick()
	}
	for i := range uint64(20) { // more than there are workers
		ask(opOut, 3*i, bytes.Repeat([]byte{7}, 512))
	}
	ranges := virtiotest.Put(uint64(100), uint32(2), uint32(1), uint64(102), uint32(2), uint32(0))
	ask(opWriteZeroes, 0, ranges)
	held(t, dev, 21)
	if d.Bus.AtRest() {
		t.Error("at rest with requests that are held")
	}
	if err := <-told; !errors.Is(err, syscall.ENOSPC) || len(told) != 0 {
		t.Errorf("told of %v, and %d more times; want once", err, len(told))
	}
	// Others are served, among them what makes space; on another queue, where all answers are ours.
	do := func(op uint32, data []byte, in int) byte {
		bufs, _, st := d.chain(op, 0, data, in)
		d.Queues[1].Do(bufs...)
		return st.B[0]
	}
	if rd, fl, tr := do(opIn, nil, 512), do(opFlush, nil, 0), do(opDiscard, virtiotest.Put(uint64(0), uint32(1), uint32(0)), 0); rd+fl+tr != 0 {
		t.Errorf("read %d, flush %d, discard %d while writes are held", rd, fl, tr)
	}
	dev.Retry()
	<-told // still full: told anew
	held(t, dev, 21)
	disk.setFull(false)
	dev.Retry()
	for range status {
		d.Queues[0].Wait()
	}
	for i, st := range status {
		if st.B[0] != statusOK {
			t.Errorf("request %d: status %d after space was made", i, st.B[0])
		}
	}
	if b := disk.content(); b[19*3*512] != 7 || dev.Held() != 0 {
		t.Errorf("%d requests are held, byte is %d", dev.Held(), b[19*3*512])
	}
}

func TestFullHostDiskFailsRequestsThatNobodyWantsHeld(t *testing.T) {
	d := start(t, device(t, &fullDisk{memDisk: newMemDisk(4096), full: true}, Options{}))
	if st, _, _ := d.do(opOut, 0, make([]byte, 512), 0); st != statusIOErr {
		t.Errorf("write to a full host disk: status %d, want %d", st, statusIOErr)
	}
}

func TestResetForgetsWhatIsHeld(t *testing.T) {
	d, dev, disk, _ := startFull(t)
	bufs, _, _ := d.chain(opOut, 0, bytes.Repeat([]byte{7}, 512), 0)
	d.Queues[0].Add(bufs...)
	d.Queues[0].Kick()
	held(t, dev, 1)
	d.Init() // fails the test if it takes too long
	disk.setFull(false)
	dev.Retry()
	if st, _, _ := d.do(opIn, 0, nil, 512); st != statusOK || dev.Held() != 0 || disk.content()[0] != 0 {
		t.Errorf("status %d, %d held, byte %d: the old driver's write lives on", st, dev.Held(), disk.content()[0])
	}
}

// meetDisk is one whose reads take long until two are under way at once.
type meetDisk struct {
	*memDisk
	inside atomic.Int32
	once   sync.Once
	met    chan struct{}
}

func (m *meetDisk) ReadAt(p []byte, off int64) (int, error) {
	if m.inside.Add(1) > 1 {
		m.once.Do(func() { close(m.met) })
	}
	defer m.inside.Add(-1)
	select {
	case <-m.met:
	case <-time.After(10 * slowRequest):
	}
	return m.memDisk.ReadAt(p, off)
}

func (m *meetDisk) meeting() bool {
	select {
	case <-m.met:
		return true
	default:
		return false
	}
}

func TestSlowRequestsAreServedTogether(t *testing.T) {
	disk := &meetDisk{memDisk: newMemDisk(1 << 20), met: make(chan struct{})}
	d := start(t, device(t, disk, Options{}))
	for end := time.Now().Add(virtiotest.Patience); !disk.meeting(); {
		if time.Now().After(end) {
			t.Fatal("slow reads are served one after another")
		}
		for n := range uint64(16) {
			bufs, _, _ := d.chain(opIn, 2*n, nil, 512)
			d.Queues[0].Add(bufs...)
		}
		d.Queues[0].Kick()
		for range 16 {
			d.Queues[0].Wait()
		}
		d.Init() // frees guest memory
	}
}

// startExact is a driver that shows the device its requests when it notifies, all at once.
func startExact(t *testing.T, dev *Device) drive {
	d := drive{virtiotest.New(t, dev, virtiotest.Options{})}
	d.Bus.Exact()
	d.Init()
	return d
}

// vecDisk counts the calls of a VectorDisk.
type vecDisk struct {
	*memDisk
	bad   int64 // vectors over this offset fail, and single writes at it
	calls atomic.Int32
}

func (v *vecDisk) vector(bufs [][]byte, off int64, do func([]byte, int64) (int, error)) (n int, err error) {
	v.calls.Add(1)
	for _, b := range bufs {
		if v.bad >= off+int64(n) && v.bad < off+int64(n+len(b)) {
			return n, errBroken
		}
		k, _ := do(b, off+int64(n))
		n += k
	}
	return n, nil
}

func (v *vecDisk) ReadvAt(b [][]byte, off int64) (int, error) {
	return v.vector(b, off, v.memDisk.ReadAt)
}
func (v *vecDisk) WritevAt(b [][]byte, off int64) (int, error) {
	return v.vector(b, off, v.memDisk.WriteAt)
}
func (v *vecDisk) WriteAt(p []byte, off int64) (int, error) {
	v.calls.Add(1)
	if off == v.bad {
		return 0, errBroken
	}
	return v.memDisk.WriteAt(p, off)
}

func TestNeighboursAreOneCall(t *testing.T) {
	tests := []struct {
		name    string
		sectors []uint64 // of writes of one sector each, made at once
		bad     int64    // where the disk fails
		calls   int32
		fail    []byte // statuses, nil for all OK
	}{
		{"one", []uint64{3}, -1, 1, nil},
		{"four in a row", []uint64{3, 4, 5, 6}, -1, 1, nil},
		{"a gap", []uint64{3, 4, 6, 7}, -1, 2, nil},
		{"backwards", []uint64{6, 5}, -1, 2, nil},
		{"the same twice", []uint64{5, 5}, -1, 2, nil},
		{"one that fails fails alone", []uint64{3, 4, 5}, 4 * 512, 4, []byte{statusOK, statusIOErr, statusOK}},
		{"over the end of the disk", []uint64{126, 127, 128}, -1, 2, []byte{statusOK, statusOK, statusIOErr}},
		{"more than one call takes", make([]uint64, maxBatch+1), -1, 2, nil},
	}
	for i := range tests[len(tests)-1].sectors {
		tests[len(tests)-1].sectors[i] = uint64(i)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk := &vecDisk{memDisk: newMemDisk(64 << 10), bad: tt.bad}
			d := startExact(t, device(t, disk, Options{}))
			var status []virtiotest.Buf
			for i, sector := range tt.sectors {
				bufs, _, st := d.chain(opOut, sector, bytes.Repeat([]byte{byte(i + 1)}, 512), 0)
				d.Queues[0].Add(bufs...)
				status = append(status, st)
			}
			d.Queues[0].Notify()
			for range tt.sectors {
				d.Queues[0].Wait()
			}
			if n := disk.calls.Load(); n != tt.calls {
				t.Errorf("writes of sectors %d took %d calls, want %d", tt.sectors, n, tt.calls)
			}
			b := disk.content()
			for i, st := range status {
				var want byte
				if tt.fail != nil {
					want = tt.fail[i]
				}
				if st.B[0] != want || (want == statusOK && tt.name != "the same twice" && b[tt.sectors[i]*512+511] != byte(i+1)) {
					t.Errorf("write %d: status %d, want %d, or other bytes", i, st.B[0], want)
				}
			}
		})
	}
}

func TestNeighboursAreReadInOneCall(t *testing.T) {
	disk := &vecDisk{memDisk: newMemDisk(64 << 10), bad: -1}
	for i := range disk.b {
		disk.b[i] = byte(i / 512)
	}
	d := startExact(t, device(t, disk, Options{}))
	var replies []virtiotest.Buf
	for i := range uint64(8) {
		bufs, reply, _ := d.chain(opIn, 10+i, nil, 512)
		d.Queues[0].Add(bufs...)
		replies = append(replies, reply)
	}
	d.Queues[0].Notify()
	for range replies {
		if _, n := d.Queues[0].Wait(); n != 513 {
			t.Errorf("used %d, want 513", n)
		}
	}
	for i, r := range replies {
		if r.B[0] != byte(10+i) || r.B[511] != byte(10+i) {
			t.Errorf("read %d holds sector %d", 10+i, r.B[0])
		}
	}
	if n := disk.calls.Load(); n != 1 {
		t.Errorf("8 reads in a row took %d calls, want 1", n)
	}
}

func TestQueuesWorkAtOnce(t *testing.T) {
	disk := newMemDisk(8 << 20)
	d := virtiotest.Start(t, device(t, disk, Options{Queues: 4}), virtiotest.Options{})
	type job struct{ bufs []virtiotest.Buf }
	jobs := make([][]job, 4)
	for i := range jobs {
		for n := range 100 {
			at := uint64(i*1000 + n)
			b := bytes.Repeat([]byte{byte(at)}, 512)
			bufs, _, _ := drive{d}.chain(opOut, at, b, 0)
			jobs[i] = append(jobs[i], job{bufs})
		}
	}
	var wg sync.WaitGroup
	for i, list := range jobs {
		wg.Go(func() {
			for _, j := range list {
				d.Queues[i].Do(j.bufs...)
			}
		})
	}
	wg.Wait()
	b := disk.content()
	for i := range jobs {
		for n := range 100 {
			if at := i*1000 + n; b[at*512] != byte(at) || b[at*512+511] != byte(at) {
				t.Fatalf("sector %d holds %d", at, b[at*512])
			}
		}
	}
}

func TestNoAllocationPerRequest(t *testing.T) {
	d := start(t, device(t, newMemDisk(1<<20), Options{}))
	read, _, _ := d.chain(opIn, 0, nil, 4096)
	write, _, _ := d.chain(opOut, 0, make([]byte, 4096), 0)
	flush, _, _ := d.chain(opFlush, 0, nil, 0)
	q := d.Queues[0]
	round := func() {
		for _, bufs := range [][]virtiotest.Buf{read, write, flush} {
			q.Add(bufs...)
			q.Kick()
			for ok := false; !ok; runtime.Gosched() {
				_, _, ok = q.Used()
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(200, round); n >= 1 {
		t.Errorf("%v allocations for a read, a write and a flush, want 0", n)
	}
}

func TestNewRefusesQueueCounts(t *testing.T) {
	for _, n := range []int{-1, virtio.MaxQueues + 1} {
		if _, err := New(newMemDisk(512), Options{Queues: n}); err == nil {
			t.Errorf("a disk with %d queues was made", n)
		}
	}
}

var _ io.ReaderAt = (*memDisk)(nil)

func FuzzDevice(f *testing.F) {
	virtiotest.Fuzz(f, func(t testing.TB) virtio.Device {
		return device(t, newMemDisk(64<<10), Options{Queues: 2})
	})
}
