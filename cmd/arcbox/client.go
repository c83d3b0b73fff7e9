package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// errNoAgent: nothing answers on the control socket.
var errNoAgent = errors.New("no agent runs; arcbox start starts one")

// dialAgent connects to the agent that runs. Errors: errNoAgent (wrapped).
func dialAgent(ctx context.Context) (*ipc.Conn, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	path, err := config.Standard(h).AgentSocket(h)
	if err != nil {
		return nil, err
	}
	conn, err := unixsock.Dial(ctx, path, nil)
	if errors.Is(err, unixsock.ErrNobody) {
		return nil, errNoAgent
	}
	return conn, err
}

// agentConn connects to the agent, and starts it when none runs. One that is about to end is waited for, and one
// that speaks another protocol is replaced: nothing else could be done with it.
func agentConn(ctx context.Context) (*ipc.Conn, error) {
	for try := 0; ; try++ {
		conn, err := dialAgent(ctx)
		if errors.Is(err, errNoAgent) {
			conn, err = startAndDial(ctx)
		}
		if err != nil {
			return nil, err
		}
		_, err = ipc.Call(ctx, conn, ipc.Ping, &struct{}{})
		if err == nil {
			return conn, nil
		}
		conn.Close()
		if again, rerr := recoverAgent(ctx, err); rerr != nil || !again || try == 2 {
			return nil, errors.Join(err, rerr)
		}
	}
}

// How long what passes by itself is tried again, and how soon.
const (
	passTime = 10 * time.Second
	passLook = 20 * time.Millisecond
)

// untilPassed tries again while that fails for a reason that passes by itself, and not for ever.
func untilPassed[T any](ctx context.Context, passes func(error) bool, try func() (T, error)) (T, error) {
	for end := time.Now().Add(passTime); ; {
		v, err := try()
		if err == nil || !passes(err) || time.Now().After(end) {
			return v, err
		}
		select {
		case <-time.After(passLook):
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// agentRounds is how many agents may end under one command, each of which is waited for.
const agentRounds = 3

// withNextAgent does again what was interrupted by the end of an agent, however long it had taken.
func withNextAgent[T any](ctx context.Context, ended func(error) bool, do func() (T, error)) (v T, err error) {
	for range agentRounds {
		if v, err = untilPassed(ctx, ended, do); !ended(err) || ctx.Err() != nil {
			break
		}
	}
	return v, err
}

// startAndDial starts the agent and connects to it. One that was killed has lost its socket a moment before its lock, and as long as it
// has that the next one takes it for alive.
func startAndDial(ctx context.Context) (*ipc.Conn, error) {
	dying := func(err error) bool { return errors.Is(err, errNoAgent) }
	return untilPassed(ctx, dying, func() (*ipc.Conn, error) {
		if err := startAgent(ctx); err != nil {
			return nil, err
		}
		return dialAgent(ctx)
	})
}

// recoverAgent makes room for another agent than the one that did not answer, if that helps.
func recoverAgent(ctx context.Context, err error) (again bool, _ error) {
	var refused *ipc.Error
	switch {
	case errors.As(err, &refused) && refused.Code == ipc.OtherVersion:
		fmt.Fprintln(os.Stderr, "arcbox: the agent is of another release; it is replaced, and machines go on")
		return true, replaceAgent(ctx)
	case errors.Is(err, ipc.ErrInterrupted): // it has just ended
		return true, nil
	}
	return false, nil
}

// agentProgram is the path of arcboxd: it stands beside this program.
func agentProgram() (string, error) {
	path, err := home.Beside("arcboxd")
	if err != nil {
		return "", fmt.Errorf("cannot start the agent: %w", err)
	}
	return path, nil
}

// startAgent has the session start the agent, or runs arcboxd on its own, and returns when it can be connected to, which includes that another one was
// quicker. It reads nothing of ours and outlives this program and its terminal.
func startAgent(ctx context.Context, flags ...string) error {
	if ok, err := startService(ctx); ok {
		return err
	}
	program, err := agentProgram()
	if err != nil {
		return err
	}
	said, tell, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot start the agent: %w", err)
	}
	defer said.Close()
	cmd := exec.Command(program, append([]string{"--tell-fd=3"}, flags...)...)
	cmd.ExtraFiles = []*os.File{tell}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := agentOutput(); err == nil {
		cmd.Stdout, cmd.Stderr = out, out
		defer out.Close()
	}
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("cannot start the agent: %w", err)
	}
	defer cmd.Process.Release()
	return hearAgent(ctx, said)
}

// agentOutput is where an agent without a terminal says what it cannot log: that it crashed.
func agentOutput() (*os.File, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	if err := home.Make(h.Log()); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(h.Log(), "arcboxd.stderr"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// hearAgent waits for what a new agent says of its start.
func hearAgent(ctx context.Context, said *os.File) error {
	defer context.AfterFunc(ctx, func() { said.SetReadDeadline(time.Now()) })()
	var word struct {
		Error string `json:"error"`
		Held  bool   `json:"held"` // there is one, and it can be connected to
	}
	err := json.NewDecoder(said).Decode(&word)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return errors.New("cannot start the agent: it ended without a word; see log/arcboxd.stderr in the data directory")
	case word.Error != "" && !word.Held:
		return fmt.Errorf("cannot start the agent: %s", word.Error)
	}
	return nil
}

// replaceAgent ends the agent that runs and starts another. Machines go on.
func replaceAgent(ctx context.Context) error {
	h, err := home.Find()
	if err != nil {
		return err
	}
	if holder, held, err := lease.Held(h.Run()); err != nil {
		return err
	} else if held {
		if err := lease.End(ctx, h.Run(), holder); err != nil {
			return err
		}
	}
	return startAgent(ctx)
}
