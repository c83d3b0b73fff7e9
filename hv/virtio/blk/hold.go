package blk

import (
	"context"
	"errors"
	"sync"
	"syscall"
)

// A hold keeps the requests for which the host has no space, until somebody has made some. They are
// unanswered all the while, so nothing is lost and nothing claimed; the workers serve
// others, among them the discards that make space.
type hold struct {
	wake chan struct{} // has a token after Retry

	mu   sync.Mutex
	held []heldRequest
}

// A heldRequest tries again what has failed, and returns a status as perform does.
type heldRequest struct {
	r     request
	again func(r *request) byte
}

// refused is the status of a request that the disk failed with err: later, when it is held.
func (s *session) refused(op string, err error, r *request, again func(r *request) byte) byte {
	if s.opt.Full == nil || !errors.Is(err, syscall.ENOSPC) {
		s.failed(op, err)
		return statusIOErr
	}
	s.hold.mu.Lock()
	s.hold.held = append(s.hold.held, heldRequest{*r, again})
	first := len(s.hold.held) == 1
	s.hold.mu.Unlock()
	if first {
		s.opt.Full(err)
	}
	return later
}

// Held is how many requests wait for space on the host.
func (d *Device) Held() int {
	d.hold.mu.Lock()
	defer d.hold.mu.Unlock()
	return len(d.hold.held)
}

// Retry tries again what is held: there is space now. What still finds none is held again,
// and Options.Full is told. It does not wait.
func (d *Device) Retry() {
	select {
	case d.hold.wake <- struct{}{}:
	default:
	}
}

// take is all that is held.
func (h *hold) take() (held []heldRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held, h.held = h.held, nil
	return held
}

// retry serves Retry until ctx ends.
func (s *session) retry(ctx context.Context) error {
	for {
		select {
		case <-s.hold.wake:
		case <-ctx.Done():
			return nil
		}
		for _, h := range s.hold.take() {
			if st := h.again(&h.r); st != later {
				s.answer(h.r, st)
			}
		}
	}
}
