package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/gdb"
	"github.com/arcboxlabs/arcbox-go/hv/trace"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// addTrace makes a tracer on the descriptor that the request brought.
func (m *machine) addTrace(cfg *board.Config, req *vmapi.ConfigureReq) error {
	t := req.Trace
	if t == nil {
		return nil
	}
	events, err := trace.ParseEvents(t.Events)
	if err != nil {
		return refused(err)
	}
	out, err := req.Take(t.Out)
	if err != nil {
		return err
	}
	m.files = append(m.files, out)
	cfg.Trace = trace.New(out, trace.Filter{
		Events: events, Low: t.Low, High: t.High, EL: t.EL, First: t.First, Last: t.Last,
	})
	return nil
}

// addGDB takes the listening socket for debuggers.
func (m *machine) addGDB(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.GDB == 0 {
		return nil
	}
	f, err := req.Take(req.GDB)
	if err != nil {
		return err
	}
	defer f.Close() // FileListener has a copy of its own
	if m.gdb, err = net.FileListener(f); err != nil {
		return refused(fmt.Errorf("cannot listen for gdb: %w", err))
	}
	cfg.Debug = true
	return nil
}

// goodbye is how long the process waits for a debugger to take the last answer.
const goodbye = 2 * time.Second

// serveGDB serves debuggers, one after another, until the function that it returns
// is called.
func (m *machine) serveGDB() (end func()) {
	if m.gdb == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := m.gdb.Accept()
			if err != nil {
				return
			}
			if err := gdb.Serve(ctx, conn, m.board.Debugger()); err != nil {
				log.Printf("gdb: %v", err)
			}
		}
	})
	return func() {
		m.gdb.Close()
		late := time.AfterFunc(goodbye, cancel) // a session says by itself that its machine has ended
		serving.Wait()
		late.Stop()
		cancel()
	}
}
