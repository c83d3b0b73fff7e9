package main

import (
	"errors"
	"reflect"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

func TestFaultWords(t *testing.T) {
	got, err := parseFaults([]string{"flush-tlb=7", "single-step", "disk-error=3", "quantum=777"})
	want := &vmapi.Faults{FlushTLB: 7, SingleStep: true, DiskError: 3, Quantum: 777}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got, err := parseFaults(nil); got != nil || err != nil {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	for _, word := range []string{"", "disk-error", "disk-error=", "disk-error=0", "disk-error=-1", "disk-error=x", "single-step=2", "rain=1"} {
		var usage *statusError
		if got, err := parseFaults([]string{word}); !errors.As(err, &usage) || usage.status != exitUsage {
			t.Errorf("%q: %+v, %v; want a usage error", word, got, err)
		}
	}
	for name, kind := range faultKinds {
		f := &vmapi.Faults{}
		if *kind.field(f) = 1; reflect.ValueOf(*f).IsZero() || kind.help == "" {
			t.Errorf("%s has no field of its own, or no help", name)
		}
	}
}
