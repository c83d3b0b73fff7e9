package board

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

func TestPSCICalls(t *testing.T) {
	const entry = RAMBase + 0x1000
	tests := []struct {
		name string
		fn   uint32
		args []uint64
		want int64
	}{
		{"PSCI is 1.1", arm64.PSCIVersion, nil, 0x10001},
		{"SMCCC is 1.1", arm64.SMCCCVersion, nil, 0x10001},
		{"CPU_ON exists", arm64.PSCIFeatures, []uint64{arm64.PSCICPUOn64}, 0},
		{"SMCCC_VERSION exists", arm64.PSCIFeatures, []uint64{arm64.SMCCCVersion}, 0},
		{"SYSTEM_SUSPEND does not", arm64.PSCIFeatures, []uint64{arm64.PSCISystemSuspend64}, -1},
		{"no workaround is offered", arm64.SMCCCArchFeatures, []uint64{arm64.SMCCCArchWorkaround1}, -1},
		{"ARCH_FEATURES knows itself", arm64.SMCCCArchFeatures, []uint64{arm64.SMCCCArchFeatures}, 0},
		{"no trusted OS", arm64.PSCIMigrateInfoType, nil, 2},
		{"MIGRATE does not exist", arm64.PSCIMigrate64, nil, -1},
		{"vendor calls do not exist", arm64.SMCCCVendorHypCallUID, nil, -1},
		{"nonsense", 0x12345678, nil, -1},
		{"CPU_ON of itself", arm64.PSCICPUOn64, []uint64{0, entry}, -4},
		{"CPU_ON of nobody", arm64.PSCICPUOn64, []uint64{2, entry}, -2},
		{"CPU_ON of another cluster", arm64.PSCICPUOn64, []uint64{0x101, entry}, -2},
		{"CPU_ON with bits that are no affinity", arm64.PSCICPUOn64, []uint64{1<<31 | 1, entry}, -2},
		{"a 32-bit CPU_ON ignores upper halves", arm64.PSCICPUOn32, []uint64{1 << 32, entry}, -4},
		{"CPU_ON outside RAM", arm64.PSCICPUOn64, []uint64{1, 0x1000}, -9},
		{"CPU_ON at the end of RAM", arm64.PSCICPUOn64, []uint64{1, RAMBase + MinMemory}, -9},
		{"CPU_ON at the end of all", arm64.PSCICPUOn64, []uint64{1, ^uint64(3)}, -9},
		{"CPU_ON unaligned", arm64.PSCICPUOn64, []uint64{1, entry + 2}, -9},
		{"AFFINITY_INFO of itself", arm64.PSCIAffinityInfo64, []uint64{0, 0}, 0},
		{"AFFINITY_INFO of one that is off", arm64.PSCIAffinityInfo64, []uint64{1, 0}, 1},
		{"AFFINITY_INFO of the cluster", arm64.PSCIAffinityInfo64, []uint64{0, 1}, 0},
		{"AFFINITY_INFO of another cluster", arm64.PSCIAffinityInfo64, []uint64{0x100, 1}, -2},
		{"AFFINITY_INFO of nobody", arm64.PSCIAffinityInfo64, []uint64{9, 0}, -2},
		{"AFFINITY_INFO of level 4", arm64.PSCIAffinityInfo64, []uint64{0, 4}, -2},
		{"SYSTEM_RESET2 of an unknown type", arm64.PSCISystemReset2x64, []uint64{1}, -2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got int64
			b := newFake(t, nil, steps(
				hvc(tt.fn, tt.args...), do(func(v *fakeVCPU) { got = int64(v.regs[0]) }),
				hvc(arm64.PSCISystemOff)), nil)
			if out := mustRun(t, b); got != tt.want || out.Kind != PowerOff {
				t.Errorf("answers %d and ends with %s, want %d", got, out.Kind, tt.want)
			}
		})
	}
}

func TestCallWithImmediate(t *testing.T) {
	var got int64
	b := newFake(t, nil, steps(
		step(func(v *fakeVCPU, e *hv.Exit) error {
			v.regs[0] = arm64.PSCIVersion
			*e = hv.Exit{Kind: hv.SMC, Imm: 1}
			return nil
		}),
		do(func(v *fakeVCPU) { got = int64(v.regs[0]) }), hvc(arm64.PSCISystemOff)))
	if mustRun(t, b); got != -1 {
		t.Errorf("SMC #1 answers %d, want -1", got)
	}
}

// TestCPUOnFromAnyCPU has CPU 0 start 1, which starts 2 and switches itself
// off, and 2 start 1 again.
func TestCPUOnFromAnyCPU(t *testing.T) {
	const entry = RAMBase + 0x2000
	var start, again [3]uint64 // PC, X0, CPSR
	var offInfo uint64
	note := func(to *[3]uint64) step {
		return do(func(v *fakeVCPU) { *to = [3]uint64{v.regs[hv.PC], v.regs[0], v.regs[hv.CPSR]} })
	}
	var waitOff func(v *fakeVCPU, e *hv.Exit) error
	waitOff = func(v *fakeVCPU, e *hv.Exit) error {
		if offInfo = v.regs[0]; offInfo != arm64.PSCIAffinityOff {
			v.script = append(steps(hvc(arm64.PSCIAffinityInfo64, 1, 0), step(waitOff)), v.script...)
		}
		return nil
	}
	b := newFake(t, nil,
		steps(hvc(arm64.PSCICPUOn64, 1, entry, 11)),
		steps(note(&start), do(func(v *fakeVCPU) { v.regs[hv.CPSR] = 0; v.sys[arm64.SCTLR_EL1] = 1 }),
			hvc(arm64.PSCICPUOn64, 2, entry, 22), hvc(arm64.PSCICPUOff),
			do(func(v *fakeVCPU) {
				if v.sys[arm64.SCTLR_EL1] != 0 {
					t.Error("the MMU is still on after CPU_ON")
				}
			}),
			note(&again), hvc(arm64.PSCISystemOff)),
		steps(hvc(arm64.PSCIAffinityInfo64, 1, 0), step(waitOff), hvc(arm64.PSCICPUOn64, 1, entry+4, 33)))
	if out := mustRun(t, b); out.Kind != PowerOff {
		t.Fatalf("ends with %s %q", out.Kind, out.Message)
	}
	if want := [3]uint64{entry, 11, cpsrReset}; start != want {
		t.Errorf("CPU 1 starts with PC, X0, CPSR %x, want %x", start, want)
	}
	if want := [3]uint64{entry + 4, 33, cpsrReset}; again != want {
		t.Errorf("CPU 1 starts again with PC, X0, CPSR %x, want %x", again, want)
	}
}
