package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/blk"
)

const (
	// blkImage is the size of the image in bytes: it stays in the page cache, so that the
	// devices are compared and not the medium.
	blkImage = 256 << 20
	// blkTime is how long each load runs.
	blkTime = 300 * time.Millisecond
	// blkWarm is how long it ran before, so that memory is there and threads are at work.
	blkWarm = 30 * time.Millisecond
	// daemon is the peer.
	daemon = "qemu-storage-daemon (vhost-user-blk)"
)

// blkLoads are the loads by name. Half of the requests are reads unless the name says
// which.
var blkLoads = []struct {
	name string
	work
}{
	{"blk.rand4k.qd1", work{4 << 10, 1, true, 1}},
	{"blk.rand4k.qd1.read", work{4 << 10, 1, true, 2}},
	{"blk.rand4k.qd1.write", work{4 << 10, 1, true, 0}},
	{"blk.rand4k.qd32", work{4 << 10, 32, true, 1}},
	{"blk.rand4k.qd32.read", work{4 << 10, 32, true, 2}},
	{"blk.rand4k.qd32.write", work{4 << 10, 32, true, 0}},
	{"blk.seq4k.qd32.write", work{4 << 10, 32, false, 0}},
	{"blk.seq1m.qd32", work{1 << 20, 32, false, 1}},
	{"blk.seq1m.qd32.read", work{1 << 20, 32, false, 2}},
	{"blk.seq1m.qd32.write", work{1 << 20, 32, false, 0}},
}

// blkSuites compare our block device with the daemon's and with the bare calls, on one file.
func blkSuites() (suites []*suite) {
	for _, l := range blkLoads {
		suites = append(suites, &suite{
			names: []string{l.name}, rounds: 7, peer: daemon, floor: "pread and pwrite in a loop", unit: "us/request",
			round: func(s *samples) error { return blkRound(s, l.name, l.work) },
		})
	}
	return suites
}

// blkRound measures each once.
func blkRound(s *samples, name string, w work) error {
	path, err := blkFile()
	if err != nil {
		return err
	}
	for _, m := range []struct {
		into    map[string][]float64
		measure func() (float64, error)
	}{
		{s.ours, func() (float64, error) { return drive(openDevice, path, w) }},
		{s.peer, func() (float64, error) { return driveDaemon(path, w) }},
		{s.floor, func() (float64, error) { return blkFloor(path, w) }},
	} {
		sec, err := m.measure()
		if errors.Is(err, errors.ErrUnsupported) {
			continue // not on this system
		}
		if err != nil {
			return err
		}
		m.into[name] = append(m.into[name], sec*1e6)
	}
	return nil
}

// driveDaemon measures the peer in each way it has, and takes the best.
func driveDaemon(path string, w work) (best float64, err error) {
	best = math.Inf(1)
	for _, way := range daemonWays {
		open := func(path string) (*blkDriver, error) { return openDaemon(path, way) }
		each, err := drive(open, path, w)
		if err != nil {
			return 0, err
		}
		best = min(best, each)
	}
	return best, nil
}

// drive measures one device on the image at path, in seconds for each request.
func drive(open func(path string) (*blkDriver, error), path string, w work) (float64, error) {
	d, err := open(path)
	if err != nil {
		return 0, err
	}
	defer d.end()
	d.prepare(w)
	if _, _, err := d.run(blkWarm); err != nil {
		return 0, err
	}
	each, _, err := d.run(blkTime)
	return each, err
}

// blkFile is the image, all of it written.
func blkFile() (string, error) {
	path := filepath.Join("build", "bench", "disk.img")
	if st, err := os.Stat(path); err == nil && st.Size() == blkImage {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, make([]byte, blkImage), 0o600)
}

// blkFloor makes the same calls from one loop.
func blkFloor(path string, w work) (float64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	at := w.offsets()
	buf := bytes.Repeat([]byte{1}, w.size*w.depth) // as many buffers as the devices have, all touched
	start, done := time.Now(), 0
	for ; time.Since(start) < blkTime; done++ {
		call := f.WriteAt
		if done%2 < w.reads {
			call = f.ReadAt
		}
		slot := done % w.depth * w.size
		if _, err := call(buf[slot:slot+w.size], at.next()); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds() / float64(done), nil
}

// openDevice puts our device behind a driver.
func openDevice(path string) (*blkDriver, error) {
	disk, err := file.Open(path, false)
	if err != nil {
		return nil, err
	}
	dev, err := blk.New(disk, blk.Options{})
	if err != nil {
		return nil, err
	}
	g, err := newGuest(dev, blkFlush, blkMemory)
	if err != nil {
		return nil, err
	}
	return &blkDriver{
		ring: g.rings[0],
		wait: func() error { <-g.interrupt; return g.acknowledge() },
		end:  func() { g.close(); _ = disk.Close() },
	}, nil
}

// allocSuite counts what one request leaves for the garbage collector.
func allocSuite() *suite {
	return &suite{
		names: []string{"virtio.allocs"}, rounds: 5, peer: "goal", unit: "allocations/request",
		round: func(s *samples) error {
			path, err := blkFile()
			if err != nil {
				return err
			}
			n, err := blkAllocs(path)
			s.add("virtio.allocs", n, 0)
			return err
		},
	}
}

// blkAllocs drives the device until everything is there that is kept, and then counts, to a
// thousandth: the Go runtime allocates a little for itself.
func blkAllocs(path string) (float64, error) {
	d, err := openDevice(path)
	if err != nil {
		return 0, err
	}
	defer d.end()
	d.prepare(work{4 << 10, maxDepth, true, 1})
	if _, _, err := d.run(blkWarm); err != nil {
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, n, err := d.run(blkTime)
	runtime.ReadMemStats(&after)
	return math.Round(float64(after.Mallocs-before.Mallocs)/float64(n)*1e3) / 1e3, err
}
