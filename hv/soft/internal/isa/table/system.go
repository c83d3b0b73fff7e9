package table

import "strings"

// systemRows adds what reaches beyond the register file. MRS and MSR here are
// the slow, general forms; block building turns accesses to registers that
// are storage into MRSMEM and MSRMEM.
func systemRows(t *Table) {
	t.Add("MRS", `if !c.mrs(i) { $FAULT }`, Fault, System)
	t.Add("MSR", `if !c.msr(i) { $FAULT }; $END`, Ends, Fault, System)
	t.Add("MRSMEM", `$d = c.Sys[$sh]`, System)
	t.Add("MSRMEM", `c.Sys[$sh] = $d & $imm`, System)
	t.Add("MRSSP0", `if !c.spSel { c.undefined(); $FAULT }; $d = c.Sys[cpu.SysSPEL0]`, Fault, System, Priv)
	t.Add("MSRSP0", `if !c.spSel { c.undefined(); $FAULT }; c.Sys[cpu.SysSPEL0] = $d`, Fault, System, Priv)
	t.Add("MRSDAIF", `$d = c.DAIF`, System)
	t.Add("MSRDAIF", `c.DAIF = $d & 0x3c0; if c.lines != 0 { c.attention.Store(1); $LEAVE }`, System)
	t.Add("DAIFSET", `c.DAIF |= $imm`, System)
	t.Add("DAIFCLR", `c.DAIF &^= $imm; if c.lines != 0 { c.attention.Store(1); $LEAVE }`, System)
	t.Add("MRSNZCV", `$d = uint64(c.Flags()) << 28`)
	t.Add("MSRNZCV", `c.SetFlags(uint8($d >> 28 & 15))`)
	t.Add("MRSFPCR", `$d = uint64(c.FPCR)`, FP)
	t.Add("MSRFPCR", `c.FPCR = uint32($d) & float.FPCRMask`, FP)
	t.Add("MRSFPSR", `$d = uint64(c.FPSR)`, FP)
	t.Add("MSRFPSR", `c.FPSR = uint32($d) & float.FPSRMask`, FP)
	t.Add("SPSEL", `c.setSPSel($imm != 0); $END`, Ends, System, Priv)
	t.Add("SYS", `if !c.sysOp(i) { $FAULT }; $END`, Ends, Fault, System)
	t.Add("ZVA", `if !c.zeroBlock(i) { $FAULT }`, Fault, System)
	t.Add("ISB", `$END`, Ends, System)
	t.Add("WFI", `if !c.waitForInterrupt() { $FAULT }; $END`, Ends, Fault, System)
	t.Add("WFE", `if !c.waitForEvent() { $FAULT }; $END`, Ends, Fault, System)
	t.Add("YIELD", `if !c.yield() { $FAULT }; $END`, Ends, Fault, System)
	t.Add("SEV", `c.sendEvent()`, System)
	t.Add("SEVL", `c.setEvent()`, System)
	t.Add("SVC", `c.call(arm64.ECSVC, $imm); $FAULT`, Ends, Fault, System)
	t.Add("BRK", `c.breakpoint($imm); $FAULT`, Ends, Fault, System)
	t.Add("HVC", `c.hypervisorCall(hv.HVC, $imm); $FAULT`, Ends, Fault, System, Priv)
	t.Add("SMC", `c.hypervisorCall(hv.SMC, $imm); $FAULT`, Ends, Fault, System, Priv)
	t.Add("ERET", `c.exceptionReturn(); goto indirect`, Ends, Fault, System, Priv)
}

func branchRows(t *Table) {
	pair := func(name, body string) { t.Pair(name, body, Ends) }
	t.Add("B", `$T`, Ends)
	t.Add("BL", `c.X[30] = $jmm; $T`, Ends)
	t.Add("BCOND", `if c.Test($cond) { $T } else { $N }`, Ends)
	pair("CBZ", `if @U($n) == 0 { $T } else { $N }`)
	pair("CBNZ", `if @U($n) != 0 { $T } else { $N }`)
	t.Add("TBZ", `if $n&$jmm == 0 { $T } else { $N }`, Ends)
	t.Add("TBNZ", `if $n&$jmm != 0 { $T } else { $N }`, Ends)
	t.Add("BR", `$I($n)`, Ends)
	t.Add("BLR", `{ t := $n; c.X[30] = $jmm; $I(t) }`, Ends)
	t.Add("CUT", `$T`, Ends) // not an instruction: the block was long enough
}

// condition is one that compare-and-branch is fused for: what it means of x and
// y after a comparison, or of r after a test.
type condition struct {
	code       uint8
	name       string
	compared   string
	testedZero string // "" where the fused test does not exist
}

// conditions are all but VS, VC and AL, which compilers do not emit there.
var conditions = []condition{
	{0, "EQ", "x == y", "r == 0"},
	{1, "NE", "x != y", "r != 0"},
	{2, "CS", "x >= y", ""},
	{3, "CC", "x < y", ""},
	{4, "MI", "@S(x-y) < 0", "@S(r) < 0"},
	{5, "PL", "@S(x-y) >= 0", "@S(r) >= 0"},
	{8, "HI", "x > y", ""},
	{9, "LS", "x <= y", ""},
	{10, "GE", "@S(x) >= @S(y)", ""},
	{11, "LT", "@S(x) < @S(y)", ""},
	{12, "GT", "@S(x) > @S(y)", ""},
	{13, "LE", "@S(x) <= @S(y)", ""},
}

// fusable are the rows that a following B.cond joins. The joined row is called
// F<row><condition>; its $jmm is the branch target.
var fusable = []struct {
	name, text string
	test       bool
}{
	{"SUBSI", xy(subFlags, "$n", "$imm"), false},
	{"SUBSR", xy(subFlags, "$n", "$m"), false},
	{"ANDSI", xy(logFlags, "@U($n) & @U($imm)", ""), true},
	{"ANDSR", xy(logFlags, "@U($n) & @U($m)", ""), true},
}

// A Fusion says that row Name followed by a branch on Cond can be row Fused.
type Fusion struct {
	Name, Fused string
	Cond        uint8
}

// Fusions lists what can be fused.
func Fusions() []Fusion {
	var all []Fusion
	eachFusion(func(f Fusion, _ string) { all = append(all, f) })
	return all
}

func fusedRows(t *Table) {
	eachFusion(func(f Fusion, body string) { t.Add(f.Fused, body, Ends) })
}

func eachFusion(visit func(f Fusion, body string)) {
	for _, f := range fusable {
		for _, w := range []struct{ w, m string }{{"32", "31"}, {"64", "63"}} {
			for _, cond := range conditions {
				test := cond.compared
				if f.test {
					test = cond.testedZero
				}
				if test != "" {
					body := strings.TrimSuffix(f.text, "}") + "; if " + test + " { $T2 } else { $N2 } }"
					visit(Fusion{f.name + w.w, "F" + f.name + w.w + cond.name, cond.code}, width(body, w.w, w.m))
				}
			}
		}
	}
}
