package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa/table"
)

// TestGeneratedFilesAreCurrent fails when the table changed and go generate was
// not run.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	for name, text := range files {
		want, err := text(table.All())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the table says: go generate ./hv/soft/...", name)
		}
	}
}

// TestEveryRowIsExecuted: each operation has one case, in one function.
func TestEveryRowIsExecuted(t *testing.T) {
	text, err := runFile(table.All())
	if err != nil {
		t.Fatal(err)
	}
	each(table.All(), func(r table.Row) {
		if n := strings.Count(string(text), "case isa.Op"+r.Name+":"); n != 1 {
			t.Errorf("%s has %d cases", r.Name, n)
		}
	})
}

func TestNoPlaceholderSurvives(t *testing.T) {
	text, err := runFile(table.All())
	if err != nil {
		t.Fatal(err)
	}
	for k, line := range strings.Split(string(text), "\n") {
		if strings.ContainsAny(line, "$@") {
			t.Errorf("line %d: %s", k+1, line)
		}
	}
}
