package irq

import "math/bits"

// Sizes in bytes of what Distributor and Redistributors answer for.
const (
	DistributorSize   = 0x1_0000
	RedistributorSize = 0x2_0000 // for each vCPU
)

// Offsets of registers (IHI 0069, 12.8 to 12.11). Those from regGroup to
// regConfig are the same in the distributor and in a redistributor's second frame.
const (
	regCTLR    = 0x0000
	regTYPER   = 0x0004 // GICD
	regIIDR    = 0x0008 // GICD
	regGroup   = 0x0080 // IGROUPR
	regEnable  = 0x0100 // ISENABLER, then ICENABLER
	regPending = 0x0200 // ISPENDR, then ICPENDR
	regActive  = 0x0300 // ISACTIVER, then ICACTIVER
	regPrio    = 0x0400 // IPRIORITYR, a byte each
	regConfig  = 0x0c00 // ICFGR, two bits each
	regRouter  = 0x6000 // GICD_IROUTER, eight bytes each
	regID      = 0xffd0 // PIDR4 to 7, 0 to 3, CIDR0 to 3

	redistIIDR  = 0x0004
	redistTYPER = 0x0008
	redistWAKER = 0x0014
	redistSGI   = 0x1_0000 // the second frame
)

// Values of registers.
const (
	ctlrEnable = 3      // groups 0 and 1
	ctlrFixed  = 1<<4 | // ARE: affinity routing
		1<<6 // DS: one security state
	typerIDbits  = 9 << 19 // INTIDs have 10 bits
	typerNo1N    = 1 << 25 // no interrupt goes to whichever CPU is free
	typerRSS     = 1 << 26 // SGIs reach Aff0 beyond 15
	iidr         = 0x43b   // JEP106 code of Arm, as KVM says
	wakerSleep   = 1 << 1  // ProcessorSleep
	wakerAsleep  = 1 << 2  // ChildrenAsleep
	wakerReset   = wakerSleep | wakerAsleep
	gicrLast     = 1 << 4
	routerFields = 0xff_00ff_ffff // Aff3 and Aff2 to Aff0; routing to any CPU does not exist
)

// ids are the bytes of PIDR4 to 7, PIDR0 to 3 and CIDR0 to 3, one in a word:
// architecture version 3.
var ids = [12]uint32{0x44, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1}

// A Frame is registers for the bus of a board. What is not there, and what is
// read or written with a size that the architecture does not give it, reads as 0
// and ignores writes.
type Frame struct {
	g     *GIC
	read  func(off uint64) uint32
	write func(off uint64, v uint32) (affected uint32)
	bytes func(off uint64) bool // the word at off may be reached by bytes
	wide  func(off uint64) bool // the words at off are one register of 64 bits
}

// Distributor is the GICD frame, DistributorSize bytes.
func (g *GIC) Distributor() *Frame {
	return &Frame{
		g: g, read: g.readDist, write: g.writeDist,
		bytes: func(off uint64) bool { return isPrio(off) },
		wide:  func(off uint64) bool { return off >= regRouter && off < regID },
	}
}

// Redistributors are the GICR frames of all vCPUs, RedistributorSize bytes each.
func (g *GIC) Redistributors() *Frame {
	return &Frame{
		g: g, read: g.readRedist, write: g.writeRedist,
		bytes: func(off uint64) bool {
			off %= RedistributorSize
			return off >= redistSGI && isPrio(off-redistSGI)
		},
		wide: func(off uint64) bool { return off%RedistributorSize == redistTYPER },
	}
}

// isPrio says that off lies in IPRIORITYR.
func isPrio(off uint64) bool { return off >= regPrio && off < regPrio+1024 }

// Read is a load of size bytes at off.
func (f *Frame) Read(off uint64, size int) uint64 {
	f.g.mu.Lock()
	defer f.g.mu.Unlock()
	switch {
	case size == 4 && off%4 == 0:
		return uint64(f.read(off))
	case size == 8 && off%8 == 0 && f.wide(off):
		return uint64(f.read(off)) | uint64(f.read(off+4))<<32
	case size == 1 && f.bytes(off):
		return uint64(f.read(off&^3) >> (off % 4 * 8) & 0xff)
	}
	return 0
}

// Write is a store of the low size bytes of v at off.
func (f *Frame) Write(off uint64, size int, v uint64) {
	f.g.change(func() (affected uint32) {
		switch {
		case size == 4 && off%4 == 0:
			return f.write(off, uint32(v))
		case size == 8 && off%8 == 0 && f.wide(off):
			return f.write(off, uint32(v)) | f.write(off+4, uint32(v>>32))
		case size == 1 && f.bytes(off):
			shift := off % 4 * 8
			word := f.read(off&^3)&^(0xff<<shift) | uint32(v)&0xff<<shift
			return f.write(off&^3, word)
		}
		return 0
	})
}

func (g *GIC) readDist(off uint64) uint32 {
	switch {
	case off == regCTLR:
		return g.ctlr | ctlrFixed
	case off == regTYPER:
		return uint32(len(g.spis)) | typerIDbits | typerNo1N | typerRSS
	case off == regIIDR:
		return iidr
	case off >= regID && off < DistributorSize:
		return ids[(off-regID)/4]
	case off >= regRouter && off < regID:
		if i, ok := g.router(off); ok {
			return uint32(g.routes[i] >> (off % 8 * 8))
		}
	default:
		if b, word := g.distBank(off); b != nil {
			return b.readReg(off, word)
		}
	}
	return 0
}

func (g *GIC) writeDist(off uint64, v uint32) (affected uint32) {
	switch {
	case off == regCTLR:
		g.ctlr = v & ctlrEnable
		return g.all()
	case off >= regRouter && off < regID:
		i, ok := g.router(off)
		if !ok {
			return 0
		}
		before := g.owner(uint32(i + FirstSPI))
		shift := off % 8 * 8
		g.setRoute(i, g.routes[i]&^(0xffff_ffff<<shift)|uint64(v)<<shift)
		return before | g.owner(uint32(i+FirstSPI))
	}
	if b, word := g.distBank(off); b != nil {
		b.writeReg(off, word, v)
		return g.all()
	}
	return 0
}

// router finds the SPI whose IROUTER lies at off.
func (g *GIC) router(off uint64) (i int, ok bool) {
	i = int(off-regRouter)/8 - FirstSPI
	return i, i >= 0 && i < len(g.routes)
}

// setRoute takes an affinity: Aff3 in bits 39:32, Aff2, Aff1 and Aff0 below.
func (g *GIC) setRoute(i int, v uint64) {
	g.routes[i] = v & routerFields
	g.target[i] = -1
	if g.routes[i] < uint64(len(g.cpus)) {
		g.target[i] = int8(g.routes[i])
	}
}

// distBank finds the bank of SPIs that off is a register of, and which of its
// words. Bank 0 is in the redistributors.
func (g *GIC) distBank(off uint64) (b *bank, word uint64) {
	n, word := locate(off)
	if n < 1 || n > len(g.spis) {
		return nil, 0
	}
	return &g.spis[n-1], word
}

// locate splits the offset of a banked register into the bank of 32 interrupts
// and the word within the bank's part of the register. The bank is -1 when
// there is no such register.
func locate(off uint64) (bank int, word uint64) {
	switch {
	case off >= regGroup && off < regPrio:
		return int(off % 0x80 / 4), 0
	case isPrio(off):
		return int(off-regPrio) / bankSize, off % bankSize / 4
	case off >= regConfig && off < regConfig+0x100:
		return int(off-regConfig) / 8, off % 8 / 4
	}
	return -1, 0
}

func (g *GIC) readRedist(off uint64) uint32 {
	i := int(off / RedistributorSize)
	if i >= len(g.cpus) {
		return 0
	}
	c := &g.cpus[i]
	switch off %= RedistributorSize; off {
	case redistIIDR:
		return iidr
	case redistTYPER: // Processor_Number, and whether it is the last
		t := uint32(i) << 8
		if i == len(g.cpus)-1 {
			t |= gicrLast
		}
		return t
	case redistTYPER + 4: // affinity
		return uint32(i)
	case redistWAKER:
		return c.waker
	}
	switch {
	case off >= regID && off < redistSGI:
		return ids[(off-regID)/4]
	case off >= redistSGI:
		if n, word := locate(off - redistSGI); n == 0 {
			return c.private.readReg(off-redistSGI, word)
		}
	}
	return 0
}

func (g *GIC) writeRedist(off uint64, v uint32) (affected uint32) {
	i := int(off / RedistributorSize)
	if i >= len(g.cpus) {
		return 0
	}
	c := &g.cpus[i]
	off %= RedistributorSize
	if off == redistWAKER { // nothing is powered down, so sleep is only noted
		c.waker = 0
		if v&wakerSleep != 0 {
			c.waker = wakerSleep | wakerAsleep
		}
		return 0
	}
	if off < redistSGI {
		return 0
	}
	if n, word := locate(off - redistSGI); n == 0 {
		c.private.writeReg(off-redistSGI, word, v)
		c.private.edge |= 0xffff // SGIs stay edge triggered
		return 1 << i
	}
	return 0
}

// readReg reads the register that off, in the layout of a distributor, is in.
func (b *bank) readReg(off, word uint64) uint32 {
	switch off &^ 0x7f {
	case regGroup:
		return b.group
	case regEnable, regEnable + 0x80:
		return b.enabled
	case regPending, regPending + 0x80:
		return b.pending()
	case regActive, regActive + 0x80:
		return b.active
	}
	if off >= regConfig {
		return spread(b.edge >> (16 * word))
	}
	var v uint32
	for i, p := range b.prio[4*word : 4*word+4] {
		v |= uint32(p) << (8 * i)
	}
	return v
}

func (b *bank) writeReg(off, word uint64, v uint32) {
	switch off &^ 0x7f {
	case regGroup:
		b.group = v
	case regEnable:
		b.enabled |= v
	case regEnable + 0x80:
		b.enabled &^= v
	case regPending:
		b.latch |= v
	case regPending + 0x80:
		b.latch &^= v
	case regActive:
		b.active |= v
	case regActive + 0x80:
		b.active &^= v
	default:
		b.writeWide(off, word, v)
	}
}

// writeWide writes the registers that have more than one bit an interrupt.
func (b *bank) writeWide(off, word uint64, v uint32) {
	if off >= regConfig {
		shift := 16 * word
		b.edge = b.edge&^(0xffff<<shift) | gather(v)<<shift
		return
	}
	for i := range b.prio[4*word : 4*word+4] {
		b.prio[4*word+uint64(i)] = uint8(v>>(8*i)) & priorities
	}
}

// spread puts bit n of the low half at bit 2n+1, as ICFGR wants it.
func spread(half uint32) (v uint32) {
	for m := half & 0xffff; m != 0; m &= m - 1 {
		v |= 2 << (2 * bits.TrailingZeros32(m))
	}
	return v
}

// gather is the inverse of spread.
func gather(v uint32) (half uint32) {
	for n := range 16 {
		half |= v >> (2*n + 1) & 1 << n
	}
	return half
}
