package machine

import (
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

// The profile denies by default, and allows no file to be written, no connection and no other program.
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
	for _, r := range rules {
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
