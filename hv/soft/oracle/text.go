package oracle

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// A Case is a vector with the result that is right for it, as a file of
// testdata/found holds it: lines of "name value", hexadecimal, grouped under
// "in" and "out"; what is zero is left out, and what "out" does not name is as
// in "in". Lines that start with # say what went wrong once.
type Case struct {
	Comment string
	Vector  Vector
	Want    Result
}

// fields lists the numbers of a state by name.
func (r *Registers) fields(f func(name string, v *uint64)) {
	for i := range r.X {
		f(fmt.Sprintf("x%d", i), &r.X[i])
	}
	for i := range 32 {
		f(fmt.Sprintf("v%d.lo", i), &r.V[2*i])
		f(fmt.Sprintf("v%d.hi", i), &r.V[2*i+1])
	}
	f("sp", &r.SP)
	f("nzcv", &r.NZCV)
	f("fpcr", &r.FPCR)
	f("fpsr", &r.FPSR)
}

// fields adds what only a result has.
func (r *Result) fields(f func(name string, v *uint64)) {
	r.Regs.fields(f)
	f("pc", &r.PC)
	f("signal", &r.Signal)
	f("hash", &r.Hash)
}

// Format is the text of a case.
func (c *Case) Format() string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(c.Comment)) {
		b.WriteString("# " + strings.TrimSpace(line) + "\n")
	}
	fmt.Fprintf(&b, "cpu %s\nslot %x\n", c.Vector.CPU, c.Vector.Slot)
	for _, w := range c.Vector.Words {
		fmt.Fprintf(&b, "word %08x\n", w)
	}
	b.WriteString("in\n")
	in := map[string]uint64{}
	c.Vector.Regs.fields(func(name string, v *uint64) {
		in[name] = *v
		if *v != 0 {
			fmt.Fprintf(&b, "%s %x\n", name, *v)
		}
	})
	if c.Vector.Mem != [WindowSize]byte{} {
		fmt.Fprintf(&b, "mem %x\n", c.Vector.Mem)
	}
	b.WriteString("out\n")
	c.Want.fields(func(name string, v *uint64) {
		if *v != in[name] {
			fmt.Fprintf(&b, "%s %x\n", name, *v)
		}
	})
	if c.Want.Mem != c.Vector.Mem {
		fmt.Fprintf(&b, "mem %x\n", c.Want.Mem)
	}
	return b.String()
}

// ParseCase reads what Format writes.
func ParseCase(text []byte) (*Case, error) {
	c := &Case{}
	values, mem := map[string]*uint64{}, &c.Vector.Mem
	c.Vector.Regs.fields(func(name string, v *uint64) { values[name] = v })
	s := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; s.Scan(); n++ {
		if err := c.line(s.Text(), &values, &mem); err != nil {
			return nil, fmt.Errorf("cannot read line %d: %w", n, err)
		}
	}
	if c.Vector.Slot >= MaxBatch || len(c.Vector.Words) > MaxWords {
		return nil, fmt.Errorf("cannot use the case: %d words in slot %d", len(c.Vector.Words), c.Vector.Slot)
	}
	return c, s.Err()
}

// line takes one line; values and mem are where numbers go at present.
func (c *Case) line(text string, values *map[string]*uint64, mem **[WindowSize]byte) error {
	name, value, _ := strings.Cut(text, " ")
	switch name {
	case "":
		return nil
	case "#":
		c.Comment += value + "\n"
		return nil
	case "cpu":
		c.Vector.CPU = value
		return nil
	case "in":
		return nil
	case "out":
		c.Want.Regs, c.Want.Mem = c.Vector.Regs, c.Vector.Mem
		*values, *mem = map[string]*uint64{}, &c.Want.Mem
		c.Want.fields(func(name string, v *uint64) { (*values)[name] = v })
		return nil
	case "mem":
		if n, err := hex.Decode((*mem)[:], []byte(value)[:min(len(value), 2*WindowSize)]); err != nil || n != WindowSize {
			return fmt.Errorf("memory of %d bytes, %v", n, err)
		}
		return nil
	}
	v, err := strconv.ParseUint(value, 16, 64)
	if err != nil {
		return err
	}
	switch p := (*values)[name]; {
	case name == "word":
		c.Vector.Words = append(c.Vector.Words, uint32(v))
	case name == "slot":
		c.Vector.Slot = int(v & 0xffffff)
	case p != nil:
		*p = v
	default:
		return fmt.Errorf("unknown name %q", name)
	}
	return nil
}
