package oracle

import (
	"reflect"
	"testing"
)

func TestTheSameSeedMakesTheSameVectors(t *testing.T) {
	a, b := NewGenerator(7, nil), NewGenerator(7, nil)
	for range 20 {
		if x, y := a.Batch(50), b.Batch(50); !reflect.DeepEqual(x, y) {
			t.Fatal("two generators of one seed differ")
		}
	}
	if reflect.DeepEqual(NewGenerator(1, nil).Batch(50), NewGenerator(2, nil).Batch(50)) {
		t.Error("generators of two seeds agree")
	}
}

// Every class keeps its fixed bits, whatever fix does, save the fields that
// it names.
func TestWordsStayInTheirClass(t *testing.T) {
	for i := range classes {
		c := &classes[i]
		if c.value&^c.mask != 0 {
			t.Errorf("class %s: value %#08x has bits outside of mask %#08x", c.name, c.value, c.mask)
		}
		g := NewGenerator(uint64(i), func(name string) bool { return name == c.name })
		for at := range 500 {
			if w := c.likely(g.r, at%maxLength); w&c.mask != c.value && w != nop {
				t.Fatalf("class %s made %#08x", c.name, w)
			}
		}
	}
}

// No vector is longer than its slot allows, and what is not a loop only goes
// forward.
func TestVectorsEnd(t *testing.T) {
	g := NewGenerator(9, nil)
	loops := 0
	for range 20 {
		for _, v := range g.Batch(200) {
			if n := len(v.Words); n == 0 || n > MaxWords {
				t.Fatalf("a vector of %d instructions", n)
			}
			back := 0
			for _, w := range v.Words {
				if w&0xff000010 == 0x54000000 && w>>23&1 == 1 || w&0x7e000000 == 0x34000000 && w>>23&1 == 1 {
					back++
				}
			}
			if back > 1 {
				t.Fatalf("%d branches back:\n%s", back, assembly(v.Words))
			}
			loops += back
		}
	}
	if loops < 100 {
		t.Errorf("%d loops in 4000 vectors, want more", loops)
	}
}
