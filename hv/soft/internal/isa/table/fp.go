package table

import "strings"

// fpRows adds the scalar floating-point rows. Most are pairs for binary32 and
// binary64; results clear the rest of their register. Half precision has
// conversions only.
func fpRows(t *Table) {
	t.fpArithmetic()
	t.fpCompares()
	t.fpMoves()
	t.fpConversions()
}

// fpPair adds the rows that set register d to expr, for both widths. In expr
// @n, @m, @a are the operands and @neg, appended to one, changes its sign.
func (t *Table) fpPair(name, expr string, attr ...Attr) {
	t.Pair(name, "$vd = simd.Vec{uint64("+operands(expr)+"), 0}", attr...)
}

func operands(expr string) string {
	return strings.NewReplacer("@neg", "^float.Sign@W",
		"@n", "@U($vn[0])", "@m", "@U($vm[0])", "@a", "@U($va[0])").Replace(expr)
}

// Negating an operand negates NaNs too (FPNeg); that is why FMSUB and its like
// are fused additions with changed signs.
func (t *Table) fpArithmetic() {
	t.fpPair("FADD", `c.Env.Add@W(@n, @m)`, Hot)
	t.fpPair("FSUB", `c.Env.Sub@W(@n, @m)`, Hot)
	t.fpPair("FMUL", `c.Env.Mul@W(@n, @m)`, Hot)
	t.fpPair("FNMUL", `c.Env.Mul@W(@n, @m)@neg`)
	t.fpPair("FDIV", `c.Env.Div@W(@n, @m)`)
	t.fpPair("FMADD", `c.Env.MulAdd@W(@a, @n, @m)`, Hot)
	t.fpPair("FMSUB", `c.Env.MulAdd@W(@a, @n@neg, @m)`, Hot)
	t.fpPair("FNMADD", `c.Env.MulAdd@W(@a@neg, @n@neg, @m)`)
	t.fpPair("FNMSUB", `c.Env.MulAdd@W(@a@neg, @n, @m)`)
	t.fpPair("FMAX", `c.Env.Max@W(@n, @m)`)
	t.fpPair("FMIN", `c.Env.Min@W(@n, @m)`)
	t.fpPair("FMAXNM", `c.Env.MaxNum@W(@n, @m)`)
	t.fpPair("FMINNM", `c.Env.MinNum@W(@n, @m)`)
	t.fpPair("FSQRT", `c.Env.Sqrt@W(@n)`)
	t.fpPair("FABS", `@n&^float.Sign@W`)
	t.fpPair("FNEG", `@n@neg`)
	// FRINT takes its mode from $sh; FRINTI and FRINTX FPCR's.
	t.fpPair("FRINT", `c.Env.RoundInt@W(@n, float.Rounding($sh), false)`)
	t.fpPair("FRINTI", `c.Env.RoundInt@W(@n, c.Env.Mode(), false)`)
	t.fpPair("FRINTX", `c.Env.RoundInt@W(@n, c.Env.Mode(), true)`)
}

// fpCompares adds rows in which $sh says whether quiet NaNs raise IOC, $cond
// is the condition and $imm the flags if it does not hold.
func (t *Table) fpCompares() {
	compare := operands(`c.SetFlags(uint8(c.Env.Compare@W(@n, @m, $sh != 0)))`)
	t.Pair("FCMP", compare, Hot)
	t.Pair("FCMPZ", operands(`c.SetFlags(uint8(c.Env.Compare@W(@n, 0, $sh != 0)))`), Hot)
	t.Pair("FCCMP", `if c.Test($cond) { `+compare+` } else { c.SetFlags(uint8($imm)) }`)
	t.Pair("FCSEL", operands(`if c.Test($cond) { $vd = simd.Vec{uint64(@n), 0} } else { $vd = simd.Vec{uint64(@m), 0} }`))
}

// fpMoves adds moves. FMOVI's number is in $imm. To and From are to and from
// general registers; Top is the upper doubleword.
func (t *Table) fpMoves() {
	t.fpPair("FMOV", `@n`, Hot)
	t.Add("FMOVI", `$vd = simd.Vec{$imm, 0}`, Hot)
	t.Pair("FMOVTo", operands(`$d = uint64(@n)`), Hot)
	t.Pair("FMOVFrom", `$vd = simd.Vec{uint64(@U($n)), 0}`, Hot)
	t.Add("FMOVTopFrom", `$vd[1] = $n`)
	t.Add("FMOVTopTo", `$d = $vn[1]`)
}

// fpConversions adds rows that convert between formats, named by target and
// source, and to and from integers of width W or X with $imm fraction bits.
// FCVTI finds its rounding mode in $sh (a float.Rounding) and the integer's type in
// $cond (a float.Int).
func (t *Table) fpConversions() {
	for _, c := range []struct{ name, expr string }{
		{"FCVTDS", `c.Env.From32To64(uint32($vn[0]))`},
		{"FCVTSD", `c.Env.From64To32($vn[0])`},
		{"FCVTSH", `c.Env.From16To32(uint16($vn[0]))`},
		{"FCVTDH", `c.Env.From16To64(uint16($vn[0]))`},
		{"FCVTHS", `c.Env.From32To16(uint32($vn[0]))`},
		{"FCVTHD", `c.Env.From64To16($vn[0])`},
	} {
		t.Add(c.name, "$vd = simd.Vec{uint64("+c.expr+"), 0}")
	}
	t.Pair("FCVTI", operands(`$d = c.Env.ToInt@W(@n, float.Int($cond), uint($imm), float.Rounding($sh))`))
	t.fpPair("SCVTFW", `c.Env.FromInt@W(int64(int32($n)), uint($imm))`)
	t.fpPair("SCVTFX", `c.Env.FromInt@W(int64($n), uint($imm))`)
	t.fpPair("UCVTFW", `c.Env.FromUint@W(uint64(uint32($n)), uint($imm))`)
	t.fpPair("UCVTFX", `c.Env.FromUint@W($n, uint($imm))`)
}
