package table

import "strings"

// coreRows adds everything but floating point and Advanced SIMD arithmetic:
// what is here runs in the main loop, exec.(*Core).loop.
//
// Such bodies may also use
//
//	$FAULT   leave: the callee has filled in c.pend; the operation has no effect
//	$T $N    end the block: the branch is taken (to $imm) or not
//	$I(x)    end the block: go to address x
//	$END     end the block: go on behind it, looking the next block up afresh
//	$LEAVE   leave the block behind this operation
//
// and, when System and Fault, c.left, which then says how much of the budget is
// left after this operation.
func coreRows(t *Table) {
	t.Add("UNDEF", `c.undefined(); $FAULT`, Ends, Fault)
	t.Add("FPTRAP", `c.trapFP(); $FAULT`, Ends, Fault)
	t.Add("NOP", ``)
	arithmeticRows(t)
	logicalRows(t)
	moveRows(t)
	conditionalRows(t)
	multiplyRows(t)
	memoryRows(t)
	atomicRows(t)
	systemRows(t)
	branchRows(t)
	fusedRows(t)
}

// Texts of the flag-setting operations on $x and $y.
const (
	addFlags = `{ x := @U($x); y := @U($y); r := x + y; c.NF = uint64(@S(r)); c.ZF = uint64(r); var k uint64; if r < x { k = 1 }; c.CF = k; c.VF = uint64(@S((x^r)&(y^r))); $d = uint64(r) }`
	subFlags = `{ x := @U($x); y := @U($y); r := x - y; c.NF = uint64(@S(r)); c.ZF = uint64(r); var k uint64; if x >= y { k = 1 }; c.CF = k; c.VF = uint64(@S((x^y)&(x^r))); $d = uint64(r) }`
	logFlags = `{ r := $x; c.NF = uint64(@S(r)); c.ZF = uint64(r); c.CF = 0; c.VF = 0; $d = uint64(r) }`
	adcFlags = `{ x, y := @U($n), $y; r, k := bits.Add@W(x, y, @U(c.CF)); c.NF = uint64(@S(r)); c.ZF = uint64(r); c.CF = uint64(k); c.VF = uint64(@S((x^r)&(y^r))); $d = uint64(r) }`
)

// xy puts the operands of a flag-setting text in.
func xy(text, x, y string) string { return strings.NewReplacer("$x", x, "$y", y).Replace(text) }

// Operand texts: a shifted register ($cond is the kind, $sh the amount), and an
// extended one ($cond is the option, $sh the left shift).
const (
	shifted  = `shift@W(@U($m), $cond, $sh)`
	extended = `extend($m, $cond, $sh)`
)

func arithmeticRows(t *Table) {
	t.Pair("ADDI", `$d = uint64(@U($n) + @U($imm))`)
	t.Pair("ADDSI", xy(addFlags, "$n", "$imm"))
	t.Pair("SUBSI", xy(subFlags, "$n", "$imm"))
	t.Pair("ADDR", `$d = uint64(@U($n) + @U($m))`)
	t.Pair("SUBR", `$d = uint64(@U($n) - @U($m))`)
	t.Pair("ADDSR", xy(addFlags, "$n", "$m"))
	t.Pair("SUBSR", xy(subFlags, "$n", "$m"))
	t.Pair("ADDLSL", `$d = uint64(@U($n) + @U($m)<<($sh&@M))`)
	t.Pair("ADDSH", `$d = uint64(@U($n) + `+shifted+`)`)
	t.Pair("SUBSH", `$d = uint64(@U($n) - `+shifted+`)`)
	t.Pair("ADDSSH", xy(addFlags, "$n", shifted))
	t.Pair("SUBSSH", xy(subFlags, "$n", shifted))
	t.Pair("ADDX", `$d = uint64(@U($n) + @U(`+extended+`))`)
	t.Pair("SUBX", `$d = uint64(@U($n) - @U(`+extended+`))`)
	t.Pair("ADDSX", xy(addFlags, "$n", extended))
	t.Pair("SUBSX", xy(subFlags, "$n", extended))
	t.Pair("ADC", `$d = uint64(@U($n) + @U($m) + @U(c.CF))`)
	t.Pair("SBC", `$d = uint64(@U($n) - @U($m) - @U(1-c.CF))`)
	t.Pair("ADCS", xy(adcFlags, "", "@U($m)"))
	t.Pair("SBCS", xy(adcFlags, "", "^@U($m)"))
}

func logicalRows(t *Table) {
	t.Pair("ANDI", `$d = uint64(@U($n) & @U($imm))`)
	t.Pair("ORRI", `$d = uint64(@U($n) | @U($imm))`)
	t.Pair("EORI", `$d = uint64(@U($n) ^ @U($imm))`)
	t.Pair("ANDSI", xy(logFlags, "@U($n) & @U($imm)", ""))
	t.Pair("ANDR", `$d = uint64(@U($n) & @U($m))`)
	t.Pair("ORRR", `$d = uint64(@U($n) | @U($m))`)
	t.Pair("EORR", `$d = uint64(@U($n) ^ @U($m))`)
	t.Pair("ANDSR", xy(logFlags, "@U($n) & @U($m)", ""))
	// $jmm is all ones for BIC, ORN, EON and BICS, else zero.
	const operand = `(` + shifted + ` ^ @U($jmm))`
	t.Pair("ANDSH", `$d = uint64(@U($n) & `+operand+`)`)
	t.Pair("ORRSH", `$d = uint64(@U($n) | `+operand+`)`)
	t.Pair("EORSH", `$d = uint64(@U($n) ^ `+operand+`)`)
	t.Pair("ANDSSH", xy(logFlags, "@U($n) & "+operand, ""))
	t.Pair("RBIT", `$d = uint64(bits.Reverse@W(@U($n)))`)
	t.Pair("REV16", `$d = uint64(@U($n>>8&0x00ff00ff00ff00ff | $n&0x00ff00ff00ff00ff<<8))`)
	t.Add("REV3232", `$d = uint64(bits.ReverseBytes32(uint32($n)))`)
	t.Add("REV3264", `$d = bits.RotateLeft64(bits.ReverseBytes64($n), 32)`)
	t.Add("REV64", `$d = bits.ReverseBytes64($n)`)
	t.Pair("CLZ", `$d = uint64(bits.LeadingZeros@W(@U($n)))`)
	t.Pair("CLS", `{ v := @U($n); $d = uint64(bits.LeadingZeros@W((v^@U(@S(v)>>1))<<1|1)) }`)
}

func moveRows(t *Table) {
	t.Add("MOVI", `$d = $imm`)
	t.Pair("MOVK", `$d = uint64(@U($n&$jmm | $imm))`)
	t.Pair("MOVR", `$d = uint64(@U($m))`)
	t.Pair("SBFX", `$d = uint64(@U(@S($n) << ($sh&@M) >> ($cond&@M)))`)
	t.Pair("BFM", `$d = uint64(@U($a)&^@U($imm) | bits.RotateLeft@W(@U($n), -int($sh))&@U($imm))`)
	t.Pair("UBFX", `$d = uint64(@U($n)>>($sh&@M)) & $imm`)
	t.Pair("UBFIZ", `$d = uint64(@U($n&$imm) << ($sh&@M))`)
	t.Pair("LSLI", `$d = uint64(@U($n) << ($sh&@M))`)
	t.Pair("LSRI", `$d = uint64(@U($n) >> ($sh&@M))`)
	t.Pair("EXTR", `$d = uint64(@U($m)>>($sh&@M) | @U($n)<<1<<(@M-$sh&@M))`)
	t.Pair("LSLV", `$d = uint64(@U($n) << ($m&@M))`)
	t.Pair("LSRV", `$d = uint64(@U($n) >> ($m&@M))`)
	t.Pair("ASRV", `$d = uint64(@U(@S($n) >> ($m&@M)))`)
	t.Pair("RORV", `$d = uint64(bits.RotateLeft@W(@U($n), -int($m&@M)))`)
}

func conditionalRows(t *Table) {
	// The right operand is $m + $imm: one of them is zero.
	compare := func(text string) string {
		text = strings.Replace(xy(text, "$n", "@U($m) + @U($imm)"), "; $d = uint64(r) }", " }", 1)
		return `if c.Test($cond) ` + text + ` else { c.SetFlags($sh) }`
	}
	t.Pair("CCMP", compare(subFlags))
	t.Pair("CCMN", compare(addFlags))
	t.Pair("CSEL", `{ v := @U($m); if c.Test($cond) { v = @U($n) }; $d = uint64(v) }`)
	t.Pair("CSINC", `{ v := @U($m) + 1; if c.Test($cond) { v = @U($n) }; $d = uint64(v) }`)
	t.Pair("CSINV", `{ v := ^@U($m); if c.Test($cond) { v = @U($n) }; $d = uint64(v) }`)
	t.Pair("CSNEG", `{ v := -@U($m); if c.Test($cond) { v = @U($n) }; $d = uint64(v) }`)
}

func multiplyRows(t *Table) {
	t.Pair("UDIV", `if y := @U($m); y == 0 { $d = 0 } else { $d = uint64(@U($n) / y) }`)
	t.Pair("SDIV", `if y := @S($m); y == 0 { $d = 0 } else if y == -1 { $d = uint64(-@U($n)) } else { $d = uint64(@U(@S($n) / y)) }`)
	t.Pair("MADD", `$d = uint64(@U($a) + @U($n)*@U($m))`)
	t.Pair("MSUB", `$d = uint64(@U($a) - @U($n)*@U($m))`)
	t.Pair("MUL", `$d = uint64(@U($n) * @U($m))`)
	t.Add("SMADDL", `$d = $a + uint64(int64(int32($n))*int64(int32($m)))`)
	t.Add("SMSUBL", `$d = $a - uint64(int64(int32($n))*int64(int32($m)))`)
	t.Add("UMADDL", `$d = $a + uint64(uint32($n))*uint64(uint32($m))`)
	t.Add("UMSUBL", `$d = $a - uint64(uint32($n))*uint64(uint32($m))`)
	t.Add("UMULH", `{ h, _ := bits.Mul64($n, $m); $d = h }`)
	t.Add("SMULH", `{ x, y := $n, $m; h, _ := bits.Mul64(x, y); h -= uint64(int64(x)>>63)&y + uint64(int64(y)>>63)&x; $d = h }`)
	for _, size := range []string{"8", "16", "32", "64"} {
		t.Add("CRC32"+size, `$d = uint64(simd.CRC32(uint32($n), $m, `+size+`/8))`)
		t.Add("CRC32C"+size, `$d = uint64(simd.CRC32C(uint32($n), $m, `+size+`/8))`)
	}
}
