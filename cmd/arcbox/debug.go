package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// debugFlags are the part of arcbox boot's command line for those who look into
// the guest.
type debugFlags struct {
	gdb                            string
	events, out, span, window, elv string

	socket string // what close removes
}

func (d *debugFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&d.gdb, "gdb", "", "hold the guest until gdb connects to `SOCKET`, a path or localhost:PORT")
	fl.StringVar(&d.events, "trace", "", "trace `EVENTS`: any of exec,mmu,exceptions,mmio,irq")
	fl.StringVar(&d.out, "trace-out", "", "write the trace to `FILE` (default: standard error)")
	fl.StringVar(&d.span, "trace-range", "", "trace addresses `LOW-HIGH` only, in hexadecimal, HIGH excluded")
	fl.StringVar(&d.window, "trace-window", "", "trace instructions `FIRST-LAST` of each vCPU only")
	fl.StringVar(&d.elv, "trace-el", "", "trace exception level `0|1` only")
}

// request puts into req what the flags ask for.
func (d *debugFlags) request(req *vmapi.ConfigureReq) error {
	if err := d.requestTrace(req); err != nil {
		return err
	}
	if d.gdb == "" {
		return nil
	}
	f, err := d.listen()
	if err != nil {
		return fmt.Errorf("cannot listen for gdb at %s: %w", d.gdb, err)
	}
	req.GDB = req.Attach(f)
	return nil
}

// listen makes the socket that gdb connects to. It is nobody else's: a path is
// the user's own, a port is on the loopback.
func (d *debugFlags) listen() (*os.File, error) {
	if host, _, err := net.SplitHostPort(d.gdb); err == nil && !strings.Contains(d.gdb, "/") {
		if host != "localhost" && !net.ParseIP(host).IsLoopback() {
			return nil, errors.New("only this computer may debug; write localhost:PORT")
		}
		l, err := net.Listen("tcp", d.gdb)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.(*net.TCPListener).File()
	}
	if err := removeStale(d.gdb); err != nil {
		return nil, err
	}
	// The socket is never there with rights for others.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", d.gdb)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	d.socket = d.gdb
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the VM goes on listening
	defer l.Close()
	return l.(*net.UnixListener).File()
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("the file exists and is no socket; choose another path")
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return errors.New("somebody listens there already; choose another path")
	}
	return os.Remove(path)
}

// close removes the socket.
func (d *debugFlags) close() {
	if d.socket != "" {
		os.Remove(d.socket)
	}
}

func (d *debugFlags) requestTrace(req *vmapi.ConfigureReq) error {
	if d.events == "" {
		if d.out+d.span+d.window+d.elv != "" {
			return usagef("cannot trace nothing: give --trace EVENTS with the other --trace flags")
		}
		return nil
	}
	t := &vmapi.Trace{Events: d.events, EL: -1}
	var ok bool
	if t.Low, t.High, ok = parseSpan(d.span, 16); !ok {
		return usagef("cannot read %q as a range: write LOW-HIGH in hexadecimal", d.span)
	}
	if t.First, t.Last, ok = parseSpan(d.window, 10); !ok {
		return usagef("cannot read %q as a window: write FIRST-LAST, in instructions", d.window)
	}
	switch d.elv {
	case "":
	case "0", "1":
		t.EL = int(d.elv[0] - '0')
	default:
		return usagef("cannot trace exception level %q: there are 0 and 1", d.elv)
	}
	out, err := d.openTrace()
	if err != nil {
		return fmt.Errorf("cannot write the trace: %w", err)
	}
	t.Out, req.Trace = req.Attach(out), t
	return nil
}

// openTrace is the file, or a descriptor of standard error that the request may
// close.
func (d *debugFlags) openTrace() (*os.File, error) {
	if d.out != "" {
		return os.Create(d.out)
	}
	return duplicate(os.Stderr)
}

// duplicate is another descriptor of a file.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// parseSpan reads "A-B", "A-" or "-B", or nothing; 0 stands for no bound.
func parseSpan(s string, base int) (low, high uint64, ok bool) {
	if s == "" {
		return 0, 0, true
	}
	a, b, ok := strings.Cut(s, "-")
	for _, part := range []struct {
		text string
		to   *uint64
	}{{a, &low}, {b, &high}} {
		if part.text == "" {
			continue
		}
		text := part.text
		if base == 16 {
			text = strings.TrimPrefix(text, "0x")
		}
		v, err := strconv.ParseUint(text, base, 64)
		if err != nil {
			return 0, 0, false
		}
		*part.to = v
	}
	return low, high, ok && (high == 0 || low < high || base == 10 && low == high)
}
