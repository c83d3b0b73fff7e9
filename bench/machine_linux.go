package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent/event"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	machines "github.com/arcboxlabs/arcbox-go/agent/machine"
	_ "github.com/arcboxlabs/arcbox-go/agent/quiet"
	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// Names of what is measured with a machine as the agent has it.
const (
	recoverKill9    = "recover.kill9"
	vmOverhead      = "mem.vm_overhead"
	vmOverheadStart = "mem.vm_overhead.start"
	wakeVM          = "idle.wakeups.vm"      // of arcbox-vm while the machine rests
	wakeIdle        = "idle.wakeups"         // of the agent while the machine rests
	wakeRunning     = "idle.wakeups.running" // of the agent while it runs and nobody uses it
)

const (
	benchRAM  = 512 << 20        // bytes of the guest
	benchLook = 30 * time.Second // how long wake-ups are counted
)

// A keeper is the part of an agent that keeps machines, in this process, with one machine.
type keeper struct {
	dir     string
	manager *machines.Manager
	events  *event.Bus
	machine *machines.Machine
}

// machineSuites are the figures of a machine as the agent has it: how quick it comes back and what it costs at rest.
func machineSuites(program string) []*suite {
	k := &keeper{}
	with := func(round func(k *keeper, s *samples) error) func(*samples) error {
		return func(s *samples) error {
			if err := k.open(program); err != nil {
				return err
			}
			return round(k, s)
		}
	}
	return []*suite{
		{names: []string{recoverKill9}, rounds: 5, peer: "goal: 1.2 of our cold starts", unit: "s", round: with((*keeper).recovery), end: k.close},
		{names: []string{vmOverhead, vmOverheadStart}, rounds: 1, peer: "goal", unit: "MiB", round: with((*keeper).overhead), end: k.close},
		{names: []string{wakeRunning, wakeIdle, wakeVM}, rounds: 1, peer: "goal", floor: "those of the guest's timers", unit: "1/s", round: func(s *samples) error { return wakeups(program, s) }},
	}
}

// open brings the machine up in a home of its own, unless it is.
func (k *keeper) open(program string) (err error) {
	if k.manager != nil {
		return nil
	}
	if k.dir, err = os.MkdirTemp("", "arcbox-bench-"); err != nil {
		return err
	}
	os.Setenv(home.Env, k.dir)
	h, err := home.Find()
	if err != nil {
		return err
	}
	shared, err := home.Shared()
	if err != nil {
		return err
	}
	k.events = &event.Bus{}
	set := machines.Settings{CPUs: 1, Memory: benchRAM, IdleLoad: 1000, DiskReserve: -1, Limits: lifecycle.Limits{Stable: time.Millisecond}}
	k.manager, err = machines.Open(context.Background(), machines.Options{
		Home: h, Program: program, Events: k.events, Log: zerolog.Nop(), Settings: func(string) machines.Settings { return set },
		Library: assets.OpenLibrary(h.Boot(), filepath.Join(shared, "boot")),
	})
	if err != nil {
		return err
	}
	if k.machine, err = k.manager.Get(""); err != nil {
		return err
	}
	return k.machine.EnsureReady(context.Background())
}

func (k *keeper) close() {
	if k.manager != nil {
		k.manager.Close(context.Background(), true)
		k.manager = nil
	}
	os.RemoveAll(k.dir)
}

// recovery kills the VM process, and starts the machine cold beside it.
func (k *keeper) recovery(s *samples) error {
	ctx := context.Background()
	if err := k.machine.Stop(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := k.machine.EnsureReady(ctx); err != nil {
		return err
	}
	cold := time.Since(start)
	seq := k.events.Last()
	start = time.Now()
	if err := syscall.Kill(k.machine.Info().VMPID, syscall.SIGKILL); err != nil {
		return err
	}
	for {
		events, err := k.events.Next(ctx, seq)
		if err != nil {
			return err
		}
		for _, e := range events {
			if seq = e.Seq; e.Kind == agentapi.MachineRecovered {
				s.add(recoverKill9, time.Since(start).Seconds(), 1.2*cold.Seconds())
				return nil
			}
		}
	}
}

// overhead is what the VM process has resident beside its guest's RAM, right after a start and when the guest has come to rest.
func (k *keeper) overhead(s *samples) error {
	ctx := context.Background()
	if err := errors.Join(k.machine.Stop(ctx), k.machine.EnsureReady(ctx)); err != nil {
		return err
	}
	started, err := k.beside()
	if err != nil {
		return err
	}
	time.Sleep(45 * time.Second)
	rested, err := k.beside()
	s.add(vmOverheadStart, started, 20)
	s.add(vmOverhead, rested, 20)
	return err
}

// beside is that at this moment, in MiB.
func (k *keeper) beside() (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", k.machine.Info().VMPID))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var total, ram, size int64 // KiB
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "Size":
			size = n
		case "Rss":
			total += n
			if size >= benchRAM>>10 { // nothing else is as large
				ram += n
			}
		}
	}
	return float64(total-ram) / 1024, nil
}

// keeperVar has this program keep a machine in a process of its own, whose wake-ups are nobody else's.
const keeperVar = "ARCBOX_BENCH_KEEPER"

// keep says the VM's process id when the machine runs, has it rest for a first line, and ends it at the input's end.
func keep(program string) error {
	k := &keeper{}
	defer k.close()
	if err := k.open(program); err != nil {
		return err
	}
	fmt.Println(k.machine.Info().VMPID)
	lines := bufio.NewScanner(os.Stdin)
	if lines.Scan() {
		k.manager.Rest() // nobody uses it: it rests now
		lines.Scan()
	}
	return nil
}

// wakeups counts how often the processes wake up while nobody uses the machine.
func wakeups(program string, s *samples) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), keeperVar+"="+program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer in.Close()
	var vm int
	if _, err := fmt.Fscan(out, &vm); err != nil {
		return fmt.Errorf("the machine did not start: %w", err)
	}
	time.Sleep(20 * time.Second) // what the start has left to do
	agent, _, err := wakes(cmd.Process.Pid)
	if err != nil {
		return err
	}
	s.add(wakeRunning, agent, 0.3)
	fmt.Fprintln(in, "rest")
	time.Sleep(45 * time.Second) // the balloon takes its time
	if agent, _, err = wakes(cmd.Process.Pid); err != nil {
		return err
	}
	ofVM, ofGuest, err := wakes(vm)
	s.ours[wakeIdle] = append(s.ours[wakeIdle], agent)
	s.ours[wakeVM] = append(s.ours[wakeVM], ofVM)
	s.floor[wakeVM] = append(s.floor[wakeVM], ofGuest)
	return err
}

// wakes is how often a second a process wakes up, from all of its threads' sleep: one thread that wakes another and
// hands its work on has woken the host once, which a look every 20 ms shows. busiest is that of the thread that has worked
// most: of a VM with one vCPU it is the vCPU's, which sleeps until the guest's next timer.
func wakes(pid int) (all, busiest float64, err error) {
	work, err := threads(pid, "schedstat", func(text string) (string, bool) { return text, true })
	if err != nil {
		return 0, 0, err
	}
	var most string
	for thread, ns := range work {
		if most == "" || ns > work[most] {
			most = thread
		}
	}
	start := time.Now()
	var ran, before, n [2]int64
	for begun := false; time.Since(start) < benchLook; begun = true {
		all, one, err := switches(pid, most)
		if err != nil {
			return 0, 0, err
		}
		for k, now := range []int64{all, one} {
			if begun && now != before[k] && ran[k] == 0 {
				n[k]++
			}
			ran[k], before[k] = now-before[k], now
		}
		time.Sleep(20 * time.Millisecond)
	}
	seconds := time.Since(start).Seconds()
	return float64(n[0]) / seconds, float64(n[1]) / seconds, nil
}

// switches is how often the threads of a process have gone to sleep, and one of them.
func switches(pid int, thread string) (all, one int64, err error) {
	each, err := threads(pid, "status", func(text string) (string, bool) {
		_, rest, ok := strings.Cut(text, "\nvoluntary_ctxt_switches:")
		return rest, ok
	})
	for _, n := range each {
		all += n
	}
	return all, each[thread], err
}

// threads has the number with which what find finds in a file of each thread begins.
func threads(pid int, name string, find func(text string) (string, bool)) (map[string]int64, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", pid, name))
	if err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has ended
		}
		rest, ok := find(string(text))
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 {
			return nil, fmt.Errorf("cannot count the wake-ups of process %d: the kernel does not", pid)
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return nil, err
		}
		found[filepath.Base(filepath.Dir(path))] = n
	}
	return found, nil
}
