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
