package debian

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

// fakeImage is a kernel's Image with a table of symbols, as scripts/kallsyms.c of Linux 6.1 lays it out, with the order of the
// names or, as the first of that series, without. Symbols are named by their type, then their name.
func fakeImage(code []uint32, base int, at map[string]int, ordered bool) []byte {
	image := make([]byte, 0, 64<<10)
	for _, word := range code {
		image = binary.LittleEndian.AppendUint32(image, word)
	}
	pad := func() {
		for len(image)%8 != 0 {
			image = append(image, 0)
		}
	}
	names := []string{}
	for name := range at {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return at[a] - at[b] })
	pad()
	for _, name := range names {
		image = binary.LittleEndian.AppendUint32(image, uint32(at[name]-base))
	}
	pad()
	image = binary.LittleEndian.AppendUint64(image, 0) // the base, which the kernel relocates
	image = binary.LittleEndian.AppendUint64(image, uint64(len(names)))
	start := len(image)
	var markers []int
	for i, name := range names {
		if i%namesPerMarker == 0 {
			markers = append(markers, len(image)-start)
		}
		if len(name) < 0x80 {
			image = append(image, byte(len(name)))
		} else {
			image = append(image, byte(len(name))|0x80, byte(len(name)>>7))
		}
		image = append(image, name...)
	}
	pad()
	for _, m := range markers {
		image = binary.LittleEndian.AppendUint32(image, uint32(m))
	}
	pad()
	if ordered {
		image = append(image, bytes.Repeat([]byte{0, 1, 2}, len(names))...)
		pad()
	}
	table := len(image)
	var index []byte
	for c := range 256 { // each token is its own number, but for those that would end a text
		index = binary.LittleEndian.AppendUint16(index, uint16(len(image)-table))
		image = append(image, byte(max(c, 1)), 0)
	}
	pad()
	return append(image, index...)
}

func TestLeanKernel(t *testing.T) {
	code := make([]uint32, 64)
	code[1] = 0b000101<<26 | 7 // to word 8
	code[20], code[21], code[30] = paciasp, 0x12345678, paciasp
	at := map[string]int{"Tprimary_entry": 32, tracerInit: 80, "Tftrace_init_nop": 84, "t" + string(bytes.Repeat([]byte("long"), 50)): 88}
	for i := range 700 {
		at[fmt.Sprintf("tfunction_%d", i)] = 200 + 4*i
	}
	for _, ordered := range []bool{false, true} {
		for _, base := range []int{0, 16} {
			image := fakeImage(code, base, at, ordered)
			got, err := leanKernel(image)
			if err != nil {
				t.Fatalf("base %d, ordered %v: %v", base, ordered, err)
			}
			want := bytes.Clone(image)
			binary.LittleEndian.PutUint32(want[80:], ret)
			if !bytes.Equal(got, want) {
				t.Errorf("base %d, ordered %v: something else than the function's first word has changed", base, ordered)
			}
		}
	}
	delete(at, tracerInit)
	if _, err := leanKernel(fakeImage(code, 0, at, true)); err == nil {
		t.Error("a kernel without the function was changed")
	}
	at[tracerInit] = 84
	if _, err := leanKernel(fakeImage(code, 0, at, true)); err == nil {
		t.Error("a word that no function begins with was changed")
	}
	for name, image := range map[string][]byte{"nothing": nil, "zeroes": make([]byte, 1<<16), "digits": []byte("0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00")} {
		if _, err := leanKernel(image); err == nil {
			t.Errorf("%s: a table of symbols was found", name)
		}
	}
}
