//go:build linux

package slack

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// TestProgramsHaveTheUsualSlack: what is started by a thread that has another.
func TestProgramsHaveTheUsualSlack(t *testing.T) {
	runtime.LockOSThread() // for good: nobody else shall have a thread with this slack
	look := func() string {
		out, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	set(Patient)
	if got := look(); got != "2000000" {
		t.Fatalf("a program has a slack of %s ns, want its parent's", got)
	}
	Restore()
	if got := look(); got != "50000" {
		t.Errorf("a program has a slack of %s ns, want the usual one", got)
	}
}
