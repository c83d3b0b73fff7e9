package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A foundVM is one that runs without an owner.
type foundVM struct {
	made *Record
	proc *Process
	resp *vmapi.AdoptResp
}

// Rendezvous sockets are called vm-NAME.sock and, of networks, net-NAME.sock.
const (
	socketPrefix    = "vm-"
	netSocketPrefix = "net-"
	socketSuffix    = ".sock"
)

// socket is where the VM of a machine waits for its next owner.
func (g *Manager) socket(name string) (string, error) {
	return g.opts.Home.Socket(socketPrefix + name + socketSuffix)
}

// netSocket is where the network of a machine waits for its next owner.
func (g *Manager) netSocket(name string) (string, error) {
	return g.opts.Home.Socket(netSocketPrefix + name + socketSuffix)
}

// adoptTime is how long a VM may take to let itself be adopted.
const adoptTime = 5 * time.Second

// findVMs adopts the VMs that run, by name of the machine, and clears away what dead ones have left.
func (g *Manager) findVMs(ctx context.Context) (map[string]*foundVM, error) {
	one, err := g.socket("x")
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(one), socketPrefix+"*"+socketSuffix))
	if err != nil {
		return nil, err
	}
	found := map[string]*foundVM{}
	var mu sync.Mutex // guards found
	var wg sync.WaitGroup
	for _, path := range paths {
		wg.Go(func() {
			if vm := g.adopt(ctx, path); vm != nil {
				mu.Lock()
				found[vm.made.Name] = vm
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return found, nil
}

// adopt becomes the owner of the VM at a socket. One that was not started, or is of no machine that we know how to manage,
// is ended.
func (g *Manager) adopt(ctx context.Context, path string) *foundVM {
	log := g.opts.Log.With().Str("socket", path).Logger()
	limited, cancel := context.WithTimeout(ctx, adoptTime)
	defer cancel()
	proc, resp, err := Adopt(limited, path)
	if errors.Is(err, ErrNoProcess) {
		log.Info().Msg("removing the socket of a VM that is gone")
		clearSocket(path)
		return nil
	}
	name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), socketPrefix), socketSuffix)
	if err != nil {
		log.Error().Err(err).Msg("cannot adopt a VM")
		if ctx.Err() == nil && limited.Err() != nil { // else it is we who end, and the next one finds it
			killStuck(log, vmProgram, path)
		}
		return nil
	}
	made, err := parseRecord([]byte(resp.Label))
	switch {
	case err != nil || made.Name != name:
		log.Error().Err(err).Msg("ending a VM that says it is of no machine of ours")
	case resp.State != vmapi.Running && resp.State != vmapi.Paused && resp.State != vmapi.Ended:
		log.Info().Msg("ending a VM that was never started")
	default:
		log.Info().Int("pid", resp.PID).Str("state", string(resp.State)).Msg("found a VM")
		return &foundVM{made, proc, resp}
	}
	if err := proc.Close(); err != nil {
		log.Error().Err(err).Msg("cannot end a VM")
	}
	clearSocket(path)
	return nil
}

// recreate makes a machine of a VM without a record, from the record that the VM was made of. Records of machines that run are
// not removed by us, so this one was lost; ending what the user runs for that would lose more.
func (g *Manager) recreate(vm *foundVM) {
	r := vm.made
	g.opts.Log.Warn().Str("machine", r.Name).Msg("a VM runs whose record is gone; writing it again")
	if err := g.records.write(r); err != nil {
		g.opts.Log.Error().Err(err).Msg("cannot write a record")
	}
	g.machines[r.Name] = g.newMachine(r, vm)
}

// pidSuffix is appended to a rendezvous socket's path for the file that says which process listens there: the kernel vouches for
// who bound it, which is an agent of the past.
const pidSuffix = ".pid"

// notePID writes down which process is about to listen at a socket.
func notePID(path string, pid int) error {
	return os.WriteFile(path+pidSuffix, strconv.AppendInt(nil, int64(pid), 10), 0o600)
}

// killStuck ends a process that holds its socket and does not answer: it is stopped, or hangs. While somebody listens there the
// process whose number was written down lives, so the number is still its own.
func killStuck(log zerolog.Logger, prog program, path string) {
	b, err := os.ReadFile(path + pidSuffix)
	if err != nil {
		log.Error().Err(err).Msg("cannot tell which process does not answer")
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 || processName(pid) != prog.name {
		log.Error().Err(err).Int("pid", pid).Msg("the process that was written down is no " + prog.name)
		return
	}
	log.Warn().Int("pid", pid).Msg("killing an " + prog.name + " that does not answer")
	p := &Process{program: prog, pid: pid, exited: make(chan struct{})}
	if err := p.watch(); err != nil {
		log.Error().Err(err).Msg("cannot watch it")
		return
	}
	if err := p.Kill(); err != nil {
		log.Error().Err(err).Msg("cannot end it")
		return
	}
	clearSocket(path)
}

// clearRun removes what a VM process that is gone has left.
func (m *Machine) clearRun() {
	if path, err := m.mgr.socket(m.name); err == nil {
		clearSocket(path)
	}
}

func clearSocket(path string) {
	os.Remove(path)
	os.Remove(path + pidSuffix)
}
