package net

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	stdnet "net"
)

// packet makes a TCP frame with right checksums by gopacket, which knows nothing of us.
func packet(t testing.TB, v6 bool, payload []byte) []byte {
	eth := &layers.Ethernet{SrcMAC: stdnet.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: stdnet.HardwareAddr{2, 0, 0, 0, 0, 2}}
	tcp := &layers.TCP{SrcPort: 1, DstPort: 2, Seq: 0xfffffff0, ACK: true, PSH: true, FIN: true, CWR: true, Window: 99}
	var ip gopacket.SerializableLayer
	if v6 {
		eth.EthernetType = layers.EthernetTypeIPv6
		six := &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: layers.IPProtocolTCP, SrcIP: stdnet.ParseIP("fd00::1"), DstIP: stdnet.ParseIP("fd00::2")}
		tcp.SetNetworkLayerForChecksum(six)
		ip = six
	} else {
		eth.EthernetType = layers.EthernetTypeIPv4
		four := &layers.IPv4{Version: 4, TTL: 9, Id: 0xffff, Protocol: layers.IPProtocolTCP, SrcIP: stdnet.IP{10, 0, 0, 1}, DstIP: stdnet.IP{10, 0, 0, 2}}
		tcp.SetNetworkLayerForChecksum(four)
		ip = four
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, eth, ip, tcp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()[:len(buf.Bytes())-padding(len(payload), v6)]
}

// padding is what gopacket adds to a frame that is too short for a wire.
func padding(payload int, v6 bool) int {
	n := 14 + 20 + 20 + payload
	if v6 {
		n += 20
	}
	return max(0, 60-n)
}

// frames cuts a stream into its frames.
func frames(t *testing.T, out []byte) (list [][]byte) {
	t.Helper()
	for len(out) > 0 {
		n := prefix + binary.BigEndian.Uint32(out)
		list, out = append(list, out[prefix:n]), out[n:]
	}
	return list
}

// What a guest leaves to us is, when done, to the last bit what a full stack would have sent.
func TestSegmentsAreWhatAFullStackSends(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, size := range []int{0, 1, 999, 1000, 1001, 2001, 60000} {
			payload := some(size)
			gso := byte(gsoTCPv4)
			if v6 {
				gso = gsoTCPv6
			}
			out, err := segment(nil, packet(t, v6, payload), gso, 1000, 1514)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			list := frames(t, out)
			for i, f := range list {
				p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
				tcp := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
				if e := p.ErrorLayer(); e != nil || p.Metadata().Truncated {
					t.Fatalf("segment %d: %v", i, e)
				}
				if want := uint32(0xfffffff0 + uint64(len(got))); tcp.Seq != want {
					t.Errorf("segment %d has number %#x, want %#x", i, tcp.Seq, want)
				}
				if last := i == len(list)-1; tcp.FIN != last || tcp.PSH != last || tcp.CWR != (i == 0) {
					t.Errorf("segment %d: FIN %v, PSH %v, CWR %v", i, tcp.FIN, tcp.PSH, tcp.CWR)
				}
				got = append(got, tcp.Payload...)
				checkAgain(t, p, f)
			}
			if !bytes.Equal(got, payload) || len(list) != max(1, (size+999)/1000) {
				t.Errorf("IPv6 %v, %d bytes: %d segments hold %d", v6, size, len(list), len(got))
			}
		}
	}
}

// checkAgain has gopacket compute a frame's lengths and checksums again: they must not change.
func checkAgain(t *testing.T, p gopacket.Packet, frame []byte) {
	t.Helper()
	tcp := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	tcp.SetNetworkLayerForChecksum(p.NetworkLayer())
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializePacket(buf, opts, p); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(buf.Bytes(), frame) { // it may be padded
		t.Errorf("frame\n%x should be\n%x", frame, buf.Bytes())
	}
}

// With a link that takes large frames a packet to be cut goes out whole, with its checksum.
func TestChecksumsAreFilledIn(t *testing.T) {
	want := packet(t, false, some(50001))
	frame := bytes.Clone(want)
	// The guest leaves the pseudo header's sum in the field.
	length := uint64(len(frame) - 34)
	binary.BigEndian.PutUint16(frame[50:], ^fold(sum(frame[26:34], length+protoTCP)))
	h := bytes.Clone(plain)
	h[hdrFlags], h[hdrGSOType] = flagNeedsCsum, gsoTCPv4
	binary.LittleEndian.PutUint16(h[hdrGSOSize:], 1460)
	binary.LittleEndian.PutUint16(h[hdrCsumStart:], 34)
	binary.LittleEndian.PutUint16(h[hdrCsumOffset:], 16)
	tx := transmitter{max: maxFrame}
	if err := tx.finish(h, frame); err != nil {
		t.Fatal(err)
	}
	if got := frames(t, tx.out); len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Error("the frame is not what a full stack sends")
	}
}

func TestOffloadsThatMakeNoSense(t *testing.T) {
	good := packet(t, false, some(3000))
	tests := []struct {
		name  string
		frame func([]byte)
		head  func([]byte)
	}{
		{"checksum field outside", nil, func(h []byte) { h[hdrFlags] = flagNeedsCsum; h[hdrCsumOffset+1] = 0xff }},
		{"checksum starts outside", nil, func(h []byte) { h[hdrFlags] = flagNeedsCsum; h[hdrCsumStart+1] = 0xff }},
		{"not TCP", func(f []byte) { f[23] = 17 }, func(h []byte) { h[hdrGSOType] = gsoTCPv4 }},
		{"IPv4 called IPv6", nil, func(h []byte) { h[hdrGSOType] = gsoTCPv6 }},
		{"IP header of 4 bytes", func(f []byte) { f[14] = 0x41 }, func(h []byte) { h[hdrGSOType] = gsoTCPv4 }},
		{"TCP header of 4 bytes", func(f []byte) { f[46] = 0x10 }, func(h []byte) { h[hdrGSOType] = gsoTCPv4 }},
		{"segments of 0 bytes", nil, func(h []byte) { h[hdrGSOType] = gsoTCPv4 }},
		{"unknown type", nil, func(h []byte) { h[hdrGSOType] = 9 }},
		{"longer than the link takes", nil, func([]byte) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame, h := bytes.Clone(good), bytes.Clone(plain)
			if tt.frame != nil {
				tt.frame(frame)
			}
			tt.head(h)
			tx := transmitter{max: 1514}
			if err := tx.finish(h, frame); err == nil || len(tx.out) > 0 {
				t.Errorf("it was sent: %d bytes", len(tx.out))
			}
		})
	}
}

func FuzzOffload(f *testing.F) {
	f.Add(append(bytes.Clone(plain), packet(f, false, some(3000))...), 1514)
	f.Add(append(bytes.Clone(plain), packet(f, true, some(3000))...), 1514)
	f.Fuzz(func(t *testing.T, b []byte, max int) {
		if len(b) < headerLen+minFrame || len(b) > headerLen+maxFrame || max < minFrame || max > maxFrame {
			return
		}
		tx := transmitter{max: max}
		if tx.finish(b[:headerLen], b[headerLen:]) != nil {
			return
		}
		for _, frame := range frames(t, tx.out) {
			if len(frame) > max || len(frame) < minFrame {
				t.Errorf("a frame of %d bytes, at most %d fit", len(frame), max)
			}
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add(appendFrame(nil, some(60)))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := NewLink(nil, 0)
		l.in = append(l.buf[:0], b[:min(len(b), len(l.buf))]...)
		for {
			before := len(l.in)
			more := l.more()
			frame, err := l.whole()
			if err != nil || frame == nil {
				return
			}
			if !more || len(frame) < minFrame || len(l.in) != before-prefix-len(frame) {
				t.Fatalf("a frame of %d bytes from %d", len(frame), before)
			}
		}
	})
}
