package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// Exit statuses of exec that are not the guest program's, as docker and shells have them.
const (
	exitExec          = 125 // the program was never begun
	exitNotExecutable = 126
	exitNotFound      = 127
)

// execFlags are how a program is run in the guest.
type execFlags struct {
	machine     string
	interactive bool
	terminal    bool
	env         []string
	dir, user   string
}

func newExec() *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   "exec [-m NAME] [-i] [-t] [-e K=V] [-w DIR] [-u USER] -- CMD ARG...",
		Short: "Run a program in a machine",
		Long: `Exec brings the machine up if need be and runs a program in it. Its exit status
becomes ours. Standard output and standard error stay apart, and with -i standard
input is passed on; with -t the program has a terminal, as big as yours.

Ctrl-C goes to the program; a third one leaves it, upon which it gets SIGHUP. The
program goes on when the agent is restarted.

Exit status: the program's, 128 and the signal if one ended it, 127 if there is no
such program, 126 if it cannot be run, 125 if it was never begun.`,
		Example: `  arcbox exec -- uname -a
  arcbox exec -it -- sh
  tar c . | arcbox exec -i -w /tmp -- tar x
  arcbox exec -m work -e LANG=C -u 1000 -- make test`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a program to run; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return runExec(cmd, &f, args) },
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the program's name is its own
	fl.StringVarP(&f.machine, "machine", "m", "", "run it in machine `NAME`")
	fl.BoolVarP(&f.interactive, "interactive", "i", false, "pass standard input on")
	fl.BoolVarP(&f.terminal, "tty", "t", false, "give it a terminal")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "set a variable, `K=V`, or K alone for its value here; may be repeated")
	fl.StringVarP(&f.dir, "workdir", "w", "", "run it in directory `DIR` of the guest")
	fl.StringVarP(&f.user, "user", "u", "", "run it as `USER`, a name or number, with :GROUP if wanted")
	completeFlag(cmd, "machine", completeMachines)
	return cmd
}

func newShell() *cobra.Command {
	f := execFlags{interactive: true, terminal: true}
	cmd := &cobra.Command{
		Use:   "shell [NAME]",
		Short: "Open a shell in a machine",
		Long: `Shell brings the machine up if need be and opens a login shell in it. It ends with
exit or Ctrl-D, and its exit status becomes ours. Where standard input is no terminal
the shell reads its commands from there.`,
		Example: `  arcbox shell
  echo 'df -h /data' | arcbox shell work`,
		Aliases:           []string{"sh"},
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.machine = firstArg(args)
			f.terminal = term.IsTerminal(int(os.Stdin.Fd()))
			return runExec(cmd, &f, []string{"/bin/sh", "-l"})
		},
	}
	cmd.Flags().StringVarP(&f.user, "user", "u", "", "open it as `USER`")
	return cmd
}

// runExec runs a program in a machine and ends as it has ended.
func runExec(cmd *cobra.Command, f *execFlags, argv []string) error {
	req, err := f.request(argv)
	if err != nil {
		return err
	}
	guest, err := dialGuest(cmd.Context(), f.machine, cmd.ErrOrStderr())
	if err != nil {
		return &statusError{exitExec, err}
	}
	defer guest.Close()
	// From here on the program hears of Ctrl-C, and decides.
	resp, err := (&execution{guest: guest, req: req, flags: f}).run(context.WithoutCancel(cmd.Context()))
	if err != nil {
		return execError(err)
	}
	if resp.Status != 0 {
		return &statusError{resp.Status, errors.New("")}
	}
	return nil
}

// execError gives a program that was not run the status that shells give it.
func execError(err error) error {
	var e *ipc.Error
	switch {
	case errors.Is(err, ipc.ErrInterrupted):
		return &statusError{exitExec, fmt.Errorf("the machine ended, or its agent did: %w", err)}
	case errors.Is(err, errLeft):
		return &statusError{exitInterrupted, errors.New("left; the program was sent SIGHUP")}
	case errors.As(err, &e) && e.Code == guestapi.NotFound:
		return &statusError{exitNotFound, err}
	case errors.As(err, &e) && e.Code == guestapi.NotExecutable:
		return &statusError{exitNotExecutable, err}
	}
	return &statusError{exitExec, err}
}

// request is what the guest is asked, without the streams.
func (f *execFlags) request(argv []string) (*guestapi.ExecReq, error) {
	req := &guestapi.ExecReq{ID: "exec", Argv: argv, Dir: f.dir, User: f.user, Env: map[string]string{}}
	for _, e := range f.env {
		name, value, ok := strings.Cut(e, "=")
		if name == "" {
			return nil, usagef("cannot set the variable %q: write NAME=VALUE", e)
		}
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		req.Env[name] = value
	}
	if !f.terminal {
		return req, nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) && f.interactive {
		return nil, usagef("cannot give the program a terminal: standard input is none; leave -t out")
	}
	req.Terminal = &guestapi.Terminal{Cols: 80, Rows: 24, Term: os.Getenv("TERM")}
	if cols, rows, err := term.GetSize(int(os.Stdin.Fd())); err == nil {
		req.Terminal.Cols, req.Terminal.Rows = uint16(cols), uint16(rows)
	}
	return req, nil
}

// dialGuest connects to the agent of a machine's guest, which is brought up if need be: what takes long is shown. An agent that ends
// meanwhile leaves it to the next one.
func dialGuest(ctx context.Context, name string, out io.Writer) (*ipc.Conn, error) {
	over := false // the agent that was asked has ended, and not the guest's
	ended := func(error) bool { return over }
	return withNextAgent(ctx, ended, func() (*ipc.Conn, error) {
		conn, err := agentConn(ctx)
		if err != nil {
			over = false
			return nil, err
		}
		defer conn.Close() // the stream to the guest is its own
		guest, err := dialGuestBy(ctx, conn, name, out)
		over = errors.Is(err, ipc.ErrInterrupted) && (conn.Err() != nil || ending(err))
		return guest, err
	})
}

// ending says whether the agent has answered that it ends.
func ending(err error) bool {
	var answer *ipc.Error
	return errors.As(err, &answer) && answer.Code == ipc.Ending
}

// dialGuestBy is dialGuest by way of one agent.
func dialGuestBy(ctx context.Context, conn *ipc.Conn, name string, out io.Writer) (*ipc.Conn, error) {
	if err := bringUp(ctx, conn, name, out); err != nil {
		return nil, err
	}
	return attachGuest(ctx, conn, name)
}

// attachGuest connects to the agent of a guest by way of the agent that conn leads to, and has shaken hands with it. One that has just
// died is heard of only then, and the guest starts the next one at once.
func attachGuest(ctx context.Context, conn *ipc.Conn, name string) (*ipc.Conn, error) {
	dead := func(err error) bool { return errors.Is(err, ipc.ErrInterrupted) && conn.Err() == nil }
	return untilPassed(ctx, dead, func() (*ipc.Conn, error) { return greetGuest(ctx, conn, name) })
}

// greetGuest is one try of attachGuest.
func greetGuest(ctx context.Context, conn *ipc.Conn, name string) (*ipc.Conn, error) {
	resp, err := ipc.Call(ctx, conn, agentapi.Guest, &agentapi.GuestReq{Name: name})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	stream, err := resp.Take(resp.Stream)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the guest: %w", err)
	}
	guest, err := ipc.FromFile(stream, nil)
	if err != nil {
		return nil, err
	}
	if _, err := ipc.Call(ctx, guest, guestapi.Hello, &guestapi.HelloReq{Version: guestapi.Version, Build: ipc.Here().Build}); err != nil {
		guest.Close()
		return nil, fmt.Errorf("cannot reach the guest's agent: %w", err)
	}
	return guest, nil
}

// bringUp shows a start on a terminal; a machine that runs is left to the call that follows.
func bringUp(ctx context.Context, conn *ipc.Conn, name string, out io.Writer) error {
	all, err := ipc.Call(ctx, conn, agentapi.List, &agentapi.ListReq{})
	if err != nil {
		return err
	}
	for i := range all.Machines {
		if m := &all.Machines[i]; m.Name == displayName(name) && isUp(m) {
			return nil
		}
	}
	show := watchMachine(ctx, conn, name, out, !isTerminal(out))
	_, err = ipc.Call(ctx, conn, agentapi.EnsureReady, &agentapi.EnsureReadyReq{Name: name})
	show.close()
	return err
}

// An execution is one program under way in the guest.
type execution struct {
	guest *ipc.Conn
	req   *guestapi.ExecReq
	flags *execFlags

	printed sync.WaitGroup // of what comes out of it
}

// run returns when the program has ended and all that it printed has been written.
func (x *execution) run(ctx context.Context) (*guestapi.ExecResp, error) {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	defer x.rawTerminal()()
	x.join()
	defer x.heed(ctx, leave)()
	resp, err := ipc.Call(ctx, x.guest, guestapi.Exec, x.req)
	x.printed.Wait() // the streams end with the call
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return resp, err
}

// rawTerminal has every key go to the program, if it has a terminal; undo gives the terminal back.
func (x *execution) rawTerminal() (undo func()) {
	fd := int(os.Stdin.Fd())
	if x.req.Terminal == nil || !x.flags.interactive {
		return func() {}
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return func() {}
	}
	return func() { term.Restore(fd, old) }
}

// join opens the streams and copies.
func (x *execution) join() {
	out, ref := x.req.Open()
	x.req.Stdout = ref
	x.printed.Go(func() { drain(os.Stdout, out) })
	if x.req.Terminal == nil {
		errs, ref := x.req.Open()
		x.req.Stderr = ref
		x.printed.Go(func() { drain(os.Stderr, errs) })
	}
	if !x.flags.interactive {
		return
	}
	in, ref := x.req.Open()
	x.req.Stdin = ref
	// Reading standard input cannot be interrupted: this goroutine ends with the process.
	go func() {
		io.Copy(in, os.Stdin)
		in.CloseWrite()
	}()
}

// drain writes what comes; when nobody takes it any more the program hears of it by its next write.
func drain(to io.Writer, from *ipc.Stream) {
	io.Copy(to, from)
	from.Close()
}

// patience is how many Ctrl-Cs, and requests to end, a program gets before the caller leaves it.
const patience = 3

// heed passes signals and the terminal's size on until the function that it returns is called.
func (x *execution) heed(ctx context.Context, leave context.CancelCauseFunc) (end func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGWINCH)
	var passing sync.WaitGroup
	passing.Go(func() {
		interrupts := 0
		for s := range signals {
			if s == syscall.SIGINT || s == syscall.SIGTERM || s == syscall.SIGHUP {
				interrupts++
			}
			if interrupts == patience {
				leave(errLeft)
			}
			passing.Go(func() { x.pass(ctx, s.(syscall.Signal)) }) // a guest that hangs must not hold up the next Ctrl-C
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
		passing.Wait()
	}
}

// signalNames are the signals that are passed on, as the guest names them.
var signalNames = map[syscall.Signal]string{
	syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT",
}

// pass tells the program of a signal. One that has ended hears nothing, which is no error.
func (x *execution) pass(ctx context.Context, s syscall.Signal) {
	if s != syscall.SIGWINCH {
		_, _ = ipc.Call(ctx, x.guest, guestapi.Signal, &guestapi.SignalReq{ID: x.req.ID, Signal: signalNames[s]})
		return
	}
	if x.req.Terminal == nil {
		return
	}
	if cols, rows, err := term.GetSize(int(os.Stdin.Fd())); err == nil {
		_, _ = ipc.Call(ctx, x.guest, guestapi.Resize, &guestapi.ResizeReq{ID: x.req.ID, Cols: uint16(cols), Rows: uint16(rows)})
	}
}
