package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A box is a user of ArcBox with a home of its own and one machine.
type box struct {
	*session
	bin     string   // the directory with the programs
	home    string   // short, as paths of sockets are
	env     []string // of every command
	service bool     // launchd has the agent
}

const boxSettings = `[machine]
cpus = 1
memory = "512MiB"
preallocate = 0
[docker]
enable = false
`

// newBox makes one in which nothing runs.
func (s *session) newBox(bin string) (*box, error) {
	home, err := os.MkdirTemp("/tmp", "mac-check-")
	if err != nil {
		return nil, err
	}
	b := &box{session: s, bin: bin, home: home, env: []string{"ARCBOX_HOME=" + home}}
	return b, os.WriteFile(filepath.Join(home, "config.toml"), []byte(boxSettings), 0o600)
}

// arcbox runs a command of the user's.
func (b *box) arcbox(ctx context.Context, args ...string) (string, error) {
	return b.says(ctx, b.env, filepath.Join(b.bin, "arcbox"), args...)
}

// close ends and removes whatever the box has.
func (b *box) close(ctx context.Context) error {
	_, err := b.arcbox(ctx, "stop", "--all", "--force")
	if b.service {
		_, e := b.arcbox(ctx, "agent", "uninstall")
		err = errors.Join(err, e)
	}
	_, e := b.arcbox(ctx, "agent", "stop")
	err = errors.Join(err, e)
	if err != nil {
		return fmt.Errorf("%s is left as it is: %w", b.home, err)
	}
	return os.RemoveAll(b.home)
}

// A inspected is what arcbox says of the machine.
type inspected struct {
	State  string `json:"state"`
	VMPID  int    `json:"vm_pid"`
	NetPID int    `json:"net_pid"`
	BootID string `json:"boot_id"`
}

func (b *box) inspect(ctx context.Context) (m inspected, err error) {
	out, err := b.arcbox(ctx, "inspect", "--json")
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal([]byte(out), &m)
}

// agentPID is the agent's process.
func (b *box) agentPID(ctx context.Context) (int, error) {
	out, err := b.arcbox(ctx, "status", "--json")
	if err != nil {
		return 0, err
	}
	var st struct {
		Agent struct {
			PID int `json:"pid"`
		} `json:"agent"`
	}
	return st.Agent.PID, json.Unmarshal([]byte(out), &st)
}

// ps is what ps says of a process under a keyword.
func (b *box) ps(ctx context.Context, pid int, keyword string) (string, error) {
	out, err := b.says(ctx, nil, "ps", "-o", keyword+"=", "-p", strconv.Itoa(pid))
	return strings.TrimSpace(out), err
}

// A hostEvent is what the agent has written of news of the host.
type hostEvent struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Error string    `json:"error"`
	Took  float64   `json:"took"` // milliseconds
}

// hostEvents are those of the agent's log since a moment, of some kinds.
func (b *box) hostEvents(since time.Time, kinds ...string) ([]hostEvent, error) {
	f, err := os.Open(filepath.Join(b.home, "log/arcboxd.log"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []hostEvent
	for s := bufio.NewScanner(f); s.Scan(); {
		var e hostEvent
		if json.Unmarshal(s.Bytes(), &e) == nil && slices.Contains(kinds, e.Event) && e.Time.After(since.Truncate(time.Millisecond)) {
			all = append(all, e)
		}
	}
	return all, nil
}

// awaitHost waits for news of a kind since a moment.
func (b *box) awaitHost(ctx context.Context, since time.Time, within time.Duration, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		if all, err := b.hostEvents(since, kind); err != nil || len(all) > 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent was not told %s within %v", kind, within)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// A tick is the time that the guest told, and when we heard it.
type tick struct{ guest, heard time.Time }

// ticking has a program in the guest tell the time ten times a second until stop, which gives all that was heard.
func (b *box) ticking(ctx context.Context) (stop func() []tick, err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := b.command(ctx, b.env, filepath.Join(b.bin, "arcbox"), "exec", "--", "sh", "-c", "while :; do date +%s; sleep 0.1; done")
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	first := make(chan struct{}) // closed at the first line, or when there will be none
	var heard []tick
	var wg sync.WaitGroup
	wg.Go(func() {
		begun := sync.OnceFunc(func() { close(first) })
		defer begun()
		for s := bufio.NewScanner(out); s.Scan(); begun() {
			if sec, err := strconv.ParseInt(s.Text(), 10, 64); err == nil {
				heard = append(heard, tick{time.Unix(sec, 0), time.Now()})
			}
		}
	})
	<-first
	return func() []tick {
		cancel()
		wg.Wait()
		_ = cmd.Wait() // it was interrupted
		return heard
	}, nil
}
