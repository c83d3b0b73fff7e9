package debian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Instructions of the kernel's.
const (
	paciasp = 0xd503233f // how functions begin
	ret     = 0xd65f03c0
)

// tracerInit is the symbol, with its type, of what sorts and patches the 39 thousand places where a function can be traced.
const tracerInit = "Tftrace_init"

// leanKernel has a kernel leave out tracerInit: 49 million instructions, a third of all until init, for a tracer whose files
// our command line leaves out as well. No word of it decides that. The kernel then finds no place that can be traced, as if it had
// been built without. Nothing else of it changes.
func leanKernel(image []byte) ([]byte, error) {
	s, err := findSymbols(image)
	if err != nil {
		return nil, err
	}
	base, err := s.base(image)
	if err != nil {
		return nil, err
	}
	offset, ok := s.find(tracerInit)
	at := base + offset
	if !ok || at < 0 || at > len(image)-4 || at%4 != 0 || binary.LittleEndian.Uint32(image[at:]) != paciasp {
		return nil, fmt.Errorf("it has no function %s that begins like others", tracerInit[1:])
	}
	image = bytes.Clone(image)
	binary.LittleEndian.PutUint32(image[at:], ret)
	return image, nil
}

// symbols are the kernel's own table of its symbols (kernel/kallsyms.c, scripts/kallsyms.c of Linux 6.1), which an Image
// holds without anything that says where: names compressed with a table of 256 tokens, and for each its distance from a
// base. In the Image lie, each aligned to 8 bytes,
//
//	offsets, a base, the number of symbols, names, markers (where each 256th name is), their order, tokens, where each token is
//
// The tokens are found by those of the digits, and all else from there, checked against each other.
type symbols struct {
	offsets []byte // 4 bytes a symbol
	names   []byte // of each its length and that many numbers of tokens
	tokens  [256][]byte
}

var errNoSymbols = errors.New("it has no table of symbols, or one of another form")

// namesPerMarker is how many names lie between two markers.
const namesPerMarker = 256

func findSymbols(image []byte) (*symbols, error) {
	for at := 0; ; {
		next := bytes.Index(image[at:], []byte("0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00"))
		if next < 0 {
			return nil, errNoSymbols
		}
		at += next
		s := &symbols{}
		if table, ok := s.findTokens(image, at); ok && s.findNames(image[:table]) {
			return s, nil
		}
		at++
	}
}

// findTokens takes the tokens out of an image in which those of the digits are at digits, and says where the table begins.
func (s *symbols) findTokens(image []byte, digits int) (table int, ok bool) {
	at := digits
	for range 256 - '0' {
		n := bytes.IndexByte(image[at:], 0)
		if n < 0 {
			return 0, false
		}
		at += n + 1
	}
	index := aligned(at)
	if index+2*256 > len(image) {
		return 0, false
	}
	where := func(i int) int { return int(binary.LittleEndian.Uint16(image[index+2*i:])) }
	table = digits - where('0')
	for i := range s.tokens {
		start := table + where(i)
		if start < 0 || start >= index {
			return 0, false
		}
		n := bytes.IndexByte(image[start:index], 0)
		if n < 0 || i < 255 && where(i+1) != where(i)+n+1 {
			return 0, false
		}
		s.tokens[i] = image[start : start+n]
	}
	return table, true
}

// maxSymbols bounds how large a table is looked for; Debian's cloud kernel has 46 thousand symbols.
const maxSymbols = 1 << 20

// findNames finds names and offsets at the end of what lies before the tokens. Their number says where they begin.
func (s *symbols) findNames(image []byte) bool {
	for n := 1; n < maxSymbols && aligned(4*n) < len(image); n++ {
		for _, order := range []int{3 * n, 0} { // later kernels of the series have each name's place in the alphabet
			first := len(image) - aligned(order) - aligned(4*markersOf(n))
			if first < 8 || binary.LittleEndian.Uint32(image[first:]) != 0 {
				continue
			}
			if s.takeNames(image, first, n) {
				return true
			}
		}
	}
	return false
}

func aligned(n int) int   { return (n + 7) &^ 7 }
func markersOf(n int) int { return (n + namesPerMarker - 1) / namesPerMarker }

// takeNames takes n names and their offsets if that is what lies before markers, the first of which is at first.
func (s *symbols) takeNames(image []byte, first, n int) bool {
	markers := image[first : first+4*markersOf(n)]
	last := binary.LittleEndian.Uint32(markers[len(markers)-4:])
	const shortest = 2 // bytes of a name: its length and a token
	if last > uint32(first) || int(last) < shortest*namesPerMarker*(markersOf(n)-1) {
		return false
	}
	const longest = namesPerMarker * 512 // bytes of the names behind the last marker
	for at := (first - int(last) - 8) &^ 7; at >= 8 && at > first-int(last)-longest; at -= 8 {
		offsets := at - 8 - aligned(4*n)
		if int(binary.LittleEndian.Uint32(image[at:])) != n || offsets < 0 || !marked(image[at+8:first], markers, n) {
			continue
		}
		s.offsets, s.names = image[offsets:offsets+4*n], image[at+8:first]
		return true
	}
	return false
}

// marked says whether names has n names, and markers where each 256th is.
func marked(names, markers []byte, n int) bool {
	at := 0
	for i := range n {
		if i%namesPerMarker == 0 && int(binary.LittleEndian.Uint32(markers[4*(i/namesPerMarker):])) != at {
			return false
		}
		_, next, ok := name(names, at)
		if !ok {
			return false
		}
		at = next
	}
	return len(names)-at < 8
}

// name is the name at an offset, as numbers of tokens, and where the next is.
func name(names []byte, at int) (tokens []byte, next int, ok bool) {
	if at >= len(names) || names[at] == 0 {
		return nil, 0, false
	}
	n := int(names[at])
	at++
	if n&0x80 != 0 { // a long one
		if at >= len(names) {
			return nil, 0, false
		}
		n = n&0x7f | int(names[at])<<7
		at++
	}
	if n > len(names)-at {
		return nil, 0, false
	}
	return names[at : at+n], at + n, true
}

// entrySymbol is what the Image's header branches to, in its second word (Documentation/arm64/booting.rst, code1).
const entrySymbol = "Tprimary_entry"

// base is where in the image the distances begin.
func (s *symbols) base(image []byte) (int, error) {
	entry, ok := s.find(entrySymbol)
	branch := binary.LittleEndian.Uint32(image[4:])
	if !ok || branch>>26 != 0b000101 {
		return 0, errNoSymbols
	}
	return 4 + int(int32(branch<<6)>>6)*4 - entry, nil
}

// find says how far from the base the one symbol of that type and name is.
func (s *symbols) find(want string) (offset int, ok bool) {
	at := 0
	for i := range len(s.offsets) / 4 {
		tokens, next, _ := name(s.names, at)
		at = next
		var full []byte
		for _, t := range tokens {
			full = append(full, s.tokens[t]...)
		}
		if string(full) != want {
			continue
		}
		if ok {
			return 0, false // two of them
		}
		offset, ok = int(binary.LittleEndian.Uint32(s.offsets[4*i:])), true
	}
	return offset, ok
}
