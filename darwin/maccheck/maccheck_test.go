package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil { // where the script begins
		panic(err)
	}
	os.Exit(m.Run())
}

// Each assumption is found out by a step that there is, or says what a person is to do.
func TestEveryAssumptionHasAStep(t *testing.T) {
	rows, err := readRows("docs/mac.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.step == hand && r.detail == "" || r.step != hand && stepOf(r.step) == nil {
			t.Errorf("%q is found out by %q", r.text, r.step)
		}
	}
}

// A check with steps of a test's own.
func checked(t *testing.T, own []*step, rows []row) (report string, bad int) {
	t.Helper()
	before := steps
	steps = own
	defer func() { steps = before }()
	dir := t.TempDir()
	c := &checker{yes: true, in: strings.NewReader(""), out: io.Discard, dir: filepath.Join(dir, "work"), report: filepath.Join(dir, "report.md")}
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(c.home)
	for _, s := range own {
		c.take(t.Context(), s)
	}
	bad, err := c.write(rows)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.report)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), bad
}

func TestWhatTheReportSays(t *testing.T) {
	well := func(context.Context, *checker) error { return nil }
	report, bad := checked(t, []*step{
		{name: "good", do: well},
		{name: "bad", do: func(context.Context, *checker) error { return errors.New("it | broke\nin two lines") }},
		{name: "shy", do: func(context.Context, *checker) error { return errNotRun{"nobody was there"} }},
		{name: "later", after: []string{"bad"}, do: well},
		{name: "rules", do: func(_ context.Context, c *checker) error {
			c.rules["a_rule"] = verdict{word: held}
			c.rules["another"] = verdict{word: failed, why: "see the log"}
			return errors.New("one rule")
		}},
	}, []row{
		{"one", "a.go", "good", ""}, {"two", "b.go", "bad", ""}, {"three", "c.go", "shy", ""}, {"four", "d.go", "later", ""},
		{"a rule", "e.go", "rules", ""}, {"another", "f.go", "rules", ""}, {"five", "g.go", hand, "look at it"}, {"six", "h.go", "nowhere", ""},
	})
	for _, want := range []string{
		"| one | a.go | held |  |", `| two | b.go | failed | it \| broke |`, "| three | c.go | not run | nobody was there |", "| four | d.go | not run | the step bad has failed |",
		"| a rule | e.go | held |  |", "| another | f.go | failed | see the log |", "| five | g.go | not run | by hand: look at it |", "| six | h.go | failed | there is no step nowhere |",
		"8 assumptions: 2 held, 3 failed, 3 not run.",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	if bad != 5 { // two steps and three assumptions
		t.Errorf("%d things failed, not 5", bad)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name string
		c    checker
		want string
	}{
		{"on Linux", checker{}, "--rehearse"},
		{"a step that there is not", checker{rehearsal: true, only: []string{"rule"}}, "rules"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := run(t.Context(), &tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// The rehearsal is the whole check against the stand-ins: what fails there would fail on a Mac for no reason of the Mac's.
func TestRehearsal(t *testing.T) {
	dir := t.TempDir()
	c := &checker{rehearsal: true, yes: true, in: strings.NewReader(""), out: io.Discard, dir: filepath.Join(dir, "work"), report: filepath.Join(dir, "report.md")}
	bad, err := run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.report)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		want := held
		if s.name == "agent" || s.name == "bench" {
			want = notRun
		}
		if v := c.verdicts[s.name]; v.word != want {
			log, _ := os.ReadFile(filepath.Join(c.dir, "log", s.name+".log"))
			t.Errorf("the step %s is %s, not %s: %s\n%s", s.name, v.word, want, v.why, log[max(0, len(log)-3000):])
		}
	}
	if bad != 0 || !strings.Contains(string(text), "This is a rehearsal") || !strings.Contains(string(text), "| one VM in a process | hv/hvf/engine.go | rehearsed |") {
		t.Errorf("%d things failed:\n%s", bad, text)
	}
}
