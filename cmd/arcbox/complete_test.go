package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// completions are what the shell offers for the last word of line.
func completions(t *testing.T, line ...string) []string {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, line...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestShellIsOfferedWordsWithTheirMeaning(t *testing.T) {
	emptyHome(t)
	mustRun(t, "fetch", publishAsset(t, "6.12.8"))
	id := strings.TrimSpace(mustRun(t, "path"))
	id = id[strings.LastIndexByte(id, '/')+1:]
	asset := id + "\tarcbox, kernel 6.12.8"
	const flavour = "arcbox\tthe newest of this flavour"
	tests := []struct {
		name string
		line []string
		want []string // without the shell's directive
	}{
		{"consoles", []string{"boot", "--console", ""},
			[]string{"hvc0\tvirtio console, once its driver runs", "ttyAMA0\tserial port, from the first instruction"}},
		{"engines", []string{"boot", "--engine", ""},
			[]string{"soft\tsoftware AArch64, on any host", "hvf\tHypervisor.framework, on a Mac"}},
		{"assets and their flavours to boot", []string{"boot", "--asset", ""}, []string{flavour, asset}},
		{"flavours to build", []string{"assets", "fetch", "--flavour", ""},
			[]string{"debian\tDebian's stock cloud kernel", "arcbox\tour own kernel"}},
		{"assets to verify", []string{"assets", "verify", ""}, []string{flavour, asset}},
		{"a second asset to verify", []string{"assets", "verify", id, ""}, nil},
		{"assets to remove", []string{"assets", "remove", ""}, []string{asset}},
		{"assets to remove beside one", []string{"assets", "remove", id, ""}, nil},
		{"words after a command that takes none", []string{"boot", ""}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := append(slices.Clone(tt.want), ":4") // no file names
			if got := completions(t, tt.line...); !slices.Equal(got, want) {
				t.Errorf("offered %q, want %q", got, want)
			}
		})
	}
}

func TestShellIsOfferedNothingWhereThereAreNoAssets(t *testing.T) {
	emptyHome(t)
	if got := completions(t, "boot", "--asset", ""); !slices.Equal(got, []string{":4"}) {
		t.Errorf("offered %q", got)
	}
}

func TestShellIsOfferedFilesForFiles(t *testing.T) {
	if got := completions(t, "boot", "--kernel", ""); !slices.Equal(got, []string{":0"}) {
		t.Errorf("offered %q", got)
	}
}
