package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// statsEvery is how often figures are asked for.
const statsEvery = time.Second

func newStats() *cobra.Command {
	var asJSON, once bool
	cmd := &cobra.Command{
		Use:   "stats [NAME...]",
		Short: "Show what machines take, live",
		Long: `Stats shows what machines take of this host, every second until Ctrl-C: processor,
memory, disk and streams. Looking is no use: it keeps no machine awake. With --json each
machine's figures are one line.`,
		Example: `  arcbox stats
  arcbox stats --once
  arcbox stats --json work`,
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				names, err := machinesOr(ctx, conn, args)
				if err != nil {
					return err
				}
				if len(names) == 0 {
					_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no machines; arcbox start makes the first")
					return err
				}
				return stats(ctx, cmd.OutOrStdout(), conn, names, asJSON, once)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.Flags().BoolVar(&once, "once", false, "show it once")
	return cmd
}

// machinesOr are the machines that were named, or all.
func machinesOr(ctx context.Context, conn *ipc.Conn, names []string) ([]string, error) {
	if len(names) > 0 {
		return names, nil
	}
	return chosenMachines(ctx, conn, nil, true)
}

// A sample is one machine's figures, with those before.
type sample struct {
	now, before *agentapi.MachineStats // before is nil at first
}

// rate is how much of a counter came in a second.
func (s *sample) rate(of func(*agentapi.MachineStats) uint64) float64 {
	if s.before == nil || of(s.now) < of(s.before) { // another process than before
		return 0
	}
	seconds := s.now.Time.Sub(s.before.Time).Seconds()
	if seconds <= 0 {
		return 0
	}
	return float64(of(s.now)-of(s.before)) / seconds
}

// cpu is the share of one processor, in percent.
func (s *sample) cpu() float64 {
	return s.rate(func(m *agentapi.MachineStats) uint64 { return uint64(m.CPUSeconds * 1e6) }) / 1e4
}

// gather follows the figures of machines and calls show with all of them, once for each round, until ctx ends.
func gather(ctx context.Context, conn *ipc.Conn, names []string, once bool, show func([]sample) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	every := statsEvery.Milliseconds()
	if once {
		every = 0
	}
	feeds := make([]chan *agentapi.MachineStats, len(names))
	errs := make(chan error, len(names))
	for i, name := range names {
		feeds[i] = make(chan *agentapi.MachineStats)
		go func() {
			defer close(feeds[i])
			for item, err := range ipc.Subscribe(ctx, conn, agentapi.Stats, &agentapi.StatsReq{Name: name, EveryMS: every}) {
				if err != nil {
					errs <- err
					return
				}
				select {
				case feeds[i] <- item:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	rows := make([]sample, len(names))
	for {
		for i := range rows {
			m, ok := <-feeds[i]
			if !ok {
				return feedEnd(ctx, errs, once)
			}
			rows[i] = sample{m, rows[i].now}
		}
		if err := show(rows); err != nil || once {
			return err
		}
	}
}

// feedEnd is why no more figures come. Ctrl-C is how it should end.
func feedEnd(ctx context.Context, errs <-chan error, once bool) error {
	if ctx.Err() != nil && !once {
		return nil
	}
	select {
	case err := <-errs:
		return err
	default:
		return errors.New("the agent has ended")
	}
}

func stats(ctx context.Context, out io.Writer, conn *ipc.Conn, names []string, asJSON, once bool) error {
	lines := 0
	live := isTerminal(out)
	return gather(ctx, conn, names, once, func(rows []sample) error {
		if asJSON {
			for _, r := range rows {
				if err := json.NewEncoder(out).Encode(r.now); err != nil {
					return err
				}
			}
			return nil
		}
		var b strings.Builder
		if live && lines > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", lines) // over what was shown last
		}
		if err := statsTable(&b, paintFor(out), rows); err != nil {
			return err
		}
		lines = len(rows) + 1
		_, err := io.WriteString(out, b.String())
		return err
	})
}

// statsTable writes one round.
func statsTable(out io.Writer, p paint, rows []sample) error {
	t := newTable(out, "NAME", "STATE", "CPU", "HOST MEMORY", "GUEST FREE", "RETURNED", "READ/S", "WRITE/S", "SENT/S", "RECEIVED/S", "LOAD")
	for i := range rows {
		r := &rows[i]
		m := r.now
		if !isUp(&m.Machine) {
			t.row(m.Machine.Name, p.state(m.Machine.State))
			continue
		}
		free, load := "", ""
		if g := m.Guest; g != nil {
			free, load = size(g.MemAvail), fmt.Sprintf("%.2f", g.Load)
		}
		t.row(m.Machine.Name, p.state(m.Machine.State), fmt.Sprintf("%.1f %%", r.cpu()), size(m.Resident)+" / "+size(m.Machine.Memory), free, size(m.Returned),
			size(uint64(r.rate(diskRead))), size(uint64(r.rate(diskWrite))), size(uint64(r.rate(netSent))), size(uint64(r.rate(netRecv))), load)
	}
	return t.print()
}

func diskRead(m *agentapi.MachineStats) uint64  { return m.DiskRead }
func diskWrite(m *agentapi.MachineStats) uint64 { return m.DiskWrite }
func netSent(m *agentapi.MachineStats) uint64   { return m.NetSent }
func netRecv(m *agentapi.MachineStats) uint64   { return m.NetRecv }
func exits(m *agentapi.MachineStats) (n uint64) {
	for _, v := range m.Exits {
		n += v
	}
	return n
}

func newTop() *cobra.Command {
	return &cobra.Command{
		Use:   "top [NAME]",
		Short: "Watch one machine, as pictures",
		Long: `Top shows how one machine has been over the last minute, on the whole terminal.
Ctrl-C leaves. Looking keeps no machine awake.`,
		Example:           `  arcbox top`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !isTerminal(cmd.OutOrStdout()) {
				return usagef("cannot show pictures where there is no terminal; use arcbox stats")
			}
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				return top(ctx, cmd.OutOrStdout(), conn, firstArg(args))
			})
		},
	}
}

func top(ctx context.Context, out io.Writer, conn *ipc.Conn, name string) error {
	fmt.Fprint(out, "\x1b[?1049h\x1b[?25l") // the other screen, no cursor
	defer fmt.Fprint(out, "\x1b[?25h\x1b[?1049l")
	v := &topView{}
	return gather(ctx, conn, []string{name}, false, func(rows []sample) error {
		width, _, err := term.GetSize(int(os.Stdout.Fd()))
		if err != nil {
			width = 80
		}
		_, err = io.WriteString(out, "\x1b[H\x1b[J"+v.draw(&rows[0], width, paintFor(out)))
		return err
	})
}

// A topView remembers the last minute.
type topView struct {
	past map[string][]float64
}

// topPast is how many rounds are remembered.
const topPast = 60

func (v *topView) add(what string, value float64) []float64 {
	if v.past == nil {
		v.past = map[string][]float64{}
	}
	h := append(v.past[what], value)
	v.past[what] = h[max(0, len(h)-topPast):]
	return v.past[what]
}

// draw is the whole screen.
func (v *topView) draw(s *sample, width int, p paint) string {
	m := s.now
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("%s  %s for %s, up %s, %d vCPUs, process %d", p.in(bold, m.Machine.Name), p.state(m.Machine.State), ago(m.Machine.Since), uptime(&m.Machine), m.Machine.CPUs, m.Machine.VMPID)
	line("")
	graph := max(10, min(topPast, width-46))
	row := func(name string, value, full float64, text string) {
		line("%-9s %s  %s", name, p.in(cyan, spark(v.add(name, value), graph, full)), text)
	}
	cpu := s.cpu()
	row("cpu", cpu, 100*float64(max(m.Machine.CPUs, 1)), fmt.Sprintf("%.1f %%", cpu))
	row("memory", float64(m.Resident), float64(m.Machine.Memory), fmt.Sprintf("%s of %s", size(m.Resident), size(m.Machine.Memory)))
	row("read", s.rate(diskRead), 0, size(uint64(s.rate(diskRead)))+"/s")
	row("write", s.rate(diskWrite), 0, size(uint64(s.rate(diskWrite)))+"/s")
	row("to guest", s.rate(netSent), 0, size(uint64(s.rate(netSent)))+"/s")
	row("to host", s.rate(netRecv), 0, size(uint64(s.rate(netRecv)))+"/s")
	row("exits", s.rate(exits), 0, fmt.Sprintf("%.0f/s", s.rate(exits)))
	line("")
	if g := m.Guest; g != nil {
		used := g.MemTotal - min(g.MemAvail, g.MemTotal)
		line("guest     %s  %s of %s in use, load %.2f, %d programs, %d containers", gauge(float64(used), float64(g.MemTotal), 20), size(used), size(g.MemTotal), g.Load, g.Execs, g.Containers)
	}
	line("returned  %s to the host so far, %s in the balloon", size(m.Returned), size(m.Balloon))
	line("%s", p.in(dim, "Ctrl-C leaves"))
	return b.String()
}

var bars = []rune(" ▁▂▃▄▅▆▇█")

// spark draws the last values as columns, newest at the right; full is the value of the highest, or 0 for the highest that
// there is.
func spark(values []float64, width int, full float64) string {
	values = values[max(0, len(values)-width):]
	if full <= 0 {
		for _, x := range values {
			full = max(full, x)
		}
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	for _, x := range values {
		i := 0
		if full > 0 && x > 0 {
			i = min(1+int(x/full*float64(len(bars)-1)), len(bars)-1)
		}
		b.WriteRune(bars[i])
	}
	return b.String()
}

// gauge draws a part of a whole.
func gauge(part, whole float64, width int) string {
	n := 0
	if whole > 0 {
		n = max(0, min(int(part/whole*float64(width)+0.5), width))
	}
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}
