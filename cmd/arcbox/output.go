package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// outputFlags are how a command answers: for people, for programs, or by its exit status alone.
type outputFlags struct {
	json, quiet bool
}

func (o *outputFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON on standard output")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print nothing but errors")
}

// isTerminal tells whether out is one that a person looks at.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// A paint colours words, or leaves them as they are where there is no terminal or NO_COLOR is set.
type paint bool

func paintFor(out io.Writer) paint {
	return paint(isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// Colours, as select graphic rendition has them.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (p paint) in(colour, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// state shows a machine's state in the colour that it has everywhere.
func (p paint) state(state string) string {
	switch state {
	case "running", "ready":
		return p.in(green, state)
	case "idle":
		return p.in(cyan, state)
	case "starting", "stopping", "creating":
		return p.in(yellow, state)
	case "failed":
		return p.in(red, state)
	}
	return state
}

// A table is rows of cells under a heading, aligned whatever colours they have.
type table struct {
	out  io.Writer
	rows [][]string
}

func newTable(out io.Writer, heading ...string) *table {
	return &table{out: out, rows: [][]string{heading}}
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table. Escape sequences count for nothing, which tabwriter cannot know: widths are ours.
func (t *table) print() error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], visible(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-visible(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// visible is how many characters of s are seen.
func visible(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}

// facts prints names and values in two columns; those without a value are left out.
func facts(out io.Writer, pairs ...string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], pairs[i+1])
		}
	}
	return w.Flush()
}

// size shows bytes as people write them.
func size(n uint64) string { return units.BytesSize(float64(n)) }

// ago shows how long something has lasted.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return lasted(time.Since(t))
}

func lasted(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// uptime is how long a guest has been up; "" when it is not.
func uptime(m *agentapi.Machine) string {
	if m.Uptime == 0 {
		return ""
	}
	return lasted(time.Duration(m.Uptime) * time.Millisecond)
}

// printMachines is the table that list and status show.
func printMachines(out io.Writer, list []agentapi.Machine) error {
	p := paintFor(out)
	t := newTable(out, "NAME", "STATE", "FOR", "CPUS", "MEMORY", "DISK", "UPTIME", "NOTE")
	for i := range list {
		m := &list[i]
		t.row(m.Name, p.state(m.State), ago(m.Since), fmt.Sprint(m.CPUs), size(m.Memory), units.HumanSize(float64(m.Disk)), uptime(m), note(m))
	}
	return t.print()
}

// note is what a person should know beside a machine's state, in one line.
func note(m *agentapi.Machine) string {
	switch {
	case m.Cause != "":
		first, _, _ := strings.Cut(m.Cause, "\n")
		return first
	case m.Waits != "":
		return m.Waits
	case len(m.Holds) > 0:
		var names []string
		for _, h := range m.Holds {
			names = append(names, h.Hold)
		}
		return "held: " + strings.Join(names, ", ")
	}
	return ""
}
