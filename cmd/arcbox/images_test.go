package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/storage"
)

// runCommand is what one command line prints.
func runCommand(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func TestDiskCommands(t *testing.T) {
	home := t.TempDir()
	t.Setenv("ARCBOX_HOME", home)
	other := filepath.Join(home, "other.img")
	tests := []struct {
		name string
		args string
		out  string // is in what is printed
		err  string // is in the error; "" for none
	}{
		{"make the default machine's", "create", "", ""},
		{"make it again", "create", "", "exists"},
		{"make another", "create --size 32MiB " + other, "", ""},
		{"a size that is none", "create --size much x", "", "cannot use the size"},
		{"usage of the default", "usage", "8TiB", ""},
		{"usage of another", "usage --scan " + other, "reclaimable  0B", ""},
		{"grow", "resize --size 64MiB " + other, "", ""},
		{"it has grown", "usage " + other, "64MiB", ""},
		{"shrink", "resize --size 32MiB " + other, "", "data would be cut off"},
		{"resize without a size", "resize " + other, "", "required"},
		{"check", "check --read " + other, "no problem found", ""},
		{"compact", "compact " + other, "0B was given back", ""},
		{"two files", "check a b", "", "one argument"},
		{"a file that is not there", "usage " + other + "x", "", "no such file"},
		{"no such command", "shrink", "", "no such command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := runCommand(append([]string{"disk"}, strings.Fields(tt.args)...)...)
			if !strings.Contains(out, tt.out) || (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("arcbox disk %s printed %q, %v; want %q, error %q", tt.args, out, err, tt.out, tt.err)
			}
		})
	}
}

func TestDiskCommandsOnAnImageInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	img, err := storage.Ensure(storage.Spec{Path: path, Size: storage.MinSize})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	for _, args := range [][]string{{"compact"}, {"resize", "--size", "1GiB"}} {
		if _, err := runCommand(append(append([]string{"disk"}, args...), path)...); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("arcbox disk %v: %v, want that the image is in use", args, err)
		}
	}
}

func TestDiskCheckFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	if err := os.WriteFile(path, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runCommand("disk", "check", "--json", path)
	var r storage.Report
	if json.Unmarshal([]byte(out), &r) != nil || len(r.Problems) != 1 || err == nil {
		t.Errorf("checking an image of 1000 bytes printed %q, %v", out, err)
	}
}
