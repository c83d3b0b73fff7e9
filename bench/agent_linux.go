package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// Names of what is measured through the front door.
const (
	startCold    = "start.cold"        // from the request until the guest's agent has answered
	startVM      = "start.cold.vm"     // of it: the process and what it loads, until the first instruction
	startKernel  = "start.cold.kernel" // until PID 1
	startInit    = "start.cold.init"   // until the guest's agent listens
	startAgent   = "start.cold.agent"  // what is left: until it has answered, and we know
	readyRunning = "ensure_ready.running"
	memAgent     = "mem.agent"
	cliStatus    = "cli.status"
)

// A door is a user with a home of its own, who uses the programs in bin.
type door struct {
	dir  string
	conn *ipc.Conn
}

// frontSuites are the figures of the agent and the CLI as people meet them.
func frontSuites() []*suite {
	d := &door{}
	with := func(round func(d *door, s *samples) error) func(*samples) error {
		return func(s *samples) error {
			if err := d.open(); err != nil {
				return err
			}
			return round(d, s)
		}
	}
	return []*suite{
		{names: []string{startCold, startVM, startKernel, startInit, startAgent}, rounds: 5, peer: qemu + ", until init is ready", unit: "s", round: with((*door).cold), end: d.close},
		{names: []string{readyRunning}, rounds: 5, unit: "us", round: with((*door).warm), end: d.close},
		{names: []string{memAgent}, rounds: 1, peer: "goal", unit: "MiB", round: with((*door).memory), end: d.close},
		{names: []string{cliStatus}, rounds: 15, peer: "goal", unit: "ms CPU", round: with((*door).status), end: d.close},
	}
}

// open starts the agent and brings its machine up, unless it is.
func (d *door) open() (err error) {
	if d.conn != nil {
		return nil
	}
	if d.dir, err = os.MkdirTemp("", "arcbox-bench-"); err != nil {
		return err
	}
	os.Setenv(home.Env, d.dir)
	text := fmt.Sprintf("[machine]\ncpus = 1\nmemory = %d\npreallocate = 0\n", benchRAM)
	if err := os.WriteFile(filepath.Join(d.dir, "config.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := arcbox("start", "--quiet"); err != nil {
		return err
	}
	h, err := home.Find()
	if err != nil {
		return err
	}
	path, err := h.Socket(agentapi.Socket)
	if err != nil {
		return err
	}
	d.conn, err = unixsock.Dial(context.Background(), path, nil)
	return err
}

func (d *door) close() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
		_ = arcbox("agent", "stop", "--machines", "--quiet")
	}
	os.RemoveAll(d.dir)
}

func arcbox(args ...string) error {
	if out, err := exec.Command("bin/arcbox", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("arcbox %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// cold stops the machine and starts it, beside QEMU.
func (d *door) cold(s *samples) error {
	ctx := context.Background()
	if _, err := ipc.Call(ctx, d.conn, agentapi.Stop, &agentapi.StopReq{}); err != nil {
		return err
	}
	setup, err := ipc.Call(ctx, d.conn, agentapi.Setup, &agentapi.SetupReq{})
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := ipc.Call(ctx, d.conn, agentapi.EnsureReady, &agentapi.EnsureReadyReq{}); err != nil {
		return err
	}
	total := time.Since(start).Seconds()
	vm, err := d.started(ctx, setup.LastEvent, start)
	if err != nil {
		return err
	}
	hello, err := d.hello(ctx)
	if err != nil {
		return err
	}
	kernel, init := float64(hello.InitMS)/1e3, float64(hello.ReadyMS-hello.InitMS)/1e3
	for name, sec := range map[string]float64{startVM: vm, startKernel: kernel, startInit: init, startAgent: total - vm - kernel - init} {
		s.ours[name] = append(s.ours[name], sec)
	}
	peer, err := coldPeer()
	s.add(startCold, total, peer)
	return err
}

// started is when the VM ran its first instruction, in seconds after start.
func (d *door) started(ctx context.Context, after uint64, start time.Time) (float64, error) {
	for e, err := range ipc.Subscribe(ctx, d.conn, agentapi.Events, &agentapi.EventsReq{After: after}) {
		if err != nil {
			return 0, err
		}
		if e.Kind == agentapi.MachineStarted {
			return e.Time.Sub(start).Seconds(), nil
		}
	}
	return 0, errors.New("the agent has ended")
}

func (d *door) hello(ctx context.Context) (*guestapi.HelloResp, error) {
	resp, err := ipc.Call(ctx, d.conn, agentapi.Guest, &agentapi.GuestReq{})
	if err != nil {
		return nil, err
	}
	f, err := resp.Take(resp.Stream)
	if err != nil {
		return nil, err
	}
	guest, err := ipc.FromFile(f, nil)
	if err != nil {
		return nil, err
	}
	defer guest.Close()
	return ipc.Call(ctx, guest, guestapi.Hello, &guestapi.HelloReq{Version: guestapi.Version})
}

// coldPeer boots the same kernel, initrd and root with QEMU until the same init says that it is ready.
func coldPeer() (float64, error) {
	found, err := kit.Assets("bin/arcbox")
	if err != nil || len(found) == 0 {
		return 0, errors.Join(err, errors.New("there are no boot assets"))
	}
	f := found[0]
	cmd := exec.Command("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max,pauth=off", "-accel", "tcg,thread=multi", "-smp", "1", "-m", "512",
		"-display", "none", "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", f.Kernel, "-initrd", f.Initrd, "-append", f.Cmdline+" console=ttyAMA0",
		"-drive", "if=none,id=root,format=raw,readonly=on,file="+f.Root, "-device", "virtio-blk-device,drive=root")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var said bytes.Buffer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if bytes.Contains(lines.Bytes(), []byte("arcbox-guest: ready at")) {
			return time.Since(start).Seconds(), nil
		}
		fmt.Fprintln(&said, lines.Text())
	}
	return 0, fmt.Errorf("QEMU's guest did not get ready:\n%s", said.Bytes()[max(0, said.Len()-2000):])
}

// warm asks for a machine that runs.
func (d *door) warm(s *samples) error {
	const n = 1000
	ctx := context.Background()
	for range n / 10 {
		if _, err := ipc.Call(ctx, d.conn, agentapi.EnsureReady, &agentapi.EnsureReadyReq{}); err != nil {
			return err
		}
	}
	start := time.Now()
	for range n {
		if _, err := ipc.Call(ctx, d.conn, agentapi.EnsureReady, &agentapi.EnsureReadyReq{}); err != nil {
			return err
		}
	}
	s.ours[readyRunning] = append(s.ours[readyRunning], time.Since(start).Seconds()/n*1e6)
	return nil
}

// memory is what the agent has resident with one machine that runs.
func (d *door) memory(s *samples) error {
	v, err := ipc.Call(context.Background(), d.conn, agentapi.Version, &agentapi.VersionReq{})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.PID))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return errors.New("the kernel does not say how large the agent is")
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	s.add(memAgent, kib/1024, 20)
	return err
}

// status is a whole process of arcbox status.
func (d *door) status(s *samples) error {
	cmd := exec.Command("bin/arcbox", "status", "--json")
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var st struct {
		Agent struct{ Running bool }
	}
	if err := json.Unmarshal(out, &st); err != nil || !st.Agent.Running {
		return fmt.Errorf("status says %s, %w", out, err)
	}
	s.add(cliStatus, float64((cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()).Microseconds())/1e3, 15)
	return nil
}
