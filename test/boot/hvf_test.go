package boot_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// systems are the versions of macOS to boot on: those that the stand-in plays, or the Mac's own.
func systems(t *testing.T) []string {
	t.Helper()
	if runtime.GOOS != "darwin" {
		return []string{"14", "15"}
	}
	out, err := exec.Command("sw_vers", "-productVersion").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(strings.TrimSpace(string(out)), ".")
	return []string{major}
}

// TestSystemsOfApple boots with the framework's interrupt controller, which macOS
// 15 brought, and with ours; 50 times each in a soak.
func TestSystemsOfApple(t *testing.T) {
	if !kit.HVF() {
		t.Skip("not the programs of a Mac; ARCBOX_TEST_ENGINE=hvf makes them so")
	}
	flavours := kit.Flavours(t)
	fl := flavours[len(flavours)-1]
	for _, system := range systems(t) {
		for _, cpus := range []string{"1", "2", "4"} {
			t.Run("macOS "+system+", "+cpus+" vCPUs", func(t *testing.T) {
				for n := range kit.Rounds(1, 17) {
					cmd := start(t, fl, "sleep", "--engine", "hvf", "--cpus", cpus, "--json")
					cmd.Env = append(os.Environ(), "ARCBOX_STANDIN_MACOS="+system)
					e := finish(t, cmd)
					e.want(t, 0, "test init: slept")
					if bad := complaints.FindString(e.stdout); bad != "" {
						t.Fatalf("boot %d: the kernel complains: %s", n, bad)
					}
					// With the framework's controller no WFI leaves it.
					if waits := strings.Contains(e.stderr, `"wfi"`); waits != (system == "14") {
						t.Errorf("boot %d: the guest's waits are exits: %v\n%s", n, waits, tail(e.stderr))
					}
				}
			})
		}
	}
}
