package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// The components that have a log.
const (
	logConsole = "console" // what the guest prints on hvc0
	logGuest   = "guest"   // its agent's log, from hvc1
	logVM      = "vm"      // what arcbox-vm says
)

// maxLog is how long a log may become, in bytes, before it is put aside; one older one is kept.
const maxLog = 4 << 20

// LogPath is the file with the log of a component: "console" (hvc0), "guest" (its agent, hvc1), "vm" (arcbox-vm).
func (m *Machine) LogPath(component string) string {
	return filepath.Join(m.mgr.opts.Home.Log(), m.name+"-"+component+".log")
}

// openVMLog is where arcbox-vm writes what it has to say. It is put aside between two processes only: they hold it.
func (m *Machine) openVMLog() (*os.File, error) {
	path := m.LogPath(logVM)
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		os.Rename(path, path+oldLog)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot log what the VM of %s says: %w", m.name, err)
	}
	return f, nil
}

// oldLog ends the name of a log that was put aside, and posLog that of the file which says how many bytes the guest had
// printed before the first of the log.
const (
	oldLog = ".1"
	posLog = ".pos"
)

// A consoleLog is the file that one console of one guest is written to.
type consoleLog struct {
	path string
	f    *os.File
	base uint64 // bytes that the guest had printed before the first in f
	size int64
}

// openConsoleLog begins the log of a new guest, or goes on with the one of a guest that was adopted.
func openConsoleLog(path string, adopted bool) (*consoleLog, error) {
	l := &consoleLog{path: path}
	if adopted {
		b, err := os.ReadFile(path + posLog)
		if err == nil {
			l.base, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		}
		if err == nil {
			return l, l.open(os.O_APPEND)
		}
	}
	return l, l.next(0)
}

func (l *consoleLog) open(flag int) (err error) {
	if l.f, err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|flag, 0o600); err != nil {
		return err
	}
	info, err := l.f.Stat()
	if err == nil {
		l.size = info.Size()
	}
	return err
}

// next puts the log aside and begins another, for what the guest prints from a position on.
func (l *consoleLog) next(base uint64) error {
	l.close()
	if err := os.Rename(l.path, l.path+oldLog); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.base = base
	if err := os.WriteFile(l.path+posLog, strconv.AppendUint(nil, base, 10), 0o600); err != nil {
		return err
	}
	return l.open(os.O_TRUNC)
}

// position is how many bytes the guest had printed behind the last that is in the log.
func (l *consoleLog) position() uint64 { return l.base + uint64(l.size) }

func (l *consoleLog) Write(b []byte) (int, error) {
	if l.size+int64(len(b)) > maxLog {
		if err := l.next(l.position()); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(b)
	l.size += int64(n)
	return n, err
}

func (l *consoleLog) close() {
	if l.f != nil {
		l.f.Close()
	}
}

// logConsoles writes what the guest prints to the logs, for as long as the VM runs.
func (s *session) logConsoles(adopted bool) {
	for console, component := range map[vmapi.Console]string{vmapi.HVC0: logConsole, vmapi.HVC1: logGuest} {
		s.watch.Go(func() {
			if err := s.logOne(console, s.m.LogPath(component), adopted); err != nil && s.ctx.Err() == nil {
				s.m.log.Warn().Err(err).Str("console", string(console)).Msg("cannot log what the guest prints")
			}
		})
	}
}

func (s *session) logOne(console vmapi.Console, path string, adopted bool) error {
	log, err := openConsoleLog(path, adopted)
	defer log.close()
	if err != nil {
		return err
	}
	resp, err := ipc.Call(s.ctx, s.proc.Conn, vmapi.Attach, &vmapi.AttachReq{Console: console, History: true, From: log.position()})
	if err != nil {
		return err
	}
	c, err := conn(&resp.Files, resp.Stream)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(s.ctx, func() { c.Close() })()
	if resp.Position != log.position() { // some of it is not kept any more
		if err := log.next(resp.Position); err != nil {
			return err
		}
	}
	_, err = io.Copy(log, c)
	return err
}
