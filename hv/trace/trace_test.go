package trace

import (
	"errors"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
)

func TestEventLists(t *testing.T) {
	tests := []struct {
		list string
		want hv.TraceEvents // 0 for an error
	}{
		{"exec", hv.TraceExec},
		{"exec,mmu,exceptions,mmio,irq", hv.TraceExec | hv.TraceMMU | hv.TraceExceptions | hv.TraceMMIO | hv.TraceIRQ},
		{"irq,irq", hv.TraceIRQ},
		{"", 0},
		{"exec,", 0},
		{"exec mmu", 0},
		{"everything", 0},
	}
	for _, tt := range tests {
		if got, err := ParseEvents(tt.list); got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%q is %#x, %v; want %#x", tt.list, got, err, tt.want)
		}
	}
}

func TestDisassembly(t *testing.T) {
	tests := []struct {
		word uint32
		want string
	}{
		{0xd503201f, "nop"},
		{0x94000002, "bl 80001008"},
		{0x54000040, "b.eq 80001008"},
		{0x36000040, "tbz w0, #0, 80001008"},
		{0x90000000, "adrp x0, 80001000"},
		{0x10000040, "adr x0, 80001008"},
		{0x00000000, ".word 0x00000000"},
	}
	for _, tt := range tests {
		if got := Disassemble(0x8000_1000, tt.word); got != tt.want {
			t.Errorf("%08x is %q, want %q", tt.word, got, tt.want)
		}
	}
}

// some are events as an engine tells them.
var some = []hv.TraceEvent{
	{Kind: hv.TraceExec, Count: 1, EL: 1, PC: 0x1000, Word: 0xd503201f},
	{Kind: hv.TraceExec, Count: 2, EL: 1, PC: 0x1004, Word: 0x17ffffff},
	{Kind: hv.TraceExec, Count: 3, EL: 0, PC: 0x2000, Word: 0},
	{Kind: hv.TraceMMU, Count: 4, EL: 0, PC: 0x2004, VA: 0x7000, PA: 0x4000_0000, Shift: 21, Write: true},
	{Kind: hv.TraceMMU, Count: 4, EL: 1, PC: 0x1008, VA: 0x8000, PA: 0x900_0000, Shift: 12, Device: true},
	{Kind: hv.TraceExceptions, Count: 5, EL: 0, PC: 0x2008, To: 0x1400, ESR: 0x56000007},
	{Kind: hv.TraceExceptions, Count: 5, EL: 1, PC: 0x1010, To: 0x1200, ESR: 0x96000005, FAR: 0xdead},
	{Kind: hv.TraceExceptions, Count: 6, EL: 1, To: 0x2008, Return: true},
	{Kind: hv.TraceIRQ, Count: 7, EL: 0, PC: 0x2008, To: 0x1480},
	{Kind: hv.TraceIRQ, Count: 7, EL: 0, PC: 0x2008, To: 0x1500, FIQ: true},
}

// write passes events of vCPU 3 and one access to a tracer.
func write(f Filter) []string {
	var b strings.Builder
	tr := New(&b, f)
	if sink := tr.Sink(3); sink != nil {
		for _, e := range some {
			if e.Kind&sink.Events != 0 {
				sink.Tell(&e)
			}
		}
	}
	tr.Access(3, 8, &hv.Exit{Kind: hv.MMIO, IPA: 0x900_0018, Size: 4}, "pl011", 0x90)
	tr.Access(3, 9, &hv.Exit{Kind: hv.MMIO, IPA: 0x666_0000, Size: 8, Write: true}, "", 1)
	tr.Acknowledged(3, 10, 27)
	tr.Flush()
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

const everything = hv.TraceExec | hv.TraceMMU | hv.TraceExceptions | hv.TraceIRQ | hv.TraceMMIO

func TestLines(t *testing.T) {
	want := []string{
		"1 cpu3 el1 exec 0000000000001000 d503201f nop",
		"2 cpu3 el1 exec 0000000000001004 17ffffff b 1000",
		"3 cpu3 el0 exec 0000000000002000 00000000 .word 0x00000000",
		"4 cpu3 el0 mmu 0000000000007000 is 40000000, 2048 KiB, read and write",
		"4 cpu3 el1 mmu 0000000000008000 is 9000000, 4 KiB, read, Device",
		"5 cpu3 el0 exception esr 56000007 (SVC), at 0000000000002008, to 0000000000001400",
		"5 cpu3 el1 exception esr 96000005 (data abort), at 0000000000001010, far 000000000000dead, to 0000000000001200",
		"6 cpu3 el1 exception return to 0000000000002008",
		"7 cpu3 el0 irq IRQ at 0000000000002008, to 0000000000001480",
		"7 cpu3 el0 irq FIQ at 0000000000002008, to 0000000000001500",
		"8 cpu3 mmio load 9000018 of 4 bytes, pl011: 0x90",
		"9 cpu3 mmio store 6660000 of 8 bytes, nothing: 0x1",
		"10 cpu3 irq acknowledges 27",
	}
	got := write(Filter{Events: everything, EL: AnyEL})
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d differs; the trace is\n%s", i, strings.Join(got, "\n"))
		}
	}
}

func TestFiltersKeepLines(t *testing.T) {
	tests := []struct {
		name   string
		filter Filter
		want   string // the counts of the lines that stay
	}{
		{"nothing", Filter{EL: AnyEL}, ""},
		{"one kind", Filter{Events: hv.TraceExec, EL: AnyEL}, "1 2 3"},
		{"devices only", Filter{Events: hv.TraceMMIO, EL: AnyEL}, "8 9"},
		{"instructions of EL0", Filter{Events: hv.TraceExec, EL: 0}, "3"},
		{"a range of code", Filter{Events: hv.TraceExec, EL: AnyEL, Low: 0x1004, High: 0x2000}, "2"},
		{"a range without an end", Filter{Events: hv.TraceExec, EL: AnyEL, Low: 0x1004}, "2 3"},
		{"a range of devices", Filter{Events: hv.TraceMMIO, EL: AnyEL, Low: 0x900_0000, High: 0x900_1000}, "8"},
		{"a translated page", Filter{Events: hv.TraceMMU, EL: AnyEL, Low: 0x7000, High: 0x7001}, "4"},
		{"where exceptions go", Filter{Events: hv.TraceExceptions, EL: AnyEL, Low: 0x1200, High: 0x1201}, "5"},
		{"a window", Filter{Events: hv.TraceMMIO | hv.TraceIRQ, EL: 1, First: 9, Last: 9}, "9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var counts []string
			for _, line := range write(tt.filter) {
				count, _, _ := strings.Cut(line, " ")
				counts = append(counts, count)
			}
			if got := strings.Join(counts, " "); got != tt.want {
				t.Errorf("lines %q, want %q", got, tt.want)
			}
		})
	}
}

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("disk full")
}

func TestAFullDiskEndsTheTrace(t *testing.T) {
	var b broken
	tr := New(&b, Filter{Events: hv.TraceMMIO, EL: AnyEL})
	for range 10_000 {
		tr.Access(0, 1, &hv.Exit{Size: 4}, "pl011", 0)
	}
	if err := tr.Flush(); err == nil || b.writes != 1 {
		t.Errorf("Flush says %v after %d writes; want the one writer's error", err, b.writes)
	}
}
