package main

import (
	"bytes"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// streamFrame is the largest frame that a stream to the host takes, in bytes: vmnet's. A tap takes any.
const streamFrame = header.EthernetMinimumSize + 1500

// cut makes frames of at most most bytes of one that is larger: a guest does not cut what it sends, as the rest of its way is a
// socket. What is no TCP is lost; an IPv4 packet that is valid is the caller's to see to.
func cut(frame []byte, most int) (pieces [][]byte) {
	ip := header.IPv4(frame[header.EthernetMinimumSize:])
	tcp := header.TCP(ip.Payload())
	if ip.TransportProtocol() != header.TCPProtocolNumber || ip.More() || ip.FragmentOffset() != 0 || len(tcp) < header.TCPMinimumSize {
		return nil
	}
	offset := int(tcp.DataOffset())
	head := header.EthernetMinimumSize + int(ip.HeaderLength()) + offset
	if offset < header.TCPMinimumSize || offset > len(tcp) || head >= most {
		return nil
	}
	seq, flags, id := tcp.SequenceNumber(), tcp.Flags(), ip.ID()
	for data := tcp[offset:]; len(data) > 0; {
		n := min(len(data), most-head)
		piece := append(bytes.Clone(frame[:head]), data[:n]...)
		data = data[n:]
		f := flags
		if len(data) > 0 {
			f &^= header.TCPFlagFin | header.TCPFlagPsh // which are about the end
		}
		if len(pieces) > 0 {
			f &^= header.TCPFlagCwr // which is said once
		}
		renumber(piece, seq, f, id)
		pieces = append(pieces, piece)
		seq, id = seq+uint32(n), id+1
	}
	return pieces
}

// renumber makes a piece a packet of its own.
func renumber(piece []byte, seq uint32, flags header.TCPFlags, id uint16) {
	ip := header.IPv4(piece[header.EthernetMinimumSize:])
	ip.SetTotalLength(uint16(len(ip)))
	ip.SetID(id)
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())
	tcp := header.TCP(ip.Payload())
	tcp.SetSequenceNumber(seq)
	tcp.SetFlags(uint8(flags))
	tcp.SetChecksum(0)
	pseudo := header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	tcp.SetChecksum(^tcp.CalculateChecksum(checksum.Combine(pseudo, checksum.Checksum(tcp.Payload(), 0))))
}
