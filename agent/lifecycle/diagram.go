package lifecycle

import (
	"fmt"
	"slices"
	"strings"
)

// Diagram is the table as a Mermaid state diagram and a list of effects: the text
// of STATES.md.
func Diagram() string {
	var b strings.Builder
	b.WriteString("# States of a machine\n\nGenerated from the table in table.go; a test fails when the two differ.\n\n")
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	fmt.Fprintf(&b, "    [*] --> %s\n", id(NotExist))
	all := append(append([]Event{}, requests...), reports...)
	for _, from := range States {
		for _, to := range States {
			if words := leading(from, to, all); from != to && len(words) > 0 {
				fmt.Fprintf(&b, "    %s --> %s: %s\n", id(from), id(to), strings.Join(words, ", "))
			}
		}
	}
	b.WriteString("```\n\n| state | event | next | effects |\n| --- | --- | --- | --- |\n")
	for _, from := range States {
		for _, e := range all {
			if mv, ok := table[from][e]; ok {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", from, e, mv.To, effects(mv.Do))
			}
		}
	}
	return b.String()
}

// leading are the events that lead from one state to another.
func leading(from, to State, all []Event) []string {
	var words []string
	for _, e := range all {
		if mv, ok := table[from][e]; ok && mv.To == to {
			words = append(words, string(e))
		}
	}
	return words
}

func effects(do []Effect) string {
	words := make([]string, len(do))
	for i, e := range do {
		words[i] = string(e)
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// id is a state as Mermaid can name it.
func id(s State) string { return strings.ReplaceAll(string(s), "-", "_") }
