package rng

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

func TestConformance(t *testing.T) {
	virtiotest.Run(t, virtiotest.Subject{
		New: func(testing.TB) virtio.Device { return New(nil) },
		Probe: func(t testing.TB, d *virtiotest.Driver) {
			buf := d.In(64)
			if n := d.Queues[0].Do(buf); n != 64 || bytes.Equal(buf.B, make([]byte, 64)) {
				t.Errorf("64 bytes asked, %d given: %x", n, buf.B)
			}
		},
	})
}

func TestRequests(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		source io.Reader
		ask    int
		want   string
	}{
		{"all that was asked", bytes.NewReader([]byte("abcdefgh")), 4, "abcd"},
		{"bytes one by one", iotest.OneByteReader(bytes.NewReader([]byte("abcdefgh"))), 4, "abcd"},
		{"a source that ends", bytes.NewReader([]byte("abc")), 8, "abc"},
		{"a source that fails", iotest.ErrReader(broken), 8, ""},
		{"a source that fails later", io.MultiReader(bytes.NewReader([]byte("ab")), iotest.ErrReader(broken)), 8, "ab"},
		{"more than is given at once", bytes.NewReader(bytes.Repeat([]byte("x"), 8192)), 8192, string(bytes.Repeat([]byte("x"), perChain))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := virtiotest.Start(t, New(tt.source), virtiotest.Options{})
			buf := d.In(tt.ask)
			for i := range buf.B {
				buf.B[i] = 0xee
			}
			n := d.Queues[0].Do(buf)
			if string(buf.B[:n]) != tt.want {
				t.Errorf("asked for %d: got %d bytes %.20q, want %d", tt.ask, n, buf.B[:n], len(tt.want))
			}
			for i, b := range buf.B[n:] {
				if b != 0xee {
					t.Fatalf("byte %d behind the answer was written: %#x", i, b)
				}
			}
		})
	}
}

func TestReadableBufferGetsNothing(t *testing.T) {
	d := virtiotest.Start(t, New(nil), virtiotest.Options{})
	if n := d.Queues[0].Do(d.Out([]byte("mine"))); n != 0 {
		t.Errorf("%d bytes were given where none fit", n)
	}
}

func FuzzDevice(f *testing.F) {
	virtiotest.Fuzz(f, func(testing.TB) virtio.Device { return New(nil) })
}
