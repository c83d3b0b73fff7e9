package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func newConsole() *cobra.Command {
	var which string
	var history bool
	cmd := &cobra.Command{
		Use:   "console [NAME]",
		Short: "Be the terminal of a machine's console",
		Long: `Console joins this terminal to the console of a machine that runs. What the guest
prints is shown, what you type is typed there. Ctrl-A x leaves; the machine notices
nothing.`,
		Example: `  arcbox console
  arcbox console --history work`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				return attachConsole(ctx, conn, &agentapi.ConsoleReq{Name: firstArg(args), Console: which, History: history})
			})
		},
	}
	cmd.Flags().StringVar(&which, "console", "", "console to join: hvc0 (the system's) or hvc1 (the guest agent's)")
	cmd.Flags().BoolVar(&history, "history", false, "first show what is kept of what it has printed")
	completeFlag(cmd, "console", cobra.FixedCompletions([]cobra.Completion{"hvc0", "hvc1"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// attachConsole returns when the user leaves or the guest has ended.
func attachConsole(ctx context.Context, conn *ipc.Conn, req *agentapi.ConsoleReq) error {
	resp, err := ipc.Call(ctx, conn, agentapi.Console, req)
	if err != nil {
		return err
	}
	defer resp.Close()
	f, err := resp.Take(resp.Stream)
	if err != nil {
		return err
	}
	sock, err := unixConn(f)
	if err != nil {
		return err
	}
	term := &terminal{sock: sock, restore: func() {}}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	resize := func(cols, rows int) {
		_, _ = ipc.Call(ctx, conn, agentapi.ResizeConsole, &agentapi.ResizeConsoleReq{Name: req.Name, Cols: uint16(cols), Rows: uint16(rows)})
	}
	if err := term.start(leave, resize); err != nil {
		sock.Close()
		return err
	}
	stop := context.AfterFunc(ctx, func() { sock.Close() })
	defer stop()
	term.close()
	if cause := context.Cause(ctx); cause == nil {
		fmt.Fprintln(os.Stderr, "arcbox: the console has ended")
	} else if !errors.Is(cause, errLeft) {
		return cause
	}
	return nil
}

// unixConn makes a connection of a socket that was handed over, and takes f over.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close() // FileConn has a copy of its own
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("cannot use the console's stream: %w", err)
	}
	sock, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, fmt.Errorf("cannot use the console's stream: it is a %T", nc)
	}
	return sock, nil
}
