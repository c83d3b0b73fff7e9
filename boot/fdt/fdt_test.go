package fdt

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// sample has each kind of property, nesting, a reservation and a flag.
func sample() *Tree {
	root := &Node{}
	root.SetU32("#address-cells", 2)
	root.SetU32("#size-cells", 2)
	root.SetString("compatible", "arcbox,virt", "linux,dummy-virt")
	mem := root.Add("memory@40000000")
	mem.SetString("device_type", "memory")
	mem.SetU64("reg", 0x40000000, 0x10000000)
	bus := root.Add("bus")
	bus.SetU32("#address-cells", 2)
	bus.SetU32("#size-cells", 2)
	bus.SetString("compatible", "simple-bus")
	bus.Set("ranges", nil)
	dev := bus.Add("device@1000")
	dev.SetU64("reg", 0x1000, 0x200)
	dev.Set("odd-length", []byte{1, 2, 3})
	return &Tree{Root: root, Reserve: []Reserve{{0x1000, 0x2000}}, BootCPU: 0}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	b, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if size := binary.BigEndian.Uint32(b[4:]); int(size) != len(b) {
		t.Errorf("total size says %d of %d bytes", size, len(b))
	}
	got, err := Parse(append(b, "trailing"...))
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Marshal()
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("written again it has %d bytes, error %v; want the same %d bytes", len(again), err, len(b))
	}
	if !reflect.DeepEqual(got.Reserve, want.Reserve) {
		t.Errorf("reservations are %v, want %v", got.Reserve, want.Reserve)
	}
}

// TestDTC has the independent reader and writer look at our blob.
func TestDTC(t *testing.T) {
	dtc := tool(t, "dtc")
	b, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dts := run(t, b, dtc, "-I", "dtb", "-O", "dts")
	for _, want := range []string{
		"/memreserve/\t0x0000000000001000 0x0000000000002000;",
		`compatible = "arcbox,virt\0linux,dummy-virt";`,
		"reg = <0x00 0x40000000 0x00 0x10000000>;",
		"odd-length = [01 02 03];",
		"ranges;",
	} {
		if !strings.Contains(string(dts), want) {
			t.Errorf("dtc's source lacks %q:\n%s", want, dts)
		}
	}
	theirs := run(t, dts, dtc, "-I", "dts", "-O", "dtb")
	tree, err := Parse(theirs)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := tree.Marshal()
	if err != nil || !bytes.Equal(ours, b) {
		t.Errorf("through dtc and back: %d bytes, error %v; want the same %d bytes", len(ours), err, len(b))
	}
}

// run feeds in to a command and fails on any complaint.
func run(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	var out, complaints bytes.Buffer
	c := exec.Command(name, args...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(in), &out, &complaints
	if err := c.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("%s %v: %v\n%s", name, args, err, &complaints)
	}
	return out.Bytes()
}

// tool finds an external program, which only a developer's machine may lack.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing", name)
	}
	return path
}

func TestMarshalRefuses(t *testing.T) {
	node := func(change func(*Node)) *Tree {
		n := &Node{}
		change(n)
		return &Tree{Root: n}
	}
	deep := &Node{}
	for n, i := deep, 0; i < maxDepth; i++ {
		n = n.Add("n")
	}
	tests := []struct {
		name string
		tree *Tree
	}{
		{"no root", &Tree{}},
		{"named root", &Tree{Root: &Node{Name: "x"}}},
		{"slash in a node name", node(func(n *Node) { n.Add("a/b") })},
		{"empty node name", node(func(n *Node) { n.Add("") })},
		{"empty unit address", node(func(n *Node) { n.Add("a@") })},
		{"NUL in a property name", node(func(n *Node) { n.Set("a\x00b", nil) })},
		{"twin nodes", node(func(n *Node) { n.Add("a"); n.Add("a") })},
		{"twin properties", node(func(n *Node) { n.Props = []Prop{{"a", nil}, {"a", nil}} })},
		{"nested too deep", &Tree{Root: deep}},
		{"too large", node(func(n *Node) { n.Set("a", make([]byte, MaxSize)) })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if b, err := tt.tree.Marshal(); err == nil {
				t.Errorf("made %d bytes, want an error", len(b))
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	be := binary.BigEndian
	structs := be.Uint32(good[8:])
	tests := []struct {
		name   string
		change func(b []byte) []byte
	}{
		{"nothing", func([]byte) []byte { return nil }},
		{"wrong magic", func(b []byte) []byte { b[0]++; return b }},
		{"total size beyond the bytes", func(b []byte) []byte { return b[:len(b)-1] }},
		{"total size below the header", func(b []byte) []byte { be.PutUint32(b[4:], 39); return b }},
		{"structure offset overflows", func(b []byte) []byte { be.PutUint32(b[8:], 0xfffffffc); return b }},
		{"structure offset unaligned", func(b []byte) []byte { be.PutUint32(b[8:], structs+2); return b }},
		{"strings offset in the header", func(b []byte) []byte { be.PutUint32(b[12:], 0); return b }},
		{"reservations without end", func(b []byte) []byte { be.PutUint32(b[16:], uint32(len(b))&^7); return b }},
		{"version 16 only", func(b []byte) []byte { be.PutUint32(b[20:], 16); return b }},
		{"readable by version 18 only", func(b []byte) []byte { be.PutUint32(b[24:], 18); return b }},
		{"strings block too short", func(b []byte) []byte { be.PutUint32(b[32:], 3); return b }},
		{"structure block cut", func(b []byte) []byte { be.PutUint32(b[36:], be.Uint32(b[36:])-4); return b }},
		{"unknown token", func(b []byte) []byte { be.PutUint32(b[structs:], 5); return b }},
		{"property length overflows", func(b []byte) []byte { be.PutUint32(b[structs+12:], 0xffffffff); return b }},
		{"property name outside", func(b []byte) []byte { be.PutUint32(b[structs+16:], 0xffff); return b }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.change(bytes.Clone(good))); err == nil {
				t.Error("parsed, want an error")
			}
		})
	}
}

func TestParseSkipsNops(t *testing.T) {
	w := writer{offsets: map[string]uint32{}}
	w.cell(tokNop)
	if err := w.node(&Node{}, 1); err != nil {
		t.Fatal(err)
	}
	w.cell(tokNop)
	w.cell(tokEnd)
	r := reader{b: w.structs}
	if _, err := r.tree(); err != nil {
		t.Errorf("tree with NOP tokens: %v", err)
	}
}

func TestFind(t *testing.T) {
	tree := sample()
	tree.Root.Add("twin@1")
	tree.Root.Add("twin@2")
	tests := []struct{ path, want string }{
		{"/", ""},
		{"/bus/device@1000", "device@1000"},
		{"/bus/device", "device@1000"},
		{"/twin@2", "twin@2"},
		{"/twin", "nothing"},
		{"/bus/nobody", "nothing"},
	}
	for _, tt := range tests {
		got := "nothing"
		if n := tree.Find(tt.path); n != nil {
			got = n.Name
		}
		if got != tt.want {
			t.Errorf("%s leads to %q, want %q", tt.path, got, tt.want)
		}
	}
	if s := tree.Root.String("compatible"); s != "arcbox,virt" {
		t.Errorf("compatible reads %q", s)
	}
}

// FuzzParse holds Parse to its word: no panic, and what it accepts can be
// written and reads the same again.
func FuzzParse(f *testing.F) {
	good, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := Parse(b)
		if err != nil {
			return
		}
		out, err := tree.Marshal()
		if err != nil {
			if len(b) < MaxSize/8 {
				t.Fatalf("parsed but cannot be written: %v", err)
			}
			return
		}
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(tree, again) {
			t.Fatalf("reads differently after writing: %v", err)
		}
	})
}
