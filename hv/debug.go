package hv

// Debuggable is what a VCPU also is whose guest a debugger may stop. The guest
// cannot tell, but for the time that passes. hv/soft does it by itself;
// Hypervisor.framework with hv_vcpu_set_trap_debug_exceptions and the debug
// registers of the vCPU.
type Debuggable interface {
	VCPU
	// SetDebug replaces what stops the guest, between Runs. Errors:
	// ErrUnsupported when d has more breakpoints or watchpoints than the engine
	// can keep, ErrRange for one that is unaligned, empty or wraps around.
	SetDebug(d Debug) error
}

// Debug is what ends Run with a DebugStop exit. The zero value is nothing.
type Debug struct {
	// Step stops after one instruction. Run then ends with DebugStop, or with the
	// exit that the instruction itself makes, which has stepped over it. A
	// synchronous exception is a step to its vector. Interrupts, Kicked and VTimer
	// come before the instruction: who does not want to step into handlers keeps
	// SetPending low.
	Step bool
	// Breakpoints are virtual addresses of instructions, multiples of 4. The
	// guest stops with PC there and the instruction not executed, also when Run
	// begins there: whoever goes on takes the breakpoint away, steps and
	// puts it back.
	Breakpoints []uint64
	Watchpoints []Watchpoint
}

// A Watchpoint stops accesses to any of Size bytes at virtual address Addr. The
// guest stops with PC on the instruction that would access them, and nothing of
// the access has happened; it goes on as from a breakpoint. Cache maintenance
// and the walks of the MMU do not count.
type Watchpoint struct {
	Addr, Size  uint64
	Read, Write bool
}

// DebugReason says why a DebugStop exit came.
type DebugReason uint8

// The reasons.
const (
	DebugStep       DebugReason = 1 // one instruction was executed
	DebugBreakpoint DebugReason = 2 // PC is at a breakpoint
	DebugWatchpoint DebugReason = 3 // Exit.VA is what PC is about to access; Exit.Write
)

// Traceable is what a VCPU also is that can tell what it does, step by step.
// Only an engine that executes instructions itself can.
type Traceable interface {
	VCPU
	// SetTrace replaces what is told, between Runs; nil tells nothing, and
	// then costs nothing. A vCPU that is told to tell instructions runs
	// a hundred times slower, but the same.
	SetTrace(t *Trace)
}

// TraceEvents is a set of kinds of events.
type TraceEvents uint8

// The kinds.
const (
	TraceExec       TraceEvents = 1 << 0 // instructions, before each
	TraceMMU        TraceEvents = 1 << 1 // translations that go into a TLB
	TraceExceptions TraceEvents = 1 << 2 // synchronous exceptions and returns
	TraceIRQ        TraceEvents = 1 << 3 // interrupts that are taken
	TraceMMIO       TraceEvents = 1 << 4 // accesses outside memory: the caller's to tell, from exits
)

// Trace is what a vCPU tells.
type Trace struct {
	Events TraceEvents
	// First and Last bound the window: the vCPU's instruction count when the event
	// comes. A Last of 0 means no end.
	First, Last uint64
	// Tell gets each event, on the vCPU's goroutine, during Run. It must not
	// use the vCPU or keep the event.
	Tell func(*TraceEvent)
}

// Within says whether events at a count are in the window.
func (t *Trace) Within(count uint64) bool {
	return count >= t.First && (t.Last == 0 || count <= t.Last)
}

// A TraceEvent is one thing that a vCPU did. Which fields hold depends on Kind,
// which is one bit.
type TraceEvent struct {
	Kind  TraceEvents
	Count uint64 // instructions before it; TraceMMU: unless instructions are told, of some shortly before it
	EL    uint8  // the exception level it happens at; for exceptions, the one they come from
	PC    uint64 // where: of exceptions, the preferred return address; 0 of returns
	Word  uint32 // TraceExec: the instruction

	// To is where an exception goes: the vector, or what a return returns to.
	To     uint64
	Return bool   // TraceExceptions: an ERET
	FIQ    bool   // TraceIRQ: an FIQ
	ESR    uint64 // TraceExceptions
	FAR    uint64 // TraceExceptions with a fault address, else 0

	VA, PA uint64 // TraceMMU: the page
	Shift  uint8  // TraceMMU: log2 of the size that the descriptor maps
	Exec   bool   // TraceMMU: for instruction fetches
	Write  bool   // TraceMMU: writes are allowed
	Device bool   // TraceMMU: Device memory
}
