//go:build (darwin && arm64 && cgo) || macshim

package hvf_test

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvf"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) { hvtest.Run(t, hvf.New()) }
