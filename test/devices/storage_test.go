package devices_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/blk"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/vsock"
)

// diskPiece is how many bytes the guest writes in each place.
const diskPiece = 1 << 20

// piece is what the guest writes at a place.
func piece(at int64) []byte { return bytes.Repeat(fmt.Appendf(nil, "%016x", at), diskPiece/16) }

func TestGuestUsesAllOfAnEightTebibyteImage(t *testing.T) {
	const size, larger = storage.DefaultSize, storage.DefaultSize + 1<<40
	spec := storage.Spec{Path: filepath.Join(t.TempDir(), storage.DefaultName), Reserve: -1}
	img, err := storage.Ensure(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	dev, err := blk.New(img.File, blk.Options{Serial: "arcbox-data", Failed: func(op string, err error) { t.Error(op, err) }})
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, "disk", dev)
	m.wait(t, fmt.Sprintf("disk %d arcbox-data 4096 4096", int64(size)))
	m.wait(t, "written")
	holds := func(at int64, want []byte) {
		t.Helper()
		b := make([]byte, diskPiece)
		if _, err := img.ReadAt(b, at); err != nil || !bytes.Equal(b, want) {
			t.Errorf("at %d the image holds other bytes, %v", at, err)
		}
	}
	holds(0, piece(0))
	holds(size/2, make([]byte, diskPiece))
	holds(size-diskPiece, piece(size-diskPiece))
	if n, err := img.Allocated(); err != nil || (img.HasHoles() && n > 3*diskPiece) {
		t.Errorf("%d bytes are taken for two pieces of %d, %v", n, diskPiece, err)
	}
	spec.Size = larger
	if err := img.Extend(spec); err != nil {
		t.Fatal(err)
	}
	dev.Resized()
	m.wait(t, fmt.Sprintf("grown %d", int64(larger)))
	holds(larger-diskPiece, piece(larger-diskPiece))
}

func TestVsockMessagesBothWays(t *testing.T) {
	dev, err := vsock.New(3)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	l, err := dev.ListenPackets(1024)
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, "packets", dev)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 128<<10)
	for i := range b {
		b[i] = byte(i * 7)
	}
	for _, n := range []int{1, 2, 100, 4096, 65536, 65537, len(b), 3} {
		if _, err := c.Write(b[:n]); err != nil {
			t.Fatalf("a message of %d bytes: %v", n, err)
		}
		got := make([]byte, len(b))
		if k, err := c.Read(got); err != nil || !bytes.Equal(got[:k], b[:n]) {
			t.Errorf("a message of %d bytes came back as one of %d, %v", n, k, err)
		}
	}
	_ = c.Close()
	for _, ok := m.line(t); ok; _, ok = m.line(t) {
	}
}
