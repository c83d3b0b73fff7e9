package main

import (
	"bytes"
	"fmt"
	"go/format"
	"regexp"
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa/table"
)

const module = "github.com/arcboxlabs/arcbox-go/hv/soft/internal/"

// imports are the packages that bodies may name, by the word they use.
var imports = []struct{ word, path string }{
	{"bits.", "math/bits"}, {"unsafe.", "unsafe"}, {"atomic.", "sync/atomic"},
	{"float.", module + "float"}, {"simd.", module + "simd"}, {"cpu.", module + "cpu"},
	{"isa.", module + "isa"}, {"arm64.", "github.com/arcboxlabs/arcbox-go/hv/arm64"},
	{"hv.", "github.com/arcboxlabs/arcbox-go/hv"},
}

var placeholders = strings.NewReplacer(
	"$vd", "c.V[i.Rd]", "$vn", "c.V[i.Rn]", "$vm", "c.V[i.Rm]", "$va", "c.V[i.Ra]",
	"$d", "c.X[i.Rd]", "$n", "c.X[i.Rn]", "$m", "c.X[i.Rm]", "$a", "c.X[i.Ra]",
	"$sh", "i.Sh", "$cond", "i.Cond", "$imm", "i.Imm", "$jmm", "i.Imm2")

// runFile is the text of exec/run_gen_unsafe.go.
func runFile(groups []table.Group) ([]byte, error) {
	var code bytes.Buffer
	loopFunc(&code, groups)
	funcs := map[string]string{"fp": "runFP", "simd": "runSIMD"}
	for _, g := range groups {
		if name := funcs[g.Name]; name != "" {
			groupFunc(&code, name, g)
		}
	}
	var o bytes.Buffer
	o.WriteString(header + "package exec\n\nimport (\n")
	for _, im := range imports {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(im.word)).Match(code.Bytes()) {
			fmt.Fprintf(&o, "%q\n", im.path)
		}
	}
	o.WriteString(")\n\n")
	o.Write(code.Bytes())
	return format.Source(o.Bytes())
}

// groupFunc writes a function that executes any one row of g that is not Hot.
func groupFunc(o *bytes.Buffer, name string, g table.Group) {
	fmt.Fprintf(o, "// %s executes one operation of that group.\nfunc (c *Core) %s(i *isa.Op) {\nswitch i.Code {\n", name, name)
	for _, r := range g.Rows {
		if r.Attr&table.Hot == 0 {
			fmt.Fprintf(o, "case isa.Op%s:\n%s\n", r.Name, placeholders.Replace(r.Body))
		}
	}
	o.WriteString("}\n}\n\n")
}

// loopHead and loopTail are the run loop around the rows. What the labels do:
//
//	top       begins block b, or returns if it may not be run now
//	take0, 1  leave by a branch taken or not taken whose successor is unknown
//	indirect  goes to c.PC by way of the jump cache
//	fault     ends the block at i, which raised an exception or an exit
//	leave     ends the block behind i
const (
	loopHead = `
// loop executes blocks until the budget c.left does not cover the next one,
// c.attention is set, or an operation leaves the engine (c.pend says why). It
// begins with b or, when b is nil, at c.PC. PC and all registers are exact
// when it returns.
//
//go:norace
func (c *Core) loop(b *Block) {
	n := c.left
	var i *isa.Op
	if b == nil {
		goto indirect
	}
top:
	if n < b.n || c.X[cpu.SP]&uint64(b.spMask) != 0 || c.attention.Load() != 0 {
		c.PC, c.left = b.pc, n
		return
	}
	n -= b.n
	i = b.lead
	for {
		i = (*isa.Op)(unsafe.Add(unsafe.Pointer(i), unsafe.Sizeof(isa.Op{})))
		switch i.Code {
`
	loopTail = `
		default:
			if i.Code < isa.FirstSIMD {
				c.runFP(i)
			} else {
				c.runSIMD(i)
			}
		}
	}
take0:
	c.PC = i.Imm
taken:
	if b = c.chain(b, 0); b != nil {
		goto top
	}
	goto indirect
take1:
	c.PC = b.end()
	if b = c.chain(b, 1); b != nil {
		goto top
	}
	goto indirect
fault:
	c.PC = b.pc + 4*uint64(b.index(i))
	c.left = n + b.after(i) + 1
	if !c.trapOp(i) {
		return
	}
	n = c.left
	goto indirect
leave:
	c.PC = b.pc + 4*uint64(b.index(i)) + 4
	n += b.after(i)
indirect:
	if q := &c.jumps[c.PC>>2&jumpMask]; q.pc == c.PC && q.gen == c.gen {
		b = q.b
		goto top
	}
	if b = c.find(); b != nil {
		goto top
	}
	c.left = n
	if !c.trap() || c.left <= 0 || c.attention.Load() != 0 {
		return
	}
	n = c.left
	goto indirect
}

`
)

// control are the placeholders that only the loop understands; $I takes an
// argument and is expanded by goTo.
var control = strings.NewReplacer(
	"$FAULT", "goto fault",
	"$LEAVE", "goto leave",
	"$END", "c.PC = b.end(); goto indirect",
	"$T2", "if nb := b.next[0]; nb != nil { b = nb; goto top }; c.PC = i.Imm2; goto taken",
	"$N2", "if nb := b.next[1]; nb != nil { b = nb; goto top }; goto take1",
	"$T", "if nb := b.next[0]; nb != nil { b = nb; goto top }; goto take0",
	"$N", "if nb := b.next[1]; nb != nil { b = nb; goto top }; goto take1")

// loopFunc writes the loop: all rows of the first group, and the Hot ones of
// the others.
func loopFunc(o *bytes.Buffer, groups []table.Group) {
	o.WriteString(loopHead)
	for k, g := range groups {
		for _, r := range g.Rows {
			if k == 0 || r.Attr&table.Hot != 0 {
				fmt.Fprintf(o, "case isa.Op%s:\n%s\n", r.Name, loopBody(r))
			}
		}
	}
	o.WriteString(loopTail)
}

// loopBody is the body of a row in the loop. System rows that may leave it see
// how much of the budget is left behind them.
func loopBody(r table.Row) string {
	body := placeholders.Replace(control.Replace(goTo(r.Body)))
	if r.Attr&(table.System|table.Fault) == table.System|table.Fault {
		body = "c.left = n + b.after(i)\n" + body
	}
	return body
}

// goTo expands $I(x): leave the block for the address x.
func goTo(body string) string {
	for {
		k := strings.Index(body, "$I(")
		if k < 0 {
			return body
		}
		end := k + strings.Index(body[k:], ")")
		body = body[:k] + "c.PC = " + body[k+3:end] + "; goto indirect" + body[end+1:]
	}
}
