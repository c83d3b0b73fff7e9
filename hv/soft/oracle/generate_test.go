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
		for _, v := range g.Batch(500) {
			for _, w := range v.Words {
				if w&c.mask != c.value && w != nop {
					t.Fatalf("class %s made %#08x", c.name, w)
				}
			}
		}
	}
}
