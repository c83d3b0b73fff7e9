package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ruleNames are the rules as their table in C names them.
func ruleNames(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../hv/hvf/rules/rules.c")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^    \{"([^"]+)", VM`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// What is assumed about the Mac is relied on somewhere, and a step finds out; every rule is an assumption.
func TestAssumptionsAboutTheMacAreListed(t *testing.T) {
	rows, err := assumptions("../../" + list)
	if err != nil {
		t.Fatal(err)
	}
	names := ruleNames(t)
	if len(rows) < 20 || len(names) < 20 {
		t.Fatalf("%d rows and %d rules: their form has changed", len(rows), len(names))
	}
	for _, r := range rows {
		if _, err := os.Stat(filepath.Join("../..", r.where)); err != nil {
			t.Errorf("%q is relied on nowhere: %v", r.text, err)
		}
		if r.check == ruleStep && !slices.Contains(names, r.text) {
			t.Errorf("%q is no rule of hv/hvf/rules", r.text)
		}
		name, details := r.names()
		switch st := stepOf(name); {
		case name == byHand && strings.TrimPrefix(r.check, byHand+": ") != r.check || name == ruleStep:
		case st == nil:
			t.Errorf("%q is found out by %q, which is neither a step nor %q", r.text, r.check, byHand+": WHAT TO DO")
		default:
			for _, d := range details {
				if !named(t, st.source, d) {
					t.Errorf("%q is found out by %q, and %s has no such name", r.text, d, st.source)
				}
			}
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r assumption) bool { return r.text == name && r.check == ruleStep }) {
			t.Errorf("rule %q is not in %s", name, list)
		}
	}
}

// named says whether each part of a name stands in a Go file of a directory, as it is or as the name of a test. Names that
// are made of variables are left to those who run them.
func named(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for part := range strings.SplitSeq(name, "/") {
		if !strings.Contains(all.String(), `"`+part+`"`) && !strings.Contains(all.String(), "func "+part+"(") && !strings.HasPrefix(part, "macOS ") {
			return false
		}
	}
	return true
}

func TestJudge(t *testing.T) {
	steps := map[string]outcome{
		"suite": {finding{failed, "whole"}, map[string]finding{
			"gic": {held, ""}, "gic/one": {held, "seen"}, "exits/a_b": {failed, "X1 is 7"}, "exits/c": {held, ""}, "debug/d": {notRun, "cannot"},
		}},
		"boot":  {finding{notRun, "no assets"}, nil},
		"heat":  {finding{held, "hot"}, nil},
		"sleep": {finding{held, ""}, map[string]finding{"told": {held, ""}}},
	}
	tests := []struct {
		check string
		want  finding
	}{
		{"heat", finding{held, "hot"}},
		{"boot", finding{notRun, "no assets"}},
		{"boot: macOS 14", finding{notRun, "no assets"}},
		{"suite: gic", finding{held, ""}},
		{"suite: gic/one", finding{held, "seen"}},
		{"suite: exits", finding{failed, "X1 is 7"}},
		{"suite: exits/a b", finding{failed, "X1 is 7"}},
		{"suite: exits/a", finding{notRun, "whole"}},
		{"suite: exits/c; debug/d", finding{notRun, "cannot"}},
		{"suite: debug/d; exits/a b", finding{failed, "X1 is 7"}},
		{"sleep: waits", finding{notRun, "nothing was found out about it here"}},
		{"rules", finding{notRun, "the step was left out"}},
		{"hand: look", finding{notRun, "by hand: look"}},
	}
	for _, tt := range tests {
		if got := (assumption{"a", "b", tt.check}).judge(steps); got.verdict != tt.want.verdict || tt.check != "suite: gic" && got != tt.want {
			t.Errorf("%q: %v, want %v", tt.check, got, tt.want)
		}
	}
}

func TestSummary(t *testing.T) {
	tests := []struct {
		name  string
		parts map[string]finding
		want  finding
	}{
		{"nothing told", nil, finding{held, ""}},
		{"one failed", map[string]finding{"a": {held, ""}, "b_c": {failed, "no"}}, finding{failed, "b c: no"}},
		{"one left out", map[string]finding{"a": {held, ""}, "b": {notRun, "cannot"}}, finding{held, "1 of 2 parts were left out; b: cannot"}},
		{"all left out", map[string]finding{"b": {notRun, "cannot"}}, finding{notRun, "1 of 1 parts were left out; b: cannot"}},
	}
	for _, tt := range tests {
		if got := summary(tt.parts); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestResultsOfGoTestAreRead(t *testing.T) {
	out := `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"T/a"}
{"Action":"output","Package":"p","Test":"T/a","Output":"=== RUN   T/a\n"}
{"Action":"output","Package":"p","Test":"T/a","Output":"    x_test.go:7: X1 is 7\n"}
{"Action":"output","Package":"p","Test":"T/a","Output":"    --- FAIL: T/a (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"T/a","Elapsed":0}
{"Action":"output","Package":"p","Test":"T/b","Output":"    x_test.go:9: hv_gic came with macOS 15\n"}
{"Action":"skip","Package":"p","Test":"T/b","Elapsed":0}
{"Action":"pass","Package":"p","Test":"T/c","Elapsed":0}
{"Action":"fail","Package":"p"}
`
	got, said := readResults([]byte(out))
	want := map[string]finding{"T/a": {failed, "x_test.go:7: X1 is 7"}, "T/b": {notRun, "x_test.go:9: hv_gic came with macOS 15"}, "T/c": {held, ""}}
	if len(got) != len(want) || !strings.Contains(said, "X1 is 7") {
		t.Errorf("%v, and %q", got, said)
	}
	for name, f := range want {
		if got[name] != f {
			t.Errorf("%s: %v, want %v", name, got[name], f)
		}
	}
}
