package userland_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle/userland"
)

const compiler = "aarch64-linux-gnu-gcc"

// need skips the test where a tool is missing, and fails it in CI.
func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("cannot run %s: it is missing; install %s", tool, pkg)
	}
	t.Skipf("no %s", tool)
}

// compile makes a static program of a C file.
func compile(t *testing.T, file string, flags ...string) []byte {
	t.Helper()
	need(t, compiler, "gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
	bin := filepath.Join(t.TempDir(), "program")
	args := append(flags, "-static", "-no-pie", "-o", bin, file, "-lm")
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, out)
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProgramsRun(t *testing.T) {
	program := compile(t, "testdata/program.c", "-O1")
	tests := []struct {
		name, what string
		code       int
		output     string
	}{
		{"output, memory and an exit status", "hello", 7, "hello x 3.142 1\nand an error\n"},
		{"what is out of bounds fails", "limits", 0, "111111\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := userland.Run(soft.New(), program, "program", tt.what)
			if err != nil {
				t.Fatal(err)
			}
			// Standard error is not buffered, standard output is.
			got := strings.Split(string(r.Output), "\n")
			for _, line := range strings.Split(tt.output, "\n") {
				if !strings.Contains(strings.Join(got, "\n"), line) {
					t.Errorf("output %q lacks %q", r.Output, line)
				}
			}
			if r.Code != tt.code || len(r.Output) != len(tt.output) {
				t.Errorf("exit %d, %d bytes, want %d, %d bytes", r.Code, len(r.Output), tt.code, len(tt.output))
			}
		})
	}
}

func TestProgramsThatMisbehaveEnd(t *testing.T) {
	program := compile(t, "testdata/program.c", "-O1")
	if _, err := userland.Run(soft.New(), program, "program", "flood"); !errors.Is(err, userland.ErrOutput) {
		t.Errorf("a flood: %v, want %v", err, userland.ErrOutput)
	}
	_, err := userland.Run(soft.New(), program, "program", "trap")
	if err == nil || !strings.Contains(err.Error(), "exception to vector 0x400") {
		t.Errorf("an undefined instruction: %v", err)
	}
	for name, file := range map[string][]byte{"nothing": nil, "half of it": program[:len(program)/2]} {
		if _, err := userland.Run(soft.New(), file); err == nil || !strings.Contains(err.Error(), "cannot load program") {
			t.Errorf("%s: %v, want one that cannot be loaded", name, err)
		}
	}
}
