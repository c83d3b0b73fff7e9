package boot_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// flat writes an image of the arm64 boot protocol (Documentation/arch/arm64/
// booting.rst) around a program: the header's first word jumps over it.
func flat(t *testing.T, program ...uint32) string {
	t.Helper()
	const header = 64
	image := make([]byte, header, header+4*len(program))
	binary.LittleEndian.PutUint32(image, 0x14000000|header/4) // b .+64
	binary.LittleEndian.PutUint64(image[16:], 1<<20)          // image_size
	binary.LittleEndian.PutUint64(image[24:], 1<<1)           // flags: 4 KiB pages
	copy(image[56:], "ARM\x64")
	for _, word := range program {
		image = binary.LittleEndian.AppendUint32(image, word)
	}
	path := filepath.Join(t.TempDir(), "flat")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// print sends text to the PL011 at 0x0b000000, with the address in x1.
func print(text string) []uint32 {
	program := []uint32{asm.MovZ(1, 0x0b00, 16)}
	for _, c := range text {
		program = append(program, asm.MovZ(2, uint16(c), 0), asm.StrW(2, 1, 0))
	}
	return program
}

// psci calls a function of PSCI.
func psci(function uint32) []uint32 {
	return []uint32{asm.MovZ(0, uint16(function), 0), asm.MovK(0, uint16(function>>16), 16), asm.Hvc(0)}
}

func TestKernelsOtherThanLinuxRun(t *testing.T) {
	tests := []struct {
		name    string
		program []uint32
		status  int
		says    string
	}{
		{"prints and powers off", append(print("hello from no Linux\n"), psci(0x84000008)...), 0, "hello from no Linux"},
		{"resets", psci(0x84000009), 3, "reset"},
		{"waits for ever", []uint32{asm.Wfi(), 0x17ffffff}, 5, "the time was up"},
		{"loops for ever", []uint32{0x14000000}, 5, "the time was up"},
		{"jumps out of memory", []uint32{asm.MovZ(1, 0, 0), asm.Br(1)}, 4, "PC 0000000000000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(kit.Program("arcbox"), "boot", "--kernel", flat(t, tt.program...), "--memory", "64MiB",
				"--console", "ttyAMA0", "--timeout", "2s")
			finish(t, cmd).want(t, tt.status, tt.says)
		})
	}
}
