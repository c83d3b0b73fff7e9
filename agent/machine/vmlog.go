package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/logfile"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// The components that have a log.
const (
	logConsole = "console" // what the guest prints on hvc0
	logGuest   = "guest"   // its agent's log, from hvc1
	logVM      = "vm"      // what arcbox-vm says
	logNet     = "net"     // what arcbox-net says
)

// logBounds are those of each log: what a person wants to see of a machine is its last starts.
var logBounds = logfile.Options{MaxSize: 4 << 20, Files: 2}

// LogPath is the log, of package logfile, of a component: "console" (hvc0), "guest" (its agent, hvc1), "vm" (arcbox-vm), "net" (arcbox-net).
func (m *Machine) LogPath(component string) string {
	return filepath.Join(m.mgr.opts.Home.Log(), m.name+"-"+component+".log")
}

// openProcessLog is where a process, logVM or logNet, writes what it has to say. It may be put aside between two processes only: they
// hold it.
func (m *Machine) openProcessLog(component string) (*os.File, error) {
	path := m.LogPath(component)
	w, err := logfile.Open(path, logBounds)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w, "--- a process starts, %s\n", time.Now().UTC().Format(time.RFC3339))
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
}

// A consoleLog is the log of one console, with how much of what the guest printed is in it: an agent that adopts the guest goes
// on there, and what is written twice when an agent is killed is one Write at most.
type consoleLog struct {
	*logfile.Writer
	mark     *os.File // position as text of a fixed length
	position uint64
	failed   error // of a Write
}

// openConsoleLog begins the log of a new guest, or goes on with the one of a guest that was adopted.
func openConsoleLog(path string, adopted bool) (*consoleLog, error) {
	w, err := logfile.Open(path, logBounds)
	if err != nil {
		return nil, err
	}
	mark, err := os.OpenFile(path+".pos", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	l := &consoleLog{Writer: w, mark: mark}
	if adopted {
		b, _ := io.ReadAll(io.LimitReader(mark, 20))
		l.position, _ = strconv.ParseUint(string(b), 10, 64) // else all that the VM has kept is written
	}
	return l, nil
}

func (l *consoleLog) Write(b []byte) (int, error) {
	n, err := l.Writer.Write(b)
	l.position += uint64(n)
	if _, merr := l.mark.WriteAt(fmt.Appendf(nil, "%020d", l.position), 0); err == nil {
		err = merr
	}
	l.failed = err
	return n, err
}

func (l *consoleLog) close() {
	l.Writer.Close()
	l.mark.Close()
}

// logConsoles writes what the guest prints to the logs, for as long as the VM runs.
func (s *session) logConsoles(adopted bool) {
	for console, component := range map[vmapi.Console]string{vmapi.HVC0: logConsole, vmapi.HVC1: logGuest} {
		s.watch.Go(func() { s.logAlways(console, s.m.LogPath(component), adopted) })
	}
}

// logPause is how long a log waits that cannot be written; the VM keeps the last MiB of what the guest prints meanwhile.
const logPause = 10 * time.Second

// logAlways logs a console until there is nothing more to come, also when the host's disk is full at times.
func (s *session) logAlways(console vmapi.Console, path string, adopted bool) {
	for told := false; ; adopted = true {
		again, err := s.logOne(console, path, adopted)
		if err == nil || s.ctx.Err() != nil {
			return
		}
		if !told {
			s.m.log.Warn().Err(err).Str("console", string(console)).Msg("cannot log what the guest prints")
			told = true
		}
		if !again {
			return
		}
		select {
		case <-time.After(logPause):
		case <-s.ctx.Done():
			return
		}
	}
}

// logOne logs a console until it ends, or until that fails; again says whether it is worth to be tried again.
func (s *session) logOne(console vmapi.Console, path string, adopted bool) (again bool, err error) {
	log, err := openConsoleLog(path, adopted)
	if err != nil {
		return true, err
	}
	defer log.close()
	resp, err := ipc.Call(s.ctx, s.proc.Conn, vmapi.Attach, &vmapi.AttachReq{Console: console, History: true, From: log.position})
	if err != nil {
		return false, err
	}
	c, err := conn(&resp.Files, resp.Stream)
	if err != nil {
		return false, err
	}
	defer c.Close()
	defer context.AfterFunc(s.ctx, func() { c.Close() })()
	log.position = resp.Position
	_, err = io.Copy(log, c)
	return log.failed != nil, err
}
