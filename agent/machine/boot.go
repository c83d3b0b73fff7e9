package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// boot starts the VM. When it returns without an error the guest's kernel runs, and the session that there is now reports
// what becomes of it.
func (m *Machine) boot(ctx context.Context, epoch uint64) error {
	if err := m.rewrite(); err != nil {
		return err
	}
	if m.mgr.opts.Mock {
		m.life.Report(lifecycle.Ready, epoch, nil)
		return nil
	}
	r, asset, err := m.resolve(ctx, epoch)
	if err != nil {
		return err
	}
	defer asset.close() // the VM has it, and its lock
	req, files, err := m.request(r)
	defer files.close()
	defer req.Close()
	if err != nil {
		return err
	}
	if asset != nil {
		req.Hold = req.Attach(asset.held)
	}
	log, err := m.openProcessLog(logVM)
	if err != nil {
		return err
	}
	defer log.Close()
	proc, err := StartProcess(m.mgr.opts.Program, log)
	if err != nil {
		return err
	}
	path, err := m.mgr.socket(m.name)
	if err == nil {
		err = notePID(path, proc.Pid())
	}
	if err != nil {
		return errors.Join(err, proc.Kill())
	}
	s := newSession(m, epoch, r, proc)
	m.setSession(s)
	go s.supervise() // from here on the session ends everything
	_, err = ipc.Call(ctx, proc.Conn, vmapi.Configure, req)
	if err := asset.verdict(); err != nil { // what a VM says of a damaged kernel is no help
		return err
	}
	if err != nil {
		return bootError(r, err)
	}
	if err := s.start(ctx); err != nil {
		return bootError(r, err)
	}
	s.begin(0, false)
	m.mgr.publish(agentapi.Event{Kind: agentapi.MachineStarted, Machine: m.name})
	return nil
}

// bootError says which file it was: the VM sees descriptors only.
func bootError(r *Record, err error) error {
	var refusal *ipc.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case vmapi.BadKernel:
			return fmt.Errorf("cannot boot the kernel %s: %v; run arcbox assets fetch to repair it, or name another", r.Kernel, err)
		case vmapi.BadInitrd:
			return fmt.Errorf("cannot boot with the initrd %s: %v; run arcbox assets fetch to repair it", r.Initrd, err)
		}
	}
	return fmt.Errorf("cannot start the VM of %s: %v", r.Name, err)
}

// resolve says what to boot, and brings the record up to that: a machine that differs from what it shall be is made anew,
// with the disk that it has. The asset is nil without one; the caller closes it.
func (m *Machine) resolve(ctx context.Context, epoch uint64) (*Record, *bootAsset, error) {
	s := m.settings()
	r := m.record()
	asset, err := m.mgr.assetFor(ctx, s, func(on bool) { m.life.Fetching(epoch, on) })
	if err != nil {
		if r.Kernel == "" {
			return nil, nil, fmt.Errorf("cannot start %s: %w", m.name, err)
		}
		m.log.Warn().Err(err).Msg("cannot resolve the boot asset: booting what was booted last, without looking for drift")
		held, err := m.mgr.useAgain(ctx, r)
		return r, held, err
	}
	held, err := use(ctx, asset)
	if err != nil {
		return nil, nil, err
	}
	d, err := m.remake(s, asset)
	if err != nil {
		held.close()
		return nil, nil, err
	}
	return d, held, nil
}

// A bootAsset is an asset that is held for a boot, and read meanwhile. nil is none, with which nothing is wrong.
type bootAsset struct {
	held   *os.File
	cancel context.CancelFunc
	read   chan struct{} // closed when err holds
	err    error
}

// use holds an asset, and begins to read its kernel and initrd as a whole: a guest with one wrong bit in them dies in ways that
// nobody can read. That takes as long as the VM's process takes to start and to load them, so both go on at once.
func use(ctx context.Context, a *boot.Asset) (*bootAsset, error) {
	held, err := a.Use()
	if err != nil {
		return nil, err
	}
	b := &bootAsset{held: held, read: make(chan struct{})}
	ctx, b.cancel = context.WithCancel(ctx)
	go func() {
		defer close(b.read)
		if err := a.Verify(ctx, nil, boot.KernelName, boot.InitrdName); err != nil {
			b.err = fmt.Errorf("cannot boot %s: %w; run arcbox assets fetch to repair it", a.ID, err)
		}
	}()
	return b, nil
}

// verdict waits until the asset has been read, and says what is wrong with it. No guest runs before.
func (b *bootAsset) verdict() error {
	if b == nil {
		return nil
	}
	<-b.read
	return b.err
}

// close lets go of the asset.
func (b *bootAsset) close() {
	if b == nil {
		return
	}
	b.cancel()
	<-b.read
	b.held.Close()
}

// useAgain is use for what was booted last. An asset that the library does not have any more may have its files yet: none and no
// error.
func (g *Manager) useAgain(ctx context.Context, r *Record) (*bootAsset, error) {
	if g.opts.Library == nil {
		return nil, nil
	}
	a, err := g.opts.Library.Find(r.Asset)
	if err != nil || a.ID != r.Asset {
		return nil, nil
	}
	return use(ctx, a)
}

// rewrite writes a record that has vanished again.
func (m *Machine) rewrite() error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.mgr.records.exists(m.name) {
		return nil
	}
	m.log.Warn().Msg("the machine's record has vanished; writing it again")
	return m.keep(m.record())
}

// remake makes the record what it shall be, and tells what has changed.
func (m *Machine) remake(s Settings, asset *boot.Asset) (*Record, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	is := m.record()
	shall, err := desire(is, s, asset)
	if err != nil {
		return nil, err
	}
	changes := drift(is, shall)
	if len(changes) == 0 && is.Asset == shall.Asset {
		return shall, nil
	}
	if len(changes) > 0 && is.Kernel != "" { // else it is resolved for the first time
		shall.Generation++
		m.log.Info().Interface("changes", changes).Msg("the machine is made anew: it differs from what is configured")
		m.mgr.publish(agentapi.Event{Kind: agentapi.MachineDrift, Machine: m.name, Changes: changes})
	}
	return shall, m.keep(shall)
}

// open files of a boot, which the VM has copies of once it is configured.
type openFiles []interface{ Close() error }

func (fs openFiles) close() {
	for _, f := range fs {
		f.Close()
	}
}

// request opens every file of the machine.
func (m *Machine) request(r *Record) (*vmapi.ConfigureReq, openFiles, error) {
	s := m.settings()
	label, err := json.Marshal(r)
	if err != nil {
		return &vmapi.ConfigureReq{}, nil, err
	}
	req := &vmapi.ConfigureReq{
		Label: string(label), Engine: r.Backend, CPUs: r.CPUs, Memory: r.Memory, Cmdline: r.Cmdline,
		CID: uint64(r.CID), Listen: []uint32{guestapi.AnnouncePort}, Balloon: true, OrphanMS: s.Orphan.Milliseconds(),
	}
	if m.mgr.opts.NetProgram != "" {
		req.Net = &vmapi.Net{MAC: macOf(r), MTU: netapi.DefaultMTU}
	}
	if req.Kernel, err = attach(&req.Files, "kernel", r.Kernel); err != nil {
		return req, nil, err
	}
	if r.Initrd != "" {
		if req.Initrd, err = attach(&req.Files, "initrd", r.Initrd); err != nil {
			return req, nil, err
		}
	}
	var open openFiles
	for _, d := range r.Disks {
		img, disk, err := m.disk(r, d, s)
		if err != nil {
			return req, open, err
		}
		open = append(open, img)
		disk.Image = req.Attach(img.Descriptor())
		req.Disks = append(req.Disks, disk)
	}
	path, err := m.mgr.socket(r.Name)
	if err != nil {
		return req, open, err
	}
	meet, err := Rendezvous(path)
	if err != nil {
		return req, open, err
	}
	req.Rendezvous = req.Attach(meet)
	return req, open, nil
}

// disk opens and locks one disk, "PATH" or "PATH,ro". The machine's own is made if it is not there.
func (m *Machine) disk(r *Record, spec string, s Settings) (*storage.Image, vmapi.Disk, error) {
	path, readOnly := strings.CutSuffix(spec, readOnlyMark)
	disk := vmapi.Disk{ReadOnly: readOnly, Flush: s.Flush}
	var img *storage.Image
	var err error
	if path == r.Data {
		img, err = storage.Ensure(storage.Spec{Path: path, Reserve: s.DiskReserve})
	} else {
		img, err = storage.Open(path, readOnly)
	}
	if errors.Is(err, file.ErrLocked) {
		err = fmt.Errorf("%w; end that VM, or the process arcbox-vm of one that no agent finds any more, which ends by itself after a while", err)
	}
	if err != nil {
		return nil, disk, fmt.Errorf("cannot start %s: %w", m.name, err)
	}
	for _, n := range img.Notes {
		m.log.Info().Str("disk", path).Msg(n)
	}
	return img, disk, nil
}

// attach opens a file for reading.
func attach(files *ipc.Files, what, path string) (ipc.FD, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("cannot read the %s: %w; run arcbox assets fetch to repair it, or name another", what, err)
	}
	fd := files.Attach(f)
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot read the %s: %w", what, err)
	case !info.Mode().IsRegular() || info.Size() == 0:
		return 0, fmt.Errorf("cannot read the %s: %s is empty or no regular file", what, path)
	}
	return fd, nil
}
