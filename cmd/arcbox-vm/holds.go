package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// holds are the reasons for which the guest is held: its owner wants it, or disks wait for
// space on the host. It runs when there are none.
type holds struct {
	board  *board.Board
	events *journal
	now    atomic.Bool // the guest is held; written with mu

	mu    sync.Mutex // guards what follows; held while the board pauses
	owner bool
	disks int
}

func (h *holds) held() bool { return h.now.Load() }

// hold adds the reason that set says, and returns when no vCPU runs. Errors: ctx's.
func (h *holds) hold(ctx context.Context, set func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.now.Load() {
		if err := h.board.Pause(ctx); err != nil {
			return err
		}
		h.now.Store(true)
		h.events.add(vmapi.Event{Kind: vmapi.GuestPaused})
	}
	set()
	return nil
}

// drop takes the reason away that unset says.
func (h *holds) drop(unset func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	unset()
	if h.now.Load() && !h.owner && h.disks == 0 {
		h.board.Resume()
		h.now.Store(false)
		h.events.add(vmapi.Event{Kind: vmapi.GuestResumed})
	}
}

// pause serves vmapi.Pause.
func (m *machine) pause(ctx context.Context, req *vmapi.PauseReq) (*vmapi.PauseResp, error) {
	if err := m.holds.hold(ctx, func() { m.holds.owner = true }); err != nil {
		return nil, err
	}
	if req.Flush {
		if err := m.flushAll(); err != nil {
			return nil, err
		}
	}
	return &vmapi.PauseResp{}, nil
}

// resume serves vmapi.Resume.
func (m *machine) resume(context.Context, *vmapi.ResumeReq) (*vmapi.ResumeResp, error) {
	m.letGo()
	return &vmapi.ResumeResp{}, nil
}

// letGo ends the owner's pause, and has disks that wait for space try again.
func (m *machine) letGo() {
	for _, d := range m.disks {
		d.retry()
	}
	m.holds.drop(func() { m.holds.owner = false })
}
