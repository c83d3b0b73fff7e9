//go:build !cgo || !(darwin || macshim)

package mach_test

import (
	"errors"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc/mach"
)

func TestWithoutXPCItIsSaid(t *testing.T) {
	if _, err := mach.Dial(t.Context(), "com.example.any", "", nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Dial says %v", err)
	}
	if _, err := mach.Listen("com.example.any", ""); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Listen says %v", err)
	}
}
