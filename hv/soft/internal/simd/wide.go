package simd

// Instructions whose operands or results differ in element size. They extend
// the narrow side to the wide size, compute there, and take it back.

// extend gives the two halves of the narrow operand's elements at twice their
// size.
func extend(n *Vec, s Shape, signed bool) (lo, hi uint64) {
	src := n[0]
	if s.full() {
		src = n[1]
	}
	size := s.size()
	lo, hi = expand(src, size), expand(src>>32, size)
	if signed {
		l := (s&3 + 1).lanes()
		sign := l.msb >> (l.bits / 2)
		return l.sub(lo^sign, sign), l.sub(hi^sign, sign)
	}
	return lo, hi
}

// long computes on both operands extended.
func long(d, n, m *Vec, s Shape, signed bool, f func(l lanes, a, b uint64) uint64) {
	a0, a1 := extend(n, s, signed)
	b0, b1 := extend(m, s, signed)
	l := (s&3 + 1).lanes()
	d.put(s.double(), f(l, a0, b0), f(l, a1, b1))
}

func Saddl(d, n, m *Vec, s Shape) { long(d, n, m, s, true, lanes.add) }
func Uaddl(d, n, m *Vec, s Shape) { long(d, n, m, s, false, lanes.add) }
func Ssubl(d, n, m *Vec, s Shape) { long(d, n, m, s, true, lanes.sub) }
func Usubl(d, n, m *Vec, s Shape) { long(d, n, m, s, false, lanes.sub) }
func Sabdl(d, n, m *Vec, s Shape) { long(d, n, m, s, true, lanes.sabd) }
func Uabdl(d, n, m *Vec, s Shape) { long(d, n, m, s, false, lanes.uabd) }
func Smull(d, n, m *Vec, s Shape) { long(d, n, m, s, true, lanes.mul) }
func Umull(d, n, m *Vec, s Shape) { long(d, n, m, s, false, lanes.mul) }

// Accumulating forms add to d, or subtract from it.
func Sabal(d, n, m *Vec, s Shape) { var t Vec; Sabdl(&t, n, m, s); Add(d, d, &t, s.double()) }
func Uabal(d, n, m *Vec, s Shape) { var t Vec; Uabdl(&t, n, m, s); Add(d, d, &t, s.double()) }
func Smlal(d, n, m *Vec, s Shape) { var t Vec; Smull(&t, n, m, s); Add(d, d, &t, s.double()) }
func Umlal(d, n, m *Vec, s Shape) { var t Vec; Umull(&t, n, m, s); Add(d, d, &t, s.double()) }
func Smlsl(d, n, m *Vec, s Shape) { var t Vec; Smull(&t, n, m, s); Sub(d, d, &t, s.double()) }
func Umlsl(d, n, m *Vec, s Shape) { var t Vec; Umull(&t, n, m, s); Sub(d, d, &t, s.double()) }

// wide computes on n and m extended.
func wide(d, n, m *Vec, s Shape, signed bool, f func(l lanes, a, b uint64) uint64) {
	b0, b1 := extend(m, s, signed)
	l := (s&3 + 1).lanes()
	d.put(s.double(), f(l, n[0], b0), f(l, n[1], b1))
}

func Saddw(d, n, m *Vec, s Shape) { wide(d, n, m, s, true, lanes.add) }
func Uaddw(d, n, m *Vec, s Shape) { wide(d, n, m, s, false, lanes.add) }
func Ssubw(d, n, m *Vec, s Shape) { wide(d, n, m, s, true, lanes.sub) }
func Usubw(d, n, m *Vec, s Shape) { wide(d, n, m, s, false, lanes.sub) }

// Sqdmull doubles the product; Sqdmlal and Sqdmlsl saturate twice, once in
// the doubling and once in the sum.
func Sqdmull(d, n, m *Vec, s Shape) uint32 {
	var p Vec
	Smull(&p, n, m, s)
	return Sqadd(d, &p, &p, s.double())
}

func Sqdmlal(d, n, m *Vec, s Shape) uint32 {
	var p Vec
	sat := Sqdmull(&p, n, m, s)
	return sat | Sqadd(d, d, &p, s.double())
}

func Sqdmlsl(d, n, m *Vec, s Shape) uint32 {
	var p Vec
	sat := Sqdmull(&p, n, m, s)
	return sat | Sqsub(d, d, &p, s.double())
}

// Saddlp and Uaddlp add neighbours to an element of twice the size; Sadalp
// and Uadalp add that to d. The shape is that of the narrow elements.
func Saddlp(d, n *Vec, s Shape) {
	l := (s + 1).lanes()
	w := l.bits / 2
	sum := func(a uint64) uint64 { return l.add(l.sar(l.shl(a, w), w), l.sar(a, w)) }
	d.put(s, sum(n[0]), sum(n[1]))
}

func Uaddlp(d, n *Vec, s Shape) {
	w, m := uint(8)<<s.size(), even[s.size()]
	d.put(s, n[0]&m+n[0]>>w&m, n[1]&m+n[1]>>w&m)
}

func Sadalp(d, n *Vec, s Shape) {
	var t Vec
	Saddlp(&t, n, s)
	Add(d, d, &t, s+1)
}

func Uadalp(d, n *Vec, s Shape) {
	var t Vec
	Uaddlp(&t, n, s)
	Add(d, d, &t, s+1)
}

// narrow writes the even elements of hi:lo to the low half of d and zeros
// above, or leaves the low half and writes the high one.
func narrow(d *Vec, lo, hi uint64, s Shape) {
	size := s.size()
	r := compress(lo, size) | compress(hi, size)<<32
	if s.full() {
		d[1] = r
		return
	}
	d.put(s, r, 0)
}

// Xtn drops the high half of each element.
func Xtn(d, n *Vec, s Shape) { narrow(d, n[0], n[1], s) }

// Addhn and Subhn keep the high half of each sum or difference; Raddhn and
// Rsubhn round it.
func Addhn(d, n, m *Vec, s Shape)  { t := combined(n, m, s, lanes.add); Shrn(d, &t, s, 8<<s.size()) }
func Subhn(d, n, m *Vec, s Shape)  { t := combined(n, m, s, lanes.sub); Shrn(d, &t, s, 8<<s.size()) }
func Raddhn(d, n, m *Vec, s Shape) { t := combined(n, m, s, lanes.add); Rshrn(d, &t, s, 8<<s.size()) }
func Rsubhn(d, n, m *Vec, s Shape) { t := combined(n, m, s, lanes.sub); Rshrn(d, &t, s, 8<<s.size()) }

// combined is f of the wide elements of n and m.
func combined(n, m *Vec, s Shape, f func(l lanes, a, b uint64) uint64) (t Vec) {
	both(&t, n, m, s.double(), f)
	return t
}

// clamp is a saturating narrowing: the elements of wide, limited to lo and hi
// by the min and max that see them as signed or not.
func clamp(d, wide *Vec, s Shape, min, max func(l lanes, a, b uint64) uint64, lo, hi uint64) uint32 {
	w := s.double()
	l := w.lanes()
	least, most, k := l.lsb()*(lo&l.one()), l.lsb()*hi, &keep[w&15]
	a, b := max(l, min(l, wide[0], most), least), max(l, min(l, wide[1], most), least)
	sat := (a^wide[0])&k[0] | (b^wide[1])&k[1]
	narrow(d, a, b, s)
	return qc(sat)
}

// Sqxtn narrows signed to signed, Uqxtn unsigned to unsigned, Sqxtun signed
// to unsigned.
func Sqxtn(d, n *Vec, s Shape) uint32 {
	top := ones[s.size()] >> 1
	return clamp(d, n, s, lanes.smin, lanes.smax, ^top, top)
}

func Uqxtn(d, n *Vec, s Shape) uint32 {
	return clamp(d, n, s, lanes.umin, lanes.umax, 0, ones[s.size()])
}

func Sqxtun(d, n *Vec, s Shape) uint32 {
	return clamp(d, n, s, lanes.smin, lanes.smax, 0, ones[s.size()])
}

// Shll shifts left by the element size.
func Shll(d, n *Vec, s Shape) {
	lo, hi := extend(n, s, false)
	w := uint(8) << s.size()
	*d = Vec{lo << w, hi << w}
}
