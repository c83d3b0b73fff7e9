package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/ipc"
)

// engines are those that this binary has, by name. Files named engine_*.go add
// theirs, the one that a host prefers by its build constraint.
var engines = map[string]func() hv.Engine{}

// preferred is the engine for callers who name none.
var preferred = "soft"

// openEngine finds an engine by name; "" is the host's best.
func openEngine(name string) (hv.Engine, error) {
	if name == "" {
		name = preferred
	}
	make, ok := engines[name]
	if !ok {
		have := strings.Join(slices.Sorted(maps.Keys(engines)), ", ")
		return nil, ipc.Errorf(ipc.BadRequest, "cannot use engine %q: this build has %s", name, have)
	}
	return make(), nil
}
