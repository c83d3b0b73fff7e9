package gdb

import (
	"bufio"
	"io"
)

// maxPacket is the most bytes that a packet's payload may have, before escapes
// are undone; qSupported says so.
const maxPacket = 0x4000

// What a message is.
const (
	msgPacket    = 1
	msgInterrupt = 2 // Ctrl-C
	msgAgain     = 3 // "-": send the last packet again
	msgBad       = 4 // a packet that did not arrive whole
)

type message struct {
	kind int
	data string // of a packet, escapes undone
}

// A reader takes apart what gdb sends. What is no message is passed over, a
// packet that is too long is bad.
type reader struct{ r *bufio.Reader }

func newReader(r io.Reader) *reader { return &reader{bufio.NewReaderSize(r, maxPacket)} }

// next is the next message; errors are the connection's.
func (r *reader) next() (message, error) {
	for {
		b, err := r.r.ReadByte()
		if err != nil {
			return message{}, err
		}
		switch b {
		case 3:
			return message{kind: msgInterrupt}, nil
		case '-':
			return message{kind: msgAgain}, nil
		case '$':
			return r.packet()
		}
	}
}

// packet reads the payload up to "#" and the checksum, two hexadecimal digits
// of the payload's sum. A "$" begins anew: the rest of the packet before was lost.
func (r *reader) packet() (message, error) {
	var data []byte
	var sum, size int
	escaped := false
	for {
		b, err := r.r.ReadByte()
		if err != nil {
			return message{}, err
		}
		switch {
		case b == '#':
			return r.checked(data, byte(sum), escaped || size > maxPacket)
		case b == '$':
			data, sum, size, escaped = data[:0], 0, 0, false
			continue
		}
		sum += int(b)
		if size++; size > maxPacket {
			continue
		}
		switch {
		case escaped:
			data, escaped = append(data, b^0x20), false
		case b == '}':
			escaped = true
		default:
			data = append(data, b)
		}
	}
}

// checked reads the checksum.
func (r *reader) checked(data []byte, sum byte, bad bool) (message, error) {
	var digits [2]byte
	if _, err := io.ReadFull(r.r, digits[:]); err != nil {
		return message{}, err
	}
	want, ok := unhexByte(digits[0], digits[1])
	if bad || !ok || want != sum {
		return message{kind: msgBad}, nil
	}
	return message{kind: msgPacket, data: string(data)}, nil
}

// unhexByte reads two hexadecimal digits of either case.
func unhexByte(hi, lo byte) (byte, bool) {
	h, okH := digit(hi)
	l, okL := digit(lo)
	return h<<4 | l, okH && okL
}

func digit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

// frame makes a packet of a payload.
func frame(payload string) []byte {
	const digits = "0123456789abcdef"
	out := append(make([]byte, 0, len(payload)+4), '$')
	var sum byte
	for i := range len(payload) {
		b := payload[i]
		if b == '$' || b == '#' || b == '}' || b == '*' {
			out = append(out, '}')
			sum += '}'
			b ^= 0x20
		}
		out = append(out, b)
		sum += b
	}
	return append(out, '#', digits[sum>>4], digits[sum&15])
}
