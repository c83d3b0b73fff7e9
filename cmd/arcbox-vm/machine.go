package main

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/blk"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/console"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/rng"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A machine is a board with its backends and terminal.
type machine struct {
	board    *board.Board
	started  time.Time
	console  vmapi.Console
	hvc0     *console.Device
	terminal net.Conn     // nil for none
	files    []io.Closer  // disk images, logs, traces
	repeats  bool         // deterministic
	gdb      net.Listener // nil for none
	typing   sync.WaitGroup

	done chan struct{} // closed when end and err hold and everything is closed
	end  *vmapi.WaitResp
	err  error
}

// newMachine makes a machine of a request, whose descriptors it takes. Nothing
// runs yet; run must follow.
func newMachine(req *vmapi.ConfigureReq) (*machine, error) {
	m := &machine{started: time.Now(), console: req.Console, done: make(chan struct{})}
	cfg := board.Config{
		CPUs: req.CPUs, Memory: req.Memory, Cmdline: req.Cmdline, Seed: req.Seed,
		DigestMemory: req.DigestMemory, Watch: board.NewWatch(), Log: log.Printf,
	}
	for _, part := range []func(*board.Config, *vmapi.ConfigureReq) error{
		m.addEngine, m.addKernel, m.addInitrd, m.addDeterministic, m.addConsoles, m.addDisks, m.addRandom,
		m.addTrace, m.addGDB, m.addBoard,
	} {
		if err := part(&cfg, req); err != nil {
			m.closeFiles()
			return nil, err
		}
	}
	return m, nil
}

// refused marks an error as one that the caller can mend.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return ipc.Errorf(ipc.BadRequest, "%v", err)
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

// addConsoles makes hvc0 and joins one console to the terminal.
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
	// hvc1 is here so that there are control queues, on which the driver says when
	// it is ready for input.
	m.hvc0, err = console.New(console.PortOptions{Tap: cfg.Watch.Tap("hvc0", nil)}, console.PortOptions{})
	cfg.Devices = append(cfg.Devices, m.hvc0)
	return err
}

// addDisks makes a block device of each image, with a queue for each vCPU.
func (m *machine) addDisks(cfg *board.Config, req *vmapi.ConfigureReq) error {
	for i, d := range req.Disks {
		f, err := req.Take(d.Image)
		if err != nil {
			return err
		}
		disk, err := file.New(f)
		if err != nil {
			f.Close()
			return refused(err)
		}
		m.files = append(m.files, disk)
		name := "vd" + string(rune('a'+i))
		var backend blk.Disk = disk
		if n := faults(req).DiskError; n != 0 {
			backend = faultyDisk{disk, newCountdown(n)}
		}
		dev, err := blk.New(backend, blk.Options{
			ReadOnly: d.ReadOnly, Serial: name, Queues: min(cfg.CPUs, virtio.MaxQueues),
			InOrder: cfg.Deterministic != nil,
			Failed:  func(op string, err error) { log.Printf("%s: the host failed to %s: %v", name, op, err) },
		})
		if err != nil {
			return refused(err)
		}
		cfg.Devices = append(cfg.Devices, dev)
	}
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
	cfg.Devices = append(cfg.Devices, rng.New(source))
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

// run runs the guest to its end, and closes everything. It ends early with ctx.
func (m *machine) run(ctx context.Context) {
	defer close(m.done)
	var joined sync.WaitGroup
	m.join(&joined)
	endDebug := m.serveGDB()
	outcome, err := m.board.Run(ctx)
	endDebug()
	m.hvc0.Close() // its reader ends when all is read
	joined.Wait()
	if err == nil {
		m.end = m.ending(outcome)
	}
	m.err = err
	m.closeFiles()
	m.typing.Wait()
	m.board.Close()
}

// join connects the terminal to its console. Output is joined: all of it must be
// out before the terminal closes. Input ends when the terminal is closed.
func (m *machine) join(joined *sync.WaitGroup) {
	if m.terminal == nil {
		return
	}
	enter := m.board.UARTInput
	if m.console == vmapi.HVC0 {
		port := m.hvc0.Port(0)
		screen := port.Attach(console.AttachOptions{History: true, Wait: true})
		joined.Go(func() {
			defer screen.Close()
			io.Copy(m.terminal, screen)
		})
		enter = func(p []byte) error {
			if m.repeats {
				return nil // when this device takes it is not counted
			}
			_, err := port.Write(p)
			return err
		}
	}
	m.typing.Go(func() { typeIn(m.terminal, enter) })
}

// closeFiles closes what newMachine opened.
func (m *machine) closeFiles() {
	if m.terminal != nil {
		m.terminal.Close()
	}
	for _, f := range m.files {
		// Whatever the flush policy was while the machine ran, at its end all is on the medium.
		if disk, ok := f.(*file.File); ok {
			if err := disk.SyncAs(file.Full); err != nil {
				log.Print(err)
			}
		}
		f.Close()
	}
	if m.gdb != nil {
		m.gdb.Close()
	}
}
