package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	goleak.VerifyTestMain(m)
}

// A rig is a vm in the test's own process, and its first owner.
type rig struct {
	vm     *vm
	conn   *ipc.Conn
	socket string
	done   chan struct{} // closed when the process would end
}

// newRig makes a vm that serves, and ends it with the test.
func newRig(t testing.TB) *rig {
	t.Helper()
	sock, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{vm: newVM(func() string { return "none: a test" }), done: make(chan struct{})}
	err = r.vm.keeper.Own(func(mux *ipc.Mux) (*ipc.Conn, error) { return ipc.FromFile(theirs, mux) })
	if err != nil {
		t.Fatal(err)
	}
	r.conn = ipc.NewConn(sock, nil)
	go func() {
		defer close(r.done)
		<-r.vm.keeper.Over()
		r.vm.close()
	}()
	t.Cleanup(func() {
		r.conn.Close()
		r.vm.keeper.Finish()
		<-r.done
	})
	return r
}

// request asks for a machine with a program instead of Linux, and with a rendezvous.
func (r *rig) request(t testing.TB, program ...uint32) *vmapi.ConfigureReq {
	t.Helper()
	dir := t.TempDir()
	req := &vmapi.ConfigureReq{CPUs: 1, Memory: 32 << 20, CID: 3, Balloon: true, OrphanMS: 60_000, Label: "a label"}
	req.Kernel = req.Attach(newFile(t, filepath.Join(dir, "kernel"), flat(program)))
	r.socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	req.Rendezvous = req.Attach(f)
	t.Cleanup(req.Close)
	return req
}

// boot makes and starts the machine.
func (r *rig) boot(t testing.TB, req *vmapi.ConfigureReq) {
	t.Helper()
	ask(t, r.conn, vmapi.Configure, req)
	ask(t, r.conn, vmapi.Start, &vmapi.StartReq{})
}

// meet connects to the rendezvous.
func (r *rig) meet(t testing.TB) *ipc.Conn {
	t.Helper()
	sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	c := ipc.NewConn(sock, nil)
	t.Cleanup(func() { c.Close() })
	return c
}

func newFile(t testing.TB, path string, content []byte) *os.File {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// flat is an image of the arm64 boot protocol around a program.
func flat(program []uint32) []byte {
	const header = 64
	image := make([]byte, header, header+4*len(program))
	binary.LittleEndian.PutUint32(image, 0x14000000|header/4) // b .+64
	binary.LittleEndian.PutUint64(image[16:], 1<<20)          // image_size
	copy(image[56:], "ARM\x64")
	for _, word := range program {
		image = binary.LittleEndian.AppendUint32(image, word)
	}
	return image
}

// Programs.
var (
	spins  = []uint32{0x14000000}                                                        // b .
	sleeps = []uint32{asm.Wfi(), 0x17ffffff}                                             // wfi; b .-4
	leaves = []uint32{asm.MovZ(0, 8, 0), asm.MovK(0, 0x8400, 16), asm.Hvc(0), asm.Wfi()} // SYSTEM_OFF
)

// ask calls a method that must succeed.
func ask[Req, Resp any](t testing.TB, c *ipc.Conn, m ipc.Method[Req, Resp], req *Req) *Resp {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := ipc.Call(ctx, c, m, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// refuses calls a method that must fail with a code.
func refuses[Req, Resp any](t testing.TB, c *ipc.Conn, code ipc.Code, m ipc.Method[Req, Resp], req *Req) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := ipc.Call(ctx, c, m, req)
	var e *ipc.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want code %s", m.Name, err, code)
	}
}

// over fails the test unless the process would end soon.
func (r *rig) over(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		t.Fatal("the process does not end")
	}
}

func TestAMachineWithoutRendezvousEndsWithItsOwner(t *testing.T) {
	for _, started := range []bool{false, true} {
		t.Run(fmt.Sprintf("started %v", started), func(t *testing.T) {
			r := newRig(t)
			req := r.request(t, spins...)
			req.Rendezvous = 0
			ask(t, r.conn, vmapi.Configure, req)
			if started {
				ask(t, r.conn, vmapi.Start, &vmapi.StartReq{})
			}
			r.conn.Close()
			r.over(t)
		})
	}
}

func TestNobodyConfigures(t *testing.T) {
	r := newRig(t)
	r.conn.Close()
	r.over(t)
}

func TestTheNewestAdopterOwns(t *testing.T) {
	r := newRig(t)
	r.boot(t, r.request(t, sleeps...))
	began := ask(t, r.conn, vmapi.Stats, &vmapi.StatsReq{}).Stats.HostSeconds
	owner := r.conn
	for range 10 {
		next := r.meet(t)
		refuses(t, next, ipc.WrongState, vmapi.Stats, &vmapi.StatsReq{})
		resp := ask(t, next, vmapi.Adopt, &vmapi.AdoptReq{})
		if resp.Label != "a label" || resp.State != vmapi.Running || resp.PID != os.Getpid() || resp.Started == 0 || resp.Orphan != 0 {
			t.Errorf("adopted %+v", resp)
		}
		<-owner.Done()
		owner = next
	}
	if now := ask(t, owner, vmapi.Stats, &vmapi.StatsReq{}).Stats.HostSeconds; now < began {
		t.Errorf("the machine is %g s old, and was %g", now, began)
	}
	ask(t, owner, vmapi.Quit, &vmapi.QuitReq{})
	owner.Close()
	r.over(t)
}

func TestOrphans(t *testing.T) {
	tests := []struct {
		name     string
		program  []uint32
		orphanMS int64
		adopt    bool // somebody comes
		start    bool
	}{
		{"nobody comes to a guest that runs", spins, 30, false, true},
		{"nobody comes to one that has ended", leaves, 30, false, true},
		{"nobody comes to one that was not started", spins, 30, false, false},
		{"somebody comes", spins, 60_000, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			req := r.request(t, tt.program...)
			req.OrphanMS, req.GraceMS = tt.orphanMS, 50
			ask(t, r.conn, vmapi.Configure, req)
			if tt.start {
				ask(t, r.conn, vmapi.Start, &vmapi.StartReq{})
			}
			r.conn.Close()
			if !tt.adopt {
				r.over(t)
				return
			}
			next := r.meet(t)
			resp := ask(t, next, vmapi.Adopt, &vmapi.AdoptReq{})
			select {
			case <-r.done:
				t.Error("the process has ended")
			default:
			}
			if resp.State != vmapi.Running {
				t.Errorf("adopted %+v", resp)
			}
		})
	}
}

func TestAnEndIsKeptForTheNextOwner(t *testing.T) {
	r := newRig(t)
	r.boot(t, r.request(t, leaves...))
	ask(t, r.conn, vmapi.Wait, &vmapi.WaitReq{})
	r.conn.Close()
	next := r.meet(t)
	if resp := ask(t, next, vmapi.Adopt, &vmapi.AdoptReq{}); resp.State != vmapi.Ended {
		t.Errorf("adopted %+v", resp)
	}
	if end := ask(t, next, vmapi.Wait, &vmapi.WaitReq{}); end.Outcome != vmapi.PowerOff {
		t.Errorf("the guest ended: %+v", end)
	}
}

func TestStatisticsOfAStuckGuest(t *testing.T) {
	// A loop that reads a register of the UART: MMIO exits, and nothing else happens.
	r := newRig(t)
	r.boot(t, r.request(t, asm.MovZ(1, 0x0b00, 16), asm.LdrW(2, 1, 0x18), 0x17ffffff))
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s := ask(t, r.conn, vmapi.Stats, &vmapi.StatsReq{})
		var uart vmapi.DeviceStats
		for _, d := range s.Devices {
			if d.Name == "pl011" {
				uart = d
			}
			if d.Name == "vsock" && (d.Driver != "off" || len(d.Queues) != 0) {
				t.Errorf("vsock of a guest without a driver: %+v", d)
			}
		}
		if uart.Reads > 100 && s.Stats.Exits["mmio"] > 100 && s.CPUs[0].State == "running" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a loop of UART reads looks like %+v, exits %v, CPUs %+v", uart, s.Stats.Exits, s.CPUs)
		}
	}
}

func TestPauses(t *testing.T) {
	r := newRig(t)
	refuses(t, r.conn, ipc.WrongState, vmapi.Pause, &vmapi.PauseReq{})
	req := r.request(t, spins...)
	ask(t, r.conn, vmapi.Configure, req)
	refuses(t, r.conn, ipc.WrongState, vmapi.Pause, &vmapi.PauseReq{})
	ask(t, r.conn, vmapi.Start, &vmapi.StartReq{})
	for range 20 {
		ask(t, r.conn, vmapi.Pause, &vmapi.PauseReq{})
		ask(t, r.conn, vmapi.Pause, &vmapi.PauseReq{}) // twice is once
		before := ask(t, r.conn, vmapi.Stats, &vmapi.StatsReq{})
		if before.State != vmapi.Paused {
			t.Fatalf("the machine is %s", before.State)
		}
		if after := ask(t, r.conn, vmapi.Stats, &vmapi.StatsReq{}); after.Stats.Instructions != before.Stats.Instructions {
			t.Fatalf("%d instructions were run in a pause", after.Stats.Instructions-before.Stats.Instructions)
		}
		ask(t, r.conn, vmapi.Resume, &vmapi.ResumeReq{})
	}
	if s := ask(t, r.conn, vmapi.Stats, &vmapi.StatsReq{}); s.State != vmapi.Running {
		t.Errorf("the machine is %s", s.State)
	}
	ask(t, r.conn, vmapi.Pause, &vmapi.PauseReq{})
	ask(t, r.conn, vmapi.ForceStop, &vmapi.ForceStopReq{}) // a paused guest can be stopped
	if end := ask(t, r.conn, vmapi.Wait, &vmapi.WaitReq{}); end.Outcome != vmapi.Stopped {
		t.Errorf("the guest ended: %+v", end)
	}
}

func TestConfigureRefuses(t *testing.T) {
	type change = func(t *testing.T, req *vmapi.ConfigureReq)
	pipe := func(t *testing.T, req *vmapi.ConfigureReq) ipc.FD {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		return req.Attach(r)
	}
	empty := func(t *testing.T, req *vmapi.ConfigureReq) ipc.FD {
		return req.Attach(newFile(t, filepath.Join(t.TempDir(), "file"), make([]byte, 4096)))
	}
	tests := []struct {
		name   string
		code   ipc.Code
		change change
	}{
		{"no kernel", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Kernel = 0 }},
		{"a descriptor that did not come", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Kernel = 63 }},
		{"a negative descriptor", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Initrd = -1 }},
		{"one descriptor for two things", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Initrd = req.Kernel }},
		{"a pipe as kernel", vmapi.BadKernel, func(t *testing.T, req *vmapi.ConfigureReq) { req.Kernel = pipe(t, req) }},
		{"zeroes as kernel", vmapi.BadKernel, func(t *testing.T, req *vmapi.ConfigureReq) { req.Kernel = empty(t, req) }},
		{"a pipe as disk", ipc.BadRequest, func(t *testing.T, req *vmapi.ConfigureReq) { req.Disks = []vmapi.Disk{{Image: pipe(t, req)}} }},
		{"a flush policy that does not exist", ipc.BadRequest, func(t *testing.T, req *vmapi.ConfigureReq) {
			req.Disks = []vmapi.Disk{{Image: empty(t, req), Flush: "never"}}
		}},
		{"more disks than letters", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Disks = make([]vmapi.Disk, 27) }},
		{"a file as rendezvous", ipc.BadRequest, func(t *testing.T, req *vmapi.ConfigureReq) { req.Rendezvous = empty(t, req) }},
		{"a file as terminal", ipc.BadRequest, func(t *testing.T, req *vmapi.ConfigureReq) { req.Terminal = empty(t, req) }},
		{"a file as debugger", ipc.BadRequest, func(t *testing.T, req *vmapi.ConfigureReq) { req.GDB = empty(t, req) }},
		{"no vCPU", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.CPUs = 0 }},
		{"too many vCPUs", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.CPUs = 1 << 30 }},
		{"little memory", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Memory = 1 << 20 }},
		{"all the memory there is", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Memory = 1<<64 - 1<<20 }},
		{"the host's own CID", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.CID = 2 }},
		{"vsock of a deterministic machine", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Deterministic = &vmapi.Deterministic{} }},
		{"ports without vsock", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.CID, req.Listen = 0, []uint32{1} }},
		{"too many ports", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) {
			for i := range uint32(vmapi.MaxPorts + 1) {
				req.Listen = append(req.Listen, i)
			}
		}},
		{"an engine that does not exist", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Engine = "steam" }},
		{"a label without end", ipc.BadRequest, func(_ *testing.T, req *vmapi.ConfigureReq) { req.Label = string(make([]byte, vmapi.MaxLabel+1)) }},
	}
	r := newRig(t)
	before := openFiles(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := r.request(t, spins...)
			defer req.Close()
			tt.change(t, req)
			refuses(t, r.conn, tt.code, vmapi.Configure, req)
		})
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open after the refusals, %d were before", after, before)
	}
	r.boot(t, r.request(t, spins...)) // none of it has spoilt the process
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

func TestReadersOfAConsoleAreBounded(t *testing.T) {
	r := newRig(t)
	r.boot(t, r.request(t, sleeps...))
	var open []*vmapi.AttachResp
	for range vmapi.MaxAttached {
		open = append(open, ask(t, r.conn, vmapi.Attach, &vmapi.AttachReq{Console: vmapi.HVC1}))
	}
	refuses(t, r.conn, ipc.Busy, vmapi.Attach, &vmapi.AttachReq{Console: vmapi.HVC1})
	ask(t, r.conn, vmapi.Attach, &vmapi.AttachReq{Console: vmapi.HVC0}).Close()
	f, err := open[0].Take(open[0].Stream)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, r.conn, vmapi.ForceStop, &vmapi.ForceStopReq{})
	if b, err := io.ReadAll(f); len(b) != 0 || err != nil {
		t.Errorf("the console of a guest that said nothing: %q, %v", b, err)
	}
	f.Close()
	for _, resp := range open {
		resp.Close()
	}
}
