package mem

import (
	"bytes"
	"errors"
	"math"
	"sync"
	"testing"
)

func ram(t *testing.T, size uint64) *RAM {
	t.Helper()
	r, err := New(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestSizesOfRAM(t *testing.T) {
	for _, size := range []uint64{0, 1, 4096, Granule + 4096, 1<<46 + Granule, math.MaxUint64 - Granule + 1} {
		if r, err := New(size); err == nil {
			t.Errorf("RAM of %d bytes was made", size)
			_ = r.Close()
		}
	}
	r := ram(t, 4*Granule)
	if b := r.Bytes(); len(b) != 4*Granule || !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("%d bytes of RAM, or not zero", len(b))
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil || r.Bytes() != nil {
		t.Errorf("closing twice: %v, %d bytes left", err, len(r.Bytes()))
	}
}

func TestSpacesThatCannotBe(t *testing.T) {
	b := make([]byte, 4096)
	tests := []struct {
		name    string
		regions []Region
	}{
		{"empty region", []Region{{Base: 0}}},
		{"unaligned base", []Region{{Base: 2, Mem: b}}},
		{"end wraps", []Region{{Base: math.MaxUint64 - 4095 + 4, Mem: b}}},
		{"overlap", []Region{{Base: 8192, Mem: b}, {Base: 8192 + 4092, Mem: b}}},
		{"the same twice", []Region{{Base: 0, Mem: b}, {Base: 0, Mem: b}}},
	}
	for _, tt := range tests {
		if _, err := NewSpace(tt.regions...); err == nil {
			t.Errorf("%s: a space was made", tt.name)
		}
	}
}

func TestSlice(t *testing.T) {
	low, high := make([]byte, 4096), make([]byte, 8192)
	s, err := NewSpace(Region{0x8000, high}, Region{0x1000, low}, Region{0x2000, make([]byte, 16)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		gpa, n uint64
		want   []byte // nil means ErrRange
	}{
		{"first byte", 0x1000, 1, low[:1]},
		{"a whole region", 0x8000, 8192, high},
		{"last byte", 0x9fff, 1, high[8191:]},
		{"nothing", 0x8010, 0, high[16:16]},
		{"nothing at the end", 0xa000, 0, high[8192:]},
		{"before the first", 0xfff, 1, nil},
		{"across two neighbours", 0x1ff8, 16, nil},
		{"in a gap", 0x3000, 1, nil},
		{"one too many", 0x8000, 8193, nil},
		{"length wraps", 0x8001, math.MaxUint64, nil},
		{"end wraps to the start", 0x9000, math.MaxUint64 - 0x7000, nil},
		{"largest address", math.MaxUint64, 1, nil},
	}
	for _, tt := range tests {
		got, err := s.Slice(tt.gpa, tt.n)
		if tt.want == nil {
			if !errors.Is(err, ErrRange) {
				t.Errorf("%s: %d bytes, %v, want ErrRange", tt.name, len(got), err)
			}
			continue
		}
		if err != nil || len(got) != len(tt.want) || cap(got) != len(tt.want) ||
			(len(got) > 0 && &got[0] != &tt.want[0]) {
			t.Errorf("%s: %d bytes (capacity %d), %v, want %d", tt.name, len(got), cap(got), err, len(tt.want))
		}
	}
}

func TestMemoryIsAlignedForEveryEngine(t *testing.T) {
	for n := uint64(1); n < 9; n++ {
		r := ram(t, n*Granule)
		if b := r.Bytes(); !Aligned(b, Granule) || uint64(len(b)) != n*Granule || cap(b) != len(b) {
			t.Errorf("%d granules are %d bytes, capacity %d, at %p", n, len(b), cap(b), b)
		}
	}
}

func TestReturnTakesWholePagesOnly(t *testing.T) {
	b := ram(t, 16*Granule).Bytes()
	s, err := NewSpace(Region{0x4000_0000, b})
	if err != nil {
		t.Fatal(err)
	}
	page := s.HostPage()
	tests := []struct {
		name   string
		off, n uint64
		from   uint64 // what reads as zeroes afterwards
		to     uint64
	}{
		{"one page", page, page, page, 2 * page},
		{"pages and parts", page/2 + 8, 4 * page, page, 4 * page},
		{"less than a page", page, page - 1, 0, 0},
		{"two parts of pages", page / 2, page, 0, 0},
		{"everything", 0, uint64(len(b)), 0, uint64(len(b))},
	}
	total := uint64(0)
	for _, tt := range tests {
		for i := range b {
			b[i] = 0xa5
		}
		got, err := s.Return(0x4000_0000+tt.off, tt.n)
		total += tt.to - tt.from
		if err != nil || got != tt.to-tt.from || s.Returned() != total {
			t.Errorf("%s: %d bytes, %v, want %d", tt.name, got, err, tt.to-tt.from)
		}
		for i, v := range b {
			if in := uint64(i) >= tt.from && uint64(i) < tt.to; in != (v == 0) {
				t.Errorf("%s: byte %d is %#x", tt.name, i, v)
				break
			}
		}
	}
	if _, err := s.Return(0x4000_0000, uint64(len(b))+1); !errors.Is(err, ErrRange) {
		t.Errorf("returning more than there is: %v", err)
	}
}

func TestHookGivesPagesBackInItsOwnWay(t *testing.T) {
	b := ram(t, 4*Granule).Bytes()
	s, _ := NewSpace(Region{0x4000_0000, b})
	const page = Granule
	b[page] = 1
	s.OnReturn(page, func(gpa uint64, b []byte) error {
		if gpa != 0x4000_0000+page || uint64(len(b)) != page {
			t.Errorf("%d bytes at %#x, want a page at %#x", len(b), gpa, 0x4000_0000+page)
		}
		return Renew(b) // as on macOS, where the guest has it unmapped meanwhile
	})
	if n, err := s.Return(0x4000_0000+page-1, page+2); n != page || err != nil || b[page] != 0 {
		t.Errorf("%d bytes, %v; the page reads %d", n, err, b[page])
	}
	s.OnReturn(page, func(uint64, []byte) error { return errors.New("broken") })
	if n, err := s.Return(0x4000_0000, page); n != 0 || err == nil || s.Returned() != page {
		t.Errorf("a hook that fails: %d, %v, %d in all", n, err, s.Returned())
	}
}

func TestSmallValuesKeepTheirNeighbours(t *testing.T) {
	b := bytes.Repeat([]byte{0xee}, 16)
	Store16(b, 2, 0x1234)
	Store16(b, 4, 0x5678)
	Store32(b, 8, 0x9abcdef0)
	want := []byte{0xee, 0xee, 0x34, 0x12, 0x78, 0x56, 0xee, 0xee, 0xf0, 0xde, 0xbc, 0x9a, 0xee, 0xee, 0xee, 0xee}
	if !bytes.Equal(b, want) {
		t.Errorf("memory % x, want % x", b, want)
	}
	if Load16(b, 2) != 0x1234 || Load16(b, 4) != 0x5678 || Load32(b, 8) != 0x9abcdef0 || Load64(b, 8) != 0xeeeeeeee9abcdef0 {
		t.Errorf("read back %#x %#x %#x %#x", Load16(b, 2), Load16(b, 4), Load32(b, 8), Load64(b, 8))
	}
}

func TestStoresSurviveWritersBeside(t *testing.T) {
	b := ram(t, Granule).Bytes()
	var wg sync.WaitGroup
	for _, off := range []int{0, 2} { // the two halves of one word
		wg.Go(func() {
			for i := range uint16(50000) {
				Store16(b, off, i)
				if got := Load16(b, off); got != i {
					t.Errorf("offset %d holds %d, want %d", off, got, i)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAccessOutsideTheSlicePanics(t *testing.T) {
	b := make([]byte, 64)
	for name, f := range map[string]func(){
		"Load16": func() { Load16(b[:3], 2) }, "Store16": func() { Store16(b[:3], 2, 0) },
		"Load32": func() { Load32(b[:6], 4) }, "Store32": func() { Store32(b[:6], 4, 0) },
		"Load64": func() { Load64(b[:12], 8) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s went over the end of its slice", name)
				}
			}()
			f()
		}()
	}
}
