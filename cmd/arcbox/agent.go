package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func newAgent() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run and look after the agent, which looks after the machines",
		Long: `The agent (arcboxd) is one process of yours that looks after your machines. It
starts by itself when a command needs it, or with your session, once it is installed. When it ends, machines go on, and the next
agent takes them over.`,
		Example: `  arcbox agent status
  arcbox agent install
  arcbox agent stop --machines`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAgentRun(), newAgentStart(), newAgentStop(), newAgentRestart(), newAgentStatus(), newAgentInstall(), newAgentUninstall())
	return cmd
}

func newAgentRun() *cobra.Command {
	return &cobra.Command{
		Use:   "run [-- FLAG...]",
		Short: "Be the agent, in the foreground",
		Long: `Run becomes arcboxd, whose flags it takes: --takeover replaces the agent that runs.
Ctrl-C ends the agent and lets machines go on; a second Ctrl-C waits for nothing.`,
		Example: `  arcbox agent run
  arcbox agent run --takeover`,
		DisableFlagParsing: true,
		ValidArgsFunction:  cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
				return cmd.Help()
			}
			program, err := agentProgram()
			if err != nil {
				return err
			}
			err = syscall.Exec(program, append([]string{program}, args...), os.Environ())
			return fmt.Errorf("cannot run %s: %w", program, err)
		},
	}
}

func newAgentStart() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:               "start",
		Short:             "Start the agent in the background, if none runs",
		Example:           `  arcbox agent start`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error { return sayAgent(cmd, &o) })
		},
	}
	o.add(cmd)
	return cmd
}

// sayAgent prints how the agent is.
func sayAgent(cmd *cobra.Command, o *outputFlags) error {
	st, err := readStatus(cmd.Context(), "")
	if err != nil || o.quiet {
		return err
	}
	_, st.Agent.Service = installed(cmd.Context())
	if o.json {
		return printJSON(cmd.OutOrStdout(), st.Agent)
	}
	p := paintFor(cmd.OutOrStdout())
	if _, err = fmt.Fprintln(cmd.OutOrStdout(), agentLine(p, &st.Agent)); err == nil && st.Agent.Service != nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), serviceLine(p, st.Agent.Service))
	}
	return err
}

func newAgentStop() *cobra.Command {
	var machines, quiet bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the agent; machines go on unless --machines",
		Long: `Stop ends the agent and returns when it has ended. Machines go on, and the next
agent takes them over; with --machines they are shut down first. A machine that no
agent takes over shuts down by itself after a while.`,
		Example: `  arcbox agent stop
  arcbox agent stop --machines`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			said, err := stopAgent(cmd.Context(), machines)
			if err == nil {
				err = stopService(cmd.Context())
			}
			if err == nil && !quiet {
				fmt.Fprintln(cmd.OutOrStdout(), said)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&machines, "machines", false, "shut the machines down as well")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

// stopAgent ends the agent that runs and says what it did. One that runs and does not answer is sent a signal.
func stopAgent(ctx context.Context, machines bool) (said string, err error) {
	h, err := home.Find()
	if err != nil {
		return "", err
	}
	holder, held, err := lease.Held(h.Run())
	if err != nil {
		return "", err
	}
	if !held && !machines {
		return "no agent runs", nil
	}
	conn, err := agentConn(ctx) // machines may go on without an agent
	if err != nil {
		if !held || machines {
			return "", err
		}
		return "the agent has ended, which did not answer", lease.End(ctx, h.Run(), holder)
	}
	defer conn.Close()
	if _, err := ipc.Call(ctx, conn, agentapi.Shutdown, &agentapi.ShutdownReq{StopMachines: machines}); err != nil {
		return "", err
	}
	if err := lease.AwaitEnd(ctx, h.Run()); err != nil {
		return "", err
	}
	if machines {
		return "the agent and the machines have ended", nil
	}
	return "the agent has ended; machines go on", nil
}

func newAgentRestart() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "restart",
		Short: "Replace the agent by a new one; machines go on",
		Long: `Restart ends the agent and starts the one beside this program, as after an update.
Machines go on, and what runs in them notices nothing.`,
		Example:           `  arcbox agent restart`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := replaceAgent(cmd.Context()); err != nil {
				return err
			}
			return sayAgent(cmd, &o)
		},
	}
	o.add(cmd)
	return cmd
}

func newAgentStatus() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the agent is",
		Long:  `Status starts nothing. The exit status is 3 when no agent runs.`,
		Example: `  arcbox agent status
  arcbox agent status --json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := readStatus(cmd.Context(), "")
			if err != nil {
				return err
			}
			if err := sayAgent(cmd, &o); err != nil {
				return err
			}
			if !st.Agent.Running {
				return &statusError{exitDown, errors.New("")}
			}
			return nil
		},
	}
	o.add(cmd)
	return cmd
}
