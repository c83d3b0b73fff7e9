package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Sizes of a frame in bytes: an Ethernet header at least, the largest IP packet behind a header with a VLAN tag at most.
const (
	minFrame = 14
	maxFrame = 18 + 65535
)

// prefixSize is how many bytes say how long a frame of a stream is.
const prefixSize = 4

// readAhead is how much is read of a cable at once.
const readAhead = 4 * (prefixSize + maxFrame)

// frameSize is what the prefix of a frame says, which whoever sends it may have made up.
func frameSize(prefix []byte) (int, error) {
	n := binary.BigEndian.Uint32(prefix)
	if n < minFrame || n > maxFrame {
		return 0, fmt.Errorf("cannot take a frame of %d bytes", n)
	}
	return int(n), nil
}

// appendFrame adds a frame that is in pieces, behind its length.
func appendFrame(out []byte, pieces ...[]byte) []byte {
	at := len(out)
	out = append(out, make([]byte, prefixSize)...)
	for _, p := range pieces {
		out = append(out, p...)
	}
	binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-prefixSize))
	return out
}

// A machineEnd is the stream to the machine: frames behind their lengths. One goroutine reads; any may send.
type machineEnd struct {
	net.Conn

	mu  sync.Mutex // guards what follows, and the order of frames
	out []byte     // the frame under way
}

// read gives each frame to take, which may keep none, until the stream ends or has what no frame can be, with the reason.
func (c *machineEnd) read(take func(frame []byte)) error {
	in := bufio.NewReaderSize(c, readAhead)
	for {
		prefix, err := in.Peek(prefixSize)
		if err != nil {
			return err
		}
		size, err := frameSize(prefix)
		if err != nil {
			return err
		}
		whole, err := in.Peek(prefixSize + size)
		if err != nil {
			return err
		}
		take(whole[prefixSize:])
		if _, err := in.Discard(prefixSize + size); err != nil {
			return err
		}
	}
}

// send sends a frame that is in pieces, and closes a stream that does not take it: part of it may have gone.
func (c *machineEnd) send(pieces ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendFrame(c.out[:0], pieces...)
	if _, err := c.Write(c.out); err != nil {
		c.Close()
	}
}

// A plug is where the machine's cable meets the gateway's card: there are no others in this network. The library has a switch for this, which
// copies every frame twice more.
type plug struct {
	gateway        *tap.LinkEndpoint
	cable          atomic.Pointer[machineEnd] // nil when there is none
	bypass         atomic.Pointer[bypass]     // to the host's own network; nil when there is none
	sent, received atomic.Uint64              // bytes of frames, over all cables
}

// carry passes on what comes from a cable until that ends, with the reason.
func (p *plug) carry(c *machineEnd) error { return c.read(p.fromMachine) }

// fromMachine deals with a frame of the machine: it is the bypass's, the gateway's, or nobody's.
func (p *plug) fromMachine(frame []byte) {
	p.received.Add(uint64(len(frame)))
	eth := header.Ethernet(frame)
	if b := p.bypass.Load(); b != nil && b.mayWant(frame) && b.fromMachine(append([]byte(nil), frame...)) {
		return
	}
	if to := eth.DestinationAddress(); to != p.gateway.LinkAddress() && to != header.EthernetBroadcastAddress {
		return
	}
	data := buffer.MakeWithData(frame[header.EthernetMinimumSize:])
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: data})
	p.gateway.DeliverNetworkPacket(eth.Type(), packet)
	packet.DecRef()
}

// DeliverNetworkPacket takes what the gateway sends; it is the library's name for that.
func (p *plug) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, packet *stack.PacketBuffer) {
	p.toMachine(packet.AsSlices()...)
}

// toMachine sends the machine a frame that is in pieces; without a cable it is lost.
func (p *plug) toMachine(pieces ...[]byte) {
	c := p.cable.Load()
	if c == nil {
		return
	}
	c.send(pieces...)
	for _, piece := range pieces {
		p.sent.Add(uint64(len(piece)))
	}
}
