package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/storage"
)

// A driver performs the effects of one machine, one after another: a new one cancels the one that is under way and waits
// for its end. So at any moment one goroutine at most does something to the VM.
type driver struct {
	m *Machine

	mu     sync.Mutex // guards what follows
	cancel context.CancelFunc
	last   chan struct{} // closed when the effect that was begun last has ended; nil before the first
	err    error         // of the last Delete
}

// Begin implements lifecycle.Driver.
func (d *driver) Begin(e lifecycle.Effect, epoch uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	release := func() {}
	if e == lifecycle.Wake { // a machine on its way back is in use: else a short idle time sends it to rest again, and who waits is lost
		release = d.m.Use()
	}
	d.mu.Lock()
	before := d.last
	if d.cancel != nil {
		d.cancel()
	}
	d.cancel, d.last = cancel, done
	d.mu.Unlock()
	go func() {
		defer close(done)
		defer cancel()
		defer release()
		if before != nil {
			<-before
		}
		d.perform(ctx, e, epoch)
	}()
}

// wait returns when the last effect has ended, with the error of a Delete.
func (d *driver) wait(ctx context.Context) error {
	d.mu.Lock()
	last := d.last
	d.mu.Unlock()
	if last != nil {
		select {
		case <-last:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// close cancels what is under way and waits for it. Begin is not called any more.
func (d *driver) close() {
	d.mu.Lock()
	if d.cancel != nil {
		d.cancel()
	}
	d.mu.Unlock()
	d.wait(context.Background())
}

// perform does one effect. What it reports after ctx has ended is of no interest to the owner any more.
func (d *driver) perform(ctx context.Context, e lifecycle.Effect, epoch uint64) {
	m := d.m
	report := func(ev lifecycle.Event, err error) { m.life.Report(ev, epoch, err) }
	switch e {
	case lifecycle.Make:
		if err := m.make(); err != nil {
			report(lifecycle.MakeFailed, err)
			return
		}
		report(lifecycle.Made, nil)
	case lifecycle.Boot:
		m.destroy()
		if err := m.boot(ctx, epoch); err != nil { // the session reports the rest
			report(lifecycle.BootFailed, err)
		}
	case lifecycle.Rest:
		if s := m.current(); s != nil {
			s.rest(ctx)
		}
	case lifecycle.Wake:
		if m.mgr.awake(ctx) != nil {
			return // for something else to do
		}
		if err := m.wake(ctx); err != nil {
			if ctx.Err() == nil { // else it was not the guest's fault
				report(lifecycle.Lost, err)
			}
			return
		}
		report(lifecycle.Ready, nil)
	case lifecycle.Shutdown:
		s := m.current()
		if s == nil {
			report(lifecycle.Down, nil)
		} else if err := s.shutdown(ctx); err != nil { // else the session reports when the guest has gone
			report(lifecycle.Lost, err)
		}
	case lifecycle.Destroy:
		m.destroy()
		report(lifecycle.Down, nil)
	case lifecycle.Delete:
		err := m.delete()
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
	}
}

// make makes record and disk.
func (m *Machine) make() error {
	m.changing.Lock()
	defer m.changing.Unlock()
	r := m.record()
	if !m.mgr.opts.Mock {
		img, err := storage.Ensure(storage.Spec{Path: r.Data, Reserve: m.settings().DiskReserve})
		if err != nil {
			return fmt.Errorf("cannot make the disk of %s: %w", m.name, err)
		}
		if err := img.Close(); err != nil {
			return err
		}
	}
	return m.mgr.records.write(r)
}

// delete removes the record, and the disk if that is wanted.
func (m *Machine) delete() error {
	os.Remove(m.saidPath()) // there may be none
	err := m.mgr.records.remove(m.name)
	if err != nil || m.keepDisk.Load() {
		return err
	}
	if err := os.Remove(m.record().Data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the disk of %s: %w", m.name, err)
	}
	return nil
}

// destroy ends the VM process, if there is one, and waits for it.
func (m *Machine) destroy() {
	if s := m.current(); s != nil {
		s.destroy()
	}
}

// wake undoes rest and returns when the guest has answered.
func (m *Machine) wake(ctx context.Context) error {
	if m.mgr.opts.Mock {
		return nil
	}
	s := m.current()
	if s == nil {
		return errNoGuest
	}
	return s.wake(ctx)
}
