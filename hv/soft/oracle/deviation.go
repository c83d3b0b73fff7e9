package oracle

// A deviation is a difference that is QEMU's, or allowed by the architecture,
// with its reason.
type deviation struct {
	name   string
	reason string
	// forgive makes want agree with got in what the deviation explains.
	forgive func(v *Vector, got, want *Result)
}

// deviations of QEMU 7.2. Each is as narrow as its cause.
var deviations = []deviation{
	{
		name:   "misaligned PC without a page",
		reason: "a PC alignment fault has priority over an instruction abort (Arm ARM D1.4.8); QEMU looks for the page first",
		forgive: func(_ *Vector, got, want *Result) {
			if got.Signal == sigBUS && want.Signal == sigSEGV && got.PC&3 != 0 && got.PC == want.PC {
				want.Signal = sigBUS
			}
		},
	},
	{
		name:   "store-exclusive that fails anyway",
		reason: "whether an abort is detected before the monitor's failure is the implementation's choice (Arm ARM, AArch64.ExclusiveMonitorsPass); QEMU does not look",
		forgive: func(v *Vector, got, want *Result) {
			w, ok := v.at(got.PC)
			fault := got.Signal == sigSEGV || got.Signal == sigBUS
			if ok && fault && isExclusive(w) && w>>22&1 == 0 && want.PC != got.PC {
				*want = *got // all that follows is different
			}
		},
	},
	{
		name:   "access that aborts half way",
		reason: "what an aborted load of several registers, or a store into two pages, has done already is unknown (Arm ARM D1.13.4); QEMU goes by elements, the engine does all or nothing",
		forgive: func(v *Vector, got, want *Result) {
			structure, pair, across := v.aborted(0x0c000000, 0xbe000000, got, want),
				v.aborted(0x28000000, 0x3a000000, got, want), v.aborted(0x38000000, 0x3a000000, got, want)
			if structure || pair || across {
				want.Regs.V, want.Mem, want.Hash = got.Regs.V, got.Mem, got.Hash
			}
		},
	},
	{
		name:   "fields of AArch32 in FPCR and FPSR",
		reason: "FPSR bits 31:28 and FPCR's Len and Stride exist where EL0 has AArch32, as on cortex-a72; the engine has AArch64 only (noReadBack keeps them out of other registers)",
		forgive: func(v *Vector, got, want *Result) {
			const fpsr, fpcr = 0x0fff_ffff, ^uint64(0x37_0000)
			if !v.any(0xd51b4400, 0xffffffc0) {
				return
			}
			want.Regs.FPSR &= fpsr
			want.Regs.FPCR &= fpcr
		},
	},
}

// Explained says whether known deviations make up the whole difference.
func (d *Difference) Explained() bool {
	want := d.Want
	for _, k := range deviations {
		k.forgive(d.Vector, &d.Got, &want)
	}
	return d.Got == want
}

// aborted says whether both sides ended with the same abort of an instruction
// with these bits.
func (v *Vector) aborted(value, mask uint32, got, want *Result) bool {
	w, ok := v.at(got.PC)
	return ok && w&mask == value && got.PC == want.PC && got.Signal == want.Signal && got.Signal == sigSEGV
}

// at is the vector's instruction at an address.
func (v *Vector) at(pc uint64) (w uint32, ok bool) {
	i := (pc - v.PC()) / 4
	if i >= uint64(len(v.Words)) {
		return 0, false
	}
	return v.Words[i], true
}

// any reports whether an instruction of the vector has these bits.
func (v *Vector) any(value, mask uint32) bool {
	for _, w := range v.Words {
		if w&mask == value {
			return true
		}
	}
	return false
}
