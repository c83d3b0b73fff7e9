package main

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/balloon"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/console"
	network "github.com/arcboxlabs/arcbox-go/hv/virtio/net"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/rng"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A machine is a board with the host's side of its devices.
type machine struct {
	label  string
	cid    uint64
	memory uint64 // of guest RAM, in bytes
	events *journal
	board  *board.Board
	holds  holds
	made   time.Time
	names  []string // of the virtio devices, in the board's order

	console  vmapi.Console // the terminal's
	terminal net.Conn      // nil for none
	consoles *console.Device
	streams  streams
	disks    []*disk
	ports    *ports          // nil without vsock
	balloon  *balloon.Device // nil for none
	card     *network.Device // nil for none
	files    []io.Closer     // logs, traces
	repeats  bool            // deterministic
	gdb      net.Listener    // nil for none
	resident *os.File        // what /proc says of our memory; nil where there is none

	over   context.Context // ends when the guest has
	ending context.CancelFunc
	typing sync.WaitGroup
	spare  sync.WaitGroup // goroutines that wait for space

	done chan struct{} // closed when end and err hold and everything is closed
	end  *vmapi.WaitResp
	err  error
}

// newMachine makes a machine of a request, whose descriptors it takes. Nothing
// runs yet; run or discard must follow.
func newMachine(events *journal, req *vmapi.ConfigureReq) (*machine, error) {
	m := &machine{
		label: req.Label, cid: req.CID, memory: req.Memory, events: events, made: time.Now(),
		console: req.Console, done: make(chan struct{}),
	}
	m.over, m.ending = context.WithCancel(context.Background())
	m.resident = openResident()
	cfg := board.Config{
		CPUs: req.CPUs, Memory: req.Memory, Cmdline: req.Cmdline, Seed: req.Seed,
		DigestMemory: req.DigestMemory, Watch: board.NewWatch(), Log: log.Printf, Failed: m.broken,
	}
	for _, part := range []func(*board.Config, *vmapi.ConfigureReq) error{
		m.checkBounds, m.addEngine, m.addKernel, m.addInitrd, m.addDeterministic, m.addConsoles, m.addDisks, m.addRandom,
		m.addVsock, m.addNet, m.addBalloon, m.addTrace, m.addGDB, m.addBoard,
	} {
		if err := part(&cfg, req); err != nil {
			m.discard()
			return nil, err
		}
	}
	m.holds = holds{board: m.board, events: events}
	return m, nil
}

// refused marks an error as one that the caller can mend.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return ipc.Errorf(ipc.BadRequest, "%v", err)
}

// checkBounds holds a request to the bounds that nothing else checks.
func (m *machine) checkBounds(_ *board.Config, req *vmapi.ConfigureReq) error {
	switch {
	case len(req.Label) > vmapi.MaxLabel:
		return ipc.Errorf(ipc.BadRequest, "cannot keep a label of %d bytes: at most %d fit", len(req.Label), vmapi.MaxLabel)
	case len(req.Disks) > vmapi.MaxDisks:
		return ipc.Errorf(ipc.BadRequest, "cannot make %d disks: at most %d have names", len(req.Disks), vmapi.MaxDisks)
	}
	return nil
}

// add puts a device behind the next window.
func (m *machine) add(cfg *board.Config, name string, dev virtio.Device) {
	cfg.Devices = append(cfg.Devices, dev)
	m.names = append(m.names, name)
}

// broken is told of a guest that broke the rules of a device.
func (m *machine) broken(i int, err error) {
	m.events.addRarely(sayf(vmapi.DeviceBroken, m.names[i], "%v", err))
}

func (m *machine) addEngine(cfg *board.Config, req *vmapi.ConfigureReq) (err error) {
	cfg.Engine, err = openEngine(req.Engine)
	return err
}

func (m *machine) addKernel(cfg *board.Config, req *vmapi.ConfigureReq) error {
	f, err := req.Take(req.Kernel)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if cfg.Kernel, err = image.Open(f, info.Size()); err != nil {
		return ipc.Errorf(vmapi.BadKernel, "cannot use the kernel: %v", err)
	}
	return nil
}

func (m *machine) addInitrd(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.Initrd == 0 {
		return nil
	}
	f, err := req.Take(req.Initrd)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	initrd, err := image.OpenInitrd(f, info.Size())
	if err != nil {
		return ipc.Errorf(vmapi.BadInitrd, "cannot use the initrd: %v", err)
	}
	cfg.Initrd = initrd.Data
	return nil
}

// addConsoles makes hvc0 and hvc1 and joins one console to the terminal.
func (m *machine) addConsoles(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.Terminal != 0 {
		f, err := req.Take(req.Terminal)
		if err != nil {
			return err
		}
		if m.terminal, err = openTerminal(f); err != nil {
			return refused(err)
		}
		if m.console == vmapi.TTYAMA0 {
			cfg.UART = m.terminal
		}
	}
	var err error
	// Of several ports the driver says when it is ready for input, of one it does not.
	m.consoles, err = console.New(console.PortOptions{Tap: cfg.Watch.Tap("hvc0", nil)}, console.PortOptions{})
	if err != nil {
		return err
	}
	if d := cfg.Deterministic; d != nil {
		for _, name := range []vmapi.Console{vmapi.HVC0, vmapi.HVC1} {
			port, err := m.port(name)
			if err != nil {
				return err
			}
			d.Outside = append(d.Outside, typedOn(name, port, len(cfg.Devices)), sizeOf(name, port, len(cfg.Devices)))
		}
	}
	m.add(cfg, "hvc", m.consoles)
	return nil
}

// addRandom makes the entropy device: the host's, or one that a seed repeats.
func (m *machine) addRandom(cfg *board.Config, req *vmapi.ConfigureReq) error {
	var source io.Reader
	if d := cfg.Deterministic; d != nil {
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], d.Seed)
		source = rand.NewChaCha8(key)
		if n := faults(req).EntropyError; n != 0 {
			source = faultyReader{source, newCountdown(n)}
		}
	}
	m.add(cfg, "rng", rng.New(source))
	return nil
}

func (m *machine) addBalloon(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.Balloon {
		m.balloon = balloon.New()
		m.add(cfg, "balloon", m.balloon)
	}
	return nil
}

// addDeterministic has the run repeat, be logged, or follow a log.
func (m *machine) addDeterministic(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.Deterministic == nil {
		return nil
	}
	d := &board.Deterministic{Seed: req.Deterministic.Seed}
	addFaults(d, faults(req))
	if req.Deterministic.Record != 0 {
		f, err := req.Take(req.Deterministic.Record)
		if err != nil {
			return err
		}
		m.files = append(m.files, f)
		d.Record = f
	}
	if req.Deterministic.Replay != 0 {
		f, err := req.Take(req.Deterministic.Replay)
		if err != nil {
			return err
		}
		m.files = append(m.files, f)
		d.Replay = f
	}
	cfg.Deterministic, m.repeats = d, true
	return nil
}

func (m *machine) addBoard(cfg *board.Config, _ *vmapi.ConfigureReq) (err error) {
	m.board, err = board.New(*cfg)
	return refused(err)
}

// run runs the guest to its end, and closes everything but what is kept for the owner. It
// ends early with ctx.
func (m *machine) run(ctx context.Context) {
	defer close(m.done)
	var joined sync.WaitGroup
	m.join(&joined)
	joined.Go(debug.FreeOSMemory) // what loading took is as large as all the rest
	endDebug := m.serveGDB()
	outcome, err := m.board.Run(ctx)
	m.ending()
	endDebug()
	m.ports.close()
	m.consoles.Close() // readers end when all is read
	joined.Wait()
	m.spare.Wait()
	if m.err = err; err == nil {
		m.end = m.report(outcome)
	}
	m.closeFiles()
	m.typing.Wait()
	m.board.Close()
	m.tellEnd()
}

// tellEnd makes the guest's end an event.
func (m *machine) tellEnd() {
	e := vmapi.Event{Kind: vmapi.GuestEnded, Outcome: vmapi.Fault}
	if m.err != nil {
		e.Message = m.err.Error()
	} else {
		e.Outcome, e.Message = m.end.Outcome, m.end.Message
	}
	m.events.add(e)
}

// ended says whether the guest's end is known.
func (m *machine) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// wait serves vmapi.Wait.
func (m *machine) wait(ctx context.Context, _ *vmapi.WaitReq) (*vmapi.WaitResp, error) {
	select {
	case <-m.done:
		return m.end, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

var outcomes = map[board.Kind]vmapi.Outcome{
	board.PowerOff: vmapi.PowerOff, board.Reset: vmapi.Reset, board.Panic: vmapi.Panic,
	board.Fault: vmapi.Fault, board.Stopped: vmapi.Stopped,
}

// report is an outcome as it crosses the wire.
func (m *machine) report(o *board.Outcome) *vmapi.WaitResp {
	end := &vmapi.WaitResp{
		Outcome: outcomes[o.Kind], Message: o.Message, MemorySHA256: o.MemorySHA256,
		LastLines: strings.Join(o.Console, "\n"), Stats: m.counters(o.Stats),
	}
	switch o.Kind {
	case board.Panic, board.Fault, board.Stopped: // the others ended as they wanted
		for _, cpu := range o.CPUs {
			end.Registers += cpu.String()
		}
	}
	return end
}

// join connects the terminal to its console. Output is joined: all of it must be
// out before the terminal closes. Input ends when the terminal is closed.
func (m *machine) join(joined *sync.WaitGroup) {
	if m.terminal == nil {
		return
	}
	enter := m.board.UARTInput
	if m.console == vmapi.HVC0 {
		port := m.consoles.Port(0)
		screen := port.Attach(console.AttachOptions{History: true, Wait: true})
		joined.Go(func() {
			defer screen.Close()
			io.Copy(m.terminal, screen)
		})
		enter = m.typist(vmapi.HVC0, port)
	}
	m.typing.Go(func() { typeIn(m.terminal, enter) })
}

// closeFiles closes what newMachine opened. All that the guest has written is on the medium
// then, whatever the flush policy was.
func (m *machine) closeFiles() {
	if m.card != nil {
		m.card.Close()
	}
	if m.terminal != nil {
		m.terminal.Close()
	}
	for _, d := range m.disks {
		d.close()
	}
	for _, f := range m.files {
		f.Close()
	}
	if m.gdb != nil {
		m.gdb.Close()
	}
}

// discard releases a machine that will not run.
func (m *machine) discard() {
	m.ending()
	m.ports.close()
	m.closeFiles()
	if m.board != nil {
		m.board.Close()
	}
	m.release()
}

// release lets go of what was kept for an owner after the guest's end.
func (m *machine) release() {
	m.streams.close()
	if m.resident != nil {
		m.resident.Close()
	}
}
