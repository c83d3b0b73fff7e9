package vsock

import "encoding/binary"

// Wire format of virtio 1.2, section 5.10.6.
const (
	headerLen  = 44
	typeStream = 1
	typePacket = 2 // VIRTIO_VSOCK_TYPE_SEQPACKET

	opRequest       = 1
	opResponse      = 2
	opReset         = 3
	opShutdown      = 4
	opData          = 5
	opCreditUpdate  = 6
	opCreditRequest = 7

	// Flags of opShutdown: what its sender will not do any more.
	noReceive = 1
	noSend    = 2
	noneLeft  = noReceive | noSend

	// Flag of opData on a connection of typePacket: a message ends here
	// (VIRTIO_VSOCK_SEQ_EOM). Marks within messages (EOR) mean nothing to us.
	endOfMessage = 1
)

// HostCID is the host's context id; the guest's is at least 3 (section 5.10.4).
const HostCID = 2

// header is struct virtio_vsock_hdr.
type header struct {
	srcCID, dstCID   uint64
	srcPort, dstPort uint32
	size             uint32
	kind, op         uint16
	flags            uint32
	bufAlloc, fwdCnt uint32
}

func (h *header) parse(b *[headerLen]byte) {
	le := binary.LittleEndian
	h.srcCID, h.dstCID = le.Uint64(b[0:]), le.Uint64(b[8:])
	h.srcPort, h.dstPort = le.Uint32(b[16:]), le.Uint32(b[20:])
	h.size = le.Uint32(b[24:])
	h.kind, h.op = le.Uint16(b[28:]), le.Uint16(b[30:])
	h.flags = le.Uint32(b[32:])
	h.bufAlloc, h.fwdCnt = le.Uint32(b[36:]), le.Uint32(b[40:])
}

func (h *header) put(b *[headerLen]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], h.srcCID)
	le.PutUint64(b[8:], h.dstCID)
	le.PutUint32(b[16:], h.srcPort)
	le.PutUint32(b[20:], h.dstPort)
	le.PutUint32(b[24:], h.size)
	le.PutUint16(b[28:], h.kind)
	le.PutUint16(b[30:], h.op)
	le.PutUint32(b[32:], h.flags)
	le.PutUint32(b[36:], h.bufAlloc)
	le.PutUint32(b[40:], h.fwdCnt)
}
