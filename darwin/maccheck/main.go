// Command maccheck is what a person with a Mac runs, as `make mac-check`: it builds with Apple's SDK, signs, runs the
// tests that want Apple's systems, starts a machine under launchd, has the Mac sleep and wake, measures, and writes one report
// that says of each assumption in docs/mac.md whether it held, failed, or was not looked at, and why not.
//
// Its rehearsal, elsewhere than on a Mac, takes the same steps against the stand-ins of Apple's libraries and of its
// commands (rehearse_other.go). Such a report says nothing about a Mac; it shows that the check works.
//
// It works in a home of its own and under labels of its own, removes both, and leaves a user's ArcBox and Docker alone. What needs
// somebody (sleep) or root (memory pressure, low-power mode) is asked for first, and left out where nobody answers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

func main() {
	if status, other := otherProgram(os.Args); other {
		os.Exit(status)
	}
	o := options{out: os.Stderr}
	fs := pflag.NewFlagSet("mac-check", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.BoolVar(&o.rehearse, "rehearse", false, "run elsewhere than on a Mac, against the stand-ins")
	fs.StringSliceVar(&o.only, "only", nil, "take these `STEPS` only, by name")
	yes := fs.BoolP("yes", "y", false, "ask nothing; what needs a person is not run")
	fs.IntVar(&o.rounds, "rounds", 3, "measure everything `N` times")
	fs.StringVar(&o.report, "report", "build/mac-report.md", "the report's `FILE`")
	fs.StringVar(&o.work, "work", "build/mac-check", "a `DIRECTORY` for programs and logs")
	fs.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: mac-check [flags]\n\n%s\nSteps:\n", fs.FlagUsages())
		for _, s := range steps {
			fmt.Fprintf(os.Stderr, "  %-9s %s\n", s.name, s.about)
		}
		fmt.Fprint(os.Stderr, "\nExamples:\n  mac-check\n  mac-check --only rules,engine\n  mac-check --only machine,sleep,end\n  mac-check --rehearse\n")
	}
	switch err := fs.Parse(os.Args[1:]); {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "mac-check:", err)
		os.Exit(2)
	}
	if !*yes && term.IsTerminal(int(os.Stdin.Fd())) {
		o.answers = lines(os.Stdin)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	well, err := check(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mac-check:", err)
	}
	if err != nil || !well {
		os.Exit(1)
	}
}

// otherProgram does what this program does under other names: for `go test -exec`, and as a stand-in of Apple's commands.
func otherProgram(args []string) (status int, other bool) {
	if len(args) > 3 && args[1] == signAndRun {
		fmt.Fprintln(os.Stderr, "mac-check:", signThenRun(args[2], args[3:]))
		return 1, true
	}
	return appleCommand(args)
}
