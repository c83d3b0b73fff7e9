package simd

// Shifts by an immediate take it as the number of bits: 0 to size-1 to the
// left, 1 to size to the right.

func Shl(d, n *Vec, s Shape, sh uint)   { d.shift(n, s, sh, lanes.shl) }
func Ushr(d, n *Vec, s Shape, sh uint)  { d.shift(n, s, sh, lanes.shr) }
func Sshr(d, n *Vec, s Shape, sh uint)  { d.shift(n, s, sh, lanes.sar) }
func Urshr(d, n *Vec, s Shape, sh uint) { d.shift(n, s, sh, lanes.shrRound) }
func Srshr(d, n *Vec, s Shape, sh uint) { d.shift(n, s, sh, lanes.sarRound) }

func (d *Vec) shift(n *Vec, s Shape, sh uint, f func(l lanes, a uint64, n uint) uint64) {
	l := s.lanes()
	d.put(s, f(l, n[0], sh), f(l, n[1], sh))
}

// Usra and its likes add the shifted elements to d.
func Usra(d, n *Vec, s Shape, sh uint)  { var t Vec; Ushr(&t, n, s, sh); Add(d, d, &t, s) }
func Ssra(d, n *Vec, s Shape, sh uint)  { var t Vec; Sshr(&t, n, s, sh); Add(d, d, &t, s) }
func Ursra(d, n *Vec, s Shape, sh uint) { var t Vec; Urshr(&t, n, s, sh); Add(d, d, &t, s) }
func Srsra(d, n *Vec, s Shape, sh uint) { var t Vec; Srshr(&t, n, s, sh); Add(d, d, &t, s) }

// Sli and Sri keep the bits of d that the shift would fill.
func Sli(d, n *Vec, s Shape, sh uint) {
	m := s.lanes().shl(^uint64(0), sh)
	d.put(s, choose(m, n[0]<<sh, d[0]), choose(m, n[1]<<sh, d[1]))
}

func Sri(d, n *Vec, s Shape, sh uint) {
	m := s.lanes().shr(^uint64(0), sh)
	d.put(s, choose(m, n[0]>>sh, d[0]), choose(m, n[1]>>sh, d[1]))
}

// Sshll and Ushll shift the narrow elements left into wide ones.
func Sshll(d, n *Vec, s Shape, sh uint) { longShift(d, n, s, sh, true) }
func Ushll(d, n *Vec, s Shape, sh uint) { longShift(d, n, s, sh, false) }

func longShift(d, n *Vec, s Shape, sh uint, signed bool) {
	lo, hi := extend(n, s, signed)
	l := (s&3 + 1).lanes()
	*d = Vec{l.shl(lo, sh), l.shl(hi, sh)}
}

// Narrowing shifts; the immediate is at most the size of the narrow element.

func Shrn(d, n *Vec, s Shape, sh uint) {
	l := s.double().lanes()
	narrow(d, l.shr(n[0], sh), l.shr(n[1], sh), s)
}

func Rshrn(d, n *Vec, s Shape, sh uint) {
	l := s.double().lanes()
	narrow(d, l.shrRound(n[0], sh), l.shrRound(n[1], sh), s)
}

// shifted is n's wide elements after the shift f.
func shifted(n *Vec, s Shape, sh uint, f func(l lanes, a uint64, n uint) uint64) (t Vec) {
	t.shift(n, s.double(), sh, f)
	return t
}

func Sqshrn(d, n *Vec, s Shape, sh uint) uint32 {
	t := shifted(n, s, sh, lanes.sar)
	return Sqxtn(d, &t, s)
}

func Sqrshrn(d, n *Vec, s Shape, sh uint) uint32 {
	t := shifted(n, s, sh, lanes.sarRound)
	return Sqxtn(d, &t, s)
}

func Sqshrun(d, n *Vec, s Shape, sh uint) uint32 {
	t := shifted(n, s, sh, lanes.sar)
	return Sqxtun(d, &t, s)
}

func Sqrshrun(d, n *Vec, s Shape, sh uint) uint32 {
	t := shifted(n, s, sh, lanes.sarRound)
	return Sqxtun(d, &t, s)
}

func Uqshrn(d, n *Vec, s Shape, sh uint) uint32 {
	t := shifted(n, s, sh, lanes.shr)
	return Uqxtn(d, &t, s)
}

func Uqrshrn(d, n *Vec, s Shape, sh uint) uint32 {
	t := shifted(n, s, sh, lanes.shrRound)
	return Uqxtn(d, &t, s)
}

// Saturating left shifts by an immediate. Sqshlu takes signed elements to
// unsigned ones.
func SqshlImm(d, n *Vec, s Shape, sh uint) uint32 { m := all(s, sh); return Sqshl(d, n, &m, s) }
func UqshlImm(d, n *Vec, s Shape, sh uint) uint32 { m := all(s, sh); return Uqshl(d, n, &m, s) }

func Sqshlu(d, n *Vec, s Shape, sh uint) uint32 {
	l := s.lanes()
	neg := Vec{l.sign(n[0]), l.sign(n[1])}
	pos := Vec{n[0] &^ neg[0], n[1] &^ neg[1]}
	k, m := keep[s&15], all(s, sh)
	return qc(neg[0]&k[0]|neg[1]&k[1]) | Uqshl(d, &pos, &m, s)
}

// all is a register with x in every element.
func all(s Shape, x uint) Vec {
	r := lsbs[s.size()] * uint64(x)
	return Vec{r, r}
}

// Shifts by a register: the signed low byte of each element of m is the shift
// to the left, or to the right when negative.
func Sshl(d, n, m *Vec, s Shape)          { shiftEach(d, n, m, s, signed) }
func Ushl(d, n, m *Vec, s Shape)          { shiftEach(d, n, m, s, 0) }
func Srshl(d, n, m *Vec, s Shape)         { shiftEach(d, n, m, s, signed|rounding) }
func Urshl(d, n, m *Vec, s Shape)         { shiftEach(d, n, m, s, rounding) }
func Sqshl(d, n, m *Vec, s Shape) uint32  { return shiftEach(d, n, m, s, signed|saturating) }
func Uqshl(d, n, m *Vec, s Shape) uint32  { return shiftEach(d, n, m, s, saturating) }
func Sqrshl(d, n, m *Vec, s Shape) uint32 { return shiftEach(d, n, m, s, signed|rounding|saturating) }
func Uqrshl(d, n, m *Vec, s Shape) uint32 { return shiftEach(d, n, m, s, rounding|saturating) }

// manner is a set of what makes one shift by a register differ from another.
type manner uint8

const (
	signed     manner = 1 // elements are signed
	rounding   manner = 2 // to the right: add the last bit dropped
	saturating manner = 4 // to the left: to the bound if bits that matter get lost
)

func shiftEach(d, n, m *Vec, s Shape, how manner) uint32 {
	var r Vec
	var sat uint64
	size := s.size()
	for i := range s.count() {
		x, over := how.shift(n, size, i, int(int8(m.Lane(size, i))))
		r.SetLane(size, i, x)
		sat |= over
	}
	*d = r
	return qc(sat)
}

// shift gives element i of n shifted; over is 1 if it was saturated.
func (how manner) shift(n *Vec, size, i uint, sh int) (r, over uint64) {
	round := how&rounding != 0
	switch {
	case sh < 0 && how&signed != 0:
		return uint64(sarRound(n.signed(size, i), uint(-sh), round)), 0
	case sh < 0:
		return shrRound(n.Lane(size, i), uint(-sh), round), 0
	case how&saturating == 0:
		return n.Lane(size, i) << sh, 0
	case how&signed != 0:
		return shlSigned(n.signed(size, i), uint(sh), size)
	}
	return shlUnsigned(n.Lane(size, i), uint(sh), size)
}

// sarRound and shrRound shift right by n, at least 1, and may add the last bit
// that is dropped. Go's shifts by 64 and more do what the architecture's do.
func sarRound(x int64, n uint, round bool) int64 {
	if round {
		return x>>n + x>>(n-1)&1
	}
	return x >> n
}

func shrRound(x uint64, n uint, round bool) uint64 {
	if round {
		return x>>n + x>>(n-1)&1
	}
	return x >> n
}

// shlSigned and shlUnsigned shift an element left by n. If bits that matter
// get lost, over is 1 and the result the bound.
func shlSigned(x int64, n, size uint) (r, over uint64) {
	up := 64 - 8<<size
	t := x << up
	if t<<n>>n == t && (n < 64 || x == 0) {
		return uint64(t << n >> up), 0
	}
	return uint64(x>>63) ^ ones[size]>>1, 1
}

func shlUnsigned(x uint64, n, size uint) (r, over uint64) {
	up := 64 - 8<<size
	t := x << up
	if t<<n>>n == t {
		return t << n >> up, 0
	}
	return ones[size], 1
}
