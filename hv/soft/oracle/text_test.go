package oracle

import (
	"reflect"
	"testing"
)

func TestACaseSurvivesItsText(t *testing.T) {
	for _, v := range NewGenerator(3, nil).Batch(50) {
		c := Case{Comment: "what was wrong\nand why\n", Vector: *v, Want: Result{Regs: v.Regs, Mem: v.Mem, Signal: sigTRAP, PC: v.PC()}}
		c.Want.Regs.X[3]++
		c.Want.Regs.FPSR ^= 1
		c.Want.Regs.NZCV = 0
		c.Want.Mem[9]++
		got, err := ParseCase([]byte(c.Format()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*got, c) {
			t.Fatalf("parsed %+v, want %+v", *got, c)
		}
	}
}

func TestBadCasesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"unknown register": "x31 5",
		"no number":        "x3 zz",
		"short memory":     "mem 0102",
		"slot too large":   "slot fffff",
		"too many words":   "word 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0\nword 0",
		"pc before out":    "pc 1",
	} {
		if _, err := ParseCase([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParseCase(f *testing.F) {
	f.Add([]byte("# c\ncpu cortex-a72\nslot 1\nword d503201f\nin\nx0 1\nout\nx0 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCase(text)
		if err != nil {
			return
		}
		if _, err := ParseCase([]byte(c.Format())); err != nil {
			t.Errorf("cannot read back: %v\n%s", err, c.Format())
		}
	})
}
