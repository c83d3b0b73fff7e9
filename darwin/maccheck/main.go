// Command maccheck looks, on a Mac, at what the project takes for true of Macs (docs/mac.md), and writes one report: each
// assumption with held, failed or not run, what was measured, and on what. In rehearsal the same steps run on Linux against
// the stand-ins, which shows that the steps work and nothing about a Mac.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"

	"github.com/spf13/pflag"
)

func main() {
	c := &checker{in: os.Stdin, out: os.Stderr}
	fs := pflag.NewFlagSet("mac-check", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.BoolVar(&c.rehearsal, "rehearse", false, "run on Linux, against the stand-ins")
	fs.StringSliceVar(&c.only, "only", nil, "run these `STEPS` only, by name")
	fs.BoolVarP(&c.yes, "yes", "y", false, "ask nothing; what needs a person is not run")
	fs.StringVar(&c.report, "report", "build/mac-report.md", "the report's `FILE`")
	fs.StringVar(&c.dir, "work", "build/mac-check", "a `DIRECTORY` for programs, logs and a home")
	fs.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: mac-check [flags]\n\n%s\nSteps:\n", fs.FlagUsages())
		for _, s := range steps {
			fmt.Fprintf(os.Stderr, "  %-8s %s\n", s.name, s.about)
		}
		fmt.Fprint(os.Stderr, "\nExamples:\n  mac-check\n  mac-check --only rules,engine\n  mac-check --rehearse --yes\n")
	}
	switch err := fs.Parse(os.Args[1:]); {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "mac-check:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := run(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mac-check:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "%s has what was found; please attach it to an issue\n", c.report)
	if failed > 0 {
		os.Exit(1)
	}
}

// run does the steps and writes the report. It says how many assumptions and steps failed.
func run(ctx context.Context, c *checker) (failed int, err error) {
	if runtime.GOOS != "darwin" && !c.rehearsal {
		return 0, errors.New("cannot check a Mac: this is none; --rehearse runs the steps against the stand-ins")
	}
	for _, name := range c.only {
		if stepOf(name) == nil {
			return 0, fmt.Errorf("cannot run the step %q: there are %s", name, strings.Join(stepNames(), ", "))
		}
	}
	rows, err := readRows("docs/mac.md")
	if err != nil {
		return 0, err
	}
	if err := c.prepare(); err != nil {
		return 0, err
	}
	defer c.end()
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		c.take(ctx, s)
	}
	return c.write(rows)
}
