package main

import (
	"bytes"
	"fmt"
	"go/format"
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa/table"
)

const module = "github.com/arcboxlabs/arcbox-go/hv/soft/internal/"

// imports are the packages that bodies may name, by the word they use.
var imports = []struct{ word, path string }{
	{"bits.", "math/bits"}, {"unsafe.", "unsafe"}, {"atomic.", "sync/atomic"},
	{"float.", module + "float"}, {"simd.", module + "simd"}, {"cpu.", module + "cpu"},
	{"isa.", module + "isa"},
}

var placeholders = strings.NewReplacer(
	"$vd", "c.V[i.Rd]", "$vn", "c.V[i.Rn]", "$vm", "c.V[i.Rm]", "$va", "c.V[i.Ra]",
	"$d", "c.X[i.Rd]", "$n", "c.X[i.Rn]", "$m", "c.X[i.Rm]", "$a", "c.X[i.Ra]",
	"$sh", "i.Sh", "$cond", "i.Cond", "$imm", "i.Imm", "$jmm", "i.Imm2")

// runFile is the text of exec/run_gen_unsafe.go.
func runFile(groups []table.Group) ([]byte, error) {
	var code bytes.Buffer
	funcs := map[string]string{"fp": "runFP", "simd": "runSIMD"}
	for _, g := range groups {
		if name := funcs[g.Name]; name != "" {
			groupFunc(&code, name, g)
		}
	}
	var o bytes.Buffer
	o.WriteString(header + "package exec\n\nimport (\n")
	for _, im := range imports {
		if strings.Contains(code.String(), im.word) {
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
