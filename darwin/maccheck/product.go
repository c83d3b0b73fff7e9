package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/launchd"
)

// machine has the agent and a machine as a user has them: under launchd where there is a session, within the sandbox unless it does not
// work there.
func machine(ctx context.Context, s *session) error {
	bin, err := s.programs(ctx, s)
	if err != nil {
		return err
	}
	b, err := s.newBox(bin)
	if err != nil {
		return err
	}
	if err := s.needsAssets(ctx, b.env, filepath.Join(bin, "arcbox")); err != nil {
		return errors.Join(err, os.RemoveAll(b.home))
	}
	s.box = b
	s.must("agent under launchd", b.install(ctx))
	_, err = b.arcbox(ctx, "start")
	if err != nil && !s.rehearsal {
		err = b.startUnconfined(ctx, err)
	} else {
		s.must("hypervisor", err)
		s.must("sandbox", s.onlyOnAMac("a sandbox", err))
	}
	if err != nil {
		return err
	}
	s.must("same process", b.becameVM(ctx))
	out, err := b.arcbox(ctx, "exec", "--", "uname", "-sm")
	if err == nil && strings.TrimSpace(out) != "Linux aarch64" {
		err = fmt.Errorf("the guest is %q", out)
	}
	s.must("guest", err)
	s.must("adopted", b.outlivesAgent(ctx))
	return nil
}

// onlyOnAMac is err, and in a rehearsal that it has not what this is about.
func (s *session) onlyOnAMac(what string, err error) error {
	if err == nil && s.rehearsal {
		return notRunError("a rehearsal does not have " + what)
	}
	return err
}

// install gives the agent to launchd, if there is a session of it.
func (b *box) install(ctx context.Context) error {
	if b.rehearsal {
		return b.onlyOnAMac("launchd", nil)
	}
	_, err := b.arcbox(ctx, "agent", "install")
	if err != nil && strings.Contains(err.Error(), launchd.ErrNoSession.Error()) {
		return notRunError("there is no GUI session to install it into")
	}
	b.service = true // or half of it, which is to be removed all the same
	return err
}

// startUnconfined tells which of both was to blame for a start that failed: the sandbox, or the hypervisor.
func (b *box) startUnconfined(ctx context.Context, confined error) error {
	if b.service {
		if _, err := b.arcbox(ctx, "agent", "uninstall"); err != nil {
			return err
		}
		b.service = false
	}
	_, _ = b.arcbox(ctx, "agent", "stop") // one that does not run is as well
	b.env = append(b.env, "ARCBOX_VM_SANDBOX=off")
	_, err := b.arcbox(ctx, "start")
	if err != nil {
		b.tell("hypervisor", failed, "%v", err)
		return err
	}
	b.tell("hypervisor", held, "without the sandbox")
	b.tell("sandbox", failed, "a machine starts without it alone: %v", confined)
	return nil
}

// becameVM says whether the process that the agent started is arcbox-vm itself, in a process group of its own.
func (b *box) becameVM(ctx context.Context) error {
	m, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	name, err := b.ps(ctx, m.VMPID, "comm")
	if err != nil {
		return err
	}
	group, err := b.ps(ctx, m.VMPID, "pgid")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(filepath.Base(name), "arcbox-vm") || group != strconv.Itoa(m.VMPID) {
		return fmt.Errorf("the VM's process %d is %s in the group %s", m.VMPID, name, group)
	}
	return nil
}

// outlivesAgent has another agent adopt the machine.
func (b *box) outlivesAgent(ctx context.Context) error {
	before, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"agent", "restart"}, {"exec", "--", "true"}} { // the guest says then which boot it is
		if _, err := b.arcbox(ctx, args...); err != nil {
			return err
		}
	}
	after, err := b.inspect(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("after the agent's restart the machine is another one: %+v, was %+v", after, before)
	}
	return err
}

// running is the box whose machine runs, or why there is none.
func (s *session) running() (*box, error) {
	if s.box == nil {
		return nil, notRunError("no machine runs")
	}
	return s.box, nil
}

// bench measures starts, an exec, the idle machine, and devices; what cannot be measured is left out of the figures.
func bench(ctx context.Context, s *session) error {
	b, err := s.running()
	if err != nil {
		return err
	}
	s.must("starts", b.timeStarts(ctx))
	s.must("idle", b.timeIdle(ctx))
	table, err := s.says(ctx, nil, "go", "run", "./bench", "-only", `^vsock\.(throughput|rtt)(\.fd)?$`, "-rounds", strconv.Itoa(s.rounds), "-out", filepath.Join(s.dir, "bench.json"))
	s.must("vsock", err)
	s.keepTable(table)
	table, err = s.says(ctx, nil, "go", "run", "./bench", "-only", `^blk\.(rand4k|seq1m)\.qd32$`, "-rounds", strconv.Itoa(s.rounds), "-out", filepath.Join(s.dir, "bench-blk.json"))
	if err != nil { // its peer is not everywhere
		err = notRunError(err.Error())
	}
	s.must("block", err)
	s.keepTable(table)
	s.must("exits", b.timeExits(ctx))
	return nil
}

// keepTable takes figures from what the benchmark printed: name, unit, ours, peer.
func (s *session) keepTable(table string) {
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 3 && f[0] != "name" {
			s.figure(f[0], "%s %s; peer %s", f[2], f[1], f[3])
		}
	}
}

// timeStarts measures a start of the machine, one of what runs, and a command in it.
func (b *box) timeStarts(ctx context.Context) error {
	var cold, warm, exec []time.Duration
	for range b.rounds {
		if _, err := b.arcbox(ctx, "stop"); err != nil {
			return err
		}
		for _, m := range []struct {
			took *[]time.Duration
			args []string
		}{{&cold, []string{"start"}}, {&warm, []string{"start"}}, {&exec, []string{"exec", "--", "true"}}} {
			begun := time.Now()
			if _, err := b.arcbox(ctx, m.args...); err != nil {
				return err
			}
			*m.took = append(*m.took, time.Since(begun))
		}
	}
	for _, f := range []struct {
		name string
		took []time.Duration
	}{{"start, cold", cold}, {"start of what runs", warm}, {"exec true", exec}} {
		slices.Sort(f.took)
		b.figure(f.name, "%v", f.took[b.rounds/2].Round(time.Millisecond))
	}
	return nil
}

// timeIdle measures what the processes take of a core while nobody does anything.
func (b *box) timeIdle(ctx context.Context) error {
	length := time.Duration(b.rounds) * 7 * time.Second
	m, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	agent, err := b.agentPID(ctx)
	if err != nil {
		return err
	}
	procs := []struct {
		name   string
		pid    int
		before time.Duration
	}{{"arcboxd", agent, 0}, {"arcbox-vm", m.VMPID, 0}, {"arcbox-net", m.NetPID, 0}}
	for i := range procs {
		if procs[i].before, err = b.cpu(ctx, procs[i].pid); err != nil {
			return err
		}
	}
	pause(ctx, length)
	for _, p := range procs {
		after, err := b.cpu(ctx, p.pid)
		if err != nil {
			return err
		}
		b.figure("idle: "+p.name, "%.2f %% of a core", 100*float64(after-p.before)/float64(length))
		size, err := b.ps(ctx, p.pid, "rss")
		if err != nil {
			return err
		}
		b.figure("resident: "+p.name, "%s KiB", size)
	}
	return nil
}

// cpu is the processor time that a process has had.
func (b *box) cpu(ctx context.Context, pid int) (time.Duration, error) {
	text, err := b.ps(ctx, pid, "time")
	if err != nil {
		return 0, err
	}
	return parseCPU(text)
}

// parseCPU reads hours, minutes and seconds as ps writes them: 0:01.23 on a Mac, 00:00:01 on Linux.
func parseCPU(text string) (time.Duration, error) {
	var sum float64
	for part := range strings.SplitSeq(text, ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return 0, fmt.Errorf("ps says the time %q", text)
		}
		sum = 60*sum + n
	}
	return time.Duration(sum * float64(time.Second)), nil
}

var exitCost = regexp.MustCompile(`(?m)^BenchmarkExit/(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+ ns/op)`)

// timeExits measures what an exit costs.
func (b *box) timeExits(ctx context.Context) error {
	sign, err := signer()
	if err != nil {
		return err
	}
	args := append([]string{"test", "-run", "^$", "-bench", "Exit", "-benchtime", "20000x", "-exec", sign}, b.tags...)
	out, err := b.says(ctx, nil, "go", append(args, "./hv/hvf")...)
	if err != nil {
		return err
	}
	for _, m := range exitCost.FindAllStringSubmatch(out, -1) {
		b.figure("exit: "+m[1], "%s", m[2])
	}
	return nil
}

// end stops the machine and the agent, which waits for those who read the host's news.
func end(ctx context.Context, s *session) error {
	b, err := s.running()
	if err != nil {
		return err
	}
	_, err = b.arcbox(ctx, "stop")
	s.must("machine", err)
	begun := time.Now()
	_, err = b.arcbox(ctx, "agent", "stop")
	if took := time.Since(begun); err == nil && took > stopTime {
		err = fmt.Errorf("the agent took %v to end", took)
	}
	s.must("agent", err)
	s.box = nil
	s.must("removed", b.close(ctx))
	return nil
}
