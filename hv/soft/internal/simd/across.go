package simd

// neighbours splits m:n into the elements that a pairwise instruction puts
// together: the even ones and the odd ones. With a scalar shape, m being n,
// they are the two lowest of n.
func neighbours(n, m *Vec, s Shape) (a, b Vec) {
	unzip(&a, n, m, s, 0)
	unzip(&b, n, m, s, 1)
	return a, b
}

func Addp(d, n, m *Vec, s Shape)  { a, b := neighbours(n, m, s); Add(d, &a, &b, s) }
func Smaxp(d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Smax(d, &a, &b, s) }
func Sminp(d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Smin(d, &a, &b, s) }
func Umaxp(d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Umax(d, &a, &b, s) }
func Uminp(d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Umin(d, &a, &b, s) }

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
