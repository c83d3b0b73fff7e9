package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A terminal joins this program's standard input and output to a guest's
// console. On a real terminal the guest gets every key but Ctrl-A, which
// starts a command: x leaves, a types a Ctrl-A.
type terminal struct {
	sock    *net.UnixConn // our end
	restore func()        // gives the real terminal back; never nil
	raw     bool
	printed sync.WaitGroup
	windows chan os.Signal // SIGWINCH; nil where there is no real terminal
	sizes   sync.WaitGroup // whoever takes from it
}

// openTerminal makes the pair of sockets; the caller hands far to the VM and
// closes it.
func openTerminal() (t *terminal, far *os.File, err error) {
	sock, far, err := ipc.Pair()
	if err != nil {
		return nil, nil, err
	}
	return &terminal{sock: sock, restore: func() {}}, far, nil
}

// start begins to copy both ways. leave is called when the user types Ctrl-A x,
// resize with the real terminal's size, now and whenever it changes.
func (t *terminal) start(leave context.CancelCauseFunc, resize func(cols, rows int)) error {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		old, err := term.MakeRaw(fd)
		if err != nil {
			return fmt.Errorf("cannot take over the terminal: %w", err)
		}
		t.raw = true
		t.restore = func() { term.Restore(fd, old) }
		fmt.Fprint(os.Stderr, "arcbox: Ctrl-A x leaves\r\n")
		t.follow(fd, resize)
	}
	t.printed.Go(func() { io.Copy(os.Stdout, t.sock) })
	// Reading standard input cannot be interrupted: this goroutine ends with
	// the process, and does no harm until then because the socket is closed.
	go t.typeIn(os.Stdin, leave)
	return nil
}

// follow tells the size of the real terminal until close.
func (t *terminal) follow(fd int, resize func(cols, rows int)) {
	t.windows = make(chan os.Signal, 1)
	signal.Notify(t.windows, syscall.SIGWINCH)
	t.windows <- syscall.SIGWINCH // the size that it has now
	t.sizes.Go(func() {
		for range t.windows {
			if cols, rows, err := term.GetSize(fd); err == nil {
				resize(cols, rows)
			}
		}
	})
}

// typeIn passes keys on. The end of a piped input ends only the typing.
func (t *terminal) typeIn(in io.Reader, leave context.CancelCauseFunc) {
	var keys escape
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		typed, left := buf[:n], false
		if t.raw {
			typed, left = keys.filter(typed)
		}
		if _, werr := t.sock.Write(typed); werr != nil || err != nil {
			return
		}
		if left {
			leave(errLeft)
			return
		}
	}
}

// close waits until everything that the guest printed is on the screen, then
// gives the terminal back. The VM must have closed its end.
func (t *terminal) close() {
	t.printed.Wait()
	t.sock.Close()
	t.restore()
	if t.windows != nil {
		signal.Stop(t.windows)
		close(t.windows)
		t.sizes.Wait()
		fmt.Fprintln(os.Stderr) // the guest may have left the cursor anywhere
	}
}

// ctrlA starts a command, as in QEMU and screen.
const ctrlA = 0x01

// An escape finds commands in what is typed. Its zero value is ready.
type escape struct{ armed bool }

// filter returns what is meant for the guest, in place, and whether the user
// asked to leave.
func (e *escape) filter(typed []byte) (rest []byte, leave bool) {
	rest = typed[:0]
	for _, key := range typed {
		switch {
		case !e.armed && key == ctrlA:
			e.armed = true
			continue
		case e.armed && (key == 'x' || key == 'X'):
			return rest, true
		case e.armed && key != 'a' && key != ctrlA:
			e.armed = false // no such command: both keys vanish
			continue
		case e.armed:
			key = ctrlA
		}
		e.armed = false
		rest = append(rest, key)
	}
	return rest, false
}
