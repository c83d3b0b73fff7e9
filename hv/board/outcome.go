package board

import (
	"fmt"
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// A Kind is how a machine ended.
type Kind uint8

// The values are spelled out because summaries and crash reports carry them.
const (
	// PowerOff: the guest called PSCI SYSTEM_OFF.
	PowerOff Kind = 1
	// Reset: the guest called PSCI SYSTEM_RESET or SYSTEM_RESET2. The board does
	// not start it again.
	Reset Kind = 2
	// Panic: the guest's kernel gave up; see Watch and pvpanic for how that is known.
	Panic Kind = 3
	// Fault: the guest did what nobody can go on from, or the host failed.
	Fault Kind = 4
	// Stopped: Stop was called, or the context of Run ended.
	Stopped Kind = 5
)

var outcomeNames = [...]string{
	PowerOff: "power-off", Reset: "reset", Panic: "panic", Fault: "fault", Stopped: "stopped",
}

func (k Kind) String() string {
	if int(k) < len(outcomeNames) && outcomeNames[k] != "" {
		return outcomeNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// An Outcome says how a machine ended and what is needed to understand why.
type Outcome struct {
	Kind Kind
	// Message is one line: the guest's own word for a panic, the cause of a fault.
	Message string
	// CPUs has the registers of each vCPU as it stopped.
	CPUs []Registers
	// Console has the last lines that the guest wrote, oldest first, each with
	// the name of its console in front ("ttyAMA0: ...").
	Console []string
	// MemorySHA256 is the digest of guest RAM in hexadecimal, with
	// Config.DigestMemory only.
	MemorySHA256 string
	Stats        Stats
}

// Report is the outcome as text for a log: message, registers, console.
func (o *Outcome) Report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", o.Kind, o.Message)
	for _, r := range o.CPUs {
		b.WriteString(r.String())
	}
	if len(o.Console) > 0 {
		b.WriteString("last console lines:\n")
	}
	for _, line := range o.Console {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

// Registers are what a crash report wants of one vCPU.
type Registers struct {
	CPU  int
	On   bool       // false: switched off by PSCI, or never on; the rest is then zero
	X    [31]uint64 // X0 to X30
	PC   uint64
	CPSR uint64
	Sys  []SysValue // in the order in which they are printed
	// Waiting is set when the vCPU was parked in WFI.
	Waiting bool
	// Err says why the registers could not be read.
	Err string
}

// SysValue is one system register of a dump.
type SysValue struct {
	Name  string
	Reg   hv.SysReg
	Value uint64
}

// String is a dump of several lines, each ended.
func (r Registers) String() string {
	var b strings.Builder
	state := "running"
	switch {
	case r.Err != "":
		return fmt.Sprintf("CPU%d: registers not readable: %s\n", r.CPU, r.Err)
	case !r.On:
		return fmt.Sprintf("CPU%d: off\n", r.CPU)
	case r.Waiting:
		state = "waiting in WFI"
	}
	fmt.Fprintf(&b, "CPU%d: %s, EL%d, PC %016x PSTATE %08x\n", r.CPU, state, r.CPSR>>2&3, r.PC, r.CPSR)
	for i, x := range r.X {
		fmt.Fprintf(&b, "  x%-2d %016x%s", i, x, ending(i, len(r.X)))
	}
	for i, s := range r.Sys {
		fmt.Fprintf(&b, "  %-13s %016x%s", s.Name, s.Value, ending(i, len(r.Sys)))
	}
	return b.String()
}

// ending breaks a table after every fourth entry and after the last.
func ending(i, n int) string {
	if i%4 == 3 || i == n-1 {
		return "\n"
	}
	return ""
}
