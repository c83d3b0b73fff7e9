package main

import (
	"context"
	"log"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// askTime is how long a guest may take to say that it will shut down.
const askTime = 5 * time.Second

// stop serves vmapi.Stop.
func (m *machine) stop(ctx context.Context, req *vmapi.StopReq) (*vmapi.StopResp, error) {
	if err := m.askGuest(ctx, milliseconds(req.GraceMS, 0)); err != nil {
		return nil, err
	}
	return &vmapi.StopResp{}, nil
}

// askGuest has the guest shut itself down, and returns when it has said that it will. Its programs
// have grace to end; 0 is for the guest to say.
func (m *machine) askGuest(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := m.ports.dial(ctx, guestapi.Port)
	if err == nil {
		err = askToEnd(ctx, ipc.NewConn(c, nil), grace)
	}
	if err != nil {
		return ipc.Errorf(vmapi.NotReady, "cannot ask the guest to shut down: %v", err)
	}
	return nil
}

// askToEnd says what there is to say to the guest's agent.
func askToEnd(ctx context.Context, guest *ipc.Conn, grace time.Duration) error {
	defer guest.Close()
	hello, err := ipc.Call(ctx, guest, guestapi.Hello, &guestapi.HelloReq{Version: guestapi.Version, Build: ipc.Here().Build})
	if err != nil {
		return err
	}
	if hello.Version != guestapi.Version {
		log.Printf("the guest's agent is of version %d, and this is %d", hello.Version, guestapi.Version)
	}
	_, err = ipc.Call(ctx, guest, guestapi.Shutdown, &guestapi.ShutdownReq{GraceMS: grace.Milliseconds()})
	return err
}

// shutDown ends a guest within a time: it is asked, and then cut off. When ctx ends first, the
// guest is left to itself.
func (m *machine) shutDown(ctx context.Context, grace time.Duration) {
	late, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	m.letGo() // a guest that is held cannot end
	if err := m.askGuest(late, grace*4/5); err != nil {
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
