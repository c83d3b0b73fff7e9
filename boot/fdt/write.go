package fdt

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Marshal makes the blob. Its total size is what the tree needs, without
// padding: the kernel reads the whole of it several times. Errors: a name that
// the format cannot carry, nesting beyond 32, more than MaxSize bytes.
func (t *Tree) Marshal() ([]byte, error) {
	w := writer{offsets: map[string]uint32{}}
	if t.Root == nil || t.Root.Name != "" {
		return nil, fmt.Errorf("cannot write devicetree: it has no root without a name")
	}
	if err := w.node(t.Root, 1); err != nil {
		return nil, fmt.Errorf("cannot write devicetree: %w", err)
	}
	w.cell(tokEnd)

	structOff := headerSize + reserveSize*(len(t.Reserve)+1)
	stringsOff := structOff + len(w.structs)
	total := stringsOff + len(w.strings)
	if total > MaxSize {
		return nil, fmt.Errorf("cannot write devicetree: it has %d bytes; keep it within %d", total, MaxSize)
	}
	b := make([]byte, 0, total)
	for _, v := range []int{magic, total, structOff, stringsOff, headerSize, version, lastComp,
		int(t.BootCPU), len(w.strings), len(w.structs)} {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	for _, r := range append(t.Reserve[:len(t.Reserve):len(t.Reserve)], Reserve{}) {
		b = binary.BigEndian.AppendUint64(b, r.Addr)
		b = binary.BigEndian.AppendUint64(b, r.Size)
	}
	b = append(b, w.structs...)
	return append(b, w.strings...), nil
}

// A writer collects the structure block and the strings block.
type writer struct {
	structs []byte
	strings []byte
	offsets map[string]uint32 // where each property name stands in strings
}

func (w *writer) node(n *Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("node %q is nested deeper than %d", n.Name, maxDepth)
	}
	w.cell(tokBeginNode)
	w.bytes(append([]byte(n.Name), 0))
	seen := map[string]bool{}
	for _, p := range n.Props {
		if !validName(p.Name, false) || seen[p.Name] {
			return fmt.Errorf("property name %q in node %q is invalid or not unique", p.Name, n.Name)
		}
		seen[p.Name] = true
		w.prop(p)
	}
	seen = map[string]bool{}
	for _, c := range n.Children {
		if !validName(c.Name, true) || seen[c.Name] {
			return fmt.Errorf("node name %q in node %q is invalid or not unique", c.Name, n.Name)
		}
		seen[c.Name] = true
		if err := w.node(c, depth+1); err != nil {
			return err
		}
	}
	w.cell(tokEndNode)
	return nil
}

func (w *writer) prop(p Prop) {
	off, ok := w.offsets[p.Name]
	if !ok {
		off = uint32(len(w.strings))
		w.offsets[p.Name] = off
		w.strings = append(w.strings, p.Name...)
		w.strings = append(w.strings, 0)
	}
	w.cell(tokProp)
	w.cell(uint32(len(p.Value)))
	w.cell(off)
	w.bytes(p.Value)
}

func (w *writer) cell(v uint32) { w.structs = binary.BigEndian.AppendUint32(w.structs, v) }

// bytes appends b and pads to the next cell.
func (w *writer) bytes(b []byte) {
	w.structs = append(w.structs, b...)
	for len(w.structs)%4 != 0 {
		w.structs = append(w.structs, 0)
	}
}

// validName holds names to the characters of Devicetree Specification 2.2.1
// (nodes) and 2.2.4.1 (properties); one "@" may split a node's unit address
// off. Lengths are not held to the 31 characters that nobody enforces.
func validName(s string, node bool) bool {
	if node {
		if base, unit, has := strings.Cut(s, "@"); has {
			return validName(base, false) && validName(unit, false)
		}
	}
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && !strings.ContainsRune(",._+-?#", rune(c)) {
			return false
		}
	}
	return true
}
