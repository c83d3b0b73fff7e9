package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/launchd"
)

// exitDown is the status of arcbox status --quiet for a machine that does not run.
const exitDown = 3

// displayName is what "" stands for.
func displayName(name string) string { return cmp.Or(name, agentapi.DefaultMachine) }

// isUp says whether a machine's guest runs.
func isUp(m *agentapi.Machine) bool { return m.State == "running" || m.State == "idle" }

// onAgent runs do with a connection to the agent, which is started if need be.
func onAgent(cmd *cobra.Command, do func(ctx context.Context, conn *ipc.Conn) error) error {
	conn, err := agentConn(cmd.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(cmd.Context(), conn)
}

// onAnyAgent is onAgent for what does no harm when it is done twice: an agent that ends meanwhile leaves it to the next one.
func onAnyAgent(cmd *cobra.Command, do func(ctx context.Context, conn *ipc.Conn) error) error {
	ended := func(err error) bool { return errors.Is(err, ipc.ErrInterrupted) }
	_, err := withNextAgent(cmd.Context(), ended, func() (struct{}, error) { return struct{}{}, onAgent(cmd, do) })
	return err
}

func newStart() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "start [NAME]",
		Short: "Bring a machine up, and wait until it can be used",
		Long: `Start makes the machine if there is none, boots it, and returns when its guest has
answered. Everything that needs a machine does the same by itself: start is for
when you want it ready beforehand.

Ctrl-C leaves at once; the machine goes on starting, and arcbox stop ends that.`,
		Example: `  arcbox start
  arcbox start work --json`,
		Aliases:           []string{"up"},
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAnyAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				return start(cmd, ctx, conn, firstArg(args), &o)
			})
		},
	}
	o.add(cmd)
	return cmd
}

func start(cmd *cobra.Command, ctx context.Context, conn *ipc.Conn, name string, o *outputFlags) error {
	show := watchMachine(ctx, conn, name, cmd.ErrOrStderr(), o.quiet)
	resp, err := ipc.Call(ctx, conn, agentapi.EnsureReady, &agentapi.EnsureReadyReq{Name: name})
	show.close()
	if err != nil {
		return leftStarting(ctx, name, err)
	}
	if !o.quiet {
		offerTakeover(ctx, conn, cmd.ErrOrStderr())
	}
	switch {
	case o.json:
		return printJSON(cmd.OutOrStdout(), resp)
	case o.quiet:
		return nil
	case resp.Started:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is ready after %.1f s\n", resp.Machine.Name, float64(resp.TookMS)/1000)
	default:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is ready already\n", resp.Machine.Name)
	}
	return err
}

// leftStarting says what goes on when the user left with Ctrl-C.
func leftStarting(ctx context.Context, name string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &statusError{exitInterrupted, fmt.Errorf("you left; %s goes on, and arcbox stop %s ends it", displayName(name), displayName(name))}
}

func newStop() *cobra.Command {
	var o outputFlags
	var force, all bool
	cmd := &cobra.Command{
		Use:   "stop [NAME]",
		Short: "Shut a machine down",
		Long: `Stop has the guest shut down, cuts it off when its grace (25 s) is over, and
returns when it has ended. With --force it is cut off at once, as by pulling the
plug: what the guest has flushed is safe. A machine that does not run is stopped
already.

Ctrl-C leaves at once; the machine goes on stopping.`,
		Example: `  arcbox stop
  arcbox stop work --force
  arcbox stop --all`,
		Aliases:           []string{"down"},
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usagef("cannot stop both all machines and %s: leave one out", args[0])
			}
			return onAnyAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				names, err := chosenMachines(ctx, conn, args, all)
				if err != nil {
					return err
				}
				return stopMachines(cmd, ctx, conn, names, force, &o)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "cut it off at once")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "stop every machine")
	return cmd
}

// chosenMachines are the one that was named, or all that run.
func chosenMachines(ctx context.Context, conn *ipc.Conn, args []string, all bool) ([]string, error) {
	if !all {
		return []string{firstArg(args)}, nil
	}
	resp, err := ipc.Call(ctx, conn, agentapi.List, &agentapi.ListReq{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range resp.Machines {
		names = append(names, m.Name)
	}
	return names, nil
}

// stopMachines stops machines side by side.
func stopMachines(cmd *cobra.Command, ctx context.Context, conn *ipc.Conn, names []string, force bool, o *outputFlags) error {
	type end struct {
		m   *agentapi.Machine
		err error
	}
	ends := make([]chan end, len(names))
	for i, name := range names {
		ends[i] = make(chan end, 1)
		go func() {
			resp, err := ipc.Call(ctx, conn, agentapi.Stop, &agentapi.StopReq{Name: name, Force: force})
			if err != nil {
				if len(names) > 1 {
					err = fmt.Errorf("%s: %w", displayName(name), err)
				}
				ends[i] <- end{nil, err}
				return
			}
			ends[i] <- end{&resp.Machine, nil}
		}()
	}
	stopped := []agentapi.Machine{}
	var errs []error
	for _, c := range ends {
		e := <-c
		if e.err != nil {
			errs = append(errs, e.err)
			continue
		}
		stopped = append(stopped, *e.m)
		if !o.json && !o.quiet {
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", e.m.Name, e.m.State)
		}
	}
	if o.json {
		errs = append(errs, printJSON(cmd.OutOrStdout(), map[string]any{"machines": stopped}))
	}
	return errors.Join(errs...)
}

func newRestart() *cobra.Command {
	var o outputFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "restart [NAME]",
		Short: "Shut a machine down and bring it up again",
		Long: `Restart is stop and start in one. What was changed with arcbox resources, arcbox
config or a new boot asset takes effect.`,
		Example: `  arcbox restart
  arcbox restart work --force`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAnyAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				return restart(cmd, ctx, conn, firstArg(args), force, &o)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "cut it off instead of shutting it down")
	return cmd
}

func restart(cmd *cobra.Command, ctx context.Context, conn *ipc.Conn, name string, force bool, o *outputFlags) error {
	began := time.Now()
	show := watchMachine(ctx, conn, name, cmd.ErrOrStderr(), o.quiet)
	resp, err := ipc.Call(ctx, conn, agentapi.Restart, &agentapi.RestartReq{Name: name, Force: force})
	show.close()
	if err != nil {
		return leftStarting(ctx, name, err)
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), resp)
	}
	if !o.quiet {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is ready after %.1f s\n", resp.Machine.Name, time.Since(began).Seconds())
	}
	return err
}

func newList() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the machines",
		Long:  `List shows every machine and what it is doing; with --quiet the names alone.`,
		Example: `  arcbox list
  arcbox list --json | jq -r '.[] | select(.state == "running").name'`,
		Aliases:           []string{"ls", "ps"},
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error { return list(cmd, ctx, conn, &o) })
		},
	}
	o.add(cmd)
	cmd.Flags().Lookup("quiet").Usage = "print names alone"
	return cmd
}

func list(cmd *cobra.Command, ctx context.Context, conn *ipc.Conn, o *outputFlags) error {
	resp, err := ipc.Call(ctx, conn, agentapi.List, &agentapi.ListReq{})
	if err != nil {
		return err
	}
	for _, p := range resp.Problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "arcbox:", p)
	}
	out := cmd.OutOrStdout()
	switch {
	case o.json:
		return printJSON(out, slices.Concat([]agentapi.Machine{}, resp.Machines))
	case o.quiet:
		for _, m := range resp.Machines {
			fmt.Fprintln(out, m.Name)
		}
		return nil
	case len(resp.Machines) == 0:
		_, err = fmt.Fprintln(out, "no machines; arcbox start makes the first")
		return err
	}
	return printMachines(out, resp.Machines)
}

// An agentStatus is what status says of the agent.
type agentStatus struct {
	Running bool                  `json:"running"`
	PID     int                   `json:"pid,omitempty"`
	Version string                `json:"version,omitempty"`
	Started *time.Time            `json:"started,omitempty"`
	Setup   *agentapi.SetupStatus `json:"setup,omitempty"`
	Service *launchd.Status       `json:"service,omitempty"` // in what agent commands say, where it is installed
}

// A status is what status --json prints.
type status struct {
	Agent    agentStatus        `json:"agent"`
	Machines []agentapi.Machine `json:"machines"`
	Problems []string           `json:"problems,omitempty"`
}

func newStatus() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Say how the agent and the machines are",
		Long: `Status looks and changes nothing: it starts neither the agent nor a machine, and
it does not count as use. With --quiet it says nothing, and exits with 0 if the
machine runs and with 3 if it does not.`,
		Example: `  arcbox status
  arcbox status work --json
  arcbox status --quiet || arcbox start`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := readStatus(cmd.Context(), firstArg(args))
			if err != nil {
				return err
			}
			return showStatus(cmd.OutOrStdout(), st, firstArg(args), &o)
		},
	}
	o.add(cmd)
	return cmd
}

// readStatus asks the agent that runs, if one does.
func readStatus(ctx context.Context, name string) (*status, error) {
	st := &status{Machines: []agentapi.Machine{}}
	conn, err := dialAgent(ctx)
	if errors.Is(err, errNoAgent) {
		return st, nil
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	v, err := ipc.Call(ctx, conn, agentapi.Version, &agentapi.VersionReq{})
	if err != nil {
		return nil, err
	}
	setup, err := ipc.Call(ctx, conn, agentapi.Setup, &agentapi.SetupReq{})
	if err != nil {
		return nil, err
	}
	began := time.UnixMilli(v.Started)
	st.Agent = agentStatus{Running: true, PID: v.PID, Version: v.Version, Started: &began, Setup: setup}
	if setup.Phase == agentapi.SetupFailed {
		return st, nil
	}
	all, err := ipc.Call(ctx, conn, agentapi.List, &agentapi.ListReq{})
	if err != nil {
		return nil, err
	}
	st.Problems = all.Problems
	for _, m := range all.Machines {
		if name == "" || m.Name == name {
			st.Machines = append(st.Machines, m)
		}
	}
	if name != "" && len(st.Machines) == 0 {
		return nil, fmt.Errorf("cannot find a machine %q; see arcbox list", name)
	}
	return st, nil
}

func showStatus(out io.Writer, st *status, name string, o *outputFlags) error {
	if o.json {
		return printJSON(out, st)
	}
	if o.quiet {
		i := slices.IndexFunc(st.Machines, func(m agentapi.Machine) bool { return m.Name == displayName(name) })
		if i < 0 || !isUp(&st.Machines[i]) {
			return &statusError{exitDown, errors.New("")}
		}
		return nil
	}
	fmt.Fprintln(out, agentLine(paintFor(out), &st.Agent))
	for _, p := range st.Problems {
		fmt.Fprintln(out, paintFor(out).in(yellow, "problem: "+p))
	}
	if len(st.Machines) == 0 {
		if st.Agent.Running && st.Agent.Setup.Phase != agentapi.SetupFailed {
			fmt.Fprintln(out, "no machines; arcbox start makes the first")
		}
		return nil
	}
	return printMachines(out, st.Machines)
}

// agentLine is the agent in one line.
func agentLine(p paint, a *agentStatus) string {
	if !a.Running {
		return "agent: not running; it starts by itself when something needs it"
	}
	phase := strings.ToLower(strings.ReplaceAll(string(a.Setup.Phase), "_", " "))
	if a.Setup.Error != "" {
		phase = p.in(red, phase+": "+a.Setup.Error)
	} else {
		phase = p.state(phase)
	}
	return fmt.Sprintf("agent: %s (process %d, %s, for %s)", phase, a.PID, a.Version, ago(*a.Started))
}

func newInspect() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "inspect [NAME]",
		Short: "Show everything about a machine",
		Long: `Inspect shows a machine's record, what it boots, the process that holds it and what
will change at its next start. With --json it prints one object, which has
state, vm_pid, boot_id and cid among its fields.`,
		Example: `  arcbox inspect
  arcbox inspect --json | jq .vm_pid`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				m, err := ipc.Call(ctx, conn, agentapi.Inspect, &agentapi.InspectReq{Name: firstArg(args)})
				if err != nil || o.quiet {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), m)
				}
				return printInspect(cmd.OutOrStdout(), m)
			})
		},
	}
	o.add(cmd)
	return cmd
}

func printInspect(out io.Writer, m *agentapi.InspectResp) error {
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	var drift []string
	for _, d := range m.Drift {
		drift = append(drift, fmt.Sprintf("%s: %s -> %s", d.Field, d.From, d.To))
	}
	err := facts(out,
		"name", m.Name, "state", paintFor(out).state(m.State)+" for "+ago(m.Since), "cause", m.Cause, "waits", m.Waits, "role", m.Role,
		"cpus", number(m.CPUs), "memory", size(m.Memory), "disk", units.HumanSize(float64(m.Disk)),
		"cid", number(int(m.CID)), "vm process", number(m.VMPID), "boot id", m.BootID, "uptime", uptime(&m.Machine),
		"created", m.Created.Local().Format(time.DateTime), "generation", fmt.Sprint(m.Generation), "failures", number(m.Failures),
		"asset", m.Boot.Asset, "kernel", m.Boot.Kernel, "initrd", m.Boot.Initrd, "cmdline", m.Boot.Cmdline, "engine", m.Boot.Engine,
		"disks", strings.Join(m.Boot.Disks, "\n\t"), "next start", strings.Join(drift, "\n\t"), "crash reports", strings.Join(m.Reports, "\n\t"))
	if err != nil || len(m.Record) == 0 {
		return err
	}
	text, err := json.MarshalIndent(m.Record, "  ", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "record\n  %s\n", text)
	return err
}
