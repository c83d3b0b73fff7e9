package main

import (
	"fmt"
	"os"
	"strings"
)

// A row is one assumption of docs/mac.md.
type row struct {
	text, where string
	step        string // that finds out
	detail      string // what it looks at, or what a person is to do
}

// readRows reads the table.
func readRows(path string) ([]row, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows []row
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || len(cells) != 3 || strings.Contains(line, "---") || strings.Contains(line, "relied on in") {
			continue
		}
		r := row{text: strings.TrimSpace(cells[0]), where: strings.TrimSpace(cells[1])}
		step, detail, _ := strings.Cut(cells[2], ":")
		r.step, r.detail = strings.TrimSpace(step), strings.TrimSpace(detail)
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no table of assumptions", path)
	}
	return rows, nil
}
