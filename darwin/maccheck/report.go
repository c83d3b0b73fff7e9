package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A taken step is one that has run.
type taken struct {
	step
	outcome
	took time.Duration
}

// check takes the steps and writes the report, whose path it says; well is whether nothing failed. An error is of the check itself.
func check(ctx context.Context, o options) (well bool, err error) {
	for _, name := range o.only {
		if stepOf(name) == nil {
			return false, fmt.Errorf("cannot take the step %q: there are %s", name, strings.Join(stepNames(), ", "))
		}
	}
	rows, err := assumptions(list)
	if err != nil {
		return false, err
	}
	s := &session{options: o, log: io.Discard}
	if s.dir, err = filepath.Abs(o.work); err != nil {
		return false, err
	}
	if err := errors.Join(os.MkdirAll(s.dir, 0o755), os.MkdirAll(filepath.Dir(o.report), 0o755)); err != nil {
		return false, err
	}
	end, err := s.prepare(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, end()) }()
	facts := s.facts(ctx)
	var all []taken
	for _, st := range steps {
		if len(o.only) > 0 && !slices.Contains(o.only, st.name) {
			continue
		}
		fmt.Fprintf(o.out, "%-10s %s ...", st.name, st.about)
		begun := time.Now()
		t := taken{st, s.take(ctx, st), time.Since(begun)}
		all = append(all, t)
		fmt.Fprintf(o.out, " %s (%v) %s\n", s.word(t.whole.verdict), t.took.Round(time.Second), t.whole.note)
	}
	if s.box != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		err = s.box.close(last)
		cancel()
	}
	text, well := s.write(rows, facts, all)
	if e := os.WriteFile(o.report, []byte(text), 0o644); e != nil {
		return false, e
	}
	fmt.Fprintf(o.out, "%s has what was found; please attach it to an issue\n", o.report)
	return well, err
}

// facts are what the host is.
func (s *session) facts(ctx context.Context) [][2]string {
	commands := []struct {
		name string
		args []string
	}{
		{"macOS", []string{"sw_vers", "-productVersion"}},
		{"build", []string{"sw_vers", "-buildVersion"}},
		{"Mac", []string{"sysctl", "-n", "hw.model"}},
		{"processor", []string{"sysctl", "-n", "machdep.cpu.brand_string"}},
		{"SDK", []string{"xcrun", "--show-sdk-version"}},
		{"Go", []string{"go", "version"}},
		{"commit", []string{"git", "describe", "--always", "--dirty"}},
	}
	facts := [][2]string{{"day", time.Now().Format(time.DateOnly)}}
	for _, c := range commands {
		out, err := s.says(ctx, nil, c.args[0], c.args[1:]...)
		if err != nil {
			out = "unknown"
		}
		facts = append(facts, [2]string{c.name, strings.TrimSpace(out)})
	}
	return facts
}

// write gives the report.
func (s *session) write(rows []assumption, facts [][2]string, all []taken) (text string, well bool) {
	var b strings.Builder
	known, well := map[string]outcome{}, true
	for _, t := range all {
		known[t.name] = t.outcome
		well = well && t.whole.verdict != failed
	}
	count := map[verdict]int{}
	table := [][]string{}
	for _, r := range rows {
		f := r.judge(known)
		count[f.verdict]++
		table = append(table, []string{s.word(f.verdict), r.text, r.where, r.check, f.note})
	}
	fmt.Fprintf(&b, "# What a Mac has shown\n\n")
	if s.rehearsal {
		fmt.Fprintf(&b, "**A rehearsal: stand-ins took the Mac's place. This says that the check works, and nothing about a Mac.**\n\n")
	}
	fmt.Fprintf(&b, "Of %d assumptions %d were %s, %d failed and %d were not looked at.\n\n", len(rows), count[held], s.word(held), count[failed], count[notRun])
	writeTable(&b, []string{"", ""}, pairs(facts))
	fmt.Fprintf(&b, "## Assumptions\n\n")
	order := []string{string(failed), string(notRun), s.word(held)}
	slices.SortStableFunc(table, func(x, y []string) int { return slices.Index(order, x[0]) - slices.Index(order, y[0]) })
	writeTable(&b, []string{"", "assumption", "relied on in", "found out by", "seen"}, table)
	fmt.Fprintf(&b, "## Steps\n\n")
	table = nil
	for _, t := range all {
		table = append(table, []string{t.name, s.word(t.whole.verdict), t.took.Round(time.Second).String(), t.whole.note})
	}
	writeTable(&b, []string{"step", "", "took", "seen"}, table)
	fmt.Fprintf(&b, "## Figures\n\n")
	writeTable(&b, []string{"what", "measured"}, pairs(s.figures))
	for _, t := range all {
		if t.whole.verdict == failed {
			fmt.Fprintf(&b, "## The end of what %s said\n\n%s\n", t.name, s.tail(t.name))
		}
	}
	return b.String(), well && count[failed] == 0
}

// word is a verdict for the reader: what holds of stand-ins is no more than rehearsed.
func (s *session) word(v verdict) string {
	if v == held && s.rehearsal {
		return "rehearsed"
	}
	return string(v)
}

func pairs(all [][2]string) (rows [][]string) {
	for _, p := range all {
		rows = append(rows, p[:])
	}
	return rows
}

// writeTable writes a table of Markdown.
func writeTable(w io.Writer, head []string, rows [][]string) {
	line := func(cells []string) {
		fmt.Fprint(w, "|")
		for _, c := range cells {
			fmt.Fprintf(w, " %s |", strings.NewReplacer("|", `\|`, "\n", " ").Replace(c))
		}
		fmt.Fprintln(w)
	}
	line(head)
	fmt.Fprintln(w, "|"+strings.Repeat(" --- |", len(head)))
	for _, r := range rows {
		line(r)
	}
	fmt.Fprintln(w)
}

// tail is the end of a step's output, indented.
func (s *session) tail(name string) string {
	const most = 60
	text, err := os.ReadFile(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-most):]
	return "    " + strings.Join(lines, "\n    ")
}
