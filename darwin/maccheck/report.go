package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// verdictOf is what was found of one assumption.
func (c *checker) verdictOf(r row) verdict {
	switch {
	case r.step == hand:
		return verdict{word: notRun, why: "by hand: " + r.detail}
	case r.step == "rules":
		if v, ok := c.rules[ruleKey(r.text)]; ok {
			return v
		}
	}
	v, ok := c.verdicts[r.step]
	if !ok {
		return verdict{word: failed, why: "there is no step " + r.step}
	}
	if r.step == "rules" && v.word == held {
		return verdict{word: failed, why: "no rule of this name was looked at"}
	}
	return v
}

// write writes the report, and says how much has failed.
func (c *checker) write(rows []row) (bad int, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# What a Mac showed\n\n")
	if c.rehearsal {
		fmt.Fprintf(&b, "**This is a rehearsal on Linux, against stand-ins. It says nothing about a Mac.**\n\n")
	}
	fmt.Fprintf(&b, "%s\n\n", c.about())
	fmt.Fprintf(&b, "| step | result | seconds | |\n| --- | --- | --- | --- |\n")
	for _, s := range steps {
		v := c.verdicts[s.name]
		if v.word == "" {
			v = verdict{word: notRun, why: "it was interrupted"}
		}
		if v.word == failed {
			bad++
		}
		fmt.Fprintf(&b, "| %s: %s | %s | %.1f | %s |\n", s.name, s.about, v.word, v.took.Seconds(), cell(v.why))
	}
	count := map[string]int{}
	fmt.Fprintf(&b, "\n| assumption | relied on in | result | |\n| --- | --- | --- | --- |\n")
	for _, r := range rows {
		v := c.verdictOf(r)
		count[v.word]++
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.text, r.where, c.say(v.word), cell(v.why))
	}
	fmt.Fprintf(&b, "\n%d assumptions: %d %s, %d failed, %d not run.\n", len(rows), count[held], c.say(held), count[failed], count[notRun])
	if c.measured != "" {
		fmt.Fprintf(&b, "\n## Measured\n\n```\n%s\n```\n", strings.TrimSpace(c.measured))
	}
	if err := os.MkdirAll(filepath.Dir(c.report), 0o755); err != nil {
		return 0, err
	}
	return bad + count[failed], os.WriteFile(c.report, []byte(b.String()), 0o644)
}

// say is the word for a result: a rehearsal shows of no assumption that it holds.
func (c *checker) say(word string) string {
	if c.rehearsal && word == held {
		return "rehearsed"
	}
	return word
}

// about says on what, of what, and when.
func (c *checker) about() string {
	words := []string{time.Now().UTC().Format("2006-01-02 15:04 MST"), runtime.Version()}
	asks := [][]string{{"git", "describe", "--always", "--dirty"}, {"uname", "-sm"}}
	if runtime.GOOS == "darwin" {
		asks = append(asks, []string{"sw_vers", "-productVersion"}, []string{"sysctl", "-n", "hw.model"}, []string{"sysctl", "-n", "machdep.cpu.brand_string"})
	}
	for _, a := range asks {
		if out, err := c.command(context.Background(), "about", nil, a[0], a[1:]...); err == nil {
			words = append(words, strings.TrimSpace(out))
		}
	}
	return strings.Join(words, " · ")
}

// cell is text for a cell of a table.
func cell(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(firstLine(s)), "|", `\|`)
	return s[:min(len(s), 300)]
}
