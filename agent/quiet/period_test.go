//go:build quiet

package quiet

import (
	"testing"
	"time"
)

// TestThePeriodIsTheRuntimes: a Go that calls it otherwise would leave us with a variable that nobody reads.
func TestThePeriodIsTheRuntimes(t *testing.T) {
	if was != int64(2*time.Minute) {
		t.Errorf("the runtime's period was %v, not two minutes: look into runtime/proc.go what this Go has instead", time.Duration(was))
	}
	if period != int64(never) {
		t.Errorf("the period is %v", time.Duration(period))
	}
}
