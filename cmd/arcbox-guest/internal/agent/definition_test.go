//go:build linux

package agent

import (
	"strings"
	"testing"
)

func TestServiceNames(t *testing.T) {
	for name, want := range map[string]bool{
		"dockerd": true, "a": true, "0": true, "my-own-2": true, "ends-": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, "A": false, "a_b": false, "a.b": false, "a/b": false, "..": false, "a\x00": false, "é": false, "a\n": false,
		strings.Repeat("a", 33): false,
	} {
		if got := isServiceName(name); got != want {
			t.Errorf("%q is a service's name: %v, want %v", name, got, want)
		}
	}
}
