package main

import (
	"context"
	"os"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/owned"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// hooks are what this process does when its owner is lost, when it is adopted, and when it is not.
func (v *vm) hooks() owned.Hooks {
	return owned.Hooks{
		Orphaned: func() { v.events.add(vmapi.Event{Kind: vmapi.Orphaned}) },
		Unwanted: func(ctx context.Context) {
			v.events.add(vmapi.Event{Kind: vmapi.OrphanEnds})
			if m, err := v.running(); err == nil {
				m.shutDown(ctx, v.grace)
			}
		},
	}
}

// adopt serves vmapi.Adopt.
func (v *vm) adopt(ctx context.Context, _ *vmapi.AdoptReq) (*vmapi.AdoptResp, error) {
	away, err := v.keeper.Adopt(ctx)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	resp := &vmapi.AdoptResp{PID: os.Getpid(), State: v.state(), Event: v.events.number(), Orphan: away.Milliseconds()}
	if !v.started.IsZero() {
		resp.Started = v.started.UnixMilli()
	}
	if m := v.machine; m != nil {
		resp.Label, resp.CID, resp.Listen = m.label, m.cid, m.ports.list()
	}
	v.events.add(vmapi.Event{Kind: vmapi.Adopted})
	return resp, nil
}

// close ends the guest, tells the owner, and ends every connection.
func (v *vm) close() {
	v.keeper.Close(func() {
		v.mu.Lock()
		v.closing = true
		m := v.machine
		if m != nil && v.started.IsZero() { // there is one way to end for all
			v.started = time.Now()
			go m.run(v.ctx)
		}
		v.mu.Unlock()
		v.cancel()
		if m != nil {
			<-m.done
		}
	})
	if m, err := v.configured(); err == nil {
		m.release()
	}
}
