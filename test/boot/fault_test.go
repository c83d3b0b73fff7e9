package boot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// faulty boots deterministically with faults, until the guest has slept and is
// off.
func faulty(t *testing.T, cpus string, faults ...string) (string, repeatable) {
	t.Helper()
	flags := []string{"--deterministic=3", "--cpus", cpus, "--memory", "128MiB", "--json", "--memory-digest"}
	for _, f := range faults {
		flags = append(flags, "--fault", f)
	}
	text, r := repeat(t, start(t, kit.AFlavour(t, kit.Any), "sleep", flags...))
	if !strings.Contains(text, "test init: slept") {
		t.Errorf("with %v the guest did not sleep:\n%s", faults, tail(text))
	}
	if bad := complaints.FindString(text); bad != "" {
		t.Errorf("with %v the kernel says %q", faults, bad)
	}
	return text, r
}

// TestFaultsThatChangeNothing boots a kernel with turns of other lengths, with
// translations dropped all the time, and instruction by instruction: to the byte
// it is the same run. Most of it is for a soak where the kernel is Debian's, which
// takes ten times as many instructions as our own.
func TestFaultsThatChangeNothing(t *testing.T) {
	type row struct {
		cpus   string
		plain  []string
		faults [][]string
	}
	rows := []row{{"1", []string{"quantum=20000"}, [][]string{{"quantum=777", "flush-tlb=100"}}}}
	soak, small := kit.Rounds(0, 1) != 0, kit.AFlavour(t, kit.Any).BuiltIn
	if soak || small {
		rows = append(rows,
			row{"1", []string{"quantum=20000"}, [][]string{{"single-step", "quantum=3000"}}},
			row{"4", nil, [][]string{{"flush-tlb=1000"}}},
			row{"2", []string{"quantum=777"}, [][]string{{"quantum=777", "flush-tlb=100"}}})
	}
	if soak {
		rows = append(rows,
			row{"1", []string{"quantum=20000"}, [][]string{{"quantum=777"}, {"quantum=3000"}}},
			row{"4", nil, [][]string{{"single-step", "flush-tlb=1007"}}})
	}
	if soak && small {
		rows = append(rows,
			row{"1", nil, [][]string{{"flush-tlb=1"}, {"single-step", "flush-tlb=7"}}},
			row{"4", nil, [][]string{{"flush-tlb=1"}, {"single-step", "flush-tlb=7"}}})
	}
	for _, row := range rows {
		text, r := faulty(t, row.cpus, row.plain...)
		for _, f := range row.faults {
			if other, got := faulty(t, row.cpus, f...); got != r || other != text {
				t.Errorf("%s vCPUs: %+v, with %v %+v; console equal: %v", row.cpus, r, f, got, other == text)
			}
		}
	}
}

// TestFaultsThatAGuestSurvives: each leads to another run, which repeats, and
// nothing is wrong with the guest.
func TestFaultsThatAGuestSurvives(t *testing.T) {
	_, plain := faulty(t, "2")
	for k, f := range []string{"fail-store=5", "delay-irq=3", "spurious-irq=5", "quantum=777", "entropy-error=1"} {
		text, r := faulty(t, "2", f)
		if r == plain {
			t.Errorf("%s: the run is that without", f)
		}
		if k > kit.Rounds(0, 10) {
			continue
		}
		if again, second := faulty(t, "2", f); second != r || again != text {
			t.Errorf("%s: %+v, then %+v", f, r, second)
		}
	}
}

// TestDiskErrorReachesTheGuest fails each of the first requests in turn: the guest's
// kernel says so, and init when it was its own; what it was told is written is.
func TestDiskErrorReachesTheGuest(t *testing.T) {
	kit.NeedsSoft(t)
	fl := kit.AFlavour(t, kit.Any)
	refused, took := 0, 0
	for _, nth := range []string{"1", "2", "4", "6", "7", "8"} {
		disk := filepath.Join(t.TempDir(), "disk")
		image := append([]byte("written by the host\n"), make([]byte, 1<<20-20)...)
		if err := os.WriteFile(disk, image, 0o644); err != nil {
			t.Fatal(err)
		}
		e := finish(t, start(t, fl, "vda:guest", "--disk", disk, "--deterministic", "--fault", "disk-error="+nth))
		left, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Contains(e.stdout, "I/O error, dev vda")
		if strings.Contains(e.stdout, "vda took it") {
			took++
			if !strings.HasPrefix(string(left), "guest\n") {
				t.Errorf("request %s failed: the guest was told that it wrote, and the disk has %q", nth, left[:20])
			}
		} else if refused++; !said {
			t.Errorf("request %s failed: exit %d, and the kernel says nothing of it:\n%s", nth, e.status, tail(e.stdout))
		}
	}
	if refused == 0 || took == 0 {
		t.Errorf("of the failures %d came to init and %d did not; want some of each", refused, took)
	}
}
