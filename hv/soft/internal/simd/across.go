package simd

// pairs computes on neighbours in m:n: on the even elements and the odd ones.
// With a scalar shape, m being n, they are the two lowest of n.
func pairs(d, n, m *Vec, s Shape, f func(l lanes, a, b uint64) uint64) {
	a0, a1 := unzip(n, m, s, 0)
	b0, b1 := unzip(n, m, s, 1)
	l := s.lanes()
	d.put(s, f(l, a0, b0), f(l, a1, b1))
}

func Addp(d, n, m *Vec, s Shape)  { pairs(d, n, m, s, lanes.add) }
func Smaxp(d, n, m *Vec, s Shape) { pairs(d, n, m, s, lanes.smax) }
func Sminp(d, n, m *Vec, s Shape) { pairs(d, n, m, s, lanes.smin) }
func Umaxp(d, n, m *Vec, s Shape) { pairs(d, n, m, s, lanes.umax) }
func Uminp(d, n, m *Vec, s Shape) { pairs(d, n, m, s, lanes.umin) }

// fold reduces the elements of a shape to one with f: the upper half onto the
// lower, again and again.
func fold(d, n *Vec, s Shape, f func(l lanes, a, b uint64) uint64) {
	l, r := s.lanes(), n[0]
	if s.full() {
		r = f(l, r, n[1])
	}
	for w := uint(32); w >= l.bits; w /= 2 {
		r = f(l, r, r>>w)
	}
	*d = Vec{r & l.one()}
}

func Addv(d, n *Vec, s Shape)  { fold(d, n, s, lanes.add) }
func Smaxv(d, n *Vec, s Shape) { fold(d, n, s, lanes.smax) }
func Sminv(d, n *Vec, s Shape) { fold(d, n, s, lanes.smin) }
func Umaxv(d, n *Vec, s Shape) { fold(d, n, s, lanes.umax) }
func Uminv(d, n *Vec, s Shape) { fold(d, n, s, lanes.umin) }

// Saddlv and Uaddlv add all elements to one of twice the size.
func Saddlv(d, n *Vec, s Shape) {
	var t Vec
	Saddlp(&t, n, s)
	Addv(d, &t, s+1)
}

func Uaddlv(d, n *Vec, s Shape) {
	var t Vec
	Uaddlp(&t, n, s)
	Addv(d, &t, s+1)
}
