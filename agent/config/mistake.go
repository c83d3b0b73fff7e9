package config

import (
	"fmt"
	"strings"
)

// A Mistake is something that somebody has set and that cannot be used, or that
// nobody knows.
type Mistake struct {
	File string // "" for the environment and flags
	Line int    // 0 when it is not known
	Text string
}

func (m *Mistake) Error() string {
	switch {
	case m.File == "":
		return m.Text
	case m.Line == 0:
		return m.File + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
}

// did asks whether somebody meant a word, "" for none.
func did(word string) string {
	if word == "" {
		return ""
	}
	return "; did you mean " + word + "?"
}

// nearest is the word that is nearly the one that was written, or "".
func nearest(word string, words []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(word), w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is how many letters have to be changed, added or left out.
func distance(a, b string) int {
	if len(a) > 64 {
		a = a[:64]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
