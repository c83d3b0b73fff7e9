//go:build (darwin && arm64 && cgo) || macshim

package rules_test

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvf"
	"github.com/arcboxlabs/arcbox-go/hv/hvf/rules"
)

func TestTheFrameworkKeepsItsRules(t *testing.T) {
	gic := hvf.New().Caps().GIC
	for _, r := range rules.All() {
		t.Run(r.Name, func(t *testing.T) {
			if r.GIC && !gic {
				t.Skip("hv_gic came with macOS 15")
			}
			if err := r.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}
