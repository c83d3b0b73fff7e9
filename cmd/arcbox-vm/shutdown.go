package main

import (
	"context"
	"log"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// stop serves vmapi.Stop.
func (m *machine) stop(ctx context.Context, _ *vmapi.StopReq) (*vmapi.StopResp, error) {
	if err := m.askGuest(ctx); err != nil {
		return nil, err
	}
	return &vmapi.StopResp{}, nil
}

// askGuest has the guest shut itself down, and returns when it has said that it will.
func (m *machine) askGuest(ctx context.Context) error {
	return ipc.Errorf(vmapi.NotReady, "cannot ask the guest to shut down: nobody in it listens")
}

// shutDown ends a guest within a time: it is asked, and then cut off. When ctx ends first, the
// guest is left to itself.
func (m *machine) shutDown(ctx context.Context, grace time.Duration) {
	late, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	m.letGo() // a guest that is held cannot end
	if err := m.askGuest(late); err != nil {
		log.Print(err)
		cancel()
	}
	select {
	case <-m.done:
	case <-late.Done():
		if ctx.Err() == nil {
			m.board.Stop("nobody owned it any more")
			<-m.done
		}
	}
}
