package simd

// Instructions whose operands or results differ in element size. They extend
// the narrow side to the wide size, compute there, and take it back.

// extend gives the narrow operand's elements at twice their size.
func extend(n *Vec, s Shape, signed bool) (r Vec) {
	src := n[0]
	if s.full() {
		src = n[1]
	}
	size := s.size()
	if s&(Half|Full) == 0 {
		src &= ones[size]
	}
	r = Vec{expand(src, size), expand(src>>32, size)}
	if signed && size < 3 {
		l := (s + 1).lanes()
		sign := l.msb >> (l.bits / 2)
		r[0], r[1] = l.sub(r[0]^sign, sign), l.sub(r[1]^sign, sign)
	}
	return r
}

// long extends both operands.
func long(n, m *Vec, s Shape, signed bool) (a, b Vec, w Shape) {
	return extend(n, s, signed), extend(m, s, signed), s.double()
}

func Saddl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Add(d, &a, &b, w) }
func Uaddl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Add(d, &a, &b, w) }
func Ssubl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Sub(d, &a, &b, w) }
func Usubl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Sub(d, &a, &b, w) }
func Sabdl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Sabd(d, &a, &b, w) }
func Uabdl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Uabd(d, &a, &b, w) }
func Sabal(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Saba(d, &a, &b, w) }
func Uabal(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Uaba(d, &a, &b, w) }
func Smull(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Mul(d, &a, &b, w) }
func Umull(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Mul(d, &a, &b, w) }
func Smlal(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Mla(d, &a, &b, w) }
func Umlal(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Mla(d, &a, &b, w) }
func Smlsl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, true); Mls(d, &a, &b, w) }
func Umlsl(d, n, m *Vec, s Shape) { a, b, w := long(n, m, s, false); Mls(d, &a, &b, w) }

func Saddw(d, n, m *Vec, s Shape) { b := extend(m, s, true); Add(d, n, &b, s.double()) }
func Uaddw(d, n, m *Vec, s Shape) { b := extend(m, s, false); Add(d, n, &b, s.double()) }
func Ssubw(d, n, m *Vec, s Shape) { b := extend(m, s, true); Sub(d, n, &b, s.double()) }
func Usubw(d, n, m *Vec, s Shape) { b := extend(m, s, false); Sub(d, n, &b, s.double()) }

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

// narrow writes the even elements of wide to the low half of d and zeros
// above, or leaves the low half and writes the high one.
func narrow(d *Vec, wide Vec, s Shape) {
	size := s.size()
	r := compress(wide[0], size) | compress(wide[1], size)<<32
	if s.full() {
		d[1] = r
		return
	}
	d.put(s, r, 0)
}

// Xtn drops the high half of each element.
func Xtn(d, n *Vec, s Shape) { narrow(d, *n, s) }

// Addhn and Subhn keep the high half of each sum or difference; Raddhn and
// Rsubhn round it.
func Addhn(d, n, m *Vec, s Shape) { var t Vec; Add(&t, n, m, s.double()); Shrn(d, &t, s, 8<<s.size()) }
func Subhn(d, n, m *Vec, s Shape) { var t Vec; Sub(&t, n, m, s.double()); Shrn(d, &t, s, 8<<s.size()) }
func Raddhn(d, n, m *Vec, s Shape) {
	var t Vec
	Add(&t, n, m, s.double())
	Rshrn(d, &t, s, 8<<s.size())
}
func Rsubhn(d, n, m *Vec, s Shape) {
	var t Vec
	Sub(&t, n, m, s.double())
	Rshrn(d, &t, s, 8<<s.size())
}

// clamp is one step of a saturating narrowing: the elements of wide, signed or
// not, limited to the numbers that fit the narrow elements of d.
func clamp(d *Vec, wide *Vec, s Shape, min, max func(l lanes, a, b uint64) uint64, lo, hi uint64) uint32 {
	w := s.double()
	l := w.lanes()
	r := Vec{
		max(l, min(l, wide[0], l.lsb()*hi), l.lsb()*(lo&l.one())),
		max(l, min(l, wide[1], l.lsb()*hi), l.lsb()*(lo&l.one())),
	}
	k := &keep[w&15]
	sat := (r[0]^wide[0])&k[0] | (r[1]^wide[1])&k[1]
	narrow(d, r, s)
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
	r := extend(n, s, false)
	w := uint(8) << s.size()
	*d = Vec{r[0] << w, r[1] << w}
}
