//go:build quiet

package quiet

import (
	"time"
	_ "unsafe" // for linkname
)

// period is the runtime's own: nanoseconds after which a garbage collection comes without garbage, and twice the time
// that its monitor thread sleeps at most (runtime/proc.go).
//
//go:linkname period runtime.forcegcperiod
var period int64

// was is what it was. Zero means that this Go has no such variable, and that ours is one that nobody reads.
var was = period

const never = 1000 * 24 * time.Hour

func init() { period = int64(never) }
