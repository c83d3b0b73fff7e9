// Command arcbox is what people type.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses that every command shares. boot.go adds those of a guest.
const (
	exitError = 1 // something of ours failed
	exitUsage = 2 // the command line makes no sense

	exitInterrupted = 130 // Ctrl-C, as shells have it
)

// A statusError ends the program with a status of its own. Its text, when there
// is any, is printed like every error's.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// usagef is an error in what was typed.
func usagef(format string, args ...any) error {
	return &statusError{exitUsage, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	os.Exit(report(err))
}

// report prints err and turns it into an exit status.
func report(err error) int {
	if err == nil {
		return 0
	}
	status := exitError
	var s *statusError
	if errors.As(err, &s) {
		status = s.status
	} else if errors.Is(err, context.Canceled) {
		status = exitInterrupted
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "arcbox:", text)
	}
	return status
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "arcbox",
		Short: "Linux on this machine, without having to think about it",
		// Errors are printed once, by report; usage only where it was wrong.
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddGroup(&cobra.Group{ID: "machines", Title: "Machines:"}, &cobra.Group{ID: "guest", Title: "Inside a machine:"},
		&cobra.Group{ID: "agent", Title: "Around them:"})
	addGroup(root, "machines", newStart(), newStop(), newRestart(), newStatus(), newList(), newInspect(), newCreate(), newRemove(), newResources(), newHold())
	addGroup(root, "guest", newExec(), newShell(), newConsole(), newCp(), newLogs(), newEvents(), newStats(), newTop())
	addGroup(root, "agent", newAgent(), newConfig(), newDoctor(), newAssets(), newDisk(), newBoot(), newVersion())
	return root
}

func addGroup(root *cobra.Command, id string, cmds ...*cobra.Command) {
	for _, cmd := range cmds {
		cmd.GroupID = id
		root.AddCommand(cmd)
	}
}

// knownCommand refuses what is none of a group's commands.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("cannot run %s %s: there is no such command; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// noArgs refuses words after a command that takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, and %q was given; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
