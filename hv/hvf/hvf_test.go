//go:build (darwin && arm64 && cgo) || macshim

package hvf_test

import (
	"os"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvf"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest"
	"go.uber.org/goleak"
)

// atEnd is for the stand-in.
var atEnd = func() {}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		atEnd()
		os.Exit(status)
	}))
}

func TestConformance(t *testing.T) { hvtest.Run(t, hvf.New()) }
