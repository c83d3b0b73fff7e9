package oracle

// A deviation is a difference that is QEMU's, or allowed by the architecture,
// with its reason.
type deviation struct {
	name   string
	reason string
	match  func(d *Difference) bool
}

// deviations of QEMU 7.2. Each is as narrow as its cause.
var deviations = []deviation{
	{
		name:   "misaligned PC without a page",
		reason: "a PC alignment fault has priority over an instruction abort (Arm ARM D1.4.8); QEMU looks for the page first",
		match: func(d *Difference) bool {
			same := d.Got
			same.Signal = sigSEGV
			return d.Got.Signal == sigBUS && d.Got.PC&3 != 0 && same == d.Want
		},
	},
	{
		name:   "store-exclusive that fails anyway",
		reason: "whether an abort is detected before the monitor's failure is the implementation's choice (Arm ARM, AArch64.ExclusiveMonitorsPass); QEMU does not look",
		match: func(d *Difference) bool {
			w, ok := d.Vector.at(d.Got.PC)
			fault := d.Got.Signal == sigSEGV || d.Got.Signal == sigBUS
			return ok && fault && isExclusive(w) && w>>22&1 == 0 && d.Want.PC != d.Got.PC
		},
	},
	{
		name:   "structure access that aborts half way",
		reason: "what an aborted multiple-register load or store has done already is unknown (Arm ARM D1.13.4); QEMU goes element by element, the engine does all or nothing",
		match: func(d *Difference) bool {
			same := d.Got
			same.Regs.V, same.Mem, same.Hash = d.Want.Regs.V, d.Want.Mem, d.Want.Hash
			return d.aborted(0x0c000000, 0xbe000000) && same == d.Want
		},
	},
	{
		name:   "flags of AArch32 in FPSR",
		reason: "FPSR bits 31:28 exist where EL0 has AArch32, as on cortex-a72; the engine has AArch64 only",
		match: func(d *Difference) bool {
			const keep = 0x0fff_ffff
			got, want := d.Got, d.Want
			got.Regs.FPSR, want.Regs.FPSR = got.Regs.FPSR&keep, want.Regs.FPSR&keep
			for i := range got.Regs.X { // read back with MRS
				if got.Regs.X[i] == want.Regs.X[i]&keep {
					want.Regs.X[i] = got.Regs.X[i]
				}
			}
			return d.Vector.any(0xd51b4420, 0xffffffe0) && got == want
		},
	},
}

// aborted says whether both sides ended with the same abort of an instruction
// with these bits.
func (d *Difference) aborted(value, mask uint32) bool {
	w, ok := d.Vector.at(d.Got.PC)
	return ok && w&mask == value && d.Got.PC == d.Want.PC && d.Got.Signal == d.Want.Signal && d.Got.Signal == sigSEGV
}

// at is the vector's instruction at an address.
func (v *Vector) at(pc uint64) (w uint32, ok bool) {
	i := (pc - v.PC()) / 4
	if i >= uint64(len(v.Words)) {
		return 0, false
	}
	return v.Words[i], true
}

// Deviation is the name of the known deviation that explains the difference, or
// empty.
func (d *Difference) Deviation() string {
	for _, k := range deviations {
		if k.match(d) {
			return k.name
		}
	}
	return ""
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
