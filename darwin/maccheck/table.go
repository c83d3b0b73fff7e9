package main

import (
	"fmt"
	"os"
	"strings"
)

// list is the file with the assumptions.
const list = "docs/mac.md"

// An assumption is a row of the list: what is taken for true, the file that relies on it, and what finds out: the name of a step,
// and after a colon, what of it, several separated by semicolons. Without the latter the whole step must hold. Of the
// step rules it is the assumption itself.
type assumption struct {
	text, where, check string
}

// byHand is the check of what no program can look at.
const byHand = "hand"

// assumptions reads the list.
func assumptions(path string) ([]assumption, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows []assumption
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 3 || strings.Contains(line, "---") || strings.Contains(line, "relied on in") {
			continue
		}
		rows = append(rows, assumption{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])})
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s lists no assumptions: its form has changed", path)
	}
	return rows, nil
}

// names are the step, and what of it has to hold, nothing for all.
func (a assumption) names() (step string, details []string) {
	step, rest, some := strings.Cut(a.check, ": ")
	switch {
	case step == ruleStep:
		return step, []string{a.text}
	case some && step != byHand:
		return step, strings.Split(rest, "; ")
	}
	return step, nil
}

// A verdict is what became of an assumption or a step.
type verdict string

const (
	held   verdict = "held"
	failed verdict = "failed"
	notRun verdict = "not run"
)

// A finding is a verdict with what was seen, or why nothing was.
type finding struct {
	verdict verdict
	note    string // one line, may be ""
}

// An outcome is what a step has found out: as a whole, and by the names of its parts.
type outcome struct {
	whole finding
	parts map[string]finding
}

// of is what became of what the step's parts named detail say, or those below it.
func (o outcome) of(detail string) finding {
	found := finding{notRun, "nothing was found out about it here"}
	if o.whole.verdict != held && o.whole.note != "" {
		found.note = o.whole.note
	}
	for name, f := range o.parts {
		if form(name) != form(detail) && !strings.HasPrefix(form(name), form(detail)+"/") {
			continue
		}
		if found.verdict == notRun || f.verdict == failed {
			found = f
		}
	}
	return found
}

// form is a name as `go test` writes it.
func form(name string) string { return strings.ReplaceAll(name, " ", "_") }

// judge is what became of an assumption, after steps that are known by name.
func (a assumption) judge(steps map[string]outcome) finding {
	step, details := a.names()
	o, ok := steps[step]
	switch {
	case step == byHand:
		return finding{notRun, "by hand: " + strings.TrimPrefix(a.check, byHand+": ")}
	case !ok:
		return finding{notRun, "the step was left out"}
	case len(details) == 0:
		return o.whole
	}
	all := finding{held, ""}
	for _, d := range details {
		f := o.of(d)
		if f.verdict == failed || f.verdict == notRun && all.verdict == held {
			all = f
		} else if all.verdict == held && f.note != "" {
			all.note = f.note
		}
	}
	return all
}
