//go:build (darwin && arm64 && cgo) || macshim

package rules

/*
#cgo darwin LDFLAGS: -framework Hypervisor
#cgo darwin CFLAGS: -Wall -Werror=unguarded-availability-new
#cgo !darwin CFLAGS: -Wall -I${SRCDIR}/../../../darwin/sdk/apple
#include "rules.h"
*/
import "C"

import (
	"errors"
	"runtime"
)

// A Rule is one thing that package hvf takes the framework to do.
type Rule struct {
	Name string
	// GIC: the rule is about hv_gic, from macOS 15 on.
	GIC bool

	n C.int
}

// All lists the rules.
func All() []Rule {
	var all []Rule
	for n := C.int(0); C.rules_name(n) != nil; n++ {
		all = append(all, Rule{C.GoString(C.rules_name(n)), C.rules_needs_gic(n) != 0, n})
	}
	return all
}

// Check does what the rule is about with a VM of its own, and so must not run beside
// anything else that has one. It says what it saw when the rule does not hold.
func (r Rule) Check() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if bad := C.rules_run(r.n); bad != nil {
		return errors.New(C.GoString(bad))
	}
	return nil
}
