package soft_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle"
)

var update = flag.Bool("update", false, "ask QEMU for the answers in testdata anew")

// An answerFile holds what QEMU answered: a comment, and for each instruction a
// line with its word and assembly, followed by a line of numbers for each case.
type answerFile struct {
	path string
	line string // the format of a case's numbers; the first "=" stands before the answer
}

// An instruction is the line above its cases.
type instruction struct {
	word uint32
	text string // the whole line
}

func (i *instruction) head() *instruction { return i }

// A caseOf is a pointer to a case: an instruction and the numbers of its line.
type caseOf[C any] interface {
	*C
	head() *instruction
	fields() []*uint64 // in the order of the line
}

// readAnswers gives the comment, the instructions and the cases of a file.
func readAnswers[C any, P caseOf[C]](t *testing.T, file answerFile) (comment string, heads []instruction, cases []C) {
	t.Helper()
	f, err := os.Open(file.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var head instruction
	s := bufio.NewScanner(f)
	for s.Scan() {
		switch line := s.Text(); {
		case strings.HasPrefix(line, "#"):
			comment += line + "\n"
		case strings.Contains(line, " = "):
			var c C
			*P(&c).head() = head
			scanNumbers(t, line, file.line, P(&c).fields())
			cases = append(cases, c)
		case line != "":
			head.text = line
			if _, err := fmt.Sscanf(line, "%x", &head.word); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			heads = append(heads, head)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return comment, heads, cases
}

// scanNumbers reads a line that was written with format. Scanning has no flag
// for leading zeroes: they are digits.
func scanNumbers(t *testing.T, line, format string, fields []*uint64) {
	t.Helper()
	to := make([]any, len(fields))
	for i, f := range fields {
		to[i] = f
	}
	if _, err := fmt.Sscanf(line, strings.ReplaceAll(format, "%0", "%"), to...); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

// writeAnswers writes the file anew.
func writeAnswers[C any, P caseOf[C]](t *testing.T, file answerFile, comment string, cases []C) {
	t.Helper()
	var out strings.Builder
	out.WriteString(comment)
	last := ""
	for i := range cases {
		c := P(&cases[i])
		if text := c.head().text; text != last {
			fmt.Fprintf(&out, "\n%s\n", text)
			last = text
		}
		var numbers []any
		for _, f := range c.fields() {
			numbers = append(numbers, *f)
		}
		fmt.Fprintf(&out, file.line+"\n", numbers...)
	}
	if err := os.WriteFile(file.path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// onEngine runs vectors on the engine under test.
func onEngine(t *testing.T, vectors []*oracle.Vector) []oracle.Result {
	t.Helper()
	m, err := oracle.NewMachine(soft.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return run(t, m, vectors)
}

// onQEMU runs vectors on qemu-aarch64.
func onQEMU(t *testing.T, vectors []*oracle.Vector) []oracle.Result {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	q, err := oracle.NewQEMU(filepath.Join(dir, "arcbox-test"))
	if err != nil {
		t.Fatal(err)
	}
	return run(t, q, vectors)
}

func run(t *testing.T, r oracle.Runner, vectors []*oracle.Vector) []oracle.Result {
	t.Helper()
	results, err := r.Run(vectors)
	if err != nil {
		t.Fatal(err)
	}
	return results
}
