package vmapi

// Faults are what a correct guest survives, for a Deterministic run: with the same
// faults it is the same run again. Zero values mean never.
type Faults struct {
	FlushTLB    uint64 `json:"flush_tlb,omitempty"`    // drop all translations every so many blocks
	FailStore   uint64 `json:"fail_store,omitempty"`   // let every so-manieth store-exclusive fail
	SingleStep  bool   `json:"single_step,omitempty"`  // blocks of one instruction
	Quantum     uint64 `json:"quantum,omitempty"`      // the longest turn of a vCPU, in instructions
	DelayIRQ    uint64 `json:"delay_irq,omitempty"`    // keep every so-manieth interrupt back for one turn
	SpuriousIRQ uint64 `json:"spurious_irq,omitempty"` // show an interrupt that is not there, every so many turns

	// What devices answer with an error, once each: the so-manieth read, write or
	// flush of every disk, and the so-manieth request for entropy.
	DiskError    uint64 `json:"disk_error,omitempty"`
	EntropyError uint64 `json:"entropy_error,omitempty"`
}
