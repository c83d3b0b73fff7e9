package table

import "strings"

// simdRows adds the Advanced SIMD and cryptographic rows. A row's name is the
// mnemonic after a V; its function in package simd is the mnemonic with one
// capital. All find their simd.Shape in $sh, and $cond and $imm hold what the
// decoder's class says.
//
// A row VxxxElem is Vxxx with element $cond of $vm in every element of its
// second operand, and VxxxZero compares with zero.
func simdRows(t *Table) {
	t.simdInteger()
	t.simdFloat()
	t.simdMoves()
	t.simdCrypto()
}

const shape = "simd.Shape($sh)"

// each adds a row for every function name in list: in body, @f is the
// function and @F the name of the row without its suffix.
func (t *Table) each(list, suffix, body string) {
	for _, f := range strings.Fields(list) {
		t.Add("V"+rowName(f)+suffix, strings.ReplaceAll(body, "@f", "simd."+f))
	}
}

// rowName is f in capitals, but for the words that some functions end in.
func rowName(f string) string {
	for _, word := range []string{"Zero", "Imm"} {
		if stem, ok := strings.CutSuffix(f, word); ok {
			return strings.ToUpper(stem) + word
		}
	}
	return strings.ToUpper(f)
}

// element replaces the second operand by one with element $cond everywhere.
func element(body string) string {
	return "var e simd.Vec\nsimd.Dup(&e, &$vm, " + shape + "&3|simd.Full, uint($cond))\n" +
		strings.ReplaceAll(body, "&$vm", "&e")
}

func (t *Table) simdInteger() {
	const (
		three  = "@f(&$vd, &$vn, &$vm, " + shape + ")"
		two    = "@f(&$vd, &$vn, " + shape + ")"
		shift  = "@f(&$vd, &$vn, " + shape + ", uint($imm))"
		orFPSR = "c.FPSR |= "
	)
	t.each("And Orr Eor Add Sub Cmeq Cmhi Cmhs Cmgt Cmge Cmtst Addp Umaxp Uminp", "", three)
	t.each("Bic Orn Bsl Bit Bif Smax Smin Umax Umin Smaxp Sminp "+
		"Shadd Shsub Srhadd Uhadd Uhsub Urhadd Sabd Uabd Saba Uaba Mul Mla Mls Pmul "+
		"Sshl Ushl Srshl Urshl", "", three)
	t.each("Saddl Uaddl Ssubl Usubl Sabdl Uabdl Sabal Uabal Smull Umull Smlal Umlal Smlsl Umlsl "+
		"Saddw Uaddw Ssubw Usubw Addhn Subhn Raddhn Rsubhn Pmull", "", three)
	t.each("Sqadd Sqsub Uqadd Uqsub Sqshl Uqshl Sqrshl Uqrshl Sqdmulh Sqrdmulh Sqrdmlah Sqrdmlsh Sqdmull Sqdmlal Sqdmlsl", "", orFPSR+three)
	t.each("Mul Mla Mls Smull Umull Smlal Umlal Smlsl Umlsl", "Elem", element(three))
	t.each("Sqdmulh Sqrdmulh Sqrdmlah Sqrdmlsh Sqdmull Sqdmlal Sqdmlsl", "Elem", element(orFPSR+three))

	t.each("Not Abs Neg Clz Cls Cnt Rbit Rev16 Rev32 Rev64 CmgtZero CmgeZero CmeqZero CmleZero CmltZero "+
		"Saddlp Uaddlp Sadalp Uadalp Xtn Shll Urecpe Ursqrte", "", two)
	t.each("Sqneg Sqabs Suqadd Usqadd Sqxtn Uqxtn Sqxtun", "", orFPSR+two)
	t.each("Addv Smaxv Sminv Umaxv Uminv Saddlv Uaddlv", "", two)

	t.each("Shl Sli Sri Ushr Sshr Urshr Srshr Usra Ssra Ursra Srsra Sshll Ushll Shrn Rshrn", "", shift)
	t.each("SqshlImm UqshlImm Sqshlu Sqshrn Sqrshrn Sqshrun Sqrshrun Uqshrn Uqrshrn", "", orFPSR+shift)
}

func (t *Table) simdFloat() {
	const (
		three = "@f(&c.Env, &$vd, &$vn, &$vm, " + shape + ")"
		two   = "@f(&c.Env, &$vd, &$vn, " + shape + ")"
	)
	t.each("Fadd Fsub Fmul Fmulx Fdiv Fmax Fmin Fmaxnm Fminnm Frecps Frsqrts Fabd Fmla Fmls "+
		"Fcmeq Fcmge Fcmgt Facge Facgt Faddp Fmaxp Fminp Fmaxnmp Fminnmp", "", three)
	t.each("Fmul Fmulx Fmla Fmls", "Elem", element(three))
	t.each("FcmeqZero FcmgeZero FcmgtZero FcmleZero FcmltZero Fsqrt Frecpe Frsqrte Frecpx Fcvtl Fcvtn Fcvtxn", "", two)
	t.each("Fabs Fneg", "", "@f(&$vd, &$vn, "+shape+")")
	t.each("Fmaxv Fminv Fmaxnmv Fminnmv", "", "@f(&c.Env, &$vd, &$vn)")
	t.each("Scvtf Ucvtf", "", "@f(&c.Env, &$vd, &$vn, "+shape+", uint($imm))")
	for _, m := range []struct{ letter, mode string }{
		{"N", "float.TieEven"}, {"P", "float.Up"}, {"M", "float.Down"}, {"Z", "float.Zero"}, {"A", "float.TieAway"},
		{"I", "c.Mode()"}, {"X", "c.Mode()"},
	} {
		exact := "false"
		if m.letter == "X" {
			exact = "true"
		}
		t.Add("VFRINT"+m.letter, "simd.Frint(&c.Env, &$vd, &$vn, "+shape+", "+m.mode+", "+exact+")")
		if m.mode == "c.Mode()" {
			continue
		}
		t.Add("VFCVT"+m.letter+"S", "simd.Fcvts(&c.Env, &$vd, &$vn, "+shape+", uint($imm), "+m.mode+")")
		t.Add("VFCVT"+m.letter+"U", "simd.Fcvtu(&c.Env, &$vd, &$vn, "+shape+", uint($imm), "+m.mode+")")
	}
}

func (t *Table) simdMoves() {
	t.each("Uzp1 Uzp2 Zip1 Zip2 Trn1 Trn2", "", "@f(&$vd, &$vn, &$vm, "+shape+")")
	t.Add("VEXT", "simd.Ext(&$vd, &$vn, &$vm, "+shape+", uint($imm))")
	t.each("Tbl Tbx", "", "@f((*[32]simd.Vec)(c.V[:32]), uint(i.Rd), uint(i.Rn), uint(i.Rm), uint($imm), "+shape+")")
	t.Add("VDUP", "simd.Dup(&$vd, &$vn, "+shape+", uint($cond))")
	t.Add("VDUPGeneral", "simd.DupGeneral(&$vd, $n, "+shape+")")
	t.Add("VINS", "simd.Ins(&$vd, &$vn, "+shape+", uint($cond), uint($imm))")
	t.Add("VINSGeneral", "$vd.SetLane(uint($sh), uint($cond), $n)")
	t.Add("VUMOV", "$d = $vn.Lane(uint($sh), uint($cond))")
	t.Pair("VSMOV", "$d = uint64(@U(simd.Smov(&$vn, "+shape+", uint($cond))))")
	// The immediate of 64 bits that the decoder expanded, to both halves.
	t.Add("VMOVI", "$vd.Fill("+shape+", $imm)")
	t.Add("VORRImm", "simd.OrrImm(&$vd, "+shape+", $imm)")
	t.Add("VBICImm", "simd.BicImm(&$vd, "+shape+", $imm)")
}

func (t *Table) simdCrypto() {
	t.each("Aese Aesd", "", "@f(&$vd, &$vn)")
	t.each("Aesmc Aesimc Sha1h Sha1su1 Sha256su0 Sha512su0", "", "@f(&$vd, &$vn)")
	t.each("Sha1c Sha1p Sha1m Sha1su0 Sha256h Sha256h2 Sha256su1 Sha512h Sha512h2 Sha512su1", "", "@f(&$vd, &$vn, &$vm)")
}
