//go:build linux

package agent

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// A wiring joins a program's three files to the streams of a call.
type wiring struct {
	theirs   []*os.File // the program's; closed here once it has them
	terminal *os.File   // our side of its terminal; nil without one
	input    *ipc.Stream
	outputs  []*output
	keyboard *os.File // where input goes; nil for nowhere

	typing, copying sync.WaitGroup
}

// An output is one of the program's, on its way to the caller.
type output struct {
	from *os.File
	to   *ipc.Stream
	last time.Duration // how long after the program's end more may come
}

// connect opens the streams and files of a request.
func (w *wiring) connect(req *guestapi.ExecReq, as account) (err error) {
	if req.Terminal != nil {
		return w.connectTerminal(req, as)
	}
	if err = w.connectInput(req); err != nil {
		return err
	}
	for _, ref := range []ipc.StreamRef{req.Stdout, req.Stderr} {
		if err := w.connectOutput(req, ref); err != nil {
			return err
		}
	}
	return nil
}

func (w *wiring) connectInput(req *guestapi.ExecReq) (err error) {
	if req.Stdin == 0 {
		return w.connectNull()
	}
	if w.input, err = req.Accept(req.Stdin); err != nil {
		return err
	}
	theirs, ours, err := pipe(1)
	if err != nil {
		return err
	}
	w.keyboard, w.theirs = ours, append(w.theirs, theirs)
	return nil
}

func (w *wiring) connectOutput(req *guestapi.ExecReq, ref ipc.StreamRef) error {
	if ref == 0 {
		return w.connectNull()
	}
	to, err := req.Accept(ref)
	if err != nil {
		return err
	}
	ours, theirs, err := pipe(0)
	if err != nil {
		to.Close()
		return err
	}
	w.outputs = append(w.outputs, &output{from: ours, to: to})
	w.theirs = append(w.theirs, theirs)
	return nil
}

func (w *wiring) connectNull() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	w.theirs = append(w.theirs, null)
	return nil
}

// terminalLinger is how long a terminal may take to end after the program whose session it was. The
// kernel hangs it up at once, unless the program has given it away.
const terminalLinger = time.Second

func (w *wiring) connectTerminal(req *guestapi.ExecReq, as account) (err error) {
	if req.Stderr != 0 {
		return ipc.Errorf(ipc.BadRequest, "cannot give a terminal and a stream for errors: a terminal has one output")
	}
	var theirs *os.File
	if w.terminal, theirs, err = openTerminal(*req.Terminal, as); err != nil {
		return err
	}
	w.theirs = []*os.File{theirs, theirs, theirs}
	if req.Stdin != 0 {
		if w.input, err = req.Accept(req.Stdin); err != nil {
			return err
		}
		w.keyboard = w.terminal
	}
	if req.Stdout != 0 {
		to, err := req.Accept(req.Stdout)
		if err != nil {
			return err
		}
		w.outputs = []*output{{from: w.terminal, to: to, last: terminalLinger}}
	}
	return nil
}

// resize tells the terminal its size.
func (w *wiring) resize(cols, rows uint16) error {
	if w.terminal == nil {
		return ipc.Errorf(ipc.BadRequest, "cannot resize: the program has no terminal")
	}
	return setSize(w.terminal, cols, rows)
}

// pipe makes a pipe whose end i is the program's: it blocks, as programs expect, and ours does not.
func pipe(ours int) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[ours], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// begin lets bytes flow, once the program has its files.
func (w *wiring) begin() {
	w.closeTheirs()
	if w.input != nil {
		w.typing.Go(w.typeIn)
	}
	for _, o := range w.outputs {
		w.copying.Go(o.copy)
	}
}

func (w *wiring) closeTheirs() {
	for _, f := range w.theirs {
		f.Close()
	}
	w.theirs = nil
}

// typeIn gives the program what the caller writes. The end of that is the end of a file, which a
// terminal must be told with a key.
func (w *wiring) typeIn() {
	_, err := io.Copy(w.keyboard, w.input)
	switch {
	case w.terminal == nil:
		w.keyboard.Close()
	case err == nil && lineMode(w.terminal):
		w.keyboard.Write([]byte{4}) // ^D
	}
	if err != nil {
		w.input.Close() // nobody reads it any more
	}
}

// finish returns when what the program has written is with its caller, and closes everything.
// What programs still write that it has left behind is nobody's.
func (w *wiring) finish() {
	for _, o := range w.outputs {
		o.from.SetReadDeadline(time.Now().Add(o.last))
	}
	w.copying.Wait()
	w.discard()
}

// discard closes what connect has opened.
func (w *wiring) discard() {
	w.closeTheirs()
	if w.input != nil {
		w.input.Close()
	}
	if w.keyboard != nil {
		w.keyboard.Close()
	}
	if w.terminal != nil {
		w.terminal.Close()
	}
	w.typing.Wait()
	for _, o := range w.outputs {
		o.from.Close()
		o.to.Close()
	}
}

// outputBuffer is how much is read of a program at once.
const outputBuffer = ipc.MaxData

// copy moves output until its end, or until the program has ended and what it had written until
// then has gone. When the caller takes no more the program learns by writing.
func (o *output) copy() {
	defer o.to.CloseWrite()
	b := make([]byte, outputBuffer)
	for {
		n, err := o.from.Read(b)
		if n > 0 {
			if _, err := o.to.Write(b[:n]); err != nil {
				o.from.Close()
				return
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.rest(b)
			return
		}
		if err != nil {
			return
		}
	}
}

// pipeSize is how much can wait in a pipe or a terminal, in bytes.
const pipeSize = 64 << 10

// rest moves what waits: what a program wrote before its end is at most what a pipe holds, and
// others may go on writing for ever.
func (o *output) rest(b []byte) {
	raw, err := o.from.SyscallConn()
	if err != nil {
		return
	}
	for total := 0; total < pipeSize; {
		n := 0
		raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), b) })
		if n <= 0 || err != nil {
			return
		}
		if _, err := o.to.Write(b[:n]); err != nil {
			return
		}
		total += n
	}
}
