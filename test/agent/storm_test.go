package agent_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// An action is one thing that a client does. must is for what succeeds whatever the others do.
type action struct {
	name string
	odds int
	must bool
	args func(r *rand.Rand, client int, dir string) []string
}

func always(args ...string) func(*rand.Rand, int, string) []string {
	return func(*rand.Rand, int, string) []string { return args }
}

// actions are what the clients choose from. Those that end the machine are rare, as each costs a start.
var actions = []action{
	{"exec", 10, false, func(r *rand.Rand, _ int, _ string) []string {
		return []string{"exec", "--", "sh", "-c", fmt.Sprintf("echo some words; exit %d", r.IntN(3))}
	}},
	{"exec that takes a while", 4, false, always("exec", "--", "sleep", "0.3")},
	{"status", 6, true, always("status", "--json")},
	{"list", 6, true, always("list", "--json")},
	{"inspect", 4, true, always("inspect", "--json")},
	{"start", 6, false, always("start")},
	{"cp", 5, false, func(_ *rand.Rand, client int, dir string) []string {
		return []string{"cp", filepath.Join(dir, "file"), fmt.Sprintf("default:/tmp/file%d", client)}
	}},
	{"logs", 4, true, always("logs", "-n", "5")},
	{"agent's logs", 2, true, always("logs", "--component", "agent", "-n", "5")},
	{"hold", 4, true, func(_ *rand.Rand, client int, _ string) []string {
		return []string{"hold", fmt.Sprintf("client-%d", client)}
	}},
	{"release", 6, false, func(_ *rand.Rand, client int, _ string) []string {
		return []string{"hold", fmt.Sprintf("client-%d", client), "--release"}
	}},
	{"disk", 2, false, always("disk", "usage", "--json")},
	{"a setting", 2, true, func(r *rand.Rand, _ int, _ string) []string {
		return []string{"config", "set", "machine.idle_timeout", fmt.Sprintf("%dm", 3+r.IntN(5))}
	}},
	{"another machine", 1, false, func(_ *rand.Rand, client int, _ string) []string {
		return []string{"create", fmt.Sprintf("m%d", client%4)}
	}},
	{"away with it", 1, false, func(_ *rand.Rand, client int, _ string) []string { return []string{"rm", fmt.Sprintf("m%d", client%4)} }},
	{"agent restart", 1, false, always("agent", "restart")},
	{"stop", 1, false, always("stop")},
	{"restart", 1, false, always("restart")},
	{"stop by force", 1, false, always("stop", "--force")},
}

// TestManyClientsAtOnce has 16 clients do random things, with commands and with calls on a connection that they keep. Whatever
// one does, the others get an answer or an error in words; what only looks always succeeds while there is an agent; no event
// is lost; and in the end everything is as if nobody had been there.
func TestManyClientsAtOnce(t *testing.T) {
	u := newUser(t)
	u.run("start")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("bytes\n", 10000)), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var left, done, well, begun, ended atomic.Int64 // things to do, done and done with success; restarts of the agent
	left.Store(int64(kit.Rounds(80, 1000)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients, observer sync.WaitGroup
	starts := 0
	observer.Go(func() { starts = followsAll(ctx, t, u) })
	for client := range 16 {
		r := rand.New(rand.NewPCG(seed, uint64(client)))
		clients.Go(func() {
			agent := keepsConnected(u)
			defer agent.Close()
			for left.Add(-1) >= 0 {
				done.Add(1)
				before := ended.Load()
				quiet := func() bool { return begun.Load() == before } // no restart is under way, and none was
				if r.IntN(3) == 0 {
					c := calls[choose(r, calls, func(c call) int { return c.odds })]
					err := c.within(ctx, agent, r, client)
					if err == nil {
						well.Add(1)
					}
					complainOfCall(t, c, err, quiet())
					continue
				}
				a := actions[choose(r, actions, func(a action) int { return a.odds })]
				if a.name == "agent restart" {
					begun.Add(1)
				}
				res := u.try(a.args(r, client, dir)...)
				calm := quiet()
				if a.name == "agent restart" {
					ended.Add(1)
				}
				if res.status == 0 {
					well.Add(1)
				}
				complain(t, a, res, calm)
			}
		})
	}
	clients.Wait()
	cancel()
	observer.Wait()
	t.Logf("%d things were done, %d with success; the agent was replaced %d times, and machines were seen to start %d times", done.Load(), well.Load(), begun.Load(), starts)
	if !t.Failed() {
		asIfNobodyHadBeenThere(t, u)
	}
}

// choose picks one of all, by their odds.
func choose[T any](r *rand.Rand, all []T, odds func(T) int) int {
	sum := 0
	for _, one := range all {
		sum += odds(one)
	}
	n := r.IntN(sum)
	for i, one := range all {
		if n -= odds(one); n < 0 {
			return i
		}
	}
	panic("unreachable")
}

// complain reports what no action may end in. quiet: the agent was the same one meanwhile.
func complain(t *testing.T, a action, res result, quiet bool) {
	switch {
	case strings.Contains(res.err, "panic") || strings.Contains(res.err, "goroutine "):
		t.Errorf("%s: %s", a.name, res.err)
	case a.must && quiet && res.status != 0:
		t.Errorf("%s ends with %d: %s", a.name, res.status, res.err)
	case res.status < 0:
		t.Errorf("%s was killed: %s", a.name, res.err)
	case res.status != 0 && !strings.HasPrefix(a.name, "exec") && !strings.Contains(res.err, "arcbox: "):
		t.Errorf("%s ends with %d and says nothing: %q", a.name, res.status, res.err)
	case strings.HasPrefix(a.name, "exec") && res.status == 0 && a.name == "exec" && res.out != "some words\n":
		t.Errorf("%s succeeds with %q", a.name, res.out)
	}
}

// asIfNobodyHadBeenThere takes back what clients may leave on purpose, and finds nothing else.
func asIfNobodyHadBeenThere(t *testing.T, u *user) {
	for client := range 16 {
		u.try("hold", fmt.Sprintf("client-%d", client), "--release", "--all")
	}
	for n := range 4 {
		u.try("rm", "--force", fmt.Sprintf("m%d", n))
	}
	u.run("start")
	if out := u.run("exec", "--", "echo", "well"); out != "well\n" {
		t.Errorf("the guest says %q", out)
	}
	m := u.inspect()
	if m.State != "running" || len(m.Holds) != 0 {
		t.Errorf("in the end the machine is %+v", m.Machine)
	}
	if r := u.try("doctor"); r.status != 0 {
		t.Errorf("the doctor says\n%s", r.out)
	}
	if out := u.run("list", "--quiet"); out != "default\n" {
		t.Errorf("there are the machines %q", out)
	}
	eventually(t, "the guest to be without other programs", func() bool {
		return strings.TrimSpace(u.run("exec", "--", "sh", "-c", "ps | grep -c '[s]leep 0.3' || true")) == "0"
	})
	if n := descriptors(t, u.agentPID()); n > 100 {
		t.Errorf("the agent has %d descriptors", n)
	}
}

// descriptors is how many a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
