// Package daemon is what the program arcboxd does, for whoever builds one: cmd/arcboxd with the news that its system has of
// the host, agent/power/darwinkit with others. It owns the process: command line, signals, log and exit status.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/arcboxlabs/arcbox-go/agent"
	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/agent/logfile"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/agent/power"
	"github.com/arcboxlabs/arcbox-go/boot"
)

// Exit statuses. launchd starts an agent again that ends with another one than 0: where that would only fail
// again, it is 0.
const (
	exitError = 1
	exitUsage = 2
)

// peerRequirement is Options.PeerRequirement. A release that is signed with a Developer ID sets it when it is linked
// (-X), so that only programs of the same team are served by name; where it is not set nobody is asked.
var peerRequirement string

// flags are the command line. TellFD is for the CLI, which wants to know when it can connect.
type flags struct {
	takeover bool
	mock     bool
	tellFD   int
}

// Main is the program; it returns when the agent has ended, or ends the process with a status. The host's news come
// from source.
func Main(source power.Source) {
	var f flags
	fs := pflag.NewFlagSet("arcboxd", pflag.ContinueOnError)
	fs.BoolVar(&f.takeover, "takeover", false, "replace the agent that runs; its machines go on")
	fs.BoolVar(&f.mock, "mock", false, "machines without VMs, for tests of what asks this agent")
	fs.IntVar(&f.tellFD, "tell-fd", 0, "write a line to descriptor `N` when the control socket answers, or why it will not")
	_ = fs.MarkHidden("mock")
	_ = fs.MarkHidden("tell-fd")
	err := fs.Parse(os.Args[1:])
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("it takes no arguments, and %q was given", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "arcboxd:", err)
		os.Exit(exitUsage)
	}
	if err := run(&f, source); err != nil {
		fmt.Fprintln(os.Stderr, "arcboxd:", err)
		os.Exit(exitError)
	}
}

// run is the agent until it has ended.
func run(f *flags, source power.Source) error {
	tell := teller(f.tellFD)
	o, closeLog, err := options(f)
	if err != nil {
		tell(err)
		return err
	}
	defer closeLog()
	o.Listening, o.Power = tell, source
	// An agent has little garbage and much time: a small heap is worth more than cycles.
	debug.SetGCPercent(50)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	force := make(chan struct{})
	o.Force = force
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP) // of the terminal that the CLI was in
	go heed(signals, cancel, force, o.Log)
	return agent.Run(ctx, o)
}

// heed ends the agent at the first signal, its waits at the second and the process at the third.
func heed(signals <-chan os.Signal, end func(), force chan<- struct{}, log zerolog.Logger) {
	log.Info().Stringer("signal", <-signals).Msg("asked to end")
	end()
	log.Warn().Stringer("signal", <-signals).Msg("asked to end again: nothing is waited for any more")
	close(force)
	<-signals
	os.Exit(exitError)
}

// options are where everything is.
func options(f *flags) (o agent.Options, closeLog func() error, err error) {
	h, err := home.Find()
	if err != nil {
		return o, nil, err
	}
	shared, err := home.Shared()
	if err != nil {
		return o, nil, err
	}
	vm, err := machine.VMProgram()
	if err != nil && !f.mock {
		return o, nil, err
	}
	network, err := machine.NetProgram()
	if err != nil && !f.mock {
		return o, nil, err
	}
	log, closeLog, err := openLog(h)
	if err != nil {
		return o, nil, err
	}
	return agent.Options{
		Home: h, VMProgram: vm, NetProgram: network, Takeover: f.takeover, Mock: f.mock, Log: log, Config: config.Standard(h),
		PeerRequirement: peerRequirement,
		Routes:          routes(),
		Library:         boot.OpenLibrary(h.Boot(), filepath.Join(shared, "boot")),
	}, closeLog, nil
}

// openLog writes to the log's file, and to standard error where somebody looks.
func openLog(h home.Home) (zerolog.Logger, func() error, error) {
	c, _ := config.Standard(h).Load() // what is wrong with it the agent will say
	f, err := logfile.Open(filepath.Join(h.Log(), agent.LogName), logfile.Options{MaxSize: c.Log.MaxSize, Files: c.Log.MaxFiles})
	if err != nil {
		return zerolog.Nop(), nil, err
	}
	var out io.Writer = f
	if c.Log.Format == "console" {
		out = zerolog.ConsoleWriter{Out: f, NoColor: true, TimeFormat: time.RFC3339}
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		out = zerolog.MultiLevelWriter(out, zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: "15:04:05.000"})
	}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	return zerolog.New(out).With().Timestamp().Logger(), f.Close, nil
}

// teller gives the function that says on fd how the start went: a JSON object with "error", which is empty when
// the control socket answers, and "held" when another agent's does.
func teller(fd int) func(error) {
	if fd == 0 {
		return func(error) {}
	}
	f := os.NewFile(uintptr(fd), "tell-fd")
	return func(err error) {
		var word struct {
			Error string `json:"error"`
			Held  bool   `json:"held"`
		}
		if err != nil {
			var held *lease.HeldError
			word.Error, word.Held = err.Error(), errors.As(err, &held)
		}
		_ = json.NewEncoder(f).Encode(word) // who asked may have gone
		f.Close()
	}
}
