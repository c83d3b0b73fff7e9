package machine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSandboxed(t *testing.T) {
	t.Setenv(sandboxEnv, "")
	if got := sandboxed("/p/arcbox-net", ""); !slices.Equal(got, []string{"/p/arcbox-net"}) {
		t.Errorf("without a profile: %q", got)
	}
	got := sandboxed("/p/arcbox-vm", vmProfile)
	if len(got) != 6 || got[0] != sandboxExec || got[2] != vmProfile || got[4] != "PROGRAM=/p/arcbox-vm" || got[5] != "/p/arcbox-vm" {
		t.Errorf("with a profile: %q", got)
	}
	t.Setenv(sandboxEnv, "off")
	if got := sandboxed("/p/arcbox-vm", vmProfile); !slices.Equal(got, []string{"/p/arcbox-vm"}) {
		t.Errorf("turned off: %q", got)
	}
}

// /var and /tmp are links on a Mac: a program there would be refused its own start by the name that the profile has.
func TestSandboxedLooksBehindLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "private"), 0o755), os.WriteFile(filepath.Join(dir, "private/arcbox-vm"), nil, 0o755), os.Symlink("private", filepath.Join(dir, "var"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, want := sandboxed(filepath.Join(dir, "var/arcbox-vm"), vmProfile), filepath.Join(dir, "private/arcbox-vm")
	if len(got) != 6 || got[4] != "PROGRAM="+want || got[5] != want {
		t.Errorf("the command line is %q; want %s", got, want)
	}
}

// The profile denies by default, and allows no file to be written, no connection of its own and no other program. The process
// takes connections on the socket that it is handed, or no agent could adopt it after the first.
func TestTheProfileGivesNothingAway(t *testing.T) {
	var rules []string
	depth := 0
	for line := range strings.Lines(vmProfile) {
		line, _, _ = strings.Cut(line, ";")
		depth += strings.Count(line, "(") - strings.Count(line, ")")
		if rule := strings.TrimSpace(line); rule != "" {
			rules = append(rules, rule)
		}
	}
	if depth != 0 {
		t.Errorf("%d parentheses are open at the end", depth)
	}
	if len(rules) < 3 || rules[0] != "(version 1)" || rules[1] != "(deny default)" {
		t.Fatalf("it begins with %q", rules[:min(2, len(rules))])
	}
	const adoption = "(allow network-inbound (local unix-socket))"
	if slices.Index(rules, adoption) < slices.Index(rules, "(deny network*)") { // the last that suits decides
		t.Errorf("it does not end with %s", adoption)
	}
	for _, r := range rules {
		if r == adoption {
			continue
		}
		for _, no := range []string{"network", "file-write", "process-fork", "(allow default", "mach-register"} {
			if strings.HasPrefix(r, "(allow") && strings.Contains(r, no) {
				t.Errorf("it has %s", r)
			}
		}
		if strings.HasPrefix(r, "(allow process-exec") && !strings.Contains(r, "PROGRAM") {
			t.Errorf("it starts other programs: %s", r)
		}
	}
}
