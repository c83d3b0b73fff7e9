package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// errShort is any read beyond the block that should hold it.
var errShort = errors.New("it ends early")

// Parse reads a blob that anybody may have made. Bytes after the blob's own
// total size are ignored. What it returns can be written by Marshal again.
func Parse(b []byte) (*Tree, error) {
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read devicetree: %w", err)
	}
	return t, nil
}

func parse(b []byte) (*Tree, error) {
	if len(b) < headerSize {
		return nil, errShort
	}
	var h [10]uint32
	for i := range h {
		h[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	total := h[1]
	switch {
	case h[0] != magic:
		return nil, fmt.Errorf("its magic is %#x, not %#x", h[0], uint32(magic))
	case total < headerSize || total > MaxSize || uint64(total) > uint64(len(b)):
		return nil, fmt.Errorf("its total size is %d of %d bytes", total, len(b))
	case h[5] < version || h[6] > version:
		return nil, fmt.Errorf("it has version %d, readable by %d; want %d", h[5], h[6], version)
	}
	b = b[:total]
	structs, err := block(b, h[2], h[9], 4)
	if err != nil {
		return nil, fmt.Errorf("its structure block: %w", err)
	}
	names, err := block(b, h[3], h[8], 1)
	if err != nil {
		return nil, fmt.Errorf("its strings block: %w", err)
	}
	t := &Tree{BootCPU: h[7]}
	if t.Reserve, err = parseReserve(b, h[4]); err != nil {
		return nil, err
	}
	r := reader{b: structs, strings: names}
	if t.Root, err = r.tree(); err != nil {
		return nil, err
	}
	return t, nil
}

// block cuts size bytes at off out of the blob.
func block(b []byte, off, size, align uint32) ([]byte, error) {
	end := uint64(off) + uint64(size)
	if off < headerSize || off%align != 0 || end > uint64(len(b)) {
		return nil, fmt.Errorf("%d bytes at offset %d do not fit the blob's %d", size, off, len(b))
	}
	return b[off:end], nil
}

// parseReserve reads entries up to the one that is all zero.
func parseReserve(b []byte, off uint32) ([]Reserve, error) {
	if off < headerSize || off%8 != 0 {
		return nil, fmt.Errorf("its reservation block at %d is misplaced", off)
	}
	var list []Reserve
	for at := uint64(off); at+reserveSize <= uint64(len(b)); at += reserveSize {
		r := Reserve{binary.BigEndian.Uint64(b[at:]), binary.BigEndian.Uint64(b[at+8:])}
		if r == (Reserve{}) {
			return list, nil
		}
		list = append(list, r)
	}
	return nil, errors.New("its reservation block has no end")
}

// A reader walks the structure block.
type reader struct {
	b       []byte
	strings []byte
}

// tree reads one root and the end token after it.
func (r *reader) tree() (*Node, error) {
	tok, err := r.token()
	if err != nil || tok != tokBeginNode {
		return nil, errors.Join(errors.New("its structure does not begin with a node"), err)
	}
	root, err := r.node(1)
	if err != nil {
		return nil, err
	}
	if root.Name != "" {
		return nil, fmt.Errorf("its root is named %q", root.Name)
	}
	if tok, err = r.token(); err != nil || tok != tokEnd {
		return nil, errors.Join(errors.New("its structure has no end token after the root"), err)
	}
	return root, nil
}

// node reads what follows a begin token, through the end token.
func (r *reader) node(depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nodes are nested deeper than %d", maxDepth)
	}
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	n := &Node{Name: name}
	for {
		tok, err := r.token()
		if err != nil {
			return nil, err
		}
		switch tok {
		case tokEndNode:
			return n, n.checkNames()
		case tokProp:
			err = r.prop(n)
		case tokBeginNode:
			err = r.child(n, depth)
		default:
			err = fmt.Errorf("token %#x stands in node %q", tok, name)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *reader) child(n *Node, depth int) error {
	c, err := r.node(depth + 1)
	if err != nil {
		return err
	}
	n.Children = append(n.Children, c)
	return nil
}

// prop reads a property into n. The specification puts properties before
// children; a blob that mixes them is refused, as the order would be lost.
func (r *reader) prop(n *Node) error {
	size, err := r.cell()
	if err != nil {
		return err
	}
	off, err := r.cell()
	if err != nil {
		return err
	}
	if len(n.Children) > 0 {
		return fmt.Errorf("a property of node %q follows a child", n.Name)
	}
	if uint64(off) >= uint64(len(r.strings)) {
		return fmt.Errorf("a property name of node %q lies outside the strings block", n.Name)
	}
	name, _, ended := bytes.Cut(r.strings[off:], []byte{0})
	if !ended || !validName(string(name), false) {
		return fmt.Errorf("a property of node %q has a bad name", n.Name)
	}
	v, err := r.take(size)
	if err != nil {
		return err
	}
	n.Props = append(n.Props, Prop{string(name), bytes.Clone(v)})
	return nil
}

// checkNames refuses what Marshal would: children with bad names, and twins.
func (n *Node) checkNames() error {
	seen := map[string]bool{}
	for _, p := range n.Props {
		if seen[p.Name] {
			return fmt.Errorf("node %q has property %q twice", n.Name, p.Name)
		}
		seen[p.Name] = true
	}
	clear(seen)
	for _, c := range n.Children {
		if !validName(c.Name, true) || seen[c.Name] {
			return fmt.Errorf("node %q has a child %q that is badly named or a twin", n.Name, c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

// token is the next one that is not NOP.
func (r *reader) token() (uint32, error) {
	for {
		tok, err := r.cell()
		if err != nil || tok != tokNop {
			return tok, err
		}
	}
}

func (r *reader) cell() (uint32, error) {
	if len(r.b) < 4 {
		return 0, errShort
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v, nil
}

// name takes a string that NUL ends, and its padding.
func (r *reader) name() (string, error) {
	n := bytes.IndexByte(r.b, 0)
	if n < 0 {
		return "", errShort
	}
	s := string(r.b[:n])
	_, err := r.take(uint32(n) + 1)
	return s, err
}

// take cuts size bytes and skips the padding to the next cell.
func (r *reader) take(size uint32) ([]byte, error) {
	padded := (uint64(size) + 3) &^ 3
	if padded > uint64(len(r.b)) {
		return nil, errShort
	}
	v := r.b[:size]
	r.b = r.b[padded:]
	return v, nil
}
