// Package balloon is the virtio memory balloon (virtio 1.2, section 5.5): the guest gives
// memory back to the host, to reach a target or because it is free, and takes
// it again when it needs it.
//
// Three ways, of which the second needs no policy and starves nobody:
//
//   - SetTarget asks the guest for an amount. A guest that runs out takes memory back.
//   - Free page reporting: the guest tells of free pages by itself, in pieces of
//     megabytes, and uses them again without a word.
//   - Stats says how the guest's memory is used, for whoever sets targets.
//
// Pages leave the host process through mem.Space.Return, which counts them too.
package balloon

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Features of section 5.5.3. FREE_PAGE_HINT is for migration and is not offered.
const (
	featMustTell  uint64 = 1 << 0
	featStats     uint64 = 1 << 1
	featDeflate   uint64 = 1 << 2 // DEFLATE_ON_OOM
	featPoison    uint64 = 1 << 4
	featReporting uint64 = 1 << 5
)

const (
	queueSize = 128
	// PageSize is the unit of the balloon in bytes, whatever the guest's pages are.
	PageSize = 4096
	// batch is how many bytes of balloon pages are collected before they go back to the
	// host, which on macOS costs 40 µs at a time; and patience how long for.
	batch    = 2 << 20
	patience = 20 * time.Millisecond
)

// Offsets in the configuration space (section 5.5.4).
const (
	cfgTarget = 0
	cfgActual = 4
	cfgPoison = 12
	cfgLen    = 16
)

// Errors of Stats that callers branch on.
var (
	// ErrNoStats: the guest's driver is not at work, or gives no statistics.
	ErrNoStats = errors.New("the guest gives no memory statistics")
)

// A Device is a balloon. Any goroutine may use its methods.
type Device struct {
	config   *virtio.Config
	inflated atomic.Uint64 // bytes returned from the balloon
	reported atomic.Uint64 // bytes returned from reports
	failed   atomic.Uint64

	mu      sync.Mutex
	ask     chan chan<- Stats // to the statistics goroutine; nil when there is none
	session context.Context   // of that goroutine
}

// New makes an empty balloon.
func New() *Device {
	return &Device{config: virtio.NewConfig(make([]byte, cfgLen), cfgActual, cfgLen)}
}

// Info implements virtio.Device.
func (d *Device) Info() virtio.Info {
	return virtio.Info{
		ID:       virtio.IDBalloon,
		Features: featMustTell | featStats | featDeflate | featPoison | featReporting,
		QueueMax: []uint16{queueSize, queueSize, queueSize, queueSize},
		Config:   d.config,
	}
}

// SetTarget asks the guest to have that many bytes in the balloon, rounded down to pages.
func (d *Device) SetTarget(bytes uint64) {
	pages := min(bytes/PageSize, 1<<32-1)
	d.config.Set(cfgTarget, binary.LittleEndian.AppendUint32(nil, uint32(pages)))
}

// Target is what SetTarget last asked for.
func (d *Device) Target() uint64 {
	return uint64(binary.LittleEndian.Uint32(d.config.Bytes()[cfgTarget:])) * PageSize
}

// Actual is how many bytes the guest says are in the balloon.
func (d *Device) Actual() uint64 {
	return uint64(binary.LittleEndian.Uint32(d.config.Bytes()[cfgActual:])) * PageSize
}

// Returned is how many bytes have gone back to the host since the device was made, from
// the balloon and from reports of free pages. Pages that come and go count each time.
func (d *Device) Returned() (balloon, reports uint64) { return d.inflated.Load(), d.reported.Load() }

// Failures is how many ranges the host did not take.
func (d *Device) Failures() uint64 { return d.failed.Load() }

// queues are the device's by purpose. Their numbers are dense: a queue whose feature was not
// negotiated has none (section 5.5.2).
type queues struct{ inflate, deflate, stats, reports *virtio.Queue }

func assign(qs []*virtio.Queue) queues {
	q := queues{inflate: qs[0], deflate: qs[1]}
	rest := qs[2:]
	if qs[0].Has(featStats) {
		q.stats, rest = rest[0], rest[1:]
	}
	if qs[0].Has(featReporting) {
		q.reports, rest = rest[0], rest[1:]
	}
	for _, none := range rest {
		none.Park()
	}
	return q
}

// Serve implements virtio.Device.
func (d *Device) Serve(ctx context.Context, qs []*virtio.Queue) error {
	q := assign(qs)
	parts := []func(context.Context) error{func(ctx context.Context) error { return d.serveBalloon(ctx, q) }}
	if q.stats != nil {
		parts = append(parts, func(ctx context.Context) error { return d.serveStats(ctx, q.stats) })
	}
	if q.reports != nil {
		parts = append(parts, func(ctx context.Context) error { return d.serveReports(ctx, q.reports) })
	}
	return virtio.Together(ctx, parts...)
}

// serveBalloon moves pages into the balloon and out of it, on one goroutine: which pages are
// in it is its alone.
func (d *Device) serveBalloon(ctx context.Context, q queues) error {
	p := &pages{Device: d, space: q.inflate.Memory(), unit: max(q.inflate.Memory().HostPage(), PageSize), in: map[uint64]uint64{}}
	timer := time.NewTimer(patience)
	timer.Stop()
	defer timer.Stop()
	for {
		// Deflation first: what the guest takes back must not be returned after that.
		for _, work := range []struct {
			q  *virtio.Queue
			do func(pfn uint64)
		}{{q.deflate, p.remove}, {q.inflate, p.add}} {
			if err := p.drain(work.q, work.do, !q.inflate.Has(featMustTell)); err != nil {
				return err
			}
		}
		if len(p.pending) > 0 {
			timer.Reset(patience)
		}
		select {
		case <-q.inflate.Kicked():
		case <-q.deflate.Kicked():
		case <-timer.C:
			p.giveBack()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serveReports returns the free pages that the guest reports. They are its own again as
// soon as the chain is finished.
func (d *Device) serveReports(ctx context.Context, q *virtio.Queue) error {
	for {
		c, err := q.Next(ctx)
		if err != nil {
			return err
		}
		// A guest that fills its free pages with a pattern expects to find it, and what
		// we return reads as zeroes (section 5.5.6.7).
		if !q.Has(featPoison) || binary.LittleEndian.Uint32(d.config.Bytes()[cfgPoison:]) == 0 {
			_ = c.EachWritable(func(gpa, n uint64) error {
				got, err := q.Memory().Return(gpa, n)
				if err != nil {
					d.failed.Add(1)
				}
				d.reported.Add(got)
				return nil
			})
		}
		c.Finish(0)
	}
}
