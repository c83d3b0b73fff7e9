package float

// unpack2 unpacks two operands. ok is false if one is a NaN; then IOC is set
// if one is signalling, or if signal is set.
func (e *Env) unpack2(f *format, a, b uint64, signal bool) (x, y num, ok bool) {
	x, y = e.unpack(f, a), e.unpack(f, b)
	if (x.kind|y.kind)&nan == 0 {
		return x, y, true
	}
	if signal || (x.kind|y.kind)&snan != 0 {
		e.FPSR |= IOC
	}
	return x, y, false
}

// cmp orders two numbers that are not NaNs: it is negative, zero or positive.
func cmp(x, y num) int {
	switch {
	case x.kind&y.kind == zero:
		return 0
	case x.kind == zero:
		return -direction(y)
	case y.kind == zero || x.neg != y.neg:
		return direction(x)
	}
	return direction(x) * cmpMagnitude(x, y)
}

func direction(x num) int {
	if x.neg {
		return -1
	}
	return 1
}

// cmpMagnitude orders two numbers, neither of them zero or a NaN, by
// magnitude.
func cmpMagnitude(x, y num) int {
	switch {
	case x.kind != y.kind: // one is infinite
		return int(x.kind) - int(y.kind)
	case x.kind == inf:
		return 0
	case x.exp != y.exp:
		return int(x.exp - y.exp)
	case x.sig < y.sig:
		return -1
	}
	return int(bit(x.sig > y.sig))
}

// compare is FPCompare.
func (e *Env) compare(f *format, a, b uint64, signal bool) uint32 {
	x, y, ok := e.unpack2(f, a, b, signal)
	if !ok {
		return Unordered
	}
	switch c := cmp(x, y); {
	case c < 0:
		return Less
	case c > 0:
		return Greater
	}
	return Equal
}

// max is FPMax, or FPMin if min is set.
func (e *Env) max(f *format, a, b uint64, min bool) uint64 {
	x, y := e.unpack(f, a), e.unpack(f, b)
	if (x.kind|y.kind)&nan != 0 {
		return e.nan2(f, a, b, x.kind, y.kind)
	}
	switch c := cmp(x, y); {
	case x.kind&y.kind == zero && min:
		return f.zero(x.neg || y.neg)
	case x.kind&y.kind == zero:
		return f.zero(x.neg && y.neg)
	case (c > 0) != min:
		return e.repack(f, a, x)
	}
	return e.repack(f, b, y)
}

// repack packs the number x, unpacked from v, when it may have been flushed.
func (e *Env) repack(f *format, v uint64, x num) uint64 {
	if x.kind == zero {
		return f.zero(x.neg)
	}
	return v
}

// maxNum is FPMaxNum, or FPMinNum if min is set: a quiet NaN loses to any
// number.
func (e *Env) maxNum(f *format, a, b uint64, min bool) uint64 {
	x, y := e.unpack(f, a), e.unpack(f, b)
	switch {
	case x.kind == qnan && y.kind&nan == 0:
		return e.repack(f, b, y)
	case y.kind == qnan && x.kind&nan == 0:
		return e.repack(f, a, x)
	}
	return e.max(f, a, b, min)
}
