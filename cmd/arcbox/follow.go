package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func newLogs() *cobra.Command {
	var follow bool
	var component string
	var tail int
	cmd := &cobra.Command{
		Use:   "logs [-f] [--component NAME] [NAME]",
		Short: "Show what a machine or the agent has logged",
		Long: `Logs shows the console of a machine, or with --component another log: console, guest
(the guest's agent), vm (the process that holds it), net (the one that plays its network), agent (arcboxd itself),
or a service in the guest by its name. With -f it goes on until Ctrl-C, also when the agent is replaced. It never starts a machine.`,
		Example: `  arcbox logs -n 50
  arcbox logs -f --component guest
  arcbox logs --component agent`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			if tail < -1 {
				return usagef("cannot show %d lines", tail)
			}
			req := &agentapi.LogsReq{Name: firstArg(args), Component: component, Follow: follow, Tail: tail}
			switch tail {
			case 0:
				req.Tail = -1
			case -1:
				req.Tail = 0
			}
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				err := showLog(ctx, cmd.OutOrStdout(), conn, req)
				if follow && errors.Is(err, ipc.ErrInterrupted) {
					return goOnWithLog(ctx, cmd, req)
				}
				return err
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	fl.StringVar(&component, "component", "", "`NAME` of the log: console, guest, vm, net, agent, or a service")
	fl.IntVarP(&tail, "tail", "n", -1, "begin with the last `N` lines; -1 is all that is kept")
	completeFlag(cmd, "component", cobra.FixedCompletions([]cobra.Completion{
		cobra.CompletionWithDesc("console", "what the guest's kernel and init print"),
		cobra.CompletionWithDesc("guest", "the agent in the guest"),
		cobra.CompletionWithDesc("vm", "the process that holds the machine"),
		cobra.CompletionWithDesc("net", "the process that plays the machine's network"),
		cobra.CompletionWithDesc("agent", "arcboxd itself"),
	}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// goOnWithLog follows a log from agent to agent, until Ctrl-C. What is logged while there is none is not shown.
func goOnWithLog(ctx context.Context, cmd *cobra.Command, last *agentapi.LogsReq) error {
	agents := ipc.NewRedialer(dialNextAgent)
	defer agents.Close()
	for {
		fmt.Fprintln(cmd.ErrOrStderr(), waiting)
		_, err := ipc.CallAgain(ctx, agents, ipc.Ping, &struct{}{})
		var conn *ipc.Conn
		if err == nil {
			conn, err = agents.Conn(ctx)
		}
		if err == nil {
			err = showLog(ctx, cmd.OutOrStdout(), conn, &agentapi.LogsReq{Name: last.Name, Component: last.Component, Follow: true, Tail: -1})
		}
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how it ends
		case !errors.Is(err, ipc.ErrInterrupted):
			return err
		}
	}
}

// dialNextAgent is dialAgent for who waits until there is one.
func dialNextAgent(ctx context.Context) (*ipc.Conn, error) {
	conn, err := dialAgent(ctx)
	if errors.Is(err, errNoAgent) {
		err = fmt.Errorf("%w: %w", ipc.ErrInterrupted, err)
	}
	return conn, err
}

// waiting tells who follows something why nothing comes.
const waiting = "arcbox: the agent has ended; waiting for the next one"

// showLog copies a log until it ends or Ctrl-C.
func showLog(ctx context.Context, out io.Writer, conn *ipc.Conn, req *agentapi.LogsReq) error {
	data, ref := req.Open()
	req.Data = ref
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, data)
		copied <- err
	}()
	_, err := ipc.Call(ctx, conn, agentapi.Logs, req)
	if err != nil {
		data.Close()
	}
	<-copied
	if ctx.Err() != nil && req.Follow {
		return nil // Ctrl-C is how it ends
	}
	return err
}

func newEvents() *cobra.Command {
	var asJSON bool
	var after uint64
	cmd := &cobra.Command{
		Use:   "events [NAME]",
		Short: "Show what happens, as it happens",
		Long: `Events shows what happens to the machines and the agent until Ctrl-C, also while the
agent is restarted. With --json each event is one line. With --after it begins with those that
are kept after that number.`,
		Example: `  arcbox events
  arcbox events --json | jq -r 'select(.kind == "failed").cause'
  arcbox events --after 1 work`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := agentConn(cmd.Context()) // there is one to follow
			if err != nil {
				return err
			}
			conn.Close()
			return showEvents(cmd, firstArg(args), after, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.Flags().Uint64Var(&after, "after", 0, "begin after event number `N`")
	return cmd
}

// showEvents follows events from agent to agent. The numbers of each begin anew.
func showEvents(cmd *cobra.Command, name string, after uint64, asJSON bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	agents := ipc.NewRedialer(dialNextAgent)
	defer agents.Close()
	ask := func() *agentapi.EventsReq { return &agentapi.EventsReq{After: after} }
	for e, err := range ipc.Follow(ctx, agents, agentapi.Events, ask) {
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how it ends
		case err != nil && (errors.Is(err, ipc.ErrInterrupted)):
			fmt.Fprintln(cmd.ErrOrStderr(), waiting)
			after = agentapi.BeforeEvents // nothing of the next one is old news
			continue
		case err != nil:
			return err
		}
		after = e.Seq
		if name != "" && e.Machine != name {
			continue
		}
		if err := printEvent(out, e, asJSON); err != nil {
			return err
		}
	}
	return nil
}

func printEvent(out io.Writer, e *agentapi.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	p := paintFor(out)
	what := string(e.Kind)
	switch e.Kind {
	case agentapi.MachineFailed:
		what = p.in(red, what)
	case agentapi.MachineReady, agentapi.MachineRecovered:
		what = p.in(green, what)
	case agentapi.SetupChanged:
		what = strings.ToLower(strings.ReplaceAll(string(e.Setup.Phase), "_", " "))
	}
	line := []string{p.in(dim, e.Time.Local().Format("15:04:05.000"))}
	if e.Machine != "" {
		line = append(line, p.in(bold, e.Machine))
	} else {
		line = append(line, p.in(bold, "agent"))
	}
	line = append(line, what)
	for _, more := range []string{e.Message, e.Cause} {
		if more != "" {
			line = append(line, more)
		}
	}
	for _, c := range e.Changes {
		line = append(line, fmt.Sprintf("%s: %s -> %s", c.Field, c.From, c.To))
	}
	_, err := fmt.Fprintln(out, strings.Join(line, "  "))
	return err
}
