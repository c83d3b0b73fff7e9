package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A faultKind is one word of --fault: its number goes where field says.
type faultKind struct {
	field func(*vmapi.Faults) *uint64
	help  string
}

var faultKinds = map[string]faultKind{
	"flush-tlb":     {func(f *vmapi.Faults) *uint64 { return &f.FlushTLB }, "drop all translations every N blocks"},
	"fail-store":    {func(f *vmapi.Faults) *uint64 { return &f.FailStore }, "let every Nth store-exclusive fail"},
	"quantum":       {func(f *vmapi.Faults) *uint64 { return &f.Quantum }, "turns of at most N instructions"},
	"delay-irq":     {func(f *vmapi.Faults) *uint64 { return &f.DelayIRQ }, "keep every Nth interrupt back for a turn"},
	"spurious-irq":  {func(f *vmapi.Faults) *uint64 { return &f.SpuriousIRQ }, "show an interrupt that is not there every N turns"},
	"disk-error":    {func(f *vmapi.Faults) *uint64 { return &f.DiskError }, "fail the Nth read, write or flush of each disk"},
	"entropy-error": {func(f *vmapi.Faults) *uint64 { return &f.EntropyError }, "fail the Nth request for entropy"},
}

// singleStep is the fault without a number: blocks of one instruction.
const singleStep = "single-step"

// parseFaults reads what --fault gave; nil for nothing.
func parseFaults(words []string) (*vmapi.Faults, error) {
	if len(words) == 0 {
		return nil, nil
	}
	f := &vmapi.Faults{}
	for _, word := range words {
		if word == singleStep {
			f.SingleStep = true
			continue
		}
		name, number, _ := strings.Cut(word, "=")
		kind, ok := faultKinds[name]
		if !ok {
			return nil, usagef("cannot make the fault %q: choose %s=N or %s",
				word, strings.Join(slices.Sorted(maps.Keys(faultKinds)), "=N, "), singleStep)
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || n == 0 {
			return nil, usagef("cannot read the fault %q: write %s=N, N from 1 on: %s", word, name, kind.help)
		}
		*kind.field(f) = n
	}
	return f, nil
}

func completeFault(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	list := []string{singleStep + "\tblocks of one instruction"}
	for _, name := range slices.Sorted(maps.Keys(faultKinds)) {
		list = append(list, name+"=\t"+faultKinds[name].help)
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
