package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWhatIsTypedBesideCommands(t *testing.T) {
	tests := []struct {
		name, args string
		status     int
		says       string
	}{
		{"nothing", "", 0, "Inside a machine:"},
		{"an unknown command", "frobnicate", exitUsage, "cannot run arcbox frobnicate"},
		{"an unknown command of assets", "assets frobnicate", exitUsage, "cannot run arcbox assets frobnicate"},
		{"an unknown flag", "--frobnicate", exitUsage, "--frobnicate"},
		{"the version", "version", 0, "arcbox "},
		{"the version for programs", "version --json", 0, `"platform"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			root := newRoot()
			root.SetOut(&out)
			root.SetArgs(strings.Fields(tt.args))
			err := root.Execute()
			if err != nil {
				out.WriteString(err.Error())
			}
			if status := report(err); status != tt.status || !strings.Contains(out.String(), tt.says) {
				t.Errorf("arcbox %s: exit %d, %q; want %d and a text with %q", tt.args, status, out.String(), tt.status, tt.says)
			}
		})
	}
}

// Every command that does something shows how.
func TestEveryCommandHasExamples(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.HasParent() && cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s has no examples", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRoot())
}
