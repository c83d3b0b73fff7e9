package main

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/blk"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// errFault is what a device fails with because the request asked for it.
var errFault = errors.New("a fault that was asked for")

// addFaults puts into d what misbehaves outside of the devices.
func addFaults(d *board.Deterministic, f *vmapi.Faults) {
	d.Quantum = f.Quantum
	d.Faults = board.Faults{
		Engine:   hv.Faults{FlushTLBEvery: f.FlushTLB, FailStoreEvery: f.FailStore, SingleStepBlock: f.SingleStep},
		DelayIRQ: f.DelayIRQ, SpuriousIRQ: f.SpuriousIRQ,
	}
}

// faults are those of a request, never nil.
func faults(req *vmapi.ConfigureReq) *vmapi.Faults {
	if req.Deterministic == nil || req.Deterministic.Faults == nil {
		return &vmapi.Faults{}
	}
	return req.Deterministic.Faults
}

// A countdown fails one call: the nth of those that ask it.
type countdown struct{ left atomic.Int64 }

func newCountdown(nth uint64) *countdown {
	c := &countdown{}
	c.left.Store(int64(nth))
	return c
}

func (c *countdown) failure() error {
	if c.left.Add(-1) == 0 {
		return errFault
	}
	return nil
}

// A faultyDisk fails one read, write or flush. It is no VectorDisk, so that a
// request is one call.
type faultyDisk struct {
	blk.Disk
	*countdown
}

func (d faultyDisk) ReadAt(p []byte, off int64) (int, error) {
	if err := d.failure(); err != nil {
		return 0, err
	}
	return d.Disk.ReadAt(p, off)
}

func (d faultyDisk) WriteAt(p []byte, off int64) (int, error) {
	if err := d.failure(); err != nil {
		return 0, err
	}
	return d.Disk.WriteAt(p, off)
}

func (d faultyDisk) Sync() error {
	if err := d.failure(); err != nil {
		return err
	}
	return d.Disk.Sync()
}

// A faultyReader fails one read.
type faultyReader struct {
	io.Reader
	*countdown
}

func (r faultyReader) Read(p []byte) (int, error) {
	if err := r.failure(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
