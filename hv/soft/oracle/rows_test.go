package oracle

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
)

// rowShares says how many vectors each row of the semantic table that works on
// SIMD registers lacks.
func rowShares(share int) map[uint16]int {
	missing := map[uint16]int{}
	for code := range uint16(isa.NumOps) {
		if isa.AttrOf(code)&isa.FP != 0 {
			missing[code] = share
		}
	}
	return missing
}

// TestEveryFloatAndVectorRowAgreesWithQEMU looks for vectors of one instruction
// until every row has its share, so that none goes without because its class
// is wide.
func TestEveryFloatAndVectorRowAgreesWithQEMU(t *testing.T) {
	q, m := qemu(t), machine(t, nil)
	share := 20
	if testing.Short() {
		share = 5
	}
	missing := rowShares(share)
	batches := map[string][]*Vector{} // by CPU model
	for i := range classes {
		g := NewGenerator(uint64(i), func(name string) bool { return name == classes[i].name })
		for dry := 0; dry < 6; dry++ { // until the class has often had nothing to give
			for _, v := range g.Batch(500) {
				code := isa.Decode(v.Words[0], v.PC()).Code
				if len(v.Words) != 1 || missing[code] == 0 {
					continue
				}
				if missing[code]--; missing[code] == 0 {
					delete(missing, code)
				}
				dry = 0
				v.Slot = len(batches[v.CPU]) % MaxBatch
				batches[v.CPU] = append(batches[v.CPU], v)
			}
		}
	}
	for code, n := range missing {
		t.Errorf("row %s: %d vectors too few", isa.Name(code), n)
	}
	for _, batch := range batches {
		for len(batch) > 0 {
			n := min(len(batch), MaxBatch)
			compare(t, m, q, batch[:n])
			batch = batch[n:]
		}
	}
}
