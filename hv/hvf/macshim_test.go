//go:build macshim && !darwin

package hvf_test

import (
	"testing"

	libsystem "github.com/arcboxlabs/arcbox-go/darwin/standin"
	"github.com/arcboxlabs/arcbox-go/hv/hvf"
	"github.com/arcboxlabs/arcbox-go/hv/hvf/standin"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest"
)

func init() { atEnd = libsystem.WriteCoverage }

// A system without hv_gic is the same engine with one ability less.
func TestConformanceBeforeMacOS15(t *testing.T) {
	standin.SetMacOS(14)
	defer standin.SetMacOS(15)
	e := hvf.New()
	if e.Caps().GIC {
		t.Fatal("macOS 14 has hv_gic")
	}
	hvtest.Run(t, e)
}
