//go:build !darwin

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if status, other := otherProgram(os.Args); other {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// The whole check runs against the stand-ins: no step fails, and every assumption that a step is to find out about was
// looked at, but for what a rehearsal does not have. The step boot is `make test`'s own.
func TestRehearsal(t *testing.T) {
	t.Chdir("../..")
	report := filepath.Join(t.TempDir(), "report.md")
	var watched strings.Builder
	o := options{rehearse: true, report: report, work: filepath.Join(filepath.Dir(report), "work"), rounds: 1, out: &watched}
	o.only = slices.DeleteFunc(stepNames(), func(name string) bool { return name == "boot" })
	well, err := check(t.Context(), o)
	text, _ := os.ReadFile(report)
	t.Logf("%s", watched.String())
	if err != nil || !well {
		t.Fatalf("%v\n%s", err, text)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| not run |") && !excused(line) {
			t.Errorf("a rehearsal can see that: %s", line)
		}
	}
	for _, want := range []string{"A rehearsal", "| rehearsed | one VM in a process |", "| start, cold |", "| idle: arcbox-vm |", "| macOS | 15.0 |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
}

// excused says whether only a Mac has what a row is about.
func excused(row string) bool {
	for _, only := range []string{"| launchd: ", "| mach: ", "| hand: ", "| sleep: clock |", "| machine: sandbox |", "| boot |", "| boot: "} {
		if strings.Contains(row, only) {
			return true
		}
	}
	return false
}

func TestRefusals(t *testing.T) {
	t.Chdir("../..")
	tests := []struct {
		name string
		o    options
		want string
	}{
		{"on Linux", options{}, "--rehearse"},
		{"a step that there is not", options{rehearse: true, only: []string{"rule"}}, "rules"},
	}
	for _, tt := range tests {
		tt.o.work, tt.o.report = t.TempDir(), filepath.Join(t.TempDir(), "report.md")
		if _, err := check(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A stand-in that knew any usage would rehearse nothing.
func TestStandInsKnowWhatTheyAreAsked(t *testing.T) {
	for name, args := range map[string][]string{"hdiutil": {"burn"}, "memory_pressure": {"-l", "warn"}, "notifyutil": {"-p", "x"}, "pmset": {"restart"}, "codesign": {"--verify", "nothing"}} {
		if err := apple[name](args); err == nil {
			t.Errorf("%s %v is well", name, args)
		}
	}
}
