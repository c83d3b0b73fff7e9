// Package fdt writes and reads flattened devicetrees, version 17, as the
// Devicetree Specification v0.4 chapter 5 lays them out. It knows the format
// and no binding: what a node means is its caller's business.
//
// Parse trusts nothing in its input. Neither direction keeps a reference to
// the caller's bytes.
package fdt

import (
	"encoding/binary"
	"strings"
)

// Header and token values, Devicetree Specification 5.2 and 5.4.1.
const (
	magic       = 0xd00dfeed
	version     = 17
	lastComp    = 16 // the oldest version that a reader of ours resembles
	headerSize  = 40
	reserveSize = 16 // one entry of the memory reservation block

	tokBeginNode = 1
	tokEndNode   = 2
	tokProp      = 3
	tokNop       = 4
	tokEnd       = 9
)

// MaxSize is the largest blob in bytes that Marshal makes and Parse reads: the
// arm64 boot protocol allows 2 MiB.
const MaxSize = 2 << 20

// maxDepth bounds nesting, the root being depth 1. Real trees stay below ten.
const maxDepth = 32

// A Tree is a devicetree with what the blob says beside it.
type Tree struct {
	Root    *Node
	Reserve []Reserve // memory that the client must leave alone
	BootCPU uint32    // boot_cpuid_phys
}

// Reserve is one range of the memory reservation block, in bytes.
type Reserve struct{ Addr, Size uint64 }

// A Node has a name ("" for the root, else "name" or "name@unit"), properties
// and children, each in the order of the blob.
type Node struct {
	Name     string
	Props    []Prop
	Children []*Node
}

// A Prop is a property with its value as bytes: numbers are big endian.
type Prop struct {
	Name  string
	Value []byte
}

// Add makes a child and returns it.
func (n *Node) Add(name string) *Node {
	c := &Node{Name: name}
	n.Children = append(n.Children, c)
	return c
}

// Set gives a property its value, in place of an older one. A property without
// a value is a flag.
func (n *Node) Set(name string, value []byte) {
	for i := range n.Props {
		if n.Props[i].Name == name {
			n.Props[i].Value = value
			return
		}
	}
	n.Props = append(n.Props, Prop{name, value})
}

// SetU32 sets a property to 32-bit cells.
func (n *Node) SetU32(name string, cells ...uint32) {
	var b []byte
	for _, c := range cells {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	n.Set(name, b)
}

// SetU64 sets a property to 64-bit numbers, two cells each.
func (n *Node) SetU64(name string, values ...uint64) {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	n.Set(name, b)
}

// SetString sets a property to a list of strings, each ended by NUL. A string
// that holds NUL itself reads back as two.
func (n *Node) SetString(name string, list ...string) {
	n.Set(name, []byte(strings.Join(list, "\x00")+"\x00"))
}

// Prop is the value of a property and whether there is one.
func (n *Node) Prop(name string) ([]byte, bool) {
	for _, p := range n.Props {
		if p.Name == name {
			return p.Value, true
		}
	}
	return nil, false
}

// String is the first string of a property, "" when there is none.
func (n *Node) String(name string) string {
	v, _ := n.Prop(name)
	s, _, ended := strings.Cut(string(v), "\x00")
	if !ended {
		return ""
	}
	return s
}

// Find walks a path such as "/soc/uart@9000000" and returns nil where it ends
// early. A unit address may be left out where the name alone is unique.
func (t *Tree) Find(path string) *Node {
	n := t.Root
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		if n = n.child(part); n == nil {
			return nil
		}
	}
	return n
}

// child is the one that name means, nil when none or several do.
func (n *Node) child(name string) *Node {
	var found *Node
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
		if base, _, _ := strings.Cut(c.Name, "@"); base != name {
			continue
		}
		if found != nil {
			return nil
		}
		found = c
	}
	return found
}
