package arcbox_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// assumption is a row of docs/mac.md.
type assumption struct{ text, where, check string }

func assumptions(t *testing.T) []assumption {
	t.Helper()
	text, err := os.ReadFile("docs/mac.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []assumption
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 3 || strings.Contains(line, "---") || strings.Contains(line, "relied on in") {
			continue
		}
		rows = append(rows, assumption{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])})
	}
	return rows
}

// ruleNames are the rules as their table in C names them.
func ruleNames(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("hv/hvf/rules/rules.c")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^    \{"([^"]+)", VM`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// TestAssumptionsAboutTheMacAreListed: what a reader of docs/mac.md is told to look
// at is there, and every rule is told.
func TestAssumptionsAboutTheMacAreListed(t *testing.T) {
	rows, names := assumptions(t), ruleNames(t)
	if len(rows) < 20 || len(names) < 20 {
		t.Fatalf("%d rows and %d rules: their form has changed", len(rows), len(names))
	}
	for _, r := range rows {
		if _, err := os.Stat(r.where); err != nil {
			t.Errorf("%q is relied on nowhere: %v", r.text, err)
		}
		if r.check == "rules" && !slices.Contains(names, r.text) {
			t.Errorf("%q is no rule of hv/hvf/rules", r.text)
		}
		if strings.Contains(r.check, "/") {
			for file := range strings.FieldsSeq(r.check) {
				if _, err := os.Stat(file); strings.Contains(file, "/") && err != nil {
					t.Errorf("%q is checked nowhere: %v", r.text, err)
				}
			}
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r assumption) bool { return r.text == name && r.check == "rules" }) {
			t.Errorf("rule %q is not in docs/mac.md", name)
		}
	}
}
