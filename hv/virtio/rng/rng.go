// Package rng is the virtio entropy device (virtio 1.2, section 5.4): the guest gives
// buffers and gets them back with random bytes from the host.
//
// When the source fails a buffer comes back short, or empty, and never with
// bytes that are not random.
package rng

import (
	"context"
	"crypto/rand"
	"io"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

const (
	queueSize = 8
	// perChain is how many bytes one request gets at most: Linux asks for 64 or
	// less at a time, and a guest must not keep the host busy with one buffer.
	perChain = 4 << 10
)

// A Device answers requests for entropy.
type Device struct{ source io.Reader }

// New makes a device that reads from source; nil means the operating system's.
func New(source io.Reader) *Device {
	if source == nil {
		source = rand.Reader
	}
	return &Device{source: source}
}

// Info implements virtio.Device.
func (d *Device) Info() virtio.Info {
	return virtio.Info{ID: virtio.IDEntropy, QueueMax: []uint16{queueSize}}
}

// Serve implements virtio.Device.
func (d *Device) Serve(ctx context.Context, qs []*virtio.Queue) error {
	buf := make([]byte, perChain)
	for {
		c, err := qs[0].Next(ctx)
		if err != nil {
			return err
		}
		n, _ := io.ReadFull(d.source, buf[:min(c.WriteLen(), perChain)])
		n, _ = c.Write(buf[:n])
		clear(buf[:n]) // nobody else gets these
		c.Finish(uint32(n))
	}
}
