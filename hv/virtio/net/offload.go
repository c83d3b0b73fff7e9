package net

import (
	"encoding/binary"
	"math/bits"
)

// Values of gso_type (section 5.1.6).
const (
	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoECN   = 0x80
)

// sum adds b to a checksum that is not folded yet (RFC 1071); only the last piece of a sum may have an odd length.
func sum(b []byte, acc uint64) uint64 {
	for len(b) >= 8 {
		var carry uint64
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	acc, carry := bits.Add64(acc, binary.BigEndian.Uint64(last[:]), 0)
	return acc + carry
}

// fold is the Internet checksum of a sum.
func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}

// fillIn computes the checksum of b, whose field at off holds the sum of the pseudo header. One that comes out as 0 is
// written as its other form, since 0 means "none" in UDP.
func fillIn(b []byte, off int) {
	v := fold(sum(b, 0))
	if v == 0 {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(b[off:], v)
}

const (
	etherVLAN = 0x8100
	protoTCP  = 6

	tcpFlags        = 13 // offset of the flags
	finPush         = 0x01 | 0x08
	congestionWinRe = 0x80
)

// layout is where the headers of a TCP frame are.
type layout struct {
	v6      bool
	ip, tcp int // offsets of the headers
	payload int
}

// parse finds the headers of a frame that is to be cut as gso says. What the guest says in its own header is not used.
func parse(frame []byte, gso byte) (l layout, err error) {
	l.ip, l.v6 = minFrame, gso == gsoTCPv6
	if binary.BigEndian.Uint16(frame[12:]) == etherVLAN {
		l.ip += 4
	}
	least := 20
	if l.v6 {
		least = 40
	}
	if len(frame) < l.ip+least || (gso != gsoTCPv4 && gso != gsoTCPv6) {
		return l, errOffload
	}
	ip := frame[l.ip:]
	l.tcp = l.ip + least
	proto := ip[6] // IPv6 with extension headers is not cut
	if !l.v6 {
		if l.tcp = l.ip + int(ip[0]&0xf)*4; l.tcp < l.ip+least {
			return l, errOffload
		}
		proto = ip[9]
	}
	if version := ip[0] >> 4; proto != protoTCP || version != 4 && !l.v6 || version != 6 && l.v6 || len(frame) < l.tcp+20 {
		return l, errOffload
	}
	l.payload = l.tcp + int(frame[l.tcp+12]>>4)*4
	if l.payload < l.tcp+20 || l.payload > len(frame) {
		return l, errOffload
	}
	return l, nil
}

// segment cuts a TCP frame into frames of size bytes of payload each, none longer than max, and appends them to out with their
// prefixes.
func segment(out, frame []byte, gso byte, size, max int) ([]byte, error) {
	l, err := parse(frame, gso)
	if err != nil {
		return out, err
	}
	if size = min(size, max-l.payload); size <= 0 {
		return out, errOffload
	}
	header, payload := frame[:l.payload], frame[l.payload:]
	tcp := header[l.tcp:]
	flags, seq := tcp[tcpFlags], binary.BigEndian.Uint32(tcp[4:])
	var id uint16
	if !l.v6 {
		id = binary.BigEndian.Uint16(header[l.ip+4:])
	}
	for first := true; first || len(payload) > 0; first = false {
		part := payload[:min(size, len(payload))]
		payload = payload[len(part):]
		tcp[tcpFlags] = flags
		if len(payload) > 0 {
			tcp[tcpFlags] &^= finPush
		}
		if !first {
			tcp[tcpFlags] &^= congestionWinRe
		}
		binary.BigEndian.PutUint32(tcp[4:], seq)
		l.checksums(header, part, id)
		out = appendFrame(out, header, part)
		seq += uint32(len(part))
		id++
	}
	return out, nil
}

// checksums makes header right for part: lengths, identification and both checksums.
func (l layout) checksums(header, part []byte, id uint16) {
	ip, tcp := header[l.ip:l.tcp], header[l.tcp:]
	length := uint64(len(tcp) + len(part))
	var addresses []byte
	if l.v6 {
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
		addresses = ip[8:40]
	} else {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip))+uint16(length))
		binary.BigEndian.PutUint16(ip[4:], id)
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], fold(sum(ip, 0)))
		addresses = ip[12:20]
	}
	binary.BigEndian.PutUint16(tcp[16:], 0)
	acc := sum(tcp, sum(addresses, length+protoTCP))
	binary.BigEndian.PutUint16(tcp[16:], fold(sum(part, acc)))
}
